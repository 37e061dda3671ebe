"""
The relay as its clients meet it: pages, origins, credentials and sessions (relay.md sections 20.1
to 20.4).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from aero.testing import vectors

from .support.http import Connection, Response, request
from .support.metrics import counted
from .support.relay import (
    API_KEY,
    JWT_SECRET,
    UDPClient,
    UDPTarget,
    relayServer,
    startRelay,
    token,
)
from .support.server import Aero, shared
from .support.websocket import TEXT, WebSocket

if TYPE_CHECKING:
    Case = SynchronousTestCase
else:
    Case = object

KEY = {"API_KEY": API_KEY, "AUTH_MODE": "api_key"}
TOKEN = {"AUTH_MODE": "jwt", "JWT_SECRET": JWT_SECRET, "SESSION_PREALLOC_TTL": "1s"}
ORIGIN = "https://app.example.com"
ACTIVE = ("session_already_active", "session already active", 1013, "session already active")


def event(server: Aero, name: str) -> float:
    """
    How often something happened.
    """
    return counted(server, "aero_webrtc_udp_relay_events_total", event=name)


def carriers(credential: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """
    Every way to show a credential in a request: query string, headers.
    """
    return [
        ("", [("Authorization", f"Bearer {credential}")]),
        ("", [("Authorization", f"ApiKey {credential}")]),
        ("", [("X-API-Key", credential)]),
        (f"?token={quote(credential)}", []),
        (f"?apiKey={quote(credential)}", []),
    ]


class PageTests(SynchronousTestCase):
    """
    What the relay alone tells of itself.
    """

    def server(self) -> Aero:
        """
        A relay that asks nobody for anything.
        """
        return relayServer(GIT_SHA="abc", BUILD_TIME="2026-11-24")

    def test_pages(self) -> None:
        """
        Health, readiness, version; HEAD as well, and every response has a request id.
        """
        server = self.server()
        for path, expected in (
            ("/healthz", {"ok": True}),
            ("/readyz", {"ready": True}),
            ("/version", {"commit": "abc", "buildTime": "2026-11-24"}),
        ):
            response = request(server, "GET", path)
            self.assertEqual((response.status, response.json()), (200, expected))
            self.assertEqual(response.one("Content-Type"), "application/json")
            self.assertTrue(response.one("X-Request-Id"))
            with Connection.to(server) as connection:
                self.assertEqual(connection.request("HEAD", path).status, 200)
        given = request(server, "GET", "/healthz", ("X-Request-ID", "my-custom-id"))
        self.assertEqual(given.one("X-Request-Id"), "my-custom-id")

    def test_metrics(self) -> None:
        """
        Events are whole numbers under one name.
        """
        response = request(self.server(), "GET", "/metrics")
        self.assertEqual(response.one("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        lines = response.body.decode().splitlines()
        found = [line for line in lines if line.startswith("aero_webrtc_udp_relay_events_total")]
        for line in found:
            self.assertRegex(
                line, r'^aero_webrtc_udp_relay_events_total\{event="([^"]+)"\} ([0-9]+)$'
            )
        self.assertEqual(found, sorted(found))
        self.assertIn("# TYPE aero_webrtc_udp_relay_events_total counter", lines)

    def test_notAPage(self) -> None:
        """
        C{/udp} without an upgrade is a 400, an unknown path a 404, another method a 405.
        """
        server = self.server()
        response = request(server, "GET", "/udp")
        self.assertEqual(response.status, 400)
        self.assertEqual(
            response.json(),
            {"type": "error", "code": "bad_message", "message": "websocket upgrade required"},
        )
        self.assertEqual(request(server, "GET", "/nothing").status, 404)
        self.assertEqual(request(server, "GET", "/session").status, 405)

    def test_badHandshake(self) -> None:
        """
        A handshake of another version is a 400 in the relay's words.
        """
        headers = ("Sec-WebSocket-Version", "12")
        with WebSocket(self.server(), "/udp", headers, cookie=None) as socket:
            self.assertEqual(socket.response.status, 400)
            self.assertEqual(socket.response.json()["code"], "bad_message")


class OriginTests(SynchronousTestCase):
    """
    Origins and CORS of the relay alone (section 20.2).
    """

    def test_list(self) -> None:
        """
        An origin of the list may ask and read, spelled as it likes; others get a 403 before
        anything else.
        """
        server = relayServer(ALLOWED_ORIGINS=ORIGIN, **KEY)
        response = request(server, "GET", "/healthz", ("Origin", "HTTPS://APP.EXAMPLE.COM:443/"))
        self.assertEqual(response.status, 200)
        self.assertEqual(response.one("Access-Control-Allow-Origin"), ORIGIN)
        self.assertEqual(response.one("Access-Control-Allow-Credentials"), "true")
        self.assertEqual(response.one("Access-Control-Expose-Headers"), "X-Request-ID")
        for origin in ("https://evil.example", "nonsense", "ftp://app.example.com", "null"):
            for method, path in (("GET", "/healthz"), ("POST", "/session"), ("GET", "/nothing")):
                response = request(server, method, path, ("Origin", origin), body=b"")
                self.assertEqual(response.status, 403)
                self.assertEqual(response.json(), {"code": "forbidden", "message": "forbidden"})
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_preflight(self) -> None:
        """
        A preflight is answered for any path, and granted what it asks for.
        """
        server = relayServer(ALLOWED_ORIGINS=ORIGIN, **KEY)
        response = request(
            server,
            "OPTIONS",
            "/webrtc/ice",
            ("Origin", ORIGIN),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "authorization,x-api-key"),
        )
        self.assertEqual(response.status, 204)
        self.assertEqual(response.one("Access-Control-Allow-Origin"), ORIGIN)
        self.assertIn("POST", response.one("Access-Control-Allow-Methods"))
        self.assertEqual(response.one("Access-Control-Allow-Headers"), "authorization,x-api-key")

    def test_udp(self) -> None:
        """
        C{/udp}: own host and listed origins are let in, foreign and repeated ones are not.
        """
        listed = relayServer(ALLOWED_ORIGINS=ORIGIN)
        with UDPClient(listed, "", ("Origin", ORIGIN)) as client:
            client.ready()
        own = relayServer(ALLOWED_ORIGINS="")
        with UDPClient(own, "", ("Origin", f"http://localhost:{own.port}")) as client:
            client.ready()
        for server, origins in (
            (listed, ["https://evil.example"]),
            (listed, [ORIGIN, ORIGIN]),
            (own, ["http://localhost:1"]),
            (own, ["null"]),
        ):
            headers = [("Origin", origin) for origin in origins]
            with WebSocket(server, "/udp", *headers, cookie=None) as socket:
                self.assertEqual(socket.response.status, 403)
                self.assertEqual(
                    socket.response.json(), {"code": "forbidden", "message": "forbidden"}
                )

    def test_vectors(self) -> None:
        """
        Every vector of an allowlist of one entry is allowed or refused as it should be.
        """
        listed = vectors.load("origin.json")["allow"]
        server = relayServer(ALLOWED_ORIGINS="*")
        own = relayServer(ALLOWED_ORIGINS="")
        checked = 0
        for vector in listed:
            if vector["allowedOrigins"] not in ([], ["*"]):
                continue
            asked = own if not vector["allowedOrigins"] else server
            response = request(
                asked,
                "GET",
                "/healthz",
                ("Origin", vector["rawOriginHeader"]),
                host=vector["requestHost"],
            )
            expected = 200 if vector["expectAllowed"] else 403
            # A Host that is none is refused before it is compared.
            self.assertIn(response.status, {expected, 400 if expected == 403 else expected})
            checked += 1
        self.assertGreater(checked, 10)


class _AuthTests(Case):
    """
    Who gets in; alone and behind the edge.
    """

    kind: ClassVar[str]

    def server(self, **settings: str) -> Aero:
        """
        A relay.
        """
        return relayServer(self.kind, **settings)

    def echo(self, client: UDPClient) -> None:
        """
        A datagram goes there and back.
        """
        with UDPTarget() as target:
            client.silence(target.v1(45_000, b"\x01\x02\x03\x04\x05"))

    def test_carriers(self) -> None:
        """
        Every carrier works with a key and with a token.
        """
        for settings, credential in ((KEY, API_KEY), (TOKEN, token())):
            server = self.server(**settings)
            for query, headers in carriers(credential):
                with UDPClient(server, query, *headers) as client:
                    client.ready()
                    self.echo(client)
                    client.close()
                    client.closed()

    def test_firstMessage(self) -> None:
        """
        So does the first message, with either name.
        """
        for settings, credential in ((KEY, API_KEY), (TOKEN, token())):
            server = self.server(**settings)
            for key in ("token", "apiKey"):
                with UDPClient(server) as client:
                    client.authenticate(credential, key)
                    client.ready()
                    client.authenticate(credential, key)
                    self.echo(client)
                    client.close()
                    client.closed()

    def test_closedTogether(self) -> None:
        """
        The same token four times in a row: a close that nobody waited for has freed the
        session when the next one asks.
        """
        server = self.server(**TOKEN)
        credential = token("in a row")
        for attempt in range(4):
            query = f"?{'token' if attempt % 2 else 'apiKey'}={credential}" if attempt < 2 else ""
            client = UDPClient(server, query)
            self.addCleanup(client.socket.connection.close)
            if not query:
                client.authenticate(credential)
            client.ready()
            self.echo(client)
            client.close()

    def test_refused(self) -> None:
        """
        Everything else is an error message and a close, and counts.
        """
        with UDPTarget() as target:
            datagram = target.v1(1, b"early")
        for settings, good in ((KEY, API_KEY), (TOKEN, token())):
            server = self.server(**settings)
            before = event(server, "auth_failure")
            invalid = ("unauthorized", "invalid credentials", 1008, "invalid credentials")
            required = ("unauthorized", "authentication required", 1008, "authentication required")
            bad = ("bad_message", "invalid auth message", 1008, "invalid auth message")
            with UDPClient(server, "?token=wrong") as client:
                client.authenticate(good)
                self.assertEqual(client.failure(), invalid)
            with UDPClient(server) as client:
                client.authenticate("wrong")
                self.assertEqual(client.failure(), invalid)
            with UDPClient(server) as client:
                client.send(datagram)
                self.assertEqual(client.failure(), required)
            with UDPClient(server) as client:
                client.say({"type": "auth", "token": good, "apiKey": "other"})
                self.assertEqual(client.failure(), bad)
            with UDPClient(server) as client:
                client.say({"type": "auth", "token": 5})
                self.assertEqual(client.failure(), (*bad[:2], 1003, bad[3]))
            self.assertEqual(event(server, "auth_failure") - before, 5)

    def test_lock(self) -> None:
        """
        The same C{sid} is refused with an error and 1013, however it is shown; another one is
        not; and at once when the first one has closed it is free.
        """
        server = self.server(**TOKEN)
        with UDPClient.withToken(server, token("one")) as first:
            first.ready()
            other = token("one", ttl=200)
            for query, headers in carriers(other):
                with UDPClient(server, query, *headers) as client:
                    self.assertEqual(client.failure(), ACTIVE)
            for key in ("token", "apiKey"):
                with UDPClient(server) as client:
                    client.authenticate(other, key)
                    self.assertEqual(client.failure(), ACTIVE)
            with UDPClient.withToken(server, token("two")) as client:
                client.ready()
            first.close()
            first.closed()
            with UDPClient.withToken(server, other) as client:
                client.ready()


class AuthTests(_AuthTests, SynchronousTestCase):
    """
    The relay alone.
    """

    kind = "relay"

    def test_tokens(self) -> None:
        """
        No token of the shared vectors lets anybody in today but those that do not expire, and
        none that was expected to be refused.
        """
        server = self.server(**TOKEN)
        listed = vectors.load("auth-tokens.json")["jwtTokens"]["vectors"]
        now = time.time()
        for vector in listed:
            good = not vector.get("expectError") and vector["exp"] > now
            good = good and vector["secret"] == JWT_SECRET
            response = request(
                server, "POST", "/session", ("Authorization", f"Bearer {vector['token']}")
            )
            self.assertEqual(response.status, 201 if good else 401, vector["name"])

    def test_claims(self) -> None:
        """
        A token is good until it expires, with the right secret, and from when it says.
        """
        server = self.server(**TOKEN)
        now = int(time.time())
        for number, (value, status) in enumerate(
            [
                (token("claims"), 201),
                (token("claims-late", nbf=now - 1), 201),
                (token("claims-early", nbf=now + 60), 401),
                (token("claims-old", ttl=-1), 401),
                (token("claims-other", secret="other"), 401),
                (token(""), 401),
                (token("claims-float", exp=now + 60.5), 401),
                (token("claims-aud", aud=None), 401),
                ("not-a-jwt", 401),
            ]
        ):
            response = request(server, "POST", "/session", ("X-API-Key", value))
            self.assertEqual(response.status, status, str(number))

    def test_gatewayElsewhere(self) -> None:
        """
        A gateway in another process mints what this relay takes.
        """
        common = {"AUTH_MODE": "jwt", "JWT_SECRET": JWT_SECRET}
        relay = self.server(**TOKEN)
        gateway = shared(
            "gateway",
            AERO_SESSIONS_PER_MINUTE_PER_IP="0",
            SESSION_SECRET="secret",
            UDP_RELAY_BASE_URL=relay.url,
            **common,
        )
        described = request(gateway, "POST", "/session").json()["udpRelay"]
        self.assertEqual(described["baseUrl"], relay.url)
        with UDPClient.withToken(relay, described["token"]) as client:
            client.ready()

    def test_timeout(self) -> None:
        """
        Who shows nothing in time is closed.
        """
        server = self.server(SIGNALING_AUTH_TIMEOUT="200ms", **KEY)
        with UDPClient(server) as client:
            self.assertEqual(
                client.failure(),
                ("unauthorized", "authentication timeout", 1008, "authentication timeout"),
            )
        self.assertEqual(event(server, "auth_failure"), 1)

    def test_longMessage(self) -> None:
        """
        A first message over the limit is closed with 1009, and is no failure.
        """
        server = self.server(MAX_SIGNALING_MESSAGE_BYTES="32", **KEY)
        with UDPClient(server) as client:
            client.socket.send(b'{"type":"auth","apiKey":"%b"}' % (b"x" * 120), TEXT)
            self.assertEqual(client.closed(), (1009, ""))
        self.assertEqual(event(server, "auth_failure"), 0)


class EdgeAuthTests(_AuthTests, SynchronousTestCase):
    """
    Behind the TLS edge.
    """

    kind = "edge"

    def test_minted(self) -> None:
        """
        The token of C{POST /session} opens C{/udp}, as does a fresh one; the end of the
        session is the end of the datagrams.
        """
        server = self.server(AUTH_MODE="jwt")
        response = request(server, "POST", "/session")
        relay: dict[str, Any] = response.json()["udpRelay"]
        self.assertEqual(relay["baseUrl"], server.url)
        self.assertEqual(relay["authMode"], "jwt")
        cookie = ("Cookie", response.one("Set-Cookie").split(";")[0])
        with UDPClient.withToken(server, relay["token"]) as client:
            client.ready()
            self.echo(client)
            fresh = request(server, "POST", "/udp-relay/token", cookie, ("Origin", server.url))
            with UDPClient.withToken(server, fresh.json()["token"]) as second:
                self.assertEqual(second.failure(), ACTIVE)
            self.assertEqual(request(server, "DELETE", "/session", cookie).status, 204)
            self.assertEqual(client.closed(), (1008, "session ended"))

    def test_open(self) -> None:
        """
        On an internal name nothing has to be shown.
        """
        server = self.server()
        relay = request(server, "POST", "/session").json()["udpRelay"]
        self.assertEqual((relay["authMode"], "token" in relay), ("none", False))
        with UDPClient(server) as client:
            client.ready()


class SessionTests(SynchronousTestCase):
    """
    One pool of sessions (section 20.4).
    """

    def post(self, server: Aero, query: str = "", *headers: tuple[str, str]) -> Response:
        """
        Reserve a session.
        """
        return request(server, "POST", f"/session{query}", *headers)

    def test_open(self) -> None:
        """
        Without tokens there is no lock; the id is the body.
        """
        for settings, headers in (({}, ()), (KEY, (("X-API-Key", API_KEY),))):
            server = relayServer(**settings)
            for _ in range(2):
                response = self.post(server, "", *headers)
                self.assertEqual(response.status, 201)
                self.assertRegex(response.body.decode(), r"^[0-9a-f]{32}$")

    def test_unauthorized(self) -> None:
        """
        Without the key nothing is reserved.
        """
        server = relayServer(**KEY)
        before = event(server, "auth_failure")
        response = self.post(server)
        self.assertEqual((response.status, response.json()["code"]), (401, "unauthorized"))
        self.assertEqual(event(server, "auth_failure") - before, 1)

    def test_lock(self) -> None:
        """
        A reservation holds the lock for every carrier until it expires, against C{/udp} too.
        """
        server = relayServer(**TOKEN)
        sid = f"lock-{time.time()}"
        self.assertEqual(self.post(server, f"?token={token(sid)}").status, 201)
        other = token(sid, ttl=200)
        for query, headers in carriers(other):
            response = self.post(server, query, *headers)
            self.assertEqual(response.status, 409)
            self.assertEqual(response.json()["code"], "session_already_active")
            self.assertTrue(response.one("Retry-After"))
        with UDPClient.withToken(server, other) as client:
            self.assertEqual(client.failure(), ACTIVE)
        self.assertEqual(self.post(server, f"?token={token(sid + 'x')}").status, 201)
        deadline = time.monotonic() + 10
        while self.post(server, f"?token={other}").status != 201:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def test_reservation(self) -> None:
        """
        A reservation that is named is used instead of being in the way.
        """
        server = relayServer(**TOKEN)
        sid = f"reserved-{time.time()}"
        ident = self.post(server, f"?token={token(sid)}").body.decode()
        with UDPClient(server, f"?token={token(sid)}&session={ident}") as client:
            self.assertEqual(client.ready(), ident)

    def test_limit(self) -> None:
        """
        With room for one session the second is refused until the first has ended.
        """
        server = relayServer(MAX_SESSIONS="1", SESSION_PREALLOC_TTL="300ms")
        full = ("too_many_sessions", "too many sessions", 1013, "too many sessions")
        with UDPClient(server) as first:
            first.ready()
            with UDPClient(server) as second:
                self.assertEqual(second.failure(), full)
            response = self.post(server)
            self.assertEqual((response.status, response.json()["code"]), (503, full[0]))
            first.close()
            first.closed()
        self.assertEqual(self.post(server).status, 201)
        with UDPClient(server) as second:
            self.assertEqual(second.failure(), full)
        self.assertEqual(event(server, "too_many_sessions"), 3)
        deadline = time.monotonic() + 10
        while self.post(server).status != 201:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_vanished(self) -> None:
        """
        A client whose connection breaks without a close frame frees its session too.
        """
        server = relayServer(**TOKEN)
        client = UDPClient.withToken(server, token("vanished"))
        client.ready()
        client.socket.connection.close()
        deadline = time.monotonic() + 10
        while True:
            with UDPClient.withToken(server, token("vanished")) as second:
                if second.message()["type"] == "ready":
                    return
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_shutdown(self) -> None:
        """
        An open C{/udp} and a long reservation do not hold up the end: the client is told with
        1001, and the status is 0.
        """
        server = startRelay(SESSION_PREALLOC_TTL="1h")
        self.addCleanup(server.kill)
        self.assertEqual(self.post(server).status, 201)
        with UDPClient(server) as client:
            client.ready()
            server.sendSignal(15)
            self.assertEqual(client.closed()[0], 1001)
            begun = time.monotonic()
            self.assertEqual(server.wait(), 0)
            self.assertLess(time.monotonic() - begun, 5)
