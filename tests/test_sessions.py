"""
Health, version, configuration and C{/session}, as a client and an operator see them
(gateway.md section 18, A01 to A41 and A70 to A73).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import Connection, Response, request
from .support.rigs import JWT_SECRET, ORIGIN, PROXIED, RELAY, SMALL, STRICT, Rigged
from .support.server import Aero, gatewayOptions, run
from .support.tools import freePort, require

_ENDPOINTS = {"webrtcSignal": "/webrtc/signal", "webrtcOffer": "/webrtc/offer"}
_ENDPOINTS |= {"udp": "/udp", "webrtcIce": "/webrtc/ice"}


class _SessionTests(Rigged):
    """
    What every client asks first.
    """

    def create(self, settings: dict[str, str] | None = None, *headers: tuple[str, str]) -> Response:
        """
        A new session.
        """
        response = request(self.server(settings), "POST", "/session", *headers)
        self.assertEqual(response.status, 201, str(response))
        return response

    def test_health(self) -> None:
        """
        Health and readiness are one JSON object (A01).
        """
        for path in ("/healthz", "/readyz"):
            response = request(self.server(), "GET", path)
            self.assertEqual((response.status, response.body), (200, b'{"ok":true}'))
            self.assertEqual(response.one("Content-Type"), "application/json; charset=utf-8")
            head = request(self.server(), "HEAD", path)
            self.assertEqual(head.status, 200)
            self.assertEqual(head.one("Content-Length"), response.one("Content-Length"))

    def test_version(self) -> None:
        """
        The version is three strings (A03).
        """
        found = request(self.server(), "GET", "/version").json()
        self.assertEqual(set(found), {"version", "gitSha", "builtAt"})
        self.assertTrue(all(isinstance(value, str) for value in found.values()))

    def test_longTarget(self) -> None:
        """
        A target of 8192 characters passes and one more is a 414 with a stable code (A02).
        """
        fits = "/healthz?" + "x" * (8_192 - 9)
        self.assertEqual(request(self.server(), "GET", fits).status, 200)
        response = request(self.server(), "GET", "/healthz?" + "x" * 9_000)
        self.assertEqual(response.status, 414)
        self.assertEqual(
            response.json(), {"error": "url_too_long", "message": "Request URL too long"}
        )

    def test_isolation(self) -> None:
        """
        With isolation on, every response carries the four headers (A04).
        """
        response = request(self.server(PROXIED), "GET", "/healthz")
        self.assertEqual(response.one("Cross-Origin-Opener-Policy"), "same-origin")
        self.assertEqual(response.one("Cross-Origin-Embedder-Policy"), "require-corp")
        self.assertEqual(response.one("Cross-Origin-Resource-Policy"), "same-origin")
        self.assertEqual(response.one("Origin-Agent-Cluster"), "?1")

    def test_securityHeaders(self) -> None:
        """
        Every response is protected and has its request id, also those to nonsense.
        """
        for method, path in (("GET", "/healthz"), ("GET", "/api/none"), ("OPTIONS", "/session")):
            response = request(self.server(), method, path, ("X-Request-Id", "the-id"))
            self.assertEqual(response.one("X-Content-Type-Options"), "nosniff")
            self.assertEqual(response.one("X-Frame-Options"), "DENY")
            self.assertTrue(response.one("Referrer-Policy"))
            self.assertTrue(response.one("Permissions-Policy"))
            self.assertEqual(response.one("X-Request-Id"), "the-id")
            self.assertEqual(response.all("Server"), [])

    def test_cookie(self) -> None:
        """
        A session is a cookie with exactly these attributes, and is stored by nobody (A30).
        """
        response = self.create()
        self.assertEqual(response.one("Cache-Control"), "no-store")
        value, *attributes = response.one("Set-Cookie").split("; ")
        self.assertRegex(value, r"^aero_session=[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$")
        expected = ["Max-Age=86400", "Path=/", "HttpOnly", "SameSite=Lax"]
        self.assertEqual(attributes, expected + (["Secure"] if self.kind == "edge" else []))

    def test_description(self) -> None:
        """
        The body tells the client its end, the endpoints and the limits, and no relay where
        there is none (A31, A36).
        """
        found = self.create().json()
        self.assertTrue(found["session"]["expiresAt"].endswith("Z"))
        datetime.fromisoformat(found["session"]["expiresAt"])
        self.assertEqual(
            found["endpoints"],
            {
                "tcp": "/tcp",
                "tcpMux": "/tcp-mux",
                "dnsQuery": "/dns-query",
                "dnsJson": "/dns-json",
                "l2": "/l2",
                "udpRelayToken": "/udp-relay/token",
            },
        )
        self.assertEqual(
            found["limits"]["tcp"],
            {
                "maxConnections": 3,
                "maxMessageBytes": 1_048_576,
                "connectTimeoutMs": 10_000,
                "idleTimeoutMs": 300_000,
            },
        )
        self.assertEqual(found["limits"]["dns"], {"maxQueryBytes": 4_096})
        self.assertEqual(
            found["limits"]["l2"], {"maxFramePayloadBytes": 2_048, "maxControlPayloadBytes": 256}
        )
        # Where the relay runs too the session says where; alone the gateway has none to name.
        self.assertEqual("udpRelay" in found, "relay" in found["services"])

    def test_bodies(self) -> None:
        """
        A JSON object is ignored and anything else that is a body is refused (5.5).
        """
        json_ = ("Content-Type", "application/json; charset=utf-8")
        text = ("Content-Type", "text/plain")
        for body, type_, status in (
            (b"{}", json_, 201),
            (b'{"any": [1]}', json_, 201),
            (b"[]", json_, 400),
            (b'"text"', json_, 400),
            (b"null", json_, 400),
            (b"{", json_, 400),
            (b"", json_, 400),
            (b'{"__proto__": {}}', json_, 400),
            (b"{}", text, 400),
            (b"<a/>", ("Content-Type", "application/xml"), 415),
            (b"[" * 10_000, json_, 400),
        ):
            response = request(self.server(), "POST", "/session", type_, body=body)
            self.assertEqual(response.status, status, (body[:20], response.body))
            self.assertEqual(bool(response.all("Set-Cookie")), status == 201)
        large = request(self.server(), "POST", "/session", json_, body=bytes(1_048_577))
        self.assertEqual(large.status, 413)
        self.assertAlive(self.server())

    def test_renewal(self) -> None:
        """
        A session that asks again keeps its id, by C{GET} too.
        """
        cookie = self.create().one("Set-Cookie").partition(";")[0]
        again = self.create(None, ("Cookie", cookie))
        self.assertEqual(self.claims(again)["sid"], _claims(cookie)["sid"])
        response = request(self.server(), "GET", "/session", ("Cookie", cookie))
        self.assertEqual((response.status, response.json()), (200, {"ok": True}))
        self.assertEqual(self.claims(response)["sid"], _claims(cookie)["sid"])

    def claims(self, response: Response) -> dict[str, Any]:
        """
        What the cookie of a response says.
        """
        return _claims(response.one("Set-Cookie").partition(";")[0])

    def test_forwardedProto(self) -> None:
        """
        Behind a trusted proxy that speaks TLS the cookie is C{Secure}; a client cannot claim
        that itself (A32, A52).
        """
        for value, secure in (
            ("https", True),
            ("HTTPS", True),
            (" https , http", True),
            ("http", False),
            ("ftp", False),
            ("", False),
        ):
            response = self.create(PROXIED, self.newClient(), ("X-Forwarded-Proto", value))
            found = "Secure" in response.one("Set-Cookie").split("; ")
            self.assertEqual(found, secure or self.kind == "edge", value)
        response = self.create(None, ("X-Forwarded-Proto", "https"))
        self.assertEqual("Secure" in response.one("Set-Cookie"), self.kind == "edge")

    def test_basePath(self) -> None:
        """
        With a base path everything answers there as well, and is advertised there
        (A33 to A35).
        """
        server = self.server(SMALL)
        for path in ("/session", "/base/session"):
            found = request(server, "POST", path).json()
            self.assertEqual(found["endpoints"]["l2"], "/base/l2")
            self.assertEqual(found["endpoints"]["tcp"], "/base/tcp")
            self.assertEqual(
                found["limits"]["l2"],
                {"maxFramePayloadBytes": 9_000, "maxControlPayloadBytes": 321},
            )
        self.assertEqual(request(server, "GET", "/base/healthz").status, 200)
        metrics = request(server, "GET", "/base/metrics")
        self.assertEqual(metrics.status, 200)
        self.assertIn(b"http_requests_total{", metrics.body)
        for path in ("/session/", "//session", "/Session", "/base/base/session"):
            self.assertNotEqual(request(server, "POST", path).status, 201, path)

    def test_relayWithoutAuth(self) -> None:
        """
        A relay that asks for nothing is told with its URL alone (A37, A38).
        """
        self.assertEqual(
            self.create(SMALL).json()["udpRelay"],
            {"baseUrl": RELAY, "authMode": "none", "endpoints": _ENDPOINTS},
        )

    def test_relayWithKey(self) -> None:
        """
        A relay with a key is told with that key (A39).
        """
        found = self.create(STRICT).json()["udpRelay"]
        datetime.fromisoformat(found.pop("expiresAt"))
        self.assertEqual(
            found,
            {
                "baseUrl": "https://relay.example.com",
                "authMode": "api_key",
                "endpoints": _ENDPOINTS,
                "token": "the-relay-key",
            },
        )

    def test_relayWithToken(self) -> None:
        """
        A relay that wants tokens gets one that names session, origin, audience and issuer
        (A40).
        """
        response = self.create(PROXIED, self.newClient(), ("Origin", ORIGIN))
        found = response.json()["udpRelay"]
        self.assertEqual(found["authMode"], "jwt")
        head, payload, signature = found["token"].split(".")
        self.assertEqual(_decode(head), b'{"alg":"HS256","typ":"JWT"}')
        claims = json.loads(_decode(payload))
        self.assertEqual(list(claims), ["iat", "exp", "sid", "origin", "aud", "iss"])
        self.assertEqual(claims["sid"], self.claims(response)["sid"])
        self.assertEqual(claims["origin"], ORIGIN)
        self.assertEqual((claims["aud"], claims["iss"]), ("the-relay", "the-gateway"))
        self.assertEqual(claims["exp"] - claims["iat"], 120)
        mac = hmac.digest(JWT_SECRET.encode(), f"{head}.{payload}".encode(), hashlib.sha256)
        self.assertEqual(_decode(signature), mac)

    def test_relayTokens(self) -> None:
        """
        Fresh tokens need an origin, then a session, and are five at once (A41).
        """
        server = self.server(PROXIED)

        def ask(*headers: tuple[str, str]) -> Response:
            return request(server, "POST", "/udp-relay/token", self.newClient(), *headers)

        cookie = self.create(PROXIED, self.newClient()).one("Set-Cookie").partition(";")[0]
        origin = ("Origin", ORIGIN)
        self.assertEqual(ask(("Cookie", cookie)).status, 403)
        self.assertEqual(ask(origin).status, 401)
        for _ in range(5):
            response = ask(origin, ("Cookie", cookie))
            self.assertEqual((response.status, response.json()["authMode"]), (200, "jwt"))
            self.assertEqual(response.one("Cache-Control"), "no-store")
        self.assertEqual(ask(origin, ("Cookie", cookie)).status, 429)
        # Without a relay there is nothing; with one a session comes first.
        status = 404 if self.kind == "gateway" else 401
        self.assertEqual(request(self.server(), "POST", "/udp-relay/token", origin).status, status)

    def test_rateLimit(self) -> None:
        """
        One request a minute is one request, and the refusal still says whom it is for (A70).
        """
        client, origin = self.newClient(), ("Origin", ORIGIN)
        for status in (200, 429):
            response = request(self.server(PROXIED), "GET", "/version", client, origin)
            self.assertEqual(response.status, status)
            self.assertEqual(response.one("Access-Control-Allow-Origin"), ORIGIN)
            self.assertEqual(response.one("Access-Control-Allow-Credentials"), "true")
            self.assertIn("content-length", response.one("Access-Control-Expose-Headers"))
        self.assertEqual(
            response.json(), {"error": "too_many_requests", "message": "Rate limit exceeded"}
        )
        self.assertGreater(int(response.one("Retry-After")), 0)

    def test_rateLimitOfClients(self) -> None:
        """
        Each client behind the proxy has a limit of its own, and what a client adds to the
        header itself changes nothing (A72).
        """
        server = self.server(PROXIED)
        one, two = self.newClient(), self.newClient()
        self.assertEqual(request(server, "GET", "/version", one).status, 200)
        self.assertEqual(request(server, "GET", "/version", two).status, 200)
        self.assertEqual(request(server, "GET", "/version", one).status, 429)
        claimed = (two[0], f"192.0.2.77, {two[1]}")
        self.assertEqual(request(server, "GET", "/version", claimed).status, 429)

    def test_rateLimitExemptions(self) -> None:
        """
        Health, readiness and metrics are never limited, under the base path neither (A73).
        """
        client = self.newClient()
        self.assertEqual(request(self.server(PROXIED), "GET", "/version", client).status, 200)
        for base in ("", "/base"):
            for path in ("/healthz", "/readyz", "/metrics"):
                response = request(self.server(PROXIED), "GET", base + path, client)
                self.assertEqual(response.status, 200, base + path)
            response = request(self.server(PROXIED), "GET", base + "/version", client)
            self.assertEqual(response.status, 429)

    def test_limitedRequestsDoNothing(self) -> None:
        """
        A limited request has no effect: no session, no second response, and no harm to the
        process (19.1 C2).
        """
        client = self.newClient()
        server = self.server(PROXIED)
        with Connection.to(server) as connection:
            self.assertEqual(connection.request("GET", "/version", client).status, 200)
            response = connection.request("POST", "/session", client)
            self.assertEqual((response.status, response.all("Set-Cookie")), (429, []))
            self.assertEqual(connection.request("GET", "/api/none", client).status, 429)
            self.assertEqual(connection.request("GET", "/healthz", client).status, 200)
            self.assertEqual(connection.pending, b"")
        self.assertAlive(server)

    def test_longTargetOfForeignOrigin(self) -> None:
        """
        A request that two gates refuse gets one answer, and the process lives (19.1 C1).
        """
        server = self.server()
        with Connection.to(server) as connection:
            response = connection.request(
                "GET", "/healthz?" + "x" * 9_000, ("Origin", "https://evil.example")
            )
            self.assertIn(response.status, (403, 414))
            self.assertEqual(response.all("Access-Control-Allow-Origin"), [])
            self.assertEqual(connection.pending, b"")
        self.assertAlive(server)


def _claims(cookie: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(_decode(cookie.partition("=")[2].partition(".")[0]))
    return payload


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class GatewaySessionTests(_SessionTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeSessionTests(_SessionTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"


class ConfigurationTests(SynchronousTestCase):
    """
    What stops the gateway from starting, and what does not.
    """

    def test_refused(self) -> None:
        """
        A setting that makes no sense stops the start with one sentence that names it
        (A11, A13, A15, A16, A19, A24); the unit tests of the settings have the rest.
        """
        relay = {"UDP_RELAY_BASE_URL": "https://relay.example.com"}
        many = ",".join(f"https://{number}.example.com" for number in range(5_000))
        cases: list[tuple[dict[str, str], str]] = [
            ({"PORT": "70000"}, "Invalid configuration"),
            ({"TLS_ENABLED": "1", "TLS_CERT_PATH": "/etc/hostname"}, "TLS_KEY_PATH"),
            ({"TCP_ALLOWED_PORTS": "0,443"}, "Invalid TCP_ALLOWED_PORTS entry"),
            ({"TCP_ALLOWED_PORTS": "443,abc"}, "Invalid TCP_ALLOWED_PORTS number"),
            (relay | {"UDP_RELAY_AUTH_MODE": "jwt"}, "UDP_RELAY_JWT_SECRET"),
            ({"ALLOWED_ORIGINS": many}, "ALLOWED_ORIGINS"),
            ({"TCP_BLOCKED_HOSTS": "a.*.example"}, "TCP_BLOCKED_HOSTS"),
        ]
        with ThreadPoolExecutor(2) as pool:
            results = pool.map(
                lambda case: run("--services", "gateway", **({"PORT": str(freePort())} | case[0])),
                cases,
            )
            for (variables, expected), result in zip(cases, results, strict=True):
                text = result.stderr + result.stdout
                self.assertNotEqual(result.returncode, 0, variables)
                self.assertNotIn("Traceback", text)
                sentences = [line for line in text.splitlines() if line.startswith("aero: ")]
                self.assertEqual(len(sentences), 1, text)
                self.assertIn(expected, sentences[0])

    def test_tls(self) -> None:
        """
        The gateway alone speaks TLS with certificate files, and its cookies are C{Secure}
        (A05, A06, A14), with the L2 limits at their defaults for C{0} (A23).
        """
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        key, certificate = directory / "key.pem", directory / "certificate.pem"
        subprocess.run(
            [
                *(require("openssl"), "req", "-x509", "-newkey", "ec", "-nodes"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost", "-days", "2"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        server = Aero(
            *gatewayOptions(),
            TLS_ENABLED="1",
            TLS_CERT_PATH=str(certificate),
            TLS_KEY_PATH=str(key),
            AERO_L2_MAX_FRAME_PAYLOAD="0",
            AERO_L2_MAX_CONTROL_PAYLOAD="0",
        )
        self.addCleanup(server.kill)
        self.assertTrue(server.url.startswith("https://"), server.url)
        context = ssl.create_default_context(cafile=str(certificate))
        with Connection(server.port, tls=context) as connection:
            host = f"localhost:{server.port}"
            response = connection.request("GET", "/healthz", host=host)
            self.assertEqual((response.status, response.json()), (200, {"ok": True}))
            response = connection.request("GET", "/session", host=host)
            self.assertEqual(response.status, 200)
            self.assertIn("Secure", response.one("Set-Cookie").split("; "))
            limits = connection.request("POST", "/session", host=host).json()["limits"]["l2"]
            self.assertEqual(limits, {"maxFramePayloadBytes": 2_048, "maxControlPayloadBytes": 256})
