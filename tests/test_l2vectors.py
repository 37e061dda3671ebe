"""
The shared vectors, from outside: origins and tokens (l2.md S30), and messages (F1).
"""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.vectors import load
from tests.support.l2 import ERROR, L2_PING, L2_PONG, Guest, l2Options
from tests.support.l2case import JWT_SECRET, SECRET, L2Case
from tests.support.server import ROOT, Aero

NONE = {"AERO_L2_AUTH_MODE": "none", "AERO_L2_MAX_CONNECTIONS": "0"}


class OriginTests(L2Case, SynchronousTestCase):
    """
    C{origin.json}.
    """

    def allowed(self, server: Aero, raw: str, host: str) -> bool:
        """
        Whether there is a tunnel for an Origin, as it is, at a host.
        """
        lines = (("Host", host), ("Origin", raw.encode("utf-8").decode("latin-1")))
        with Guest(server, "/l2", *lines) as guest:
            self.assertIn(guest.response.status, (101, 403), f"{raw!r}: {guest.response}")
            return guest.response.status == 101

    def test_normalize(self) -> None:
        """
        Where every origin is allowed, exactly those that are one get a tunnel. One that holds a
        line or a control character is no header that can be sent.
        """
        server = self.closed(AERO_L2_ALLOWED_ORIGINS="*", **NONE)
        cases = [
            case for case in load("origin.json")["normalize"] if "\n" not in case["rawOriginHeader"]
        ]
        self.assertGreaterEqual(len(cases), 57)
        for case in cases:
            expected = not case.get("expectError", False)
            raw = case["rawOriginHeader"]
            self.assertEqual(self.allowed(server, raw, "h"), expected, case["name"])

    def test_allow(self) -> None:
        """
        Each list allows what it should, the empty one what comes from the same host.
        """
        cases = load("origin.json")["allow"]
        lists = {tuple(case["allowedOrigins"]) for case in cases}
        for entries in sorted(lists):
            server = self.closed(AERO_L2_ALLOWED_ORIGINS=",".join(entries), **NONE)
            for case in cases:
                if tuple(case["allowedOrigins"]) == entries:
                    self.assertEqual(
                        self.allowed(server, case["rawOriginHeader"], case["requestHost"]),
                        case["expectAllowed"],
                        case["name"],
                    )
            server.kill()


class TokenTests(L2Case, SynchronousTestCase):
    """
    C{auth-tokens.json}, at the moment that they are for.
    """

    def test_tokens(self) -> None:
        """
        Each cookie and each JSON Web Token opens a tunnel exactly where it should.
        """
        vectors = load("auth-tokens.json")
        for name, mode in (("sessionTokens", "session"), ("jwtTokens", "jwt")):
            server = self.past(mode)
            cases = vectors[name]["vectors"]
            self.assertGreaterEqual(len(cases), 25)
            for case in cases:
                token = case["token"]
                status = (
                    self.status(server, cookie=f"aero_session={token}")
                    if mode == "session"
                    else self.status(server, f"/l2?token={token}", origin=case.get("origin"))
                )
                self.assertEqual(status, 401 if case.get("expectError") else 101, case["name"])
            server.kill()

    def past(self, mode: str) -> Aero:
        """
        A server in the past.
        """
        server = Aero(
            *l2Options(),
            "--app",
            "tests.support.apps.Past",
            state=None,
            runDir=None,
            AERO_L2_AUTH_MODE=mode,
            AERO_L2_OPEN="1",
            SESSION_SECRET=SECRET,
            AERO_L2_JWT_SECRET=JWT_SECRET,
            PYTHONPATH=str(ROOT),
        )
        self.addCleanup(server.kill)
        return server


class MessageTests(L2Case, SynchronousTestCase):
    """
    C{l2-tunnel-v1.json}.
    """

    def test_messages(self) -> None:
        """
        Valid messages leave the tunnel open, and a PING comes back; each of the others is the end
        with its words, unless the transport refuses its length before.
        """
        server = self.serve()
        for entry in load("l2-tunnel-v1.json")["vectors"]:
            guest = self.guest(server)
            guest.send(base64.b64decode(entry["wire_b64"]))
            if not entry.get("expectError"):
                if entry["type"] == L2_PING:
                    payload = base64.b64decode(entry["payload_b64"])
                    self.assertEqual(guest.receiveMessage(), (L2_PONG, payload))
                guest.sendMessage(L2_PING, b"alive")
                self.assertEqual(guest.receiveMessage(), (L2_PONG, b"alive"), entry["name"])
                continue
            ended = guest.untilEnd()
            if ended.code == 1009:
                self.assertEqual(entry["name"], "payload_too_large.frame")
                continue
            assert ended.error is not None
            self.assertEqual((ended.error[0], ended.code), (1, 1008), entry["name"])
            self.assertIn(entry["errorContains"], ended.error[1])
            self.assertEqual(ended.reason, ended.error[1])
            self.assertNotIn(ERROR, [kind for kind, _ in ended.messages])
