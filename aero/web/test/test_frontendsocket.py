"""
Tests for L{aero.web.frontendsocket}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.metrics import static as rows
from aero.testing.web import Exchange, WebClient
from aero.web.frontendproxy import FrontendProxy
from aero.web.frontendsocket import HANDSHAKE_TIMEOUT, MAX_HEAD, PAUSE_BYTES
from aero.web.test.upstreams import Upstream

HANDSHAKE = {
    b"Connection": b"keep-alive, Upgrade",
    b"Upgrade": b"websocket",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Protocol": b"vite-hmr",
    b"Origin": b"https://localhost",
    b"Accept-Encoding": b"gzip",
}

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: vite-hmr\r\n\r\n"
)


class FrontendSocketTests(SynchronousTestCase):
    """
    A WebSocket to the development server.
    """

    def setUp(self) -> None:
        """
        A site whose front end is elsewhere.
        """
        self.upstream = Upstream()
        self.metrics = Metrics(ROWS)
        self.clock: Clock = MemoryReactorClock()
        self.proxy = FrontendProxy(
            "http://localhost:5173", self.clock, self.metrics, endpoint=self.upstream
        )
        self.client = WebClient(Router(fallback=self.proxy), metrics=self.metrics, clock=self.clock)

    def start(self) -> Exchange:
        """
        Send a handshake.
        """
        return self.client.start(b"GET", "/?token=x", HANDSHAKE)

    def through(self) -> Exchange:
        """
        A WebSocket that is open; what was sent so far is forgotten.
        """
        exchange = self.start()
        self.upstream.last.send(ANSWER)
        exchange.transport.clear()
        self.upstream.last.clear()
        return exchange

    def open(self) -> float:
        """
        How many WebSockets are open.
        """
        return self.metrics.value(rows.PROXY_WEBSOCKETS)

    def test_handshake(self) -> None:
        """
        The handshake arrives with its own keys and origin, under the server's name.
        """
        self.start()
        lines = self.upstream.last.value().split(b"\r\n")
        self.assertEqual(lines[0], b"GET /?token=x HTTP/1.1")
        for line in (
            b"Host: localhost:5173",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Origin: https://localhost",
            b"X-Forwarded-For: 192.0.2.7",
        ):
            self.assertEqual(lines.count(line), 1, line)
        self.assertIn(b"dGhlIHNhbXBsZSBub25jZQ==", self.upstream.last.value())

    def test_answer(self) -> None:
        """
        The agreement comes back, byte by byte too, with the headers of the site once; it is
        not encoded.
        """
        exchange = self.start()
        for byte in ANSWER:
            self.assertEqual(exchange.received, b"")
            self.upstream.last.send(bytes([byte]))
        response = exchange.response()
        self.assertEqual(response.status, 101)
        for name, value in {
            b"Upgrade": b"websocket",
            b"Connection": b"Upgrade",
            b"Sec-WebSocket-Accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            b"Sec-WebSocket-Protocol": b"vite-hmr",
            b"Content-Encoding": None,
        }.items():
            self.assertEqual(response.header(name), value)
        for name, value in self.client.site.responseHeaders.pairs:
            self.assertEqual(response.header(name), value)
        self.assertIsNotNone(response.header(b"X-Request-Id"))

    def test_foreignHeaders(self) -> None:
        """
        What the development server says about itself, and its own header set, stay behind.
        """
        exchange = self.start()
        self.upstream.last.send(
            ANSWER[:-2]
            + b"Server: vite\r\nAlt-Svc: h3\r\nX-Content-Type-Options: off\r\nX-Vite: 1\r\n\r\n"
        )
        response = exchange.response()
        self.assertIsNone(response.header(b"Server"))
        self.assertIsNone(response.header(b"Alt-Svc"))
        self.assertEqual(response.header(b"X-Content-Type-Options"), b"nosniff")
        self.assertEqual(response.header(b"X-Vite"), b"1")

    def test_firstFrames(self) -> None:
        """
        Frames that come with the agreement, or were sent before it, are not lost.
        """
        exchange = self.start()
        exchange.sendRaw(b"early")
        self.upstream.last.clear()
        self.upstream.last.send(ANSWER + b"greeting")
        self.assertTrue(exchange.received.endswith(b"\r\n\r\ngreeting"))
        self.assertEqual(self.upstream.last.value(), b"early")

    def test_bothWays(self) -> None:
        """
        Bytes go through in both directions, untouched.
        """
        exchange = self.through()
        exchange.sendRaw(b"\x81\x85\0\0\0\0hello")
        self.upstream.last.send(b"\x81\x05world")
        self.assertEqual(self.upstream.last.value(), b"\x81\x85\0\0\0\0hello")
        self.assertEqual(exchange.received, b"\x81\x05world")
        self.assertEqual(self.open(), 1)

    def test_refused(self) -> None:
        """
        A server that does not agree is quoted by its status.
        """
        for answer, status in {
            b"HTTP/1.1 403 Forbidden\r\n\r\n": 403,
            b"HTTP/1.1 200 OK\r\n\r\n": 502,
            b"gibberish\r\n\r\n": 502,
            b"HTTP/1.1 101 OK\r\nno header\r\n\r\n": 502,
            b"x" * (MAX_HEAD + 1): 502,
        }.items():
            exchange = self.start()
            self.upstream.last.send(answer)
            self.assertEqual(exchange.response().status, status, answer[:40])
            self.assertTrue(self.upstream.last.aborted)
            self.assertEqual(self.open(), 0)

    def test_down(self) -> None:
        """
        When nobody is there, or the server hangs up, the client is told so.
        """
        exchange = self.start()
        self.upstream.last.end()
        self.assertEqual(exchange.response().status, 502)
        self.upstream.refuses = True
        response = self.start().response()
        self.assertEqual(response.status, 502)
        for name, value in self.client.site.responseHeaders.pairs:
            self.assertEqual(response.header(name), value)
        self.assertEqual(self.open(), 0)

    def test_silent(self) -> None:
        """
        A server that does not answer, or not even accepts, is not waited for.
        """
        for self.upstream.holds in (False, True):
            exchange = self.start()
            self.clock.advance(HANDSHAKE_TIMEOUT)
            self.assertEqual(exchange.response().status, 504)
        self.assertEqual(self.open(), 0)

    def test_clientLeaves(self) -> None:
        """
        When the client leaves, before or after the agreement, the server is told.
        """
        before = self.start()
        before.disconnect()
        self.assertTrue(self.upstream.last.disconnected)
        self.through().disconnect()
        self.clock.advance(60)
        self.assertTrue(self.upstream.last.disconnected)
        self.assertEqual(self.open(), 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_serverLeaves(self) -> None:
        """
        When the server hangs up, so does the client's connection.
        """
        exchange = self.through()
        self.upstream.last.end()
        self.assertTrue(exchange.transport.disconnecting)
        exchange.disconnect()
        self.assertEqual(self.open(), 0)

    def test_slowClient(self) -> None:
        """
        The server is read no faster than the client takes.
        """
        exchange = self.through()
        producer: Any = exchange.transport.producer
        producer.pauseProducing()
        self.assertEqual(self.upstream.last.producerState, "paused")
        producer.resumeProducing()
        self.assertEqual(self.upstream.last.producerState, "producing")

    def test_slowServer(self) -> None:
        """
        The client is read no faster than the server takes.
        """
        exchange = self.through()
        producer: Any = self.upstream.last.producer
        producer.pauseProducing()
        exchange.sendRaw(b"x" * (PAUSE_BYTES + 1))
        self.assertEqual(exchange.transport.producerState, "paused")
        producer.resumeProducing()
        self.assertEqual(exchange.transport.producerState, "producing")

    def test_close(self) -> None:
        """
        When the proxy closes, all its WebSockets do, open or not yet.
        """
        opened, waiting = self.through(), self.start()
        self.proxy.close()
        self.assertTrue(opened.transport.disconnecting)
        self.assertEqual(waiting.response().status, 503)
        opened.disconnect()
        self.assertEqual(self.open(), 0)
