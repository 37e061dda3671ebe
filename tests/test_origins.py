"""
Which pages may use the services: the origin guard, CORS and preflights
(gateway.md section 3.2; section 18, A60 to A68).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.testing import vectors

from .support.http import Connection, Response, request
from .support.rigs import ORIGIN, SMALL, STRICT, Rigged
from .support.targets import Target, echo
from .support.websocket import WebSocket, tcpTarget

_REFUSAL = {"error": "forbidden", "message": "Origin not allowed"}


def _isSendable(value: str) -> bool:
    """
    Whether a text can be the value of a header at all.
    """
    return "\n" not in value and "\r" not in value and "\0" not in value


class _OriginTests(Rigged):
    """
    One list of origins for everything.
    """

    def setUp(self) -> None:
        """
        A target for tunnels.
        """
        target = Target(echo)
        self.addCleanup(target.__exit__)
        self.target = tcpTarget("127.0.0.1", target.port)

    def ask(
        self, connection: Connection, origin: str, method: str = "GET", path: str = "/healthz"
    ) -> Response:
        """
        A request with an origin, in the encoding of a program that sends UTF-8.
        """
        return connection.request(method, path, ("Origin", origin.encode().decode("latin-1")))

    def assertRefused(self, response: Response, name: str = "") -> None:
        """
        It says why, and grants nothing.
        """
        self.assertEqual(response.status, 403, name)
        self.assertEqual(response.json(), _REFUSAL)
        self.assertEqual(response.all("Access-Control-Allow-Origin"), [], name)

    def assertGranted(self, response: Response, origin: str, name: str = "") -> None:
        """
        It lets that origin read the answer, and says that it depends on it.
        """
        self.assertNotEqual(response.status, 403, name)
        self.assertEqual(response.one("Access-Control-Allow-Origin"), origin, name)
        self.assertEqual(response.one("Access-Control-Allow-Credentials"), "true")
        self.assertEqual(
            response.one("Access-Control-Expose-Headers"), "x-request-id, content-length"
        )
        self.assertIn("Origin", ", ".join(response.all("Vary")))

    def test_normalizeVectors(self) -> None:
        """
        Where every origin is allowed, each of the shared vectors is answered with its one
        spelling, or refused where it is no origin (A60, A62).
        """
        listed = vectors.load("origin.json")["normalize"]
        with Connection.to(self.server(SMALL)) as connection:
            for vector in listed:
                raw, name = vector["rawOriginHeader"], vector["name"]
                if not _isSendable(raw):
                    continue
                response = self.ask(connection, raw)
                if not raw.strip(" \t"):
                    self.assertEqual(response.status, 200, name)
                    self.assertEqual(response.all("Access-Control-Allow-Origin"), [], name)
                elif vector.get("expectError"):
                    self.assertRefused(response, name)
                else:
                    self.assertGranted(response, vector["normalizedOrigin"], name)

    def allowVectors(self) -> list[dict[str, Any]]:
        """
        The vectors with a list; without one the site's own origin is the list, so their
        same-host policy cannot be reached from outside.
        """
        listed = vectors.load("origin.json")["allow"]
        found = [
            one for one in listed if one["allowedOrigins"] and _isSendable(one["rawOriginHeader"])
        ]
        self.assertGreater(len(found), 8)
        return found

    def test_allowVectors(self) -> None:
        """
        Each of the shared vectors that has a list is allowed or refused as it says, over HTTP
        (A60).
        """
        for vector in self.allowVectors():
            settings = SMALL if vector["allowedOrigins"] == ["*"] else STRICT
            with Connection.to(self.server(settings)) as connection:
                response = self.ask(connection, vector["rawOriginHeader"])
            self.assertEqual(
                response.status, 200 if vector["expectAllowed"] else 403, vector["name"]
            )
            self.assertEqual(
                len(response.all("Access-Control-Allow-Origin")), int(vector["expectAllowed"])
            )

    def test_allowVectorsOfUpgrades(self) -> None:
        """
        The same vectors decide about WebSockets: an allowed origin gets as far as the target
        (A60).
        """
        for vector in self.allowVectors():
            settings = SMALL if vector["allowedOrigins"] == ["*"] else STRICT
            origin = ("Origin", vector["rawOriginHeader"])
            with WebSocket(self.server(settings), "/tcp?v=2", origin) as socket:
                expected = (
                    (400, b"Unsupported TCP proxy protocol version\n")
                    if vector["expectAllowed"]
                    else (403, b"Origin not allowed\n")
                )
                found = (socket.response.status, socket.response.body)
            self.assertEqual(found, expected, vector["name"])

    def test_ownOrigin(self) -> None:
        """
        Only what is listed is allowed: not the null origin, not the server's own host.
        """
        server = self.server()
        with Connection.to(server) as connection:
            self.assertGranted(self.ask(connection, ORIGIN), ORIGIN)
            self.assertGranted(self.ask(connection, "HTTP://LOCALHOST:80/"), ORIGIN)
            for origin in ("null", "https://localhost", f"http://localhost:{server.port}"):
                self.assertRefused(self.ask(connection, origin), origin)

    def test_everywhere(self) -> None:
        """
        The guard is in front of every path and method, errors and preflights included.
        """
        with Connection.to(self.server()) as connection:
            for method, path in (
                ("GET", "/api/none"),
                ("POST", "/session"),
                ("OPTIONS", "/session"),
                ("GET", "/metrics"),
            ):
                response = self.ask(connection, "https://evil.example", method, path)
                self.assertRefused(response, path)
                self.assertEqual(response.all("Set-Cookie"), [])
            response = self.ask(connection, ORIGIN, "GET", "/api/none")
            self.assertEqual(response.status, 404)
            self.assertGranted(response, ORIGIN)

    def test_oversized(self) -> None:
        """
        An origin of more than 4096 characters is refused even where all are allowed (A63).
        """
        with Connection.to(self.server(SMALL)) as connection:
            self.assertRefused(self.ask(connection, "https://" + "a" * 4_097))
            self.assertEqual(connection.request("GET", "/healthz").status, 200)

    def test_repeated(self) -> None:
        """
        Two origins are refused even where all are allowed, over HTTP and for WebSockets
        (A66, A68).
        """
        server = self.server(SMALL)
        twice = [("Origin", "https://example.com"), ("Origin", "https://example.com")]
        self.assertRefused(request(server, "GET", "/healthz", *twice))
        with WebSocket(server, self.target, *twice) as socket:
            self.assertEqual(
                (socket.response.status, socket.response.body), (403, b"Origin not allowed\n")
            )

    def test_repeatedHost(self) -> None:
        """
        A request with two hosts gets no permission (A65).
        """
        response = request(
            self.server(), "GET", "/healthz", ("Host", "other"), ("Origin", "https://other")
        )
        self.assertIn(response.status, (400, 403))
        self.assertEqual(response.all("Access-Control-Allow-Origin"), [])

    def test_preflight(self) -> None:
        """
        A preflight is granted what it asks for, and nothing odd or endless (A67).
        """
        for asked, granted in (
            ("x-foo", "Content-Type, x-foo"),
            ("content-type, x-foo", "content-type, x-foo"),
            ("", "Content-Type"),
            ("x-foo: bar", "Content-Type"),
            ("x" * 4_097, "Content-Type"),
            ("x" * 10_000, "Content-Type"),
        ):
            response = request(
                self.server(),
                "OPTIONS",
                "/session",
                ("Origin", ORIGIN),
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", asked),
            )
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(response.one("Access-Control-Allow-Headers"), granted)
            self.assertEqual(
                response.one("Access-Control-Allow-Methods"), "GET,POST,PUT,PATCH,DELETE,OPTIONS"
            )
            self.assertEqual(response.one("Access-Control-Max-Age"), "600")
            self.assertGranted(response, ORIGIN)

    def test_options(self) -> None:
        """
        Any other C{OPTIONS} is an empty 204, on paths that do not exist as well.
        """
        for path in ("/session", "/api/none"):
            response = request(self.server(), "OPTIONS", path)
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(response.all("Access-Control-Allow-Methods"), [])
            response = request(self.server(), "OPTIONS", path, ("Origin", ORIGIN))
            self.assertEqual(response.status, 204)
            self.assertGranted(response, ORIGIN)


class GatewayOriginTests(_OriginTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeOriginTests(_OriginTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
