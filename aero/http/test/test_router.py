"""
Tests for the router: paths, methods, the front end and the gates.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from aero.http.request import AeroRequest
from aero.http.router import Router
from aero.metrics import http
from aero.policy.headers import ResponseHeaders
from aero.testing.properties import given, strategies
from aero.testing.web import WebClient

from .routes import UPGRADE, Named, Page, Refusing, makeRouter


class PathTests(SynchronousTestCase):
    """
    Tests for which path reaches which resource, without a front end.
    """

    def setUp(self) -> None:
        self.client = WebClient(makeRouter())

    def test_exact(self) -> None:
        """
        A known path is answered by its resource.
        """
        response = self.client.request(b"GET", "/healthz")
        self.assertEqual((response.status, response.json()), (200, {"ok": True}))

    def test_query(self) -> None:
        """
        A query changes nothing, even one that cannot be decoded.
        """
        self.assertEqual(self.client.request(b"GET", "/healthz?a=%zz&%").status, 200)

    def test_noTolerance(self) -> None:
        """
        A slash too many, another case, dot segments or a part of a path are other paths.
        """
        for target in (
            "/session/",
            "//session",
            "/Session",
            "/sessio",
            "/sessionx",
            "/./session",
            "/x/../session",
            "/",
            "/udp-relay",
            "/tcp",
        ):
            with self.subTest(target):
                response = self.client.request(b"GET", target)
                self.assertEqual(response.error(), (404, "not_found"))

    def test_percentEncoded(self) -> None:
        """
        Letters may be percent-encoded: C{/%68ealthz} is C{/healthz}.
        """
        self.assertEqual(self.client.request(b"GET", "/%68ealthz").json(), {"ok": True})

    def test_encodedSlash(self) -> None:
        """
        An encoded slash does not make a route, and an encoded NUL does not end one.
        """
        for target in ("/udp-relay%2ftoken", "/%2fhealthz", "/healthz%00", "/x%2f..%2fhealthz"):
            with self.subTest(target):
                self.assertEqual(self.client.request(b"GET", target).error(), (404, "not_found"))

    def test_badEscape(self) -> None:
        """
        A path that cannot be decoded is a 400, whether it lacks a digit or is not UTF-8.
        """
        for target in ("/%zz", "/%", "/healthz%4", "/%ff"):
            with self.subTest(target):
                self.assertEqual(self.client.request(b"GET", target).error(), (400, "bad_request"))

    def test_star(self) -> None:
        """
        C{OPTIONS *} is granted; no other method has such a target.
        """
        self.assertEqual(self.client.request(b"OPTIONS", "*").status, 204)
        self.assertEqual(self.client.request(b"GET", "*").status, 400)

    def test_base(self) -> None:
        """
        Every route is there under the path of the public base URL too, and nothing else is.
        """
        client = WebClient(makeRouter(base="/base/"))
        for target in ("/healthz", "/base/healthz", "/base/udp-relay/token"):
            with self.subTest(target):
                self.assertEqual(client.request(b"GET", target).status, 200)
        for target in ("/base", "/base/", "/base/base/healthz", "/basehealthz"):
            with self.subTest(target):
                self.assertEqual(client.request(b"GET", target).status, 404)

    def test_encodedBase(self) -> None:
        """
        A base path that needs percent-encoding is found in either spelling.
        """
        client = WebClient(makeRouter(base="/a%20b"))
        self.assertEqual(client.request(b"GET", "/a%20b/healthz").status, 200)
        self.assertEqual(client.request(b"GET", "/%61%20b/healthz").status, 200)

    def test_badRoute(self) -> None:
        """
        A route that no request can have is a mistake that is found at once.
        """
        self.assertRaises(ValueError, makeRouter().addResource, "healthz", Page())
        self.assertRaises(ValueError, makeRouter().addResource, "/%zz", Page())

    @given(strategies.text(alphabet="/.%2fF5cC\\healtz0", max_size=20))
    def test_anyPath(self, path: str) -> None:
        """
        Whatever the path, there is exactly one answer, and only C{/healthz} itself is healthy.
        """
        response = self.client.request(b"GET", "/" + path)
        self.assertIn(response.status, (200, 400, 404))
        if response.status == 200:
            self.assertEqual(path.replace("%68", "h"), "healthz")


class MethodTests(SynchronousTestCase):
    """
    Tests for methods.
    """

    def setUp(self) -> None:
        self.client = WebClient(makeRouter())

    def test_head(self) -> None:
        """
        C{HEAD} has the headers of C{GET} and no body.
        """
        head = self.client.request(b"HEAD", "/healthz")
        get = self.client.request(b"GET", "/healthz")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.header(b"Content-Length"), b"%d" % len(get.body))
        self.assertEqual(head.header(b"Content-Type"), get.header(b"Content-Type"))

    def test_notAllowed(self) -> None:
        """
        A known path with another method is a 405 that names the methods there are.
        """
        response = self.client.request(b"DELETE", "/session")
        self.assertEqual(response.error(), (405, "method_not_allowed"))
        self.assertEqual(response.header(b"Allow"), b"GET, HEAD, OPTIONS, POST")

    def test_unknownMethod(self) -> None:
        """
        A method that nobody knows is a 405 as well.
        """
        response = self.client.request(b"BREW", "/session")
        self.assertEqual(response.error(), (405, "method_not_allowed"))

    def test_options(self) -> None:
        """
        C{OPTIONS} without an origin is an empty 204 on every path.
        """
        for target in ("/session", "/nope", "/tcp"):
            with self.subTest(target):
                response = self.client.request(b"OPTIONS", target)
                self.assertEqual((response.status, response.body), (204, b""))
                self.assertIsNone(response.header(b"Access-Control-Allow-Origin"))


class FallbackTests(SynchronousTestCase):
    """
    Tests for what belongs to the front end.
    """

    def setUp(self) -> None:
        self.client = WebClient(makeRouter(base="/base", fallback=Page()))

    def assertPage(self, target: str, segments: str) -> None:
        """
        The front end answers a path, and is told these segments.
        """
        response = self.client.request(b"GET", target)
        self.assertEqual((response.status, response.text()), (200, f"page {segments}"))

    def test_owned(self) -> None:
        """
        Routes come before the front end.
        """
        self.assertEqual(self.client.request(b"GET", "/healthz").json(), {"ok": True})
        self.assertEqual(self.client.request(b"GET", "/base/session").body, b"session")

    def test_rest(self) -> None:
        """
        What no service owns is the front end's, its segments decoded.
        """
        self.assertPage("/", "")
        self.assertPage("/vm/42", "vm|42")
        self.assertPage("/a%20b/", "a b|")
        self.assertPage("/vm/a%2Fb", "vm|a/b")

    def test_belowBase(self) -> None:
        """
        Under the path of the public base URL, too, the front end gets what no service owns.
        """
        self.assertPage("/base", "base")
        self.assertPage("/base/", "base|")
        self.assertPage("/base/vm/42", "base|vm|42")
        self.assertPage("/base/ethernet.js", "base|ethernet.js")

    def test_wholeSegments(self) -> None:
        """
        Only whole segments are reserved: files whose names begin like a service are files.
        """
        for name in (
            "ethernet.js",
            "tcpdump.html",
            "versions.json",
            "udpfoo",
            "offerx",
            "L2",
            "basement",
        ):
            with self.subTest(name):
                self.assertPage(f"/{name}", name)

    def test_belowExact(self) -> None:
        """
        C{/udp} and C{/offer} are reserved alone: what is below them never reaches the relay.
        """
        self.assertPage("/udp/", "udp|")
        self.assertPage("/udp/x", "udp|x")
        self.assertPage("/offer/", "offer|")

    def test_reserved(self) -> None:
        """
        Reserved but unknown paths are a JSON 404 and never the index page.
        """
        for target in (
            "/api",
            "/api/x",
            "/udp-relay",
            "/udp-relay/",
            "/webrtc/zzz",
            "/session/",
            "/l2",
            "/l2/x",
            "/eth",
            "/udp",
            "/offer",
            "/tcp",
            "/tcp-mux",
            "/dns-query/x",
            "/dns-json",
            "/readyz",
            "/version",
            "/metrics/",
            "/%61pi/x",
            "/api%2fx",
            "/base/api/x",
            "/base/udp",
            "/base/webrtc/zzz",
            "/base/base/healthz",
        ):
            with self.subTest(target):
                self.assertEqual(self.client.request(b"GET", target).error(), (404, "not_found"))

    def test_ambiguous(self) -> None:
        """
        Paths that programs read differently reach neither a service nor a file.
        """
        for target in (
            "/foo/../healthz",
            "//healthz",
            "/%2fhealthz",
            "/./healthz",
            "/..%2f..%2fetc/passwd",
            "/assets/..%5c..",
            "/%00",
            "/a/%2e%2e/b",
            "//evil.example/..",
        ):
            with self.subTest(target):
                self.assertEqual(self.client.request(b"GET", target).error(), (400, "bad_request"))

    def test_dotsInNames(self) -> None:
        """
        Dots that are a part of a name are harmless.
        """
        self.assertPage("/.well-known/x..y/...", ".well-known|x..y|...")

    def test_options(self) -> None:
        """
        The front end answers C{OPTIONS} for its files itself.
        """
        response = self.client.request(b"OPTIONS", "/main.js")
        self.assertEqual(response.error(), (405, "method_not_allowed"))
        self.assertEqual(response.header(b"Allow"), b"GET, HEAD, OPTIONS")

    def test_frames(self) -> None:
        """
        What services say is never to be framed; the front end's own header set decides for it.
        """
        client = WebClient(makeRouter(fallback=Page()), responseHeaders=ResponseHeaders.edge(0))
        for target in ("/healthz", "/api/x"):
            response = client.request(b"GET", target)
            self.assertEqual(response.header(b"X-Frame-Options"), b"DENY")
        self.assertIsNone(client.request(b"GET", "/").header(b"X-Frame-Options"))

    @given(strategies.text(alphabet="/.%2fF5cC\\apitc0", max_size=20))
    def test_anyPath(self, path: str) -> None:
        """
        Whatever the path, the front end never sees a reserved first segment.
        """
        response = self.client.request(b"GET", "/" + path)
        if response.status == 200:
            segments = response.text().removeprefix("page ").replace("/", "|").split("|")
            self.assertNotIn(segments[0], ("api", "tcp"))
            self.assertNotIn("..", segments)


class TreeTests(SynchronousTestCase):
    """
    Tests for resources with children.
    """

    def setUp(self) -> None:
        tree = Resource()
        tree.putChild(b"child", Named(b"child"))
        leaf = Page()
        self.router = makeRouter(base="/base", fallback=Page())
        self.router.addTree("/app", tree)
        self.router.addTree("/app/deep/leaf/", leaf)
        self.client = WebClient(self.router)

    def test_child(self) -> None:
        """
        Children are found as under Twisted's own site, also under the base path.
        """
        self.assertEqual(self.client.request(b"GET", "/app/child").body, b"child")
        self.assertEqual(self.client.request(b"GET", "/base/app/child").body, b"child")

    def test_gate(self) -> None:
        """
        A tree may have a gate of its own, which takes the place of the site's first one and has
        C{OPTIONS} too.
        """
        passed: list[tuple[str, bytes]] = []

        class Noting:
            def __init__(self, name: str) -> None:
                self.name = name

            def admits(self, request: Any) -> bool:
                passed.append((self.name, request.method))
                return True

        router = Router(gates=[Noting("origin"), Noting("rate")])
        leaf = Page()
        router.addTree("/images", leaf, Noting("own"))
        client = WebClient(router)
        self.assertEqual(client.request(b"GET", "/images/a/b").text(), "page a|b")
        self.assertEqual(passed, [("own", b"GET"), ("rate", b"GET")])
        passed.clear()
        client.request(b"GET", "/other")
        self.assertEqual(passed, [("origin", b"GET"), ("rate", b"GET")])

    def test_longest(self) -> None:
        """
        The longest prefix wins, and the resource gets what is left of the path.
        """
        response = self.client.request(b"GET", "/app/deep/leaf/x/y%2Fz")
        self.assertEqual(response.body, b"page x|y/z")

    def test_wholeSegments(self) -> None:
        """
        A prefix is whole segments.
        """
        self.assertEqual(self.client.request(b"GET", "/apple").body, b"page apple")

    def test_route(self) -> None:
        """
        All requests of a tree count under one template.
        """
        self.client.request(b"GET", "/app/deep/leaf/x")
        self.client.request(b"GET", "/app/deep/leaf/y")
        counted = self.client.metrics.value(http.REQUESTS, "GET", "/app/deep/leaf/*", "200")
        self.assertEqual(counted, 2)


class RouteLabelTests(SynchronousTestCase):
    """
    Tests for the C{route} that metrics get.
    """

    def test_labels(self) -> None:
        """
        The label is a template of bounded number, whatever a client asks for.
        """
        client = WebClient(makeRouter(base="/base", fallback=Page()))
        for method, target, status, label in (
            (b"GET", "/healthz", 200, "/healthz"),
            (b"GET", "/%68ealthz", 200, "/healthz"),
            (b"GET", "/base/healthz", 200, "/base/healthz"),
            (b"PUT", "/healthz", 405, "/healthz"),
            (b"GET", "/api/whatever", 404, "unknown"),
            (b"GET", "/%zz", 400, "unknown"),
            (b"GET", "/vm/42", 200, "static"),
            (b"OPTIONS", "/healthz", 204, "/*"),
            (b"GET", "/tcp", 404, "unknown"),
        ):
            with self.subTest(target):
                client.request(method, target)
                counted = client.metrics.value(
                    http.REQUESTS, method.decode("ascii"), label, str(status)
                )
                self.assertGreaterEqual(counted, 1)


class GateOrderTests(SynchronousTestCase):
    """
    Tests for when gates run.
    """

    def test_terminal(self) -> None:
        """
        After a gate has answered, neither a later gate nor the resource sees the request.
        """
        first, second = Refusing(False), Refusing(True)
        client = WebClient(makeRouter(gates=(first, second)))
        self.assertEqual(client.request(b"GET", "/healthz").status, 403)
        self.assertEqual((first.routes, second.routes), (["/healthz"], []))

    def test_everyRequest(self) -> None:
        """
        Every request passes the gates, those for unknown paths and files too.
        """
        gate = Refusing(False)
        client = WebClient(makeRouter(gates=(gate,), fallback=Page()))
        for target in ("/healthz", "/api/x", "/", "/%zz"):
            self.assertEqual(client.request(b"GET", target).status, 403)
        self.assertEqual(client.request(b"OPTIONS", "/x").status, 403)
        self.assertEqual(gate.routes, ["/healthz", "unknown", "static", "unknown", "/*"])

    def test_upgrade(self) -> None:
        """
        A WebSocket handshake does not pass the gates; its endpoint has rules of its own.
        """
        gate = Refusing(False)
        client = WebClient(makeRouter(gates=(gate,)))
        self.assertEqual(client.request(b"GET", "/tcp", UPGRADE).status, 418)
        self.assertEqual(gate.routes, [])

    def test_brokenGate(self) -> None:
        """
        A gate that fails is a 500, and nothing gets past it.
        """

        class Broken:
            def admits(self, request: AeroRequest) -> bool:
                raise RuntimeError("broken")

        client = WebClient(makeRouter(gates=(Broken(),)))
        self.assertEqual(client.request(b"GET", "/healthz").error(), (500, "internal_error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
