"""
Tests for L{aero.web.ice} (relay.md sections 2.3 and 20.1).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.relaymodes import Admitted, KeyAuth, RelayAuth
from aero.auth.turnrest import TurnSecret
from aero.http.gates import Gate
from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.metrics.relay import EVENTS
from aero.policy.iceservers import IceServer
from aero.policy.origin import Origins
from aero.testing.web import WebClient, WebResponse
from aero.web.ice import IceEndpoint, IceGate
from aero.web.relayendpoint import RelayDoor
from aero.web.relaygates import RelayOriginGate

NOW = 1_700_000_000.5
SERVERS = (IceServer(("stun:a",)), IceServer(("turn:b", "stun:c"), "own", "secret"))


class BrokenAuth(RelayAuth):
    """
    A mode that cannot decide.
    """

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        raise RuntimeError("no key")


class BrokenEndpoint(IceEndpoint):
    """
    One with a mistake in it.
    """

    def render_GET(self, request: Any) -> int:
        raise ZeroDivisionError


class IceTests(SynchronousTestCase):
    """
    C{GET /webrtc/ice}.
    """

    def make(
        self,
        auth: RelayAuth | None = None,
        servers: Any = SERVERS,
        kind: type[IceEndpoint] = IceEndpoint,
        **options: Any,
    ) -> None:
        """
        A relay with these servers.
        """
        self.metrics = Metrics(ROWS)
        door = RelayDoor(auth or RelayAuth(), self.metrics.events(EVENTS), lambda: NOW)
        gates: list[Gate] = [
            IceGate(),
            RelayOriginGate(Origins(["https://app.example"]), self.metrics),
        ]
        router = Router(gates=gates)
        router.addResource("/webrtc/ice", kind(door, servers, now=lambda: NOW, **options))
        self.client = WebClient(router)

    def get(self, *headers: tuple[bytes, bytes], method: bytes = b"GET") -> WebResponse:
        """
        Ask, and see that no cache may keep the answer.
        """
        response = self.client.request(method, "/webrtc/ice", headers=list(headers))
        for name, value in (
            (b"Cache-Control", b"no-store"),
            (b"Pragma", b"no-cache"),
            (b"Expires", b"0"),
        ):
            self.assertEqual(response.headers.getRawHeaders(name), [value])
        return response

    def test_list(self) -> None:
        """
        The servers as they are, with their own credentials.
        """
        self.make()
        stun = {"urls": ["stun:a"], "credentialType": "password"}
        turn = {
            "urls": ["turn:b", "stun:c"],
            "username": "own",
            "credential": "secret",
            "credentialType": "password",
        }
        self.assertEqual(self.get().json(), {"iceServers": [stun, turn]})
        self.assertEqual(self.get(method=b"HEAD").body, b"")

    def test_empty(self) -> None:
        """
        No server is an empty list.
        """
        self.make(servers=())
        self.assertEqual(self.get().body, b'{"iceServers":[]}\n')

    def test_secret(self) -> None:
        """
        With a secret every TURN server gets credentials that are new for each request, in place of
        its own; STUN gets none.
        """
        self.make(secret=TurnSecret("shared", ttl=60, prefix="p"))
        first, second = (self.get().json()["iceServers"] for _ in range(2))
        self.assertNotIn("username", first[0])
        self.assertRegex(first[1]["username"], "^1700000060:p:[0-9a-f]{32}$")
        self.assertNotEqual(first[1]["credential"], second[1]["credential"])

    def test_brokenSecret(self) -> None:
        """
        A secret that makes no credentials is an error of ours.
        """
        self.make(secret=TurnSecret("shared", ttl=0))
        response = self.get()
        self.assertEqual(response.status, 500)
        self.assertEqual(response.json(), {"code": "internal_error", "message": "internal error"})
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_problem(self) -> None:
        """
        A list that cannot be used is a 503 that says why, after the credential.
        """
        self.make(KeyAuth("k"), servers=(), problem="iceServers[0]: missing urls")
        self.assertEqual(self.get().status, 401)
        response = self.get((b"X-API-Key", b"k"))
        self.assertEqual(response.status, 503)
        self.assertEqual(response.json(), {"error": "iceServers[0]: missing urls"})

    def test_credentials(self) -> None:
        """
        None and a wrong one are counted; a mode that fails is not the client's failure.
        """
        self.make(KeyAuth("k"))
        for headers in ((), ((b"X-API-Key", b"x"),)):
            response = self.get(*headers)
            self.assertEqual(response.status, 401)
            self.assertEqual(response.json(), {"code": "unauthorized", "message": "unauthorized"})
        self.assertEqual(self.metrics.value(EVENTS, "auth_failure"), 2)
        self.make(BrokenAuth())
        self.assertEqual(self.get().status, 500)
        self.assertEqual(self.metrics.value(EVENTS, "auth_failure"), 0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_origins(self) -> None:
        """
        A foreign, malformed or strange origin is a 403; the right one is repeated.
        """
        self.make()
        for origin in (b"https://evil.example", b"https://", b"ftp://app.example"):
            response = self.get((b"Origin", origin))
            self.assertEqual(response.status, 403)
            self.assertEqual(response.json(), {"code": "forbidden", "message": "forbidden"})
        response = self.get((b"Origin", b"HTTPS://APP.EXAMPLE:443/"))
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header(b"Access-Control-Allow-Origin"), b"https://app.example")

    def test_mistake(self) -> None:
        """
        A mistake in the resource is a 500 that is not kept either.
        """
        self.make(kind=BrokenEndpoint)
        self.assertEqual(self.get().status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
