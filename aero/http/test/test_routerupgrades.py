"""
Tests for what the router does with upgrades and with what resources give.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer
from zope.interface.verify import verifyObject

from aero.http.router import Router
from aero.interfaces import IUpgradable
from aero.metrics import http
from aero.testing.web import WebClient

from .routes import UPGRADE, Page, Upgraded, UpgradedPage, makeRouter


class UpgradeTests(SynchronousTestCase):
    """
    Tests for WebSocket handshakes.
    """

    def test_interface(self) -> None:
        """
        The endpoints of these tests are what the router asks for.
        """
        verifyObject(IUpgradable, Upgraded("/tcp"))

    def test_reached(self) -> None:
        """
        A handshake reaches its endpoint: with a query, under the base path, with dot segments,
        or with a host before the path.
        """
        client = WebClient(makeRouter(base="/base", fallback=Page()))
        for target in ("/tcp?v=1", "/base/tcp", "/x/../tcp", "//localhost/tcp"):
            with self.subTest(target):
                self.assertEqual(client.request(b"GET", target, UPGRADE).status, 418)
        self.assertEqual(client.metrics.value(http.REQUESTS, "GET", "/base/tcp", "418"), 1)

    def test_anyOfferAtAnEndpoint(self) -> None:
        """
        An endpoint sees every offer to upgrade, so that it can say what is wrong with it.
        """
        client = WebClient(makeRouter())
        headers = {b"Upgrade": b"websocket2", b"Connection": b"Upgrade"}
        self.assertEqual(client.request(b"GET", "/tcp", headers).status, 418)

    def test_unknownAlone(self) -> None:
        """
        Without a front end a handshake for any other path is refused in plain text, and the
        connection ends. Paths are not decoded here.
        """
        client = WebClient(makeRouter())
        for target in ("/nope", "/healthz", "/%74cp", "/TCP", "/tcp/"):
            with self.subTest(target):
                exchange = client.start(b"GET", target, UPGRADE)
                response = exchange.response()
                self.assertEqual((response.status, response.body), (404, b"Not Found\n"))
                self.assertEqual(response.header(b"Content-Type"), b"text/plain; charset=utf-8")
                self.assertEqual(response.header(b"Content-Length"), b"10")
                self.assertEqual(response.header(b"Cache-Control"), b"no-store")
                self.assertEqual(response.header(b"Connection"), b"close")
                self.assertTrue(exchange.transport.closed)

    def test_badURL(self) -> None:
        """
        A handshake whose target is no URL is refused as such.
        """
        response = WebClient(makeRouter()).request(b"GET", "//[::1/tcp", UPGRADE)
        self.assertEqual((response.status, response.body), (400, b"Invalid request URL\n"))

    def test_unknownWithFrontEnd(self) -> None:
        """
        With a front end a handshake for a path where nothing speaks WebSocket is a 404 that
        names the endpoints there are: for a page, a reserved path, a resource and a near miss.
        """
        for base, named in (("/", b"/tcp"), ("/base", b"/base/tcp")):
            client = WebClient(makeRouter(base=base, fallback=Page()))
            for path in ("/", "/hmr", "/l2", "/healthz", "/tcp/", "/TCP"):
                with self.subTest(base + path):
                    response = client.request(b"GET", path, UPGRADE)
                    self.assertEqual(response.status, 404)
                    self.assertEqual(
                        response.body,
                        b"No WebSocket endpoint has this path. Endpoints of this server: "
                        + named
                        + b"\n",
                    )
                    self.assertEqual(response.header(b"Connection"), b"close")
            self.assertEqual(client.metrics.value(http.REFUSED, "upgrade-path"), 6)

    def test_frontEndWithWebSockets(self) -> None:
        """
        A front end that takes WebSockets gets those for its paths, and for no others.
        """
        client = WebClient(makeRouter(fallback=UpgradedPage()))
        response = client.request(b"GET", "/hmr", UPGRADE)
        self.assertEqual((response.status, response.phrase), (418, b"/hmr"))
        for path in ("/l2", "/healthz"):
            self.assertEqual(client.request(b"GET", path, UPGRADE).status, 404)

    def test_plainRequest(self) -> None:
        """
        An ordinary request to the path of an endpoint is a 404 with and without a front end.
        """
        for fallback in (None, Page()):
            client = WebClient(makeRouter(fallback=fallback))
            self.assertEqual(client.request(b"GET", "/tcp").error(), (404, "not_found"))

    def test_otherOffers(self) -> None:
        """
        An offer of another protocol is ignored, as is one that C{Connection} does not
        confirm or that HTTP/1.0 makes.
        """
        client = WebClient(makeRouter())
        for headers in (
            {b"Upgrade": b"h2c", b"Connection": b"Upgrade, HTTP2-Settings"},
            {b"Upgrade": b"websocket"},
        ):
            with self.subTest(headers):
                self.assertEqual(client.request(b"GET", "/healthz", headers).status, 200)
        old = client.request(b"GET", "/tcp", UPGRADE, version=b"HTTP/1.0")
        self.assertEqual(old.error(), (404, "not_found"))

    def test_failure(self) -> None:
        """
        An endpoint that fails is a plain 500, and the server goes on.
        """

        @implementer(IUpgradable)
        class Broken:
            path = "/broken"

            def upgradeReceived(self, request: Any) -> None:
                raise RuntimeError("broken")

        router = makeRouter()
        router.addUpgrade(Broken())
        client = WebClient(router)
        response = client.request(b"GET", "/broken", UPGRADE)
        self.assertEqual((response.status, response.body), (500, b"WebSocket upgrade failed\n"))
        self.assertEqual(client.request(b"GET", "/healthz").status, 200)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ResultTests(SynchronousTestCase):
    """
    Tests for what a resource may give.
    """

    def render(self, method: bytes, function: Any) -> Any:
        """
        Ask a resource whose C{render} is a function, and give the open connection.
        """

        @implementer(IResource)
        class Bare:
            isLeaf = True

            def render(self, request: Request) -> Any:
                return function(request)

            def getChildWithDefault(self, name: bytes, request: Request) -> Any:
                raise NotImplementedError

            def putChild(self, path: bytes, child: IResource) -> None:
                raise NotImplementedError

        router = Router()
        router.addResource("/bare", Bare())
        return WebClient(router).start(method, "/bare")

    def test_deferred(self) -> None:
        """
        A resource may answer in its own time with a C{Deferred}.
        """
        later: Deferred[bytes] = Deferred()
        exchange = self.render(b"GET", lambda request: later)
        self.assertEqual(exchange.received, b"")
        later.callback(b"at last")
        self.assertEqual(exchange.response().body, b"at last")

    def test_alreadyDone(self) -> None:
        """
        A C{Deferred} that has its result is as good as the result.
        """
        self.assertEqual(self.render(b"GET", lambda _: succeed(b"x")).response().body, b"x")

    def test_coroutine(self) -> None:
        """
        A resource may be an C{async def}.
        """
        later: Deferred[bytes] = Deferred()

        async def answer(request: Request) -> bytes:
            return b"<" + await later + b">"

        exchange = self.render(b"GET", answer)
        later.callback(b"x")
        self.assertEqual(exchange.response().body, b"<x>")

    def test_notDoneYet(self) -> None:
        """
        C{NOT_DONE_YET} means that the resource finishes the request itself.
        """
        kept: list[Request] = []

        def render(request: Request) -> int:
            kept.append(request)
            return NOT_DONE_YET

        exchange = self.render(b"GET", render)
        self.assertEqual(exchange.responses(), [])
        kept[0].write(b"mine")
        kept[0].finish()
        self.assertEqual(exchange.response().body, b"mine")

    def test_headForGet(self) -> None:
        """
        A resource that knows only C{GET} answers C{HEAD} as well.
        """

        def render(request: Request) -> bytes:
            if request.method != b"GET":
                raise UnsupportedMethod([b"GET"])
            return b"body"

        response = self.render(b"HEAD", render).response()
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.header(b"Content-Length"), b"4")

    def test_noBytes(self) -> None:
        """
        A resource that gives anything else is a 500.
        """
        exchange = self.render(b"GET", lambda request: "text")
        self.assertEqual(exchange.response().error(), (500, "internal_error"))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
