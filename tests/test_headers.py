"""
Every response carries the header set exactly once, whatever it is and whoever wrote it
(edge.md E20 to E26).
"""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from .support.curl import curl
from .support.frontend import sharedRoot
from .support.headerset import CSP, problems
from .support.http import PATIENCE, Connection, Response, request, sessionCookie
from .support.server import ROOT, Aero, edgeOptions, run, shared
from .support.targets import Target, echo, refusedPort
from .support.tools import require
from .support.websocket import WebSocket, tcpTarget

#: What a server is that has a little of everything, and a rate limit nobody meets by chance.
VARIABLES = {
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "AERO_METRICS_TOKEN": "a token for metrics",
    "PYTHONPATH": str(ROOT),
}


def edge() -> Aero:
    """
    The server of most tests here.
    """
    return shared(
        "edge", "--frontend-root", sharedRoot(), "--app", "tests.support.apps.Wrong", **VARIABLES
    )


class HeadersTestCase(SynchronousTestCase):
    """
    Tells what is wrong with the headers of a response.
    """

    def check(self, response: Response, status: int, what: str = "", **changed: str) -> Response:
        """
        Check status and header set.
        """
        self.assertEqual((response.status, problems(response, **changed)), (status, []), what)
        return response


#: Method, target, request headers, status: what a browser can meet (E20).
ORDINARY: tuple[tuple[str, str, tuple[tuple[str, str], ...], int], ...] = (
    ("GET", "/", (), 200),
    ("HEAD", "/", (), 200),
    ("GET", "/main.js", (), 200),
    ("GET", "/main.js", (("Accept-Encoding", "gzip"),), 200),
    ("GET", "/assets/x.wasm", (), 200),
    ("GET", "/nope", (), 200),
    ("GET", "/nope.js", (), 404),
    ("GET", "/assets/missing.js", (), 404),
    ("GET", "/.env", (), 404),
    ("POST", "/", (), 405),
    ("OPTIONS", "/", (), 405),
    ("DELETE", "/main.js", (), 405),
    ("GET", "/sub", (), 308),
    ("GET", "/main.js", (("If-None-Match", "*"),), 304),
    ("GET", "/main.js", (("Range", "bytes=0-9"),), 206),
    ("GET", "/main.js", (("Range", "bytes=0-1,4-5"),), 206),
    ("GET", "/main.js", (("Range", "bytes=999999-"),), 416),
    ("GET", "/%00", (), 400),
    ("GET", "/healthz", (), 200),
    ("GET", "/readyz", (), 200),
    ("GET", "/version", (), 200),
    ("GET", "/metrics", (), 200),
    ("GET", "/metrics", (("X-Forwarded-For", "192.0.2.1"),), 401),
    ("DELETE", "/healthz", (), 405),
    ("OPTIONS", "/session", (), 204),
    ("POST", "/session", (), 201),
    ("POST", "/session", (("Origin", "https://evil.example"),), 403),
    ("GET", "/api/x", (), 404),
    ("GET", "/tcp", (), 404),
    ("GET", "/api/raising", (), 500),
    ("GET", "/api/raising-later", (), 500),
    ("GET", "/api/headers", (), 200),
    ("GET", "/" + "a" * 8_192, (), 414),
)


