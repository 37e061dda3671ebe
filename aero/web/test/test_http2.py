"""
Tests for L{aero.web.http2} and L{aero.web.h2stream}, with the client side of the C{h2}
package at the other end.
"""

from __future__ import annotations

from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import http as rows
from aero.settings.http import HTTPSettings
from aero.testing.properties import given, strategies

from .door import Door, Response, Wire, hasHeadersOnce

LOST = Failure(ConnectionDone())

Headers = list[tuple[str, str]]


def headers(path: str = "/plain", *more: tuple[str, str], method: str = "GET") -> Headers:
    """
    The head of a request.
    """
    start = [(":method", method), (":scheme", "https"), (":path", path)]
    return [*start, (":authority", "localhost"), *more]


class Client:
    """
    An HTTP/2 client on a connection in memory.
    """

    def __init__(self, door: Door | None = None, *, limit: int | None = None) -> None:
        self.door = door or Door()
        self.connection, self.wire = self.door.connect(Wire(limit=limit, negotiated=b"h2"))
        config = H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[Any] = []
        self.acknowledges = True
        self.exchange()

    def send(self, step: int = 1 << 20) -> None:
        """
        Give the server what there is to send.
        """
        data = self.h2.data_to_send()
        for start in range(0, len(data), step):
            self.connection.dataReceived(data[start : start + step])

    def exchange(self, step: int = 1 << 20) -> None:
        """
        Send and receive until both have nothing more to say.
        """
        for _ in range(200):
            self.send(step)
            self.door.clock.advance(0)
            data = self.wire.drained() if self.wire.limit else self._taken()
            if not data:
                break
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and self.acknowledges:
                    assert event.stream_id is not None
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )

    def _taken(self) -> bytes:
        data: bytes = self.wire.value()
        self.wire.clear()
        return data

    def raw(self, *frames: Any) -> None:
        """
        Send frames as they are.
        """
        self.connection.dataReceived(b"".join(frame.serialize() for frame in frames))
        self.exchange()

    def get(self, *arguments: Any, **keywords: Any) -> int:
        """
        Send a request without a body.
        """
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers(*arguments, **keywords), end_stream=True)
        return stream

    def post(self, path: str, *more: tuple[str, str]) -> int:
        """
        Send the head of a request with a body.
        """
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers(path, *more, method="POST"))
        return stream

    def response(self, stream: int) -> Response:
        """
        The whole response on a stream.
        """
        assert self.ended(stream), self.events
        found = Response(0, [], b"")
        for event in self.of(stream):
            if isinstance(event, h2.events.ResponseReceived):
                fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
                found.status, found.headers = int(fields[0][1]), fields[1:]
            elif isinstance(event, h2.events.DataReceived):
                found.body += event.data or b""
        return found

    def of(self, stream: int) -> list[Any]:
        """
        What happened on a stream.
        """
        return [event for event in self.events if getattr(event, "stream_id", None) == stream]

    def ended(self, stream: int) -> bool:
        """
        Whether the response is complete.
        """
        return any(isinstance(event, h2.events.StreamEnded) for event in self.of(stream))

    def resets(self, stream: int) -> list[int]:
        """
        The codes a stream was reset with.
        """
        return [
            int(event.error_code or 0)
            for event in self.of(stream)
            if isinstance(event, h2.events.StreamReset)
        ]

    @property
    def goneAway(self) -> list[int]:
        """
        The codes the connection was ended with.
        """
        return [
            int(event.error_code or 0)
            for event in self.events
            if isinstance(event, h2.events.ConnectionTerminated)
        ]


