"""
Tests for L{aero.http.rendering}; what resources may give is tested with the router.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from aero.errors import Refused
from aero.http.endpoint import Endpoint
from aero.http.gates import OriginGate
from aero.http.router import Router
from aero.metrics import http
from aero.policy.origin import Origins
from aero.testing.web import WebClient


class FailureTests(SynchronousTestCase):
    """
    Tests for resources that fail.
    """

    def makeClient(self, function: Any) -> WebClient:
        """
        A client of a site whose one resource is a function.
        """

        class Answer(Endpoint):
            def render_GET(self, request: Request) -> Any:
                return function(request)

        router = Router()
        router.addResource("/", Answer())
        return WebClient(router)

    def test_refused(self) -> None:
        """
        A refusal is the answer whether it is raised at once, in a C{Deferred} or in a
        coroutine, and nothing is logged.
        """
        refused = Refused(409, "conflict", "Taken", retryAfter=3)

        def atOnce(request: Request) -> bytes:
            raise refused

        async def coroutine(request: Request) -> bytes:
            raise refused

        for function in (atOnce, coroutine, lambda request: fail(refused)):
            client = self.makeClient(function)
            response = client.request(b"GET", "/")
            self.assertEqual(response.error(), (409, "conflict"))
            self.assertEqual(response.header(b"Retry-After"), b"3")
            self.assertEqual(client.metrics.value(http.ERRORS), 0)

    def test_unexpected(self) -> None:
        """
        Any other exception is a 500 that tells nothing of it, and is logged and counted.
        """

        def atOnce(request: Request) -> bytes:
            raise RuntimeError("secret detail")

        for function in (atOnce, lambda request: fail(RuntimeError("secret detail"))):
            client = self.makeClient(function)
            response = client.request(b"GET", "/")
            self.assertEqual(response.error(), (500, "internal_error"))
            self.assertNotIn(b"secret", response.body)
            self.assertEqual(client.metrics.value(http.ERRORS), 1)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
            self.assertEqual(client.request(b"GET", "/nope").status, 404)

    def test_headersOfTheSuccess(self) -> None:
        """
        Headers and cookies of the answer that did not come about are not sent with the error.
        """

        def function(request: Request) -> bytes:
            request.setHeader(b"Content-Encoding", b"gzip")
            request.setHeader(b"Content-Length", b"999")
            request.setHeader(b"Cache-Control", b"public, max-age=31536000")
            request.setHeader(b"Set-Cookie", b"a=b")
            request.addCookie(b"c", b"d")
            request.setETag(b'"x"')
            raise Refused(403, "forbidden", "No")

        response = self.makeClient(function).request(b"GET", "/")
        self.assertEqual(response.error(), (403, "forbidden"))
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        for name in (b"Content-Encoding", b"Set-Cookie", b"ETag"):
            self.assertIsNone(response.header(name))

    def test_readableByThePage(self) -> None:
        """
        The page that sent the request may read that it failed.
        """

        def function(request: Request) -> bytes:
            raise RuntimeError

        client = self.makeClient(function)
        gate = OriginGate(Origins(["https://page.example"]), client.metrics)
        client.site.router._gates = (gate,)  # type: ignore[attr-defined]
        response = client.request(b"GET", "/", {b"Origin": b"https://page.example"})
        self.assertEqual(response.status, 500)
        self.assertEqual(response.header(b"Access-Control-Allow-Origin"), b"https://page.example")
        self.flushLoggedErrors(RuntimeError)

    def test_halfWritten(self) -> None:
        """
        A response that fails after it began is cut, so that nobody takes it for whole.
        """
        later: Deferred[bytes] = Deferred()

        def function(request: Request) -> Deferred[bytes]:
            request.write(b"half")
            return later

        client = self.makeClient(function)
        exchange = client.start(b"GET", "/")
        later.errback(RuntimeError())
        self.assertTrue(exchange.transport.disconnected)
        self.assertEqual(exchange.responses(), [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_clientLeft(self) -> None:
        """
        When the client leaves, what it waited for is cancelled, and nothing is logged.
        """
        cancelled: list[Deferred[bytes]] = []
        exchange = self.makeClient(lambda request: Deferred(cancelled.append)).start(b"GET", "/")
        self.assertEqual(cancelled, [])
        exchange.disconnect()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.flushLoggedErrors(CancelledError), [])

    def test_failedAfterwards(self) -> None:
        """
        A failure after the client left is logged, and harms nobody.
        """

        def cancel(waiting: Deferred[bytes]) -> None:
            waiting.errback(RuntimeError("while cleaning up"))

        client = self.makeClient(lambda request: Deferred(cancel))
        client.start(b"GET", "/").disconnect()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_answeredItself(self) -> None:
        """
        A resource that answers in full and then gives bytes has answered once.
        """

        def function(request: Request) -> bytes:
            request.write(b"first")
            request.finish()
            return b"second"

        response = self.makeClient(function).request(b"GET", "/")
        self.assertEqual(response.body, b"first")

    def test_neverAnswers(self) -> None:
        """
        A resource that keeps a request owes the answer; nobody invents one.
        """
        exchange = self.makeClient(lambda request: NOT_DONE_YET).start(b"GET", "/")
        self.assertEqual(exchange.received, b"")
        exchange.disconnect()