class OnceTests(HeadersTestCase):
    """
    Over HTTP/1.1 and HTTP/2.
    """

    def test_ordinary(self) -> None:
        """
        Pages, files, refusals and errors have the set, each on a connection that goes on.
        """
        with Connection.to(edge()) as connection:
            for method, target, headers, status in ORDINARY:
                response = connection.request(method, target, *headers)
                self.check(response, status, f"{method} {target[:40]} {headers}")

    def test_http2(self) -> None:
        """
        The same responses have the same set over HTTP/2.
        """
        require("curl")
        server = edge()
        # Each costs a process, so these are the classes and not the cases.
        for index in (0, 1, 3, 5, 7, 9, 12, 13, 14, 16, 22, 25, 26, 27, 29, 32):
            method, target, headers, status = ORDINARY[index]
            options = ["--head"] if method == "HEAD" else ["--request", method]
            for name, value in headers:
                options += ["--header", f"{name}: {value}"]
            response = self.check(curl(server, target, *options), status, f"{method} {target[:40]}")
            self.assertEqual(response.reason, "2")

    def test_upgradeAccepted(self) -> None:
        """
        The 101 of a WebSocket has the set too, once.
        """
        server = edge()
        with (
            Target(echo) as target,
            WebSocket(
                server, tcpTarget("127.0.0.1", target.port), ("Accept-Encoding", "gzip")
            ) as socket,
        ):
            self.assertTrue(socket.accepted)
            self.check(socket.response, 101)
            self.assertEqual(socket.response.all("Content-Encoding"), [])
            socket.send(b"plain")
            self.assertEqual(socket.receiveBytes(5), b"plain")

    def test_upgradeRefused(self) -> None:
        """
        Every refusal of a WebSocket handshake has the set: no session, foreign origin, bad
        target, bad handshake, a target that is down.
        """
        server = edge()
        cookie = sessionCookie(server)
        target = tcpTarget("127.0.0.1", refusedPort())
        cases: tuple[tuple[str, str | None, tuple[tuple[str, str], ...], int], ...] = (
            (target, None, (), 401),
            (target, "aero_session=forged", (), 401),
            (target, cookie, (("Origin", "https://evil.example"),), 403),
            ("/tcp?v=1&host=127.0.0.1", cookie, (), 400),
            (target, cookie, (("Sec-WebSocket-Version", "8"),), 400),
            (target, cookie, (("Sec-WebSocket-Key", "short"),), 400),
            (target, cookie, (("X-Long", "a" * 70_000),), 431),
            ("/tcp?" + "a" * 8_192, cookie, (), 414),
        )
        for place, given, headers, status in cases:
            with WebSocket(server, place, *headers, cookie=given) as socket:
                self.check(socket.response, status, f"{place[:50]} {str(headers)[:60]}")

    def test_upgradeElsewhere(self) -> None:
        """
        A WebSocket handshake to a page is a 404 that names the endpoints there are, and the log has
        a line with its reason.
        """
        for path in ("/", "/tcp/"):
            with WebSocket(edge(), path, cookie=None) as socket:
                self.check(socket.response, 404)
                self.assertIn(
                    "Endpoints of this server: /tcp, /tcp-mux", socket.response.body.decode()
                )
        deadline = time.monotonic() + PATIENCE
        while not any(
            "refused a WebSocket upgrade to /tcp/ with 404" in line for line in edge().log
        ):
            # Other tests of this client may have used up the lines that it gets.
            self.assertLess(time.monotonic(), deadline, "no line in the log")
            time.sleep(0.3)
            with WebSocket(edge(), "/tcp/", cookie=None):
                pass

    def test_services(self) -> None:
        """
        Every path of a service has the set, whatever is asked of it and whether it runs here.
        """
        server = edge()
        with Connection.to(server) as connection:
            for target in (
                *("/dns-query", "/dns-json", "/dns-query?dns=AAAA", "/udp-relay/token"),
                *("/webrtc/ice", "/webrtc/offer", "/offer", "/tcp-mux", "/l2", "/eth", "/udp"),
            ):
                for method in ("GET", "POST", "OPTIONS", "DELETE"):
                    response = connection.request(method, target)
                    self.assertEqual(problems(response), [], f"{method} {target}")
                    self.assertLess(response.status, 500, f"{method} {target}")
        for target in ("/tcp-mux", "/l2", "/eth", "/udp", "/webrtc/signal", "/nothing"):
            with WebSocket(server, target, cookie=None) as socket:
                self.assertEqual(problems(socket.response), [], target)
                self.assertLess(socket.response.status, 500, target)

    def test_garbage(self) -> None:
        """
        What is no request is answered with the set, and the connection ends.
        """
        server = edge()
        for data, status in (
            (b"\x00\x01\x02\x03\r\n\r\n", 400),
            (b"HELLO\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n", 400),
            (b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\n\r\n", 417),
            (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
            (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 71_680 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 300 + b"\r\n", 431),
        ):
            with Connection.to(server) as connection:
                connection.send(data)
                self.check(connection.response(), status, repr(data[:60]))

    def test_largeBody(self) -> None:
        """
        A body that is larger than its resource wants is a 413 with the set, whether its length
        is told or not (E91).
        """
        server = edge()
        body = bytes(1_048_577)
        with Connection.to(server) as connection:
            connection.send(
                b"POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n"
            )
            self.check(connection.response(), 413)
        with Connection.to(server) as connection:
            connection.send(
                b"POST /session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            try:
                connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            except OSError:
                # The answer came before the body was all sent.
                self.assertGreater(len(body), 0)
            self.check(connection.response(), 413)

    def test_rateLimit(self) -> None:
        """
        A 429 has the set, and says when to come back.
        """
        server = Aero(*edgeOptions(), RATE_LIMIT_REQUESTS_PER_MINUTE="1")
        self.addCleanup(server.kill)
        with Connection.to(server) as connection:
            self.check(connection.request("GET", "/version"), 200)
            response = self.check(connection.request("GET", "/version"), 429)
        self.assertEqual(response.json()["error"], "too_many_requests")
        self.assertGreaterEqual(int(response.one("Retry-After")), 1)

    def test_wrongHost(self) -> None:
        """
        A host that is not this site gets a refusal with the set and nothing of the site (E07).
        """
        response = self.check(request(edge(), "GET", "/", host="evil.example"), 421)
        self.assertNotIn(b"The page", response.body)

    def test_ownHeadersOfResources(self) -> None:
        """
        A resource cannot weaken the set or double it.
        """
        response = self.check(request(edge(), "GET", "/api/headers"), 200)
        self.assertEqual(response.body, b"mine")

    def test_raising(self) -> None:
        """
        A resource that raises is a 500 that says nothing about why, and an answer that breaks
        off is not taken for a whole one.
        """
        server = edge()
        for target in ("/api/raising", "/api/raising-later"):
            response = request(server, "GET", target)
            self.assertEqual(response.status, 500)
            self.assertNotIn(b"private", response.body)
            self.assertEqual(response.all("ETag") + response.all("Set-Cookie"), [])
        with Connection.to(server) as connection, self.assertRaises((AssertionError, OSError)):
            connection.request("GET", "/api/cut")
        self.assertEqual(request(server, "GET", "/healthz").status, 200)


class SettingTests(HeadersTestCase):
    """
    What an operator can change about the set.
    """

    def test_settings(self) -> None:
        """
        HSTS has the age that was asked for, the policy the sources that were asked for and is
        otherwise the same, and CROSS_ORIGIN_ISOLATION changes nothing at the edge
        (E21, E22, E24).
        """
        policy = CSP.replace(
            "connect-src 'self' blob:", "connect-src 'self' blob: https://p.example wss://p.example"
        )
        for isolation in ("0", "1"):
            server = Aero(
                *edgeOptions(),
                AERO_HSTS_MAX_AGE="31536000",
                AERO_CSP_CONNECT_SRC_EXTRA="https://p.example wss://p.example",
                CROSS_ORIGIN_ISOLATION=isolation,
            )
            self.addCleanup(server.kill)
            for target in ("/", "/session", "/healthz"):
                self.check(
                    request(server, "GET", target),
                    200,
                    target,
                    strict_transport_security="max-age=31536000",
                    content_security_policy=policy,
                )

    def test_badSources(self) -> None:
        """
        A source that would change the policy stops the start, with the variable's name (E23).
        """
        for extra in ("https://p.example; script-src *", "'unsafe-inline'", 'https://"', "a\nb"):
            result = run(*edgeOptions(), AERO_CSP_CONNECT_SRC_EXTRA=extra)
            self.assertNotEqual(result.returncode, 0, extra)
            self.assertIn("AERO_CSP_CONNECT_SRC_EXTRA", result.stderr)


class RequestIdTests(HeadersTestCase):
    """
    The C{X-Request-Id} (E26).
    """

    def test_echoed(self) -> None:
        """
        A usable id comes back, on pages and on answers of services, over both protocols.
        """
        server = edge()
        with Connection.to(server) as connection:
            for target in ("/healthz", "/session", "/api/x", "/main.js"):
                response = connection.request("GET", target, ("X-Request-Id", "trace-1 of me"))
                self.assertEqual(response.one("X-Request-Id"), "trace-1 of me", target)
        require("curl")
        response = curl(server, "/healthz", "--header", "X-Request-Id: trace-2")
        self.assertEqual(response.one("X-Request-Id"), "trace-2")

    def test_made(self) -> None:
        """
        Without one, or with one that is no id, each request gets a new one.
        """
        with Connection.to(edge()) as connection:
            ids = {
                connection.request("GET", "/healthz", *headers).one("X-Request-Id")
                for headers in (
                    (),
                    (),
                    (("X-Request-Id", ""),),
                    (("X-Request-Id", "a" * 129),),
                    (("X-Request-Id", "one"), ("X-Request-Id", "two")),
                    (("X-Request-Id", "caf\xe9"),),
                )
            }
        self.assertEqual(len(ids), 6)
        for one in ids:
            self.assertRegex(one, r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
