"""
Tests for L{aero.web.relayendpoint} (relay.md sections 2, 4 and 5.4).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.relaymodes import Admitted, KeyAuth, RelayAuth, TokenAuth
from aero.errors import Refused
from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.metrics.relay import EVENTS
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.testing.web import WebClient, WebResponse
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.web.health import Readiness
from aero.web.relayendpoint import (
    RelayDoor,
    RelayEndpoint,
    RelayReadyEndpoint,
    RelaySessionEndpoint,
    RelayVersionEndpoint,
    UpgradeRequired,
)

NOW = 1_700_000_000.0


class BrokenAuth(RelayAuth):
    """
    A mode that cannot decide.
    """

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        raise RuntimeError("no key")


class Refusing(RelayEndpoint):
    """
    Refuses, now or later.
    """

    def __init__(self, waiting: Deferred[None]) -> None:
        super().__init__()
        self._waiting = waiting

    def render_GET(self, request: Any) -> int:
        raise Refused(503, "busy", "too busy", retryAfter=2.5)

    async def render_POST(self, request: Any) -> int:
        await self._waiting
        raise Refused(409, "taken", "taken already")

    def render_PUT(self, request: Any) -> int:
        raise RuntimeError("a mistake")


class ErrorTests(SynchronousTestCase):
    """
    Errors in the relay's shape.
    """

    def setUp(self) -> None:
        self.waiting: Deferred[None] = Deferred()
        router = Router()
        router.addResource("/refusing", Refusing(self.waiting))
        router.addResource("/udp", UpgradeRequired(typed=True))
        router.addResource("/signal", UpgradeRequired())
        self.client = WebClient(router)

    def test_now(self) -> None:
        """
        A refusal is code and message, and says when to come back.
        """
        response = self.client.request(b"GET", "/refusing")
        self.assertEqual(response.status, 503)
        self.assertEqual(response.body, b'{"code":"busy","message":"too busy"}\n')
        self.assertEqual(response.header(b"Content-Type"), b"application/json")
        self.assertEqual(response.header(b"Retry-After"), b"3")

    def test_later(self) -> None:
        """
        So is one that comes later.
        """
        exchange = self.client.start(b"POST", "/refusing")
        self.assertEqual(exchange.responses(), [])
        self.waiting.callback(None)
        response = exchange.response()
        self.assertEqual(response.status, 409)
        self.assertEqual(response.json(), {"code": "taken", "message": "taken already"})

    def test_mistake(self) -> None:
        """
        A mistake is a 500, and the process goes on.
        """
        self.assertEqual(self.client.request(b"PUT", "/refusing").status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.client.request(b"GET", "/refusing").status, 503)

    def test_upgradeRequired(self) -> None:
        """
        The path of a WebSocket is no page.
        """
        expected = {"code": "bad_message", "message": "websocket upgrade required"}
        response = self.client.request(b"GET", "/signal")
        self.assertEqual((response.status, response.json()), (400, expected))
        response = self.client.request(b"GET", "/udp")
        self.assertEqual((response.status, response.json()), (400, {"type": "error", **expected}))


class SessionTests(SynchronousTestCase):
    """
    C{POST /session} of the relay.
    """

    def make(self, auth: RelayAuth, limit: int = 0, ttl: float = 60.0) -> None:
        """
        A relay with this mode.
        """
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.sessions = RelaySessions(
            SignalSettings(maxRelaySessions=limit, preallocationTTL=ttl),
            UDPSettings(),
            clock=self.clock,
            metrics=self.metrics,
        )
        door = RelayDoor(auth, self.sessions.events, lambda: NOW)
        router = Router()
        router.addResource("/session", RelaySessionEndpoint(door, self.sessions))
        self.client = WebClient(router)

    def post(self, path: str = "/session", *headers: tuple[bytes, bytes]) -> WebResponse:
        """
        Ask for a session.
        """
        return self.client.request(b"POST", path, headers=list(headers))

    def test_none(self) -> None:
        """
        The bare id is the body; another one follows.
        """
        self.make(RelayAuth())
        response = self.post()
        self.assertEqual(response.status, 201)
        self.assertRegex(response.text(), r"^[0-9a-f]{32}$")
        self.assertIn(response.text(), self.sessions)
        self.assertEqual(self.post().status, 201)

    def test_body(self) -> None:
        """
        A body is ignored, whatever it is.
        """
        self.make(RelayAuth())
        self.assertEqual(self.client.request(b"POST", "/session", body=b"\xff{").status, 201)

    def test_key(self) -> None:
        """
        Without the key nothing is reserved, and the failure is counted.
        """
        self.make(KeyAuth("k"))
        for headers in ((), ((b"X-API-Key", b"x"),)):
            response = self.post("/session", *headers)
            self.assertEqual(response.status, 401)
            self.assertEqual(response.json(), {"code": "unauthorized", "message": "unauthorized"})
        self.assertEqual((len(self.sessions), self.metrics.value(EVENTS, "auth_failure")), (0, 2))
        self.assertEqual(self.post("/session", (b"X-API-Key", b"k")).status, 201)
        self.assertEqual(self.post("/session?apiKey=k").status, 201)

    def test_lock(self) -> None:
        """
        The same C{sid} is refused while it is held, whatever carries another token for it.
        """
        self.make(TokenAuth(["s"]), ttl=1)

        def token(sid: str, ttl: int = 60) -> str:
            return mintRelayToken("s", sid, now=NOW, ttl=ttl)[0]

        self.assertEqual(self.post(f"/session?token={token('a')}").status, 201)
        other = token("a", 90)
        for response in (
            self.post("/session", (b"Authorization", b"Bearer " + other.encode())),
            self.post("/session", (b"X-API-Key", other.encode())),
            self.post(f"/session?apiKey={other}"),
        ):
            self.assertEqual(response.status, 409)
            self.assertEqual(response.json()["code"], "session_already_active")
            self.assertIsNotNone(response.header(b"Retry-After"))
        self.assertEqual(self.post(f"/session?token={token('b')}").status, 201)
        self.clock.advance(1)
        self.assertEqual(self.post(f"/session?token={token('a')}").status, 201)

    def test_limit(self) -> None:
        """
        Beyond the limit it is 503 until a reservation has expired.
        """
        self.make(RelayAuth(), limit=1, ttl=0.25)
        self.assertEqual(self.post().status, 201)
        response = self.post()
        self.assertEqual((response.status, response.json()["code"]), (503, "too_many_sessions"))
        self.clock.advance(0.25)
        self.assertEqual(self.post().status, 201)

    def test_broken(self) -> None:
        """
        A mode that fails is an error of the server and no failure of the client.
        """
        self.make(BrokenAuth())
        response = self.post()
        self.assertEqual((response.status, response.json()["code"]), (500, "internal_error"))
        self.assertEqual(self.metrics.value(EVENTS, "auth_failure"), 0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_noRandomness(self) -> None:
        """
        So is a session that cannot be made.
        """
        self.make(RelayAuth())
        self.sessions._randomness = bytes
        self.assertEqual(self.post().status, 201)
        response = self.post()
        self.assertEqual((response.status, response.json()["code"]), (500, "internal_error"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class PageTests(SynchronousTestCase):
    """
    What the relay alone tells of itself.
    """

    def test_ready(self) -> None:
        """
        Ready, until the process drains; a problem with the settings is told.
        """
        readiness = Readiness()
        problem = ""
        router = Router()
        router.addResource("/readyz", RelayReadyEndpoint(readiness, lambda: problem))
        router.addResource("/version", RelayVersionEndpoint("abc", ""))
        client = WebClient(router)
        response = client.request(b"GET", "/readyz")
        self.assertEqual((response.status, response.json()), (200, {"ready": True}))
        problem = "AERO_ICE_SERVERS_JSON: not JSON"
        response = client.request(b"GET", "/readyz")
        self.assertEqual(
            (response.status, response.json()), (503, {"ready": False, "error": problem})
        )
        problem = ""
        readiness.drain()
        response = client.request(b"GET", "/readyz")
        self.assertEqual((response.status, response.json()), (503, {"ready": False}))
        response = client.request(b"GET", "/version")
        self.assertEqual(response.json(), {"commit": "abc", "buildTime": ""})
