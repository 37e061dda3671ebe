"""
Tests for L{aero.http.h2stream} and for how L{aero.http.http2} writes, waits and ends.
"""

from __future__ import annotations

import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.http.test.h2client import Client, headers
from aero.metrics import http as rows
from aero.settings.http import HTTPSettings

from ..connection import NEWCOMER
from .door import Door

LOST = Failure(ConnectionDone())


class FlowTests(SynchronousTestCase):
    """
    Answers are sent as fast as they are taken, fairly, and no faster.
    """

    def test_large(self) -> None:
        """
        A large answer arrives whole through small windows and a slow transport.
        """
        for limit in (None, 20_000):
            client = Client(limit=limit)
            stream = client.get("/hold")
            client.exchange()
            body = bytes(range(256)) * 4_000
            request = client.door.routes.seen[0]
            request.write(body)
            request.finish()
            client.exchange()
            self.assertEqual(client.response(stream).body, body)

    def test_window(self) -> None:
        """
        No more is sent than the client's window takes, until it opens it, and empty answers
        do not wait for it.
        """
        client = Client()
        client.acknowledges = False
        large = client.get("/hold")
        client.exchange()
        request = client.door.routes.seen[0]
        request.write(b"x" * 100_000)
        request.finish()
        client.exchange()
        sent = sum(len(getattr(event, "data", b"")) for event in client.of(large))
        self.assertEqual(sent, 65_535)
        empty = client.get("/nothing")
        client.exchange()
        self.assertEqual(client.response(empty).status, 204)
        client.h2.increment_flow_control_window(100_000)
        client.h2.increment_flow_control_window(100_000, large)
        client.exchange()
        self.assertEqual(len(client.response(large).body), 100_000)

    def test_settings(self) -> None:
        """
        A window that the client opens by its settings is used.
        """
        client = Client()
        client.acknowledges = False
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
        client.exchange()
        stream = client.get("/plain/0123456789")
        client.exchange()
        self.assertFalse(client.ended(stream))
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
        client.exchange()
        self.assertEqual(client.response(stream).body, b"GET /plain/0123456789")

    def test_turns(self) -> None:
        """
        A transport that never has enough does not keep other connections from their turn.
        """
        client = Client()
        client.h2.increment_flow_control_window(10_000_000)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10_000_000})
        large = client.get("/hold")
        client.exchange()
        request = client.door.routes.seen[0]
        request.write(b"x" * 5_000_000)
        request.finish()
        seen: list[int] = []
        client.door.clock.callLater(0, lambda: seen.append(len(client.wire.value())))
        client.exchange()
        self.assertGreater(seen[0], 500_000)
        self.assertLess(seen[0], 2_000_000)
        self.assertEqual(len(client.response(large).body), 5_000_000)

    def test_fairness(self) -> None:
        """
        A small answer does not wait for the end of a large one.
        """
        client = Client(limit=20_000)
        client.h2.increment_flow_control_window(10_000_000)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10_000_000})
        large = client.get("/hold")
        client.exchange()
        request = client.door.routes.seen[0]
        request.write(b"x" * 5_000_000)
        request.finish()
        small = client.get("/plain")
        client.exchange()
        order = [
            event.stream_id for event in client.events if isinstance(event, h2.events.StreamEnded)
        ]
        self.assertEqual(order, [small, large])

    def test_producer(self) -> None:
        """
        A push producer is paused when much of its waits, resumed when little does, and
        stopped when the client cancels.
        """
        calls: list[str] = []

        class Producer:
            pauseProducing = staticmethod(lambda: calls.append("pause"))
            resumeProducing = staticmethod(lambda: calls.append("resume"))
            stopProducing = staticmethod(lambda: calls.append("stop"))

        client = Client()
        client.acknowledges = False
        stream = client.get("/hold")
        client.exchange()
        request = client.door.routes.seen[0]
        request.registerProducer(Producer(), True)
        request.write(b"x" * 400_000)
        client.exchange()
        self.assertEqual(calls, ["pause"])
        client.h2.increment_flow_control_window(400_000)
        client.h2.increment_flow_control_window(400_000, stream)
        client.exchange()
        self.assertEqual(calls, ["pause", "resume"])
        gone = request.notifyFinish()
        client.h2.reset_stream(stream)
        client.exchange()
        self.assertEqual(calls, ["pause", "resume", "stop"])
        self.failureResultOf(gone, ConnectionDone)
        request.write(b"late")
        request.unregisterProducer()
        request.finish()

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked only as far as the client's window goes.
        """
        client = Client()
        client.acknowledges = False
        client.get("/hold")
        client.exchange()
        request = client.door.routes.seen[0]
        made: list[int] = []

        class Producer:
            def resumeProducing(self) -> None:
                made.append(1)
                request.write(b"x" * 50_000)

            def stopProducing(self) -> None:
                made.append(-1)

        request.registerProducer(Producer(), False)
        for _ in range(100):
            client.exchange()
        self.assertLess(len(made), 10)
        client.connection.connectionLost(LOST)
        self.assertEqual(made[-1], -1)
        self.assertEqual(client.door.clock.getDelayedCalls(), [])

    def test_reading(self) -> None:
        """
        A client that does not take what it asked for is not read from.
        """
        client = Client(limit=1_000)
        client.get("/plain")
        client.get("/plain")
        client.send()
        client.door.clock.advance(0)
        client.wire.producer.pauseProducing()
        self.assertFalse(client.wire.reading)
        client.exchange()
        self.assertTrue(client.wire.reading)

    def test_upload(self) -> None:
        """
        A body larger than the window arrives whole.
        """
        client = Client(Door(settings=HTTPSettings(maxBodyBytes=5_000_000)))
        stream = client.post("/echo")
        body = bytes(range(256)) * 10_000
        sent = 0
        while sent < len(body):
            client.exchange()
            size = min(16_384, client.h2.local_flow_control_window(stream), len(body) - sent)
            self.assertGreater(size, 0)
            client.h2.send_data(stream, body[sent : sent + size])
            sent += size
        client.h2.end_stream(stream)
        client.exchange()
        self.assertEqual(client.response(stream).body, body)


class EndTests(SynchronousTestCase):
    """
    Streams and connections end cleanly.
    """

    def test_broken(self) -> None:
        """
        An error in the middle of an answer resets its stream only.
        """
        client = Client()
        stream = client.get("/broken")
        after = client.get("/plain")
        client.exchange()
        self.assertEqual(client.resets(stream), [ErrorCodes.INTERNAL_ERROR])
        self.assertEqual(client.response(after).status, 200)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_clientGone(self) -> None:
        """
        All requests in progress are told that the client left.
        """
        client = Client()
        for _ in range(3):
            client.get("/hold")
        client.exchange()
        gone = [request.notifyFinish() for request in client.door.routes.seen]
        client.connection.connectionLost(LOST)
        for waiter in gone:
            self.failureResultOf(waiter, ConnectionDone)
        self.assertEqual(client.door.clock.getDelayedCalls(), [])

    def test_goAway(self) -> None:
        """
        A client that says goodbye is let go.
        """
        client = Client()
        client.h2.close_connection()
        client.exchange()
        self.assertTrue(client.wire.disconnecting)

    def test_idle(self) -> None:
        """
        A connection without requests is closed in time, however often the client pings.
        """
        client = Client()
        client.get()
        client.exchange()
        for _ in range(8):
            self.assertEqual(client.goneAway, [])
            client.raw(PingFrame(0, b"12345678"))
            client.door.elapse(10)
        client.exchange()
        self.assertEqual(client.goneAway, [ErrorCodes.NO_ERROR])
        self.assertTrue(client.wire.disconnecting)

    def test_partialHead(self) -> None:
        """
        A head that does not come to its end in time ends the connection, and so does a frame.
        """
        for data in (HeadersFrame(1, b"").serialize(), PingFrame(0, b"12345678").serialize()[:5]):
            client = Client()
            client.connection.dataReceived(data)
            client.door.elapse(12)
            client.exchange()
            self.assertTrue(client.wire.disconnecting)
            self.assertEqual(client.door.metrics.value(rows.TIMEOUTS, "header"), 1)

    def test_slowBody(self) -> None:
        """
        A body that does not come in time is a 408 on its stream.
        """
        client = Client()
        stream = client.post("/echo")
        client.exchange()
        for _ in range(62):
            if not client.ended(stream):
                client.h2.send_data(stream, b"x")
            client.exchange()
            client.door.elapse(1)
        client.exchange()
        self.assertEqual(client.response(stream).status, 408)
        self.assertEqual(client.goneAway, [])

    def test_stalled(self) -> None:
        """
        A stream whose window stays closed is reset in time; one that moves is not.
        """
        client = Client()
        client.acknowledges = False
        stuck, moving = client.get("/hold"), client.get("/hold")
        client.exchange()
        client.h2.increment_flow_control_window(1_000_000)
        for request in client.door.routes.seen:
            request.write(b"x" * 200_000)
        client.exchange()
        for _ in range(13):
            client.h2.increment_flow_control_window(1, moving)
            client.exchange()
            client.door.elapse(10)
        client.exchange()
        self.assertEqual(client.resets(stuck), [ErrorCodes.CANCEL])
        self.assertEqual(client.resets(moving), [])
        self.assertEqual(client.door.metrics.value(rows.TIMEOUTS, "write"), 1)

    def test_deaf(self) -> None:
        """
        A client that takes nothing at all is disconnected.
        """
        client = Client()
        client.get("/hold")
        client.exchange()
        gone = client.door.routes.seen[0].notifyFinish()
        client.wire.producer.pauseProducing()
        client.door.elapse(122)
        self.assertTrue(client.wire.disconnected)
        client.connection.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(gone, ConnectionLost)

    def test_drain(self) -> None:
        """
        A site that drains says so, finishes what it has and takes no more.
        """
        client = Client()
        client.get("/hold")
        client.exchange()
        client.door.clock.advance(NEWCOMER)
        drained = client.door.site.drain()
        client.exchange()
        self.assertEqual(client.goneAway, [ErrorCodes.NO_ERROR])
        late = HeadersFrame(3, client.h2.encoder.encode(headers()), flags=["END_HEADERS"])
        client.connection.dataReceived(late.serialize())
        # The refusal of a stream that came after the goodbye: RST_STREAM, REFUSED_STREAM.
        self.assertIn(RstStreamFrame(3, error_code=7).serialize(), client.wire.value())
        self.assertFalse(client.wire.disconnecting)
        self.assertEqual(len(client.door.routes.seen), 1)
        client.door.routes.do_plain(client.door.routes.seen[0])
        client.door.clock.advance(0)
        self.assertIn(b"GET /hold", client.wire.value())
        self.assertTrue(client.wire.disconnecting)
        client.connection.connectionLost(LOST)
        self.assertIsNone(self.successResultOf(drained))

    def test_drainIdle(self) -> None:
        """
        A connection without requests closes at once.
        """
        client = Client()
        client.door.clock.advance(NEWCOMER)
        client.door.site.drain()
        client.door.clock.advance(0)
        self.assertTrue(client.wire.disconnecting)
