"""
Tests for L{aero.web.frontendproxy}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from aero.http.router import Router
from aero.interfaces import IUpgradable
from aero.metrics import ROWS, Metrics
from aero.metrics import static as rows
from aero.testing.web import Exchange, HeaderLines, WebClient
from aero.web.frontendproxy import FrontendProxy
from aero.web.test.upstreams import Upstream


class FrontendProxyTests(SynchronousTestCase):
    """
    The front end comes from a development server.
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
        self.client = WebClient(
            Router(fallback=self.proxy), metrics=self.metrics, clock=self.clock, secure=True
        )

    def start(
        self, method: bytes, target: str, headers: HeaderLines = (), body: bytes = b""
    ) -> Exchange:
        """
        Send a request and let it get to the other side.
        """
        exchange = self.client.start(method, target, headers, body)
        self.clock.pump([0] * 5)
        return exchange

    def result(self, name: str) -> float:
        """
        How many requests ended in one way.
        """
        return self.metrics.value(rows.PROXY_REQUESTS, name)

    def test_interface(self) -> None:
        """
        It is a resource, and takes WebSockets.
        """
        verifyObject(IResource, self.proxy)
        verifyObject(IUpgradable, self.proxy)
        self.assertRaises(TypeError, self.proxy.putChild, b"x", self.proxy)

    def test_request(self) -> None:
        """
        The request arrives with its target untouched, under the server's own name.
        """
        self.start(b"GET", "/src/a%20b.ts?t=1", {b"Accept": b"*/*", b"X-Forwarded-For": b"1.2.3.4"})
        lines = self.upstream.last.value().split(b"\r\n")
        self.assertEqual(lines[0], b"GET /src/a%20b.ts?t=1 HTTP/1.1")
        for line in (
            b"Host: localhost:5173",
            b"Accept: */*",
            b"X-Forwarded-For: 192.0.2.7",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: localhost",
        ):
            self.assertEqual(lines.count(line), 1, line)

    def test_response(self) -> None:
        """
        The answer comes back as it was, with the headers of the site, each once.
        """
        exchange = self.start(b"GET", "/x")
        self.upstream.last.send(
            b"HTTP/1.1 418 Short\r\nContent-Type: text/x\r\nContent-Length: 5\r\n"
            b"Cross-Origin-Opener-Policy: unsafe-none\r\nX-Content-Type-Options: nosniff\r\n"
            b'Connection: keep-alive\r\nETag: W/"1"\r\n\r\nhello'
        )
        response = exchange.response()
        self.assertEqual((response.status, response.body), (418, b"hello"))
        self.assertEqual(response.header(b"Content-Type"), b"text/x")
        self.assertEqual(response.header(b"ETag"), b'W/"1"')
        self.assertEqual(response.header(b"Content-Length"), b"5")
        for name, value in self.client.site.responseHeaders.pairs:
            self.assertEqual(response.header(name), value)
        self.assertEqual(self.result("answered"), 1)

    def test_chunked(self) -> None:
        """
        An answer of unknown length is passed on as it comes.
        """
        exchange = self.start(b"GET", "/x")
        self.upstream.last.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        self.assertIn(b"abc", exchange.received)
        self.assertEqual(exchange.responses(), [])
        self.upstream.last.send(b"2\r\nde\r\n0\r\n\r\n")
        self.assertEqual(exchange.response().body, b"abcde")

    def test_body(self) -> None:
        """
        What is posted arrives whole.
        """
        exchange = self.start(b"POST", "/x", {b"Content-Type": b"text/plain"}, b"z" * 200_000)
        sent = self.upstream.last.value()
        self.assertIn(b"Content-Length: 200000\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n\r\n" + b"z" * 200_000))
        self.upstream.last.send(b"HTTP/1.1 204 None\r\n\r\n")
        self.assertEqual(exchange.response().status, 204)

    def test_head(self) -> None:
        """
        HEAD has no body, here as there.
        """
        exchange = self.start(b"HEAD", "/x")
        self.upstream.last.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n")
        response = exchange.response()
        self.assertEqual((response.body, response.header(b"X-A")), (b"", b"1"))

    def test_notModified(self) -> None:
        """
        A conditional request is answered by the other side.
        """
        exchange = self.start(b"GET", "/x", {b"If-None-Match": b'"1"'})
        self.assertIn(b'If-None-Match: "1"\r\n', self.upstream.last.value())
        self.upstream.last.send(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
        self.assertEqual(exchange.response().status, 304)

    def test_down(self) -> None:
        """
        When nobody is there the client is told so in JSON, with the headers of the site.
        """
        self.upstream.refuses = True
        response = self.start(b"GET", "/").response()
        self.assertEqual(response.error(), (502, "bad_gateway"))
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        for name, value in self.client.site.responseHeaders.pairs:
            self.assertEqual(response.header(name), value)
        self.assertEqual(self.result("unreachable"), 1)

    def test_hangsUp(self) -> None:
        """
        When the server hangs up without an answer that is a 502 too.
        """
        exchange = self.start(b"POST", "/", {}, b"x")
        self.upstream.last.end()
        self.assertEqual(exchange.response().error(), (502, "bad_gateway"))

    def test_cutShort(self) -> None:
        """
        A body that is cut short there is cut short here, not completed.
        """
        exchange = self.start(b"GET", "/")
        self.upstream.last.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        self.upstream.last.end()
        transport: Any = exchange.transport
        self.assertTrue(transport.disconnecting or transport.disconnected)
        self.assertEqual(exchange.responses(), [])
        self.assertEqual(self.result("aborted"), 1)

    def test_untilTheEnd(self) -> None:
        """
        A body that ends with its connection is complete then.
        """
        exchange = self.start(b"GET", "/")
        self.upstream.last.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
        self.upstream.last.end()
        self.assertEqual(exchange.response().body, b"hello")

    def test_clientLeaves(self) -> None:
        """
        When the client leaves, before or during the answer, the server is hung up on.
        """
        before, during = self.start(b"GET", "/a"), self.start(b"GET", "/b")
        self.upstream.last.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        for exchange in (before, during):
            exchange.disconnect()
        self.clock.pump([0] * 5)
        for connection in self.upstream.connections:
            self.assertTrue(connection.disconnected or connection.disconnecting)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_slowClient(self) -> None:
        """
        The server is read no faster than the client takes.
        """
        exchange = self.start(b"GET", "/")
        self.upstream.last.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        transport: Any = exchange.transport
        transport.producer.pauseProducing()
        self.assertEqual(self.upstream.last.producerState, "paused")
        transport.producer.resumeProducing()
        self.assertEqual(self.upstream.last.producerState, "producing")

    def test_reused(self) -> None:
        """
        A connection that may stay is used again, and closed with the proxy.
        """
        for target in ("/a", "/b"):
            exchange = self.start(b"GET", target)
            self.upstream.last.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
            self.assertEqual(exchange.response().body, b"x")
            self.clock.pump([0] * 5)
        self.assertEqual(len(self.upstream.connections), 1)
        done = self.proxy.close()
        self.assertNoResult(done)
        self.assertTrue(self.upstream.last.disconnecting)
        self.upstream.last.end()
        self.successResultOf(done)

    def test_prefix(self) -> None:
        """
        A path in the URL of the server comes before every path.
        """
        self.proxy = FrontendProxy(
            "http://user@[::1]:5173/app", self.clock, self.metrics, endpoint=self.upstream
        )
        self.client = WebClient(Router(fallback=self.proxy), clock=self.clock)
        self.start(b"GET", "/x?y")
        sent = self.upstream.last.value()
        self.assertTrue(sent.startswith(b"GET /app/x?y HTTP/1.1\r\n"))
        self.assertIn(b"Host: [::1]:5173\r\n", sent)

    def test_reserved(self) -> None:
        """
        Paths of services never go there.
        """
        self.assertEqual(self.start(b"GET", "/session").response().status, 404)
        self.assertEqual(self.upstream.connections, [])
