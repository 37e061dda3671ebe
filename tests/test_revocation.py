"""
Sessions that end before their time, by their own wish and by an operator's (gateway.md section
19.3, "Sessions").
"""

from __future__ import annotations

import base64
import json

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request, sessionCookie
from .support.metrics import counted, metric
from .support.mux import MUX_PONG, Frame, Mux, openFrame, pingFrame
from .support.rigs import USUAL, Rigged
from .support.server import Aero
from .support.targets import Recorder, Target
from .support.websocket import WebSocket, tcpTarget

_TOKEN = "sesame"
_OPERATOR = ("Authorization", f"Bearer {_TOKEN}")


def sidOf(cookie: str) -> str:
    """
    The name of a session, which its cookie tells everybody who has it.
    """
    payload = cookie.partition("=")[2].partition(".")[0]  # before the signature
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["sid"])


class _RevocationTests(Rigged):
    """
    The end of a session.
    """

    def server(self, settings: dict[str, str] | None = None) -> Aero:
        """
        One whose operator has a token.
        """
        return super().server(settings or USUAL | {"AERO_ADMIN_TOKEN": _TOKEN})

    def assertEnded(self, server: Aero, cookie: str) -> None:
        """
        No service knows the session any more.
        """
        asked = request(server, "GET", "/dns-json?name=localhost&type=A", ("Cookie", cookie))
        self.assertEqual(asked.status, 401)
        for target in (tcpTarget("127.0.0.1", 9), "/tcp-mux"):
            with WebSocket(server, target, cookie=cookie) as refused:
                self.assertEqual(refused.response.status, 401)

    def test_logOut(self) -> None:
        """
        A client ends its session: its tunnels are closed and what they go to is told, its
        cookie is forgotten and worth nothing, and other sessions go on.
        """
        server = self.server()
        cookie, other = sessionCookie(server), sessionCookie(server)
        recorder = Recorder()
        with (
            Target(recorder) as target,
            WebSocket(server, tcpTarget("127.0.0.1", target.port), cookie=cookie) as tunnel,
            Mux(server, cookie=cookie) as mux,
            Mux(server, cookie=other) as stays,
        ):
            mux.send(openFrame(1, "127.0.0.1", target.port))
            response = request(server, "DELETE", "/session", ("Cookie", cookie))
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertTrue(response.one("Set-Cookie").startswith("aero_session=; Max-Age=0; "))
            for closed in (tunnel, mux):
                self.assertEqual(closed.closeCode(), (1008, "session ended"))
            for _ in range(2):
                recorder.wait()
            self.assertEnded(server, cookie)
            stays.send(pingFrame(b"alive", 7))
            self.assertEqual(stays.next(), Frame(MUX_PONG, 7, b"alive"))
        again = request(server, "POST", "/session", ("Cookie", cookie))
        self.assertEqual(again.status, 201)
        self.assertNotEqual(sidOf(again.one("Set-Cookie")), sidOf(cookie))
        self.assertEqual(request(server, "DELETE", "/session").status, 204)
        self.assertAlive(server)

    def test_foreignPage(self) -> None:
        """
        A page of another site cannot end a session.
        """
        server = self.server()
        cookie = sessionCookie(server)
        line, foreign = ("Cookie", cookie), ("Origin", "https://elsewhere.example")
        self.assertEqual(request(server, "DELETE", "/session", line, foreign).status, 403)
        renewed = request(server, "POST", "/session", line)
        self.assertEqual(sidOf(renewed.one("Set-Cookie")), sidOf(cookie))

    def test_operator(self) -> None:
        """
        An operator sees who has tunnels open and ends a session.
        """
        server = self.server()
        cookie = sessionCookie(server)
        before = counted(server, "aero_sessions_ended_total", by="operator")
        with Target(Recorder()) as target, Mux(server, cookie=cookie) as mux:
            mux.send(openFrame(1, "127.0.0.1", target.port))
            listed = request(server, "GET", "/session/open", _OPERATOR).json()
            mine = {"sid": sidOf(cookie), "addresses": ["127.0.0.1"], "tunnels": {"tcp-mux": 1}}
            self.assertIn(mine, listed["sessions"])
            path = f"/session/open?sid={sidOf(cookie)}"
            self.assertEqual(request(server, "DELETE", path).status, 401)
            self.assertEqual(request(server, "DELETE", path, _OPERATOR).status, 204)
            self.assertEqual(mux.closeCode(), (1008, "session ended"))
        self.assertEnded(server, cookie)
        self.assertEqual(metric(server, "aero_sessions_ended_total", by="operator"), before + 1)

    def test_noOperator(self) -> None:
        """
        Without a token in the settings there is nothing for operators.
        """
        server = self.server(USUAL)
        self.assertEqual(request(server, "GET", "/session/open", _OPERATOR).status, 404)


class GatewayRevocationTests(_RevocationTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeRevocationTests(_RevocationTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
