"""
Tests for L{aero.http.gates}.
"""

from __future__ import annotations

from typing import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from aero.http.endpoint import Endpoint
from aero.http.gates import OriginGate, RateGate
from aero.http.router import Router
from aero.metrics import ROWS, Metrics, sessions
from aero.policy.clientaddress import ClientAddresses
from aero.policy.origin import Origins
from aero.testing.web import WebClient, WebResponse
from aero.web.health import HealthEndpoint, VersionEndpoint

HOME = b"http://localhost"

#: The headers that only an allowed origin gets.
CORS = (
    b"Access-Control-Allow-Origin",
    b"Access-Control-Allow-Credentials",
    b"Access-Control-Expose-Headers",
)


class Query(Endpoint):
    """
    Stands for C{/dns-query}.
    """

    def render_GET(self, request: Request) -> bytes:
        """
        Answer with something.
        """
        request.responseHeaders.addRawHeader(b"Vary", b"Accept")
        return b"answer"


class Page(Resource):
    """
    Stands for the front end.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """
        Answer with something.
        """
        return b"page"


class GatesCase(SynchronousTestCase):
    """
    What the tests of both gates share.
    """

    def makeClient(
        self,
        *,
        allowed: Sequence[str] = ("http://localhost",),
        perMinute: float = 0,
        trust: bool = False,
        shared: bool = False,
    ) -> WebClient:
        """
        A client of a site with both gates, a base path, and a front end.
        """
        clock, metrics = Clock(), Metrics(ROWS)
        router = Router(
            base="/base",
            gates=(
                OriginGate(Origins(allowed), metrics, shared=shared),
                RateGate(perMinute, metrics, clock.seconds),
            ),
            fallback=Page(),
        )
        for path in ("/healthz", "/readyz", "/metrics"):
            router.addResource(path, HealthEndpoint())
        router.addResource("/version", VersionEndpoint("1"))
        router.addResource("/dns-query", Query())
        addresses = ClientAddresses(trust=trust, networks=(), terminatesTLS=False)
        return WebClient(router, clock=clock, metrics=metrics, clientAddresses=addresses)

    def assertNoCORS(self, response: WebResponse) -> None:
        """
        A response tells a page of another site nothing.
        """
        names = {name.lower() for name, _ in response.headerLines}
        self.assertEqual([n for n in names if n.startswith(b"access-control-")], [])

    def assertCORS(self, response: WebResponse, origin: bytes = HOME) -> None:
        """
        A response may be read by a page of this origin, with credentials.
        """
        self.assertEqual(
            [response.header(name) for name in CORS],
            [origin, b"true", b"x-request-id, content-length"],
        )
        self.assertIn(b"Origin", response.headers.getRawHeaders(b"Vary", []))


class OriginGateTests(GatesCase):
    """
    Tests for L{OriginGate}.
    """

    def test_noOrigin(self) -> None:
        """
        A request without an origin, or with an empty one, goes on without CORS headers.
        """
        client = self.makeClient()
        for headers in ({}, {b"Origin": b""}):
            with self.subTest(headers):
                response = client.request(b"GET", "/version", headers)
                self.assertEqual(response.status, 200)
                self.assertNoCORS(response)
                self.assertIsNone(response.header(b"Vary"))

    def test_sharedCaches(self) -> None:
        """
        Where other sites are allowed, the answer to a request without an origin says that it
        depends on that, so that no cache gives it to a page of another site.
        """
        client = self.makeClient(allowed=["*"], shared=True)
        for headers in ({}, {b"Origin": b" "}):
            response = client.request(b"GET", "/version", headers)
            self.assertEqual(response.header(b"Vary"), b"Origin")
            self.assertNoCORS(response)

    def test_allowed(self) -> None:
        """
        An allowed origin goes on and is repeated as it was normalised.
        """
        client = self.makeClient()
        for origin in (HOME, b"HTTP://LOCALHOST:80/"):
            with self.subTest(origin):
                response = client.request(b"GET", "/version", {b"Origin": origin})
                self.assertEqual(response.status, 200)
                self.assertCORS(response)

    def test_varyIsKept(self) -> None:
        """
        What a resource says in C{Vary} stands beside the origin.
        """
        response = self.makeClient().request(b"GET", "/dns-query", {b"Origin": HOME})
        self.assertEqual(response.headers.getRawHeaders(b"Vary"), [b"Origin", b"Accept"])

    def test_errorsToo(self) -> None:
        """
        A page may also read what went wrong: 404, 405 and 400 have the CORS headers.
        """
        client = self.makeClient()
        for method, target, status in (
            (b"GET", "/api/x", 404),
            (b"DELETE", "/version", 405),
            (b"GET", "/%zz", 400),
            (b"GET", "/index.html", 200),
        ):
            with self.subTest(target):
                response = client.request(method, target, {b"Origin": HOME})
                self.assertEqual(response.status, status)
                self.assertCORS(response)

    def test_foreign(self) -> None:
        """
        A foreign or unreadable origin is a 403 on every path, without CORS headers, and
        counted.
        """
        client = self.makeClient()
        attempts = [
            (target, origin)
            for target in ("/version", "/api/x", "/index.html", "/base/healthz")
            for origin in (b"https://evil.example", b"null", b"http://localhost/x", b"%")
        ]
        for target, origin in attempts:
            with self.subTest((target, origin)):
                response = client.request(b"GET", target, {b"Origin": origin})
                self.assertEqual(
                    (response.status, response.json()),
                    (403, {"error": "forbidden", "message": "Origin not allowed"}),
                )
                self.assertNoCORS(response)
        refused = client.metrics.value(sessions.GATE_REFUSALS, "origin")
        self.assertEqual(refused, len(attempts))

    def test_repeated(self) -> None:
        """
        Two origins are refused even where every origin is allowed.
        """
        client = self.makeClient(allowed=["*"])
        response = client.request(b"GET", "/version", [(b"Origin", HOME), (b"Origin", HOME)])
        self.assertEqual(response.error(), (403, "forbidden"))
        self.assertNoCORS(response)

    def test_repeatedHost(self) -> None:
        """
        With the same-host policy a repeated C{Host} is a 403 or refused before.
        """
        client = self.makeClient(allowed=[])
        one = client.request(b"GET", "/version", {b"Origin": HOME})
        self.assertEqual(one.status, 200)
        two = client.request(
            b"GET", "/version", [(b"Host", b"localhost"), (b"Host", b"b"), (b"Origin", HOME)]
        )
        self.assertIn(two.status, (400, 403))
        self.assertNoCORS(two)

    def test_any(self) -> None:
        """
        With C{*} the caller's own origin is repeated, and never the star.
        """
        client = self.makeClient(allowed=["*"])
        for origin in (b"https://any.example", b"null"):
            response = client.request(b"GET", "/version", {b"Origin": origin})
            self.assertCORS(response, origin)

    def preflight(self, origin: bytes = HOME, **asked: bytes) -> WebResponse:
        """
        Ask as a browser does before it sends something unusual.
        """
        headers = [(b"Origin", origin), (b"Access-Control-Request-Method", b"POST")]
        for value in asked.values():
            headers.append((b"Access-Control-Request-Headers", value))
        return self.makeClient().request(b"OPTIONS", "/dns-query", headers)

    def test_preflight(self) -> None:
        """
        A preflight of an allowed origin is granted, empty.
        """
        response = self.preflight()
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertCORS(response)
        self.assertEqual(
            response.header(b"Access-Control-Allow-Methods"),
            b"GET,POST,PUT,PATCH,DELETE,OPTIONS",
        )
        self.assertEqual(response.header(b"Access-Control-Allow-Headers"), b"Content-Type")
        self.assertEqual(response.header(b"Access-Control-Max-Age"), b"600")
        self.assertIsNone(response.header(b"Content-Length"))
        self.assertIsNone(response.header(b"Content-Type"))

    def test_preflightHeaders(self) -> None:
        """
        The headers asked for are repeated with C{Content-Type} among them; a list that is
        odd, too long or repeated is answered as if there were none.
        """
        for asked, granted in (
            (b"x-foo", b"Content-Type, x-foo"),
            (b" x-foo, X-Bar ", b"Content-Type, x-foo, X-Bar"),
            (b"content-type,x-foo", b"content-type,x-foo"),
            (b"", b"Content-Type"),
            (b"x-foo;y", b"Content-Type"),
            (b"x-f\xf6\xf6", b"Content-Type"),
            (b"x" * 4_096, b"Content-Type, " + b"x" * 4_096),
            (b"x" * 10_000, b"Content-Type"),
        ):
            with self.subTest(asked[:20]):
                response = self.preflight(one=asked)
                self.assertEqual(response.header(b"Access-Control-Allow-Headers"), granted)
                self.assertEqual(response.status, 204)
        twice = self.preflight(one=b"x-a", two=b"x-b")
        self.assertEqual(twice.header(b"Access-Control-Allow-Headers"), b"Content-Type")

    def test_preflightForeign(self) -> None:
        """
        A preflight of a foreign origin is a 403.
        """
        response = self.preflight(b"https://evil.example")
        self.assertEqual(response.error(), (403, "forbidden"))
        self.assertNoCORS(response)

    def test_preflightEverywhere(self) -> None:
        """
        A preflight is granted on any path, known or not.
        """
        client = self.makeClient()
        headers = {b"Origin": HOME, b"Access-Control-Request-Method": b"GET"}
        for target in ("/api/x", "/index.html", "/%zz", "/base/version"):
            with self.subTest(target):
                self.assertEqual(client.request(b"OPTIONS", target, headers).status, 204)
        self.assertEqual(client.metrics.value(sessions.PREFLIGHTS), 4)

    def test_otherOptions(self) -> None:
        """
        C{OPTIONS} that is no preflight is a 204 with the plain CORS headers.
        """
        client = self.makeClient()
        for extra in ({}, {b"Access-Control-Request-Method": b" "}):
            response = client.request(b"OPTIONS", "/version", {b"Origin": HOME, **extra})
            self.assertEqual(response.status, 204)
            self.assertCORS(response)
            self.assertIsNone(response.header(b"Access-Control-Allow-Methods"))


class RateGateTests(GatesCase):
    """
    Tests for L{RateGate}.
    """

    def test_off(self) -> None:
        """
        Zero is no limit.
        """
        client = self.makeClient(perMinute=0)
        for _ in range(50):
            self.assertEqual(client.request(b"GET", "/version").status, 200)

    def test_limit(self) -> None:
        """
        As many requests as the limit pass at once; the next is a 429 that says when to come
        back, readable by the page that sent it. It is counted.
        """
        client = self.makeClient(perMinute=3)
        for _ in range(3):
            response = client.request(b"GET", "/version", {b"Origin": HOME})
            self.assertEqual(response.status, 200)
            self.assertCORS(response)
        limited = client.request(b"GET", "/version", {b"Origin": HOME})
        self.assertEqual(
            (limited.status, limited.json()),
            (429, {"error": "too_many_requests", "message": "Rate limit exceeded"}),
        )
        self.assertCORS(limited)
        self.assertEqual(limited.header(b"Retry-After"), b"20")
        self.assertEqual(client.metrics.value(sessions.GATE_REFUSALS, "rate"), 1)

    def test_refill(self) -> None:
        """
        The client that waits as long as it was told is served again, once.
        """
        client = self.makeClient(perMinute=1)
        client.request(b"GET", "/version")
        wait = client.request(b"GET", "/version").header(b"Retry-After")
        assert wait is not None
        client.clock.advance(int(wait) - 1)
        self.assertEqual(client.request(b"GET", "/version").status, 429)
        client.clock.advance(1)
        self.assertEqual(client.request(b"GET", "/version").status, 200)
        self.assertEqual(client.request(b"GET", "/version").status, 429)

    def test_dns(self) -> None:
        """
        On C{/dns-query} the 429 is a DNS message that says SERVFAIL.
        """
        client = self.makeClient(perMinute=1)
        client.request(b"GET", "/version")
        for target in ("/dns-query", "/base/dns-query"):
            response = client.request(b"GET", target, {b"Origin": HOME})
            self.assertEqual(response.status, 429)
            self.assertEqual(response.header(b"Content-Type"), b"application/dns-message")
            self.assertEqual(response.header(b"Cache-Control"), b"no-store")
            self.assertEqual(response.body.hex(), "000080820000000000000000")
            self.assertEqual(response.header(b"Retry-After"), b"60")
            self.assertCORS(response)

    def test_exempt(self) -> None:
        """
        Health, readiness, metrics and C{OPTIONS} are never limited, nor do they use up what
        others have; everything else is, unknown paths and files included.
        """
        client = self.makeClient(perMinute=1)
        free = ("/healthz", "/readyz", "/metrics", "/base/healthz", "/base/readyz", "/base/metrics")
        for target in free:
            self.assertEqual(client.request(b"GET", target).status, 200)
        self.assertEqual(client.request(b"GET", "/version").status, 200)
        for target in ("/version", "/base/version", "/api/x", "/index.html", "/x/healthz"):
            with self.subTest(target):
                self.assertEqual(client.request(b"GET", target).error()[0], 429)
        for target in free:
            self.assertEqual(client.request(b"GET", target).status, 200)
        self.assertEqual(client.request(b"OPTIONS", "/version").status, 204)

    def test_perClient(self) -> None:
        """
        Each client has a limit of its own. An IPv6 client is its /64.
        """
        client = self.makeClient(perMinute=1)
        for peer, status in (
            ("192.0.2.1", 200),
            ("192.0.2.2", 200),
            ("192.0.2.1", 429),
            ("::ffff:192.0.2.1", 429),
            ("2001:db8::1", 200),
            ("2001:db8::2", 429),
            ("2001:db8:0:1::1", 200),
        ):
            with self.subTest(peer):
                self.assertEqual(client.request(b"GET", "/version", peer=peer).status, status)

    def test_forwarded(self) -> None:
        """
        Behind a trusted proxy the client is who the proxy says; without one a header changes
        nothing.
        """
        for trust, statuses in ((True, [200, 200, 429]), (False, [200, 429, 429])):
            client = self.makeClient(perMinute=1, trust=trust)
            seen = [
                client.request(b"GET", "/version", {b"X-Forwarded-For": address}).status
                for address in (b"198.51.100.1", b"198.51.100.2", b"198.51.100.1")
            ]
            self.assertEqual(seen, statuses)

    def test_foreignOriginFirst(self) -> None:
        """
        A request of a foreign origin is refused as such and uses up nothing.
        """
        client = self.makeClient(perMinute=1)
        for _ in range(3):
            response = client.request(b"GET", "/version", {b"Origin": b"https://evil.example"})
            self.assertEqual(response.status, 403)
        self.assertEqual(client.request(b"GET", "/version").status, 200)
