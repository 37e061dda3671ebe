"""
Tests for L{aero.http.buffers}, and for what waits in HTTP under one budget.
"""

from __future__ import annotations

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, HeadersFrame
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from aero.http.test.door import Door, Wire, responses
from aero.metrics import ROWS, Metrics
from aero.metrics import http as rows
from aero.net.memory import RELEASE_BYTES, RELEASE_DELAY
from aero.settings.http import HTTPSettings

from ..buffers import BODY_PART, FLOOR, QUIET, Buffers
from .h2client import Client

LOST = Failure(ConnectionDone())

_HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


class BuffersTests(SynchronousTestCase):
    """
    L{Buffers} counts, logs and returns memory.
    """

    def setUp(self) -> None:
        """
        Make a small one.
        """
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.released = 0
        settings = HTTPSettings(bufferBytes=100_000, bufferBytesPerIP=50_000)
        self.buffers = Buffers(settings, self.metrics, self.clock, self._release)

    def _release(self) -> None:
        self.released += 1

    def test_metrics(self) -> None:
        """
        Bytes in use and refusals can be seen.
        """
        share = self.buffers.share("a")
        self.assertTrue(share.take(40_000))
        self.assertEqual(self.metrics.value(rows.BUFFER_BYTES), 40_000)
        self.assertFalse(share.take(20_000))
        self.assertEqual(self.metrics.value(rows.BUFFER_REFUSED, "client"), 1)
        share.close()
        self.assertEqual(self.metrics.value(rows.BUFFER_BYTES), 0)

    def test_floor(self) -> None:
        """
        A client that holds little is served although the process has no more to give.
        """
        for key in ("a", "b"):
            self.assertTrue(self.buffers.share(key).take(50_000))
        other = self.buffers.share("c")
        self.assertTrue(other.take(FLOOR))
        self.assertFalse(other.take(1))
        self.assertEqual(self.metrics.value(rows.BUFFER_REFUSED, "process"), 1)

    def test_log(self) -> None:
        """
        Refusals are logged once a minute at the most, with their number and the setting.
        """
        share = self.buffers.share("a")
        lines: list[str] = []

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for _ in range(5):
            share.take(60_000)
        self.clock.advance(QUIET)
        share.take(60_000)
        self.assertEqual(len(lines), 2)
        self.assertIn("AERO_HTTP_BUFFER_BYTES_PER_IP", lines[0])
        self.assertIn("such line: 5", lines[1])

    def test_release(self) -> None:
        """
        Memory is returned some time after much of what waited is gone, once.
        """
        share = self.buffers.share(None)
        share.keep(2 * RELEASE_BYTES)
        share.keep(RELEASE_BYTES + 1)
        self.clock.advance(RELEASE_DELAY)
        self.assertEqual(self.released, 0)
        share.keep(1)
        share.keep(0)
        self.clock.advance(RELEASE_DELAY)
        self.assertEqual(self.released, 1)
        share.keep(1_000)
        share.keep(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WaitingTests(SynchronousTestCase):
    """
    Everything that waits in HTTP counts, whatever connection or stream it waits on.
    """

    settings = HTTPSettings(bufferBytes=400_000, bufferBytesPerIP=200_000)

    def tearDown(self) -> None:
        """
        Nothing counts once all clients are gone.
        """
        for connection in tuple(self.door.site._connections):
            connection.connectionLost(LOST)
        self.assertEqual(self.door.site.buffers.used, 0)
        self.assertEqual(self.door.site.buffers.usedBy("192.0.2.7"), 0)

    def setUp(self) -> None:
        """
        Make a site with little room.
        """
        self.door = Door(settings=self.settings)

    @property
    def used(self) -> int:
        """
        Bytes that count now.
        """
        return self.door.site.buffers.used

    def test_http2Bodies(self) -> None:
        """
        Bodies on many streams of many connections take no more than the client's part together;
        further ones are refused with 503, and a request without a body is served.
        """
        clients = [Client(self.door) for _ in range(5)]
        refused = 0
        for client in clients:
            for _ in range(10):
                stream = client.post("/echo")
                for _ in range(3):
                    if not client.ended(stream):
                        client.h2.send_data(stream, b"x" * 9_000)
                        client.exchange()
                if client.ended(stream):
                    refused += 1
                    self.assertEqual(client.response(stream).status, 503)
        self.assertGreater(refused, 40)
        self.assertLessEqual(self.used, BODY_PART * 200_000)
        self.assertGreater(self.used, BODY_PART * 200_000 - 30_000)
        after = clients[0].get()
        clients[0].exchange()
        self.assertEqual(clients[0].response(after).status, 200)
        for client in clients[1:]:
            client.connection.connectionLost(LOST)
        stream = clients[0].post("/echo")
        clients[0].h2.send_data(stream, b"y" * 9_000, end_stream=True)
        clients[0].exchange()
        self.assertEqual(clients[0].response(stream).body, b"y" * 9_000)

    def test_cancelled(self) -> None:
        """
        A request that is cancelled gives its bytes back.
        """
        client = Client(self.door)
        stream = client.post("/echo")
        client.h2.send_data(stream, b"x" * 9_000)
        client.exchange()
        self.assertGreater(self.used, 9_000)
        client.h2.reset_stream(stream)
        client.exchange()
        self.assertEqual(self.used, 0)

    def test_http1Bodies(self) -> None:
        """
        The same over HTTP/1.1, where the connection of a refused request ends.
        """
        wires: list[Wire] = []
        for _ in range(10):
            connection, wire = self.door.connect()
            connection.dataReceived(_HEAD % 100_000 + b"x" * 30_000)
            wires.append(wire)
        refused = [wire for wire in wires if wire.value()]
        self.assertEqual(len(refused), 6)
        (response,) = responses(refused[0].value())
        self.assertEqual(response.status, 503)
        self.assertTrue(refused[0].closed)
        self.assertLessEqual(self.used, BODY_PART * 200_000)

    def test_heads(self) -> None:
        """
        Heads that have begun and not ended count, over HTTP/1.1 and HTTP/2.
        """
        for _ in range(20):
            connection, _ = self.door.connect()
            connection.dataReceived(b"GET / HTTP/1.1\r\nX: " + b"x" * 30_000)
        self.assertGreater(self.used, 100_000)
        self.assertLessEqual(self.used, BODY_PART * 200_000)
        client = Client(self.door)
        client.raw(HeadersFrame(1, b""), *[ContinuationFrame(1, b"x" * 10_000)] * 10)
        self.assertEqual(client.goneAway, [ErrorCodes.ENHANCE_YOUR_CALM])

    def test_replies(self) -> None:
        """
        Replies that a client does not take count; beyond the limit its requests are refused.
        """
        refused = 0
        for _ in range(10):
            client = Client(self.door)
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            client.exchange()
            for _ in range(10):
                stream = client.post("/echo")
                client.h2.send_data(stream, b"x" * 9_000, end_stream=True)
                client.exchange()
                refused += b"503" in [dict(e.headers).get(b":status") for e in client.of(stream)]
        self.assertGreater(refused, 50)
        self.assertLessEqual(self.used, 200_000)
        # A connection that holds little is served all the same.
        (response,), _ = self.door.exchange(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(response.status, 200)

    def test_unwritten(self) -> None:
        """
        What a transport holds of an HTTP/1.1 reply counts until the client has taken it.
        """
        connection, wire = self.door.connect(Wire(limit=1_000))
        wire.dataBuffer = b"x" * 50_000
        wire.offset = 0
        connection.dataReceived(b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wire.producer.pauseProducing()
        self.assertGreaterEqual(self.used, 50_000)
        wire.producer.resumeProducing()
        self.assertEqual(self.used, 0)

    def test_unread(self) -> None:
        """
        A body that nothing reads is not kept.
        """
        self.door.routes.unread = {b"/plain"}
        client = Client(self.door)
        stream = client.post("/plain")
        for _ in range(30):
            client.h2.send_data(stream, b"x" * 10_000)
            client.exchange()
        self.assertLess(self.used, 1_000)
        client.h2.end_stream(stream)
        client.exchange()
        self.assertEqual(client.response(stream).status, 200)
        connection, wire = self.door.connect()
        connection.dataReceived(_HEAD.replace(b"echo", b"plain") % 300_000)
        for _ in range(30):
            connection.dataReceived(b"x" * 10_000)
            self.assertLess(self.used, 1_000)
        self.assertEqual(responses(wire.value())[0].status, 200)

    def test_otherClients(self) -> None:
        """
        A client that holds all it may does not keep others out.
        """
        other = self.door.site.buffers.share("198.51.100.1")
        other.keep(200_000)
        (response,), _ = self.door.exchange(_HEAD % 3 + b"abc")
        self.assertEqual(response.body, b"abc")
        other.close()

    def test_trustedProxy(self) -> None:
        """
        A trusted proxy's connections are not one client's.
        """
        self.door = Door(settings=self.settings, trust=True)
        for _ in range(9):
            connection, wire = self.door.connect()
            connection.dataReceived(_HEAD % 100_000 + b"x" * 30_000)
            self.assertEqual(wire.value(), b"")
        self.assertEqual(self.door.site.buffers.usedBy("192.0.2.7"), 0)
        self.assertGreater(self.used, 200_000)