class ExchangeTests(SynchronousTestCase):
    """
    Requests get the answers that HTTP/1.1 gives.
    """

    def test_steps(self) -> None:
        """
        Requests with and without bodies are answered however their bytes arrive.
        """
        for step in (1, 3, 20, 1 << 20):
            client = Client()
            plain, stream = client.get("/plain"), client.get("/stream")
            echo = client.post("/echo")
            client.h2.send_data(echo, b"hel")
            client.h2.send_data(echo, b"lo", end_stream=True)
            client.exchange(step)
            found = [client.response(n) for n in (plain, stream, echo)]
            self.assertEqual([r.body for r in found], [b"GET /plain", b"onetwo", b"hello"])
            self.assertEqual([r.status for r in found], [200] * 3)
            self.assertTrue(all(map(hasHeadersOnce, found)))

    def test_headersOnce(self) -> None:
        """
        The header set is on pages, 204, 304, refusals and errors, each name once, and nothing
        of HTTP/1 is.
        """
        client = Client()
        for path, status in (
            ("/nothing", 204),
            ("/unchanged", 304),
            ("/refuse", 429),
            ("/raise", 500),
            ("/rival", 200),
            ("/" + "a" * 9_000, 414),
        ):
            stream = client.get(path)
            client.exchange()
            response = client.response(stream)
            self.assertEqual(response.status, status)
            self.assertTrue(hasHeadersOnce(response), path)
            self.assertEqual(response.all(b"connection") + response.all(b"transfer-encoding"), [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_head(self) -> None:
        """
        HEAD ends with its headers.
        """
        client = Client()
        stream = client.get("/plain", method="HEAD")
        client.exchange()
        response = client.response(stream)
        self.assertEqual((response.get(b"content-length"), response.body), (b"11", b""))

    def test_request(self) -> None:
        """
        A resource sees the request that was sent: Host, joined cookies, client, id.
        """
        client = Client()
        more = [("cookie", "a=1"), ("cookie", "b=2"), ("x-request-id", "r"), ("x-y", "z")]
        client.get("/plain?q=1", *more)
        client.exchange()
        (request,) = client.door.routes.seen
        lines = request.requestHeaders.getRawHeaders
        self.assertEqual(lines(b"Host"), [b"localhost"])
        self.assertEqual(lines(b"Cookie"), [b"a=1; b=2"])
        self.assertEqual((lines(b"X-Y"), request.requestId), ([b"z"], "r"))
        self.assertEqual((request.uri, request.clientproto), (b"/plain?q=1", b"HTTP/2"))
        self.assertEqual(request.client.ip, "192.0.2.7")
        self.assertFalse(request.isUpgrade())

    def test_takeOver(self) -> None:
        """
        A stream cannot be taken over; the attempt is an error of the resource.
        """
        client = Client()
        stream = client.get("/take")
        client.exchange()
        self.assertEqual(client.response(stream).status, 500)
        self.flushLoggedErrors(RuntimeError)

    def test_continue(self) -> None:
        """
        100 Continue is sent when the body is wanted, and not when it is too large.
        """
        client = Client()
        wanted = client.post("/echo", ("expect", "100-continue"))
        large = client.post("/echo", ("expect", "100-continue"), ("content-length", "9999999"))
        client.exchange()
        kinds = [type(event) for event in client.of(wanted)]
        self.assertEqual(kinds, [h2.events.InformationalResponseReceived])
        self.assertEqual(client.response(large).status, 413)

    def test_hosts(self) -> None:
        """
        A site with names serves only those; other streams of the connection go on.
        """
        client = Client(Door(hosts=frozenset({"localhost"})))
        stream = client.h2.get_next_available_stream_id()
        foreign = [(n, "evil.example" if n == ":authority" else v) for n, v in headers()]
        client.h2.send_headers(stream, foreign, end_stream=True)
        after = client.get()
        client.exchange()
        self.assertEqual(client.response(stream).status, 421)
        self.assertTrue(hasHeadersOnce(client.response(stream)))
        self.assertEqual(client.response(after).status, 200)


class MalformedTests(SynchronousTestCase):
    """
    What is wrong with one request ends that request.
    """

    def test_heads(self) -> None:
        """
        A malformed head is refused with its status, and the next request is served.
        """
        base = headers()
        cases: list[tuple[int, Headers]] = [
            (400, base[1:]),
            (400, [base[0], *base[2:]]),
            (400, base[:2] + base[3:]),
            (400, base[:3]),
            (400, [*base, (":path", "/x")]),
            (400, [*base, (":protocol", "websocket")]),
            (400, [("x", "y"), *base]),
            (400, [*base, ("X-Upper", "y")]),
            (400, [*base, ("x y", "z")]),
            (400, [*base, ("x", "a\x00b")]),
            (400, [*base, ("x", "a\r\nb: c")]),
            (400, [*base, ("x", " padded ")]),
            (400, [*base, ("connection", "close")]),
            (400, [*base, ("transfer-encoding", "chunked")]),
            (400, [*base, ("upgrade", "websocket")]),
            (400, [*base, ("te", "gzip")]),
            (400, [*base, ("host", "evil.example")]),
            (400, [*base, ("host", "localhost"), ("host", "localhost")]),
            (400, [*base[:3], (":authority", "a/b")]),
            (400, [*base[:2], (":path", "evil"), base[3]]),
            (400, [*base[:2], (":path", "/a b"), base[3]]),
            (400, [(":method", "G T"), *base[1:]]),
            (400, [base[0], (":scheme", "ftp"), *base[2:]]),
            (405, [(":method", "CONNECT"), (":authority", "localhost")]),
            (405, [(":method", "TRACE"), *base[1:]]),
            (417, [*base, ("expect", "tea")]),
            (431, [*base, *[("a", "b")] * 200]),
            (431, [*base, ("a", "b" * 66_000)]),
        ]
        for status, fields in cases:
            client = Client()
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, fields, end_stream=True)
            client.exchange()
            after = client.get()
            client.exchange()
            response = client.response(stream)
            self.assertEqual(response.status, status, repr(fields)[:200])
            self.assertTrue(hasHeadersOnce(response))
            self.assertTrue(response.body.startswith(b'{"error":"'))
            self.assertEqual(client.response(after).status, 200)

    def test_hugeHeaders(self) -> None:
        """
        A header list far over the limit ends the connection before it is unpacked.
        """
        client = Client()
        fields = [*headers(), *[("a", "b" * 40_000)] * 8]
        client.h2.send_headers(1, fields, end_stream=True)
        client.exchange()
        self.assertEqual(client.goneAway, [ErrorCodes.ENHANCE_YOUR_CALM])
        self.assertTrue(client.wire.disconnecting)

    def test_body(self) -> None:
        """
        A body that says it is too large, or becomes too large, is a 413; the rest of it is
        dropped and the stream reset after a while, and other streams go on.
        """
        for more in ((("content-length", "1001"),), ()):
            client = Client(Door(settings=HTTPSettings(maxBodyBytes=1_000)))
            stream = client.post("/echo", *more)
            client.h2.send_data(stream, b"x" * 501)
            client.h2.send_data(stream, b"x" * 500)
            other = client.get()
            client.exchange()
            self.assertEqual(client.response(stream).status, 413)
            self.assertEqual(client.response(other).status, 200)
            self.assertEqual(client.resets(stream), [])
            client.door.elapse(4)
            client.exchange()
            self.assertEqual(client.resets(stream), [ErrorCodes.NO_ERROR])
            self.assertEqual([r.uri for r in client.door.routes.seen], [b"/plain"])

    def test_bodiesTogether(self) -> None:
        """
        Bodies on many streams may not together take more memory than a few of the largest.
        """
        client = Client(Door(settings=HTTPSettings(maxBodyBytes=10_000)))
        streams = [client.post("/echo") for _ in range(8)]
        for stream in streams:
            client.h2.send_data(stream, b"x" * 9_000)
            client.exchange()
        refused = [stream for stream in streams if client.ended(stream)]
        self.assertEqual(len(refused), 4)
        self.assertEqual(client.response(refused[0]).status, 503)
        for stream in set(streams) - set(refused):
            client.h2.send_data(stream, b"", end_stream=True)
        client.exchange()
        after = client.post("/echo")
        client.h2.send_data(after, b"y" * 9_000, end_stream=True)
        client.exchange()
        self.assertEqual(client.response(after).body, b"y" * 9_000)

    def test_notHTTP2(self) -> None:
        """
        Bytes that are no HTTP/2 end the connection.
        """
        door = Door()
        connection, wire = door.connect(Wire(negotiated=b"h2"))
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertTrue(wire.disconnecting)
        self.assertEqual(door.metrics.value(rows.REFUSED, "http2"), 1)


class FloodTests(SynchronousTestCase):
    """
    Frames that ask for work and carry nothing are bounded.
    """

    def assertCalmed(self, client: Client, kind: str) -> None:
        """
        Check that the client was told to calm down and disconnected, and all was cleaned up.
        """
        self.assertIn(ErrorCodes.ENHANCE_YOUR_CALM, client.goneAway)
        self.assertEqual(client.door.metrics.value(rows.FLOODS, kind), 1)
        self.assertTrue(client.wire.disconnecting)
        client.connection.connectionLost(LOST)
        self.assertEqual(client.door.clock.getDelayedCalls(), [])

    def test_control(self) -> None:
        """
        Pings, settings, priorities and window updates in masses end the connection; a few do
        not.
        """
        frames = {
            "ping": PingFrame(0, b"12345678"),
            "settings": SettingsFrame(0),
            "priority": PriorityFrame(1, depends_on=0, stream_weight=1, exclusive=False),
            "window": WindowUpdateFrame(0, window_increment=1),
        }
        for kind, frame in frames.items():
            client = Client()
            client.raw(*[frame] * 100)
            self.assertEqual(client.goneAway, [])
            client.raw(*[frame] * 1_000)
            self.assertCalmed(client, kind)

    def test_emptyData(self) -> None:
        """
        Empty DATA frames in masses end the connection.
        """
        client = Client()
        stream = client.post("/echo")
        client.exchange()
        client.raw(*[DataFrame(stream)] * 1_100)
        self.assertCalmed(client, "empty")

    def test_rapidReset(self) -> None:
        """
        Requests that are cancelled at once, over and over (CVE-2023-44487), end the connection.
        """
        client = Client()
        for _ in range(1_010):
            stream = client.get("/hold")
            client.h2.reset_stream(stream)
            if not client.wire.disconnecting:
                client.send()
        client.exchange()
        self.assertCalmed(client, "reset")
        self.assertLessEqual(len(client.door.routes.seen), 1_001)

    def test_patience(self) -> None:
        """
        The same numbers over a longer time are fine.
        """
        client = Client()
        client.get("/hold")
        for _ in range(20):
            client.raw(*[PingFrame(0, b"12345678")] * 300)
            client.door.elapse(10)
        self.assertEqual(client.goneAway, [])

    def test_continuations(self) -> None:
        """
        A header block in endless pieces ends the connection.
        """
        client = Client()
        start = HeadersFrame(1, b"")
        client.raw(start, *[ContinuationFrame(1, b"")] * 100)
        self.assertTrue(client.wire.disconnecting)

    def test_streams(self) -> None:
        """
        More requests at once than there may be end the connection; the client was told.
        """
        client = Client(Door(settings=HTTPSettings(maxStreams=3)))
        self.assertEqual(client.h2.remote_settings.max_concurrent_streams, 3)
        for _ in range(3):
            client.get("/hold")
        client.exchange()
        self.assertEqual(client.goneAway, [])
        client.raw(HeadersFrame(7, client.h2.encoder.encode(headers()), flags=["END_HEADERS"]))
        self.assertEqual(len(client.goneAway), 1)
        self.assertEqual(len(client.door.routes.seen), 3)


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
        client.door.site.drain()
        client.door.clock.advance(0)
        self.assertTrue(client.wire.disconnecting)


class FuzzTests(SynchronousTestCase):
    """
    No bytes whatever do anything but what is promised.
    """

    frames = strategies.builds(
        lambda kind, flags, stream, body: (
            len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body
        ),
        strategies.integers(0, 10),
        strategies.integers(0, 255),
        strategies.sampled_from([0, 1, 2, 3, 5, 7]),
        strategies.binary(max_size=40)
        | strategies.sampled_from([b"\x82\x87\x84A\x09localhost", b"\x00\x00\x00\x01"]),
    )

    @given(strategies.lists(frames | strategies.binary(max_size=10), max_size=20))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames end in nothing worse than a closed connection, and everything is cleaned up.
        """
        client = Client()
        for frame in frames:
            client.connection.dataReceived(frame)
            client.door.clock.advance(0)
        client.door.elapse(250)
        self.assertEqual(self.flushLoggedErrors(), [])
        client.connection.connectionLost(LOST)
        self.assertEqual(client.door.clock.getDelayedCalls(), [])
