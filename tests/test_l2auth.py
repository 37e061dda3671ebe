"""
The modes of authentication of C{/l2}, with each carrier (l2.md section 20.2, S10 to S20).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import PROTOCOL, Guest
from tests.support.l2case import JWT_SECRET, KEY, SECRET, L2Case, cookie, jsonWebToken
from tests.support.metrics import metric
from tests.support.server import Aero

OPEN = {"AERO_L2_OPEN": "1", "AERO_L2_MAX_CONNECTIONS": "0"}


class ModeTests(L2Case, SynchronousTestCase):
    """
    Each mode.
    """

    def mode(self, name: str, **variables: str) -> Aero:
        """
        A server with a mode and all keys.
        """
        keys = {
            "SESSION_SECRET": SECRET,
            "AERO_L2_API_KEY": KEY,
            "AERO_L2_JWT_SECRET": JWT_SECRET,
        }
        return self.closed(AERO_L2_AUTH_MODE=name, **OPEN | keys | variables)

    def carriers(self, server: Aero, token: str) -> None:
        """
        A token is taken from the query by either name, and from a subprotocol.
        """
        self.assertEqual(self.status(server, f"/l2?token={token}"), 101)
        self.assertEqual(self.status(server, f"/l2?apiKey={token}"), 101)
        guest = self.guest(server, protocols=f"{PROTOCOL}, aero-l2-token.{token}")
        self.assertEqual(guest.response.one("Sec-WebSocket-Protocol"), PROTOCOL)

    def test_legacyToken(self) -> None:
        """
        The older name of the key is enough (S10).
        """
        server = self.closed(AERO_L2_TOKEN=KEY, **OPEN)
        self.carriers(server, KEY)
        self.assertEqual(self.status(server, "/l2?token=wrong"), 401)

    def test_apiKey(self) -> None:
        """
        C{api_key} wants the key, in the open mode too (S11, S20).
        """
        server = self.mode("api_key")
        self.carriers(server, KEY)
        with Guest(server) as guest:
            self.assertEqual((guest.response.status, guest.body), (401, "invalid token"))
        server.kill()
        server = self.closed(AERO_L2_AUTH_MODE="api_key", AERO_L2_TOKEN=KEY, **OPEN)
        self.assertEqual(self.status(server, f"/l2?token={KEY}"), 101)

    def test_jwt(self) -> None:
        """
        C{jwt} wants a JSON Web Token, by four carriers, for the right page (S12, S13).
        """
        server = self.mode("jwt")
        self.assertEqual(self.status(server), 401)
        self.assertEqual(self.status(server, f"/l2?token={KEY}"), 401)
        self.assertEqual(self.status(server, "/l2?token=garbage"), 401)
        self.carriers(server, jsonWebToken())
        bearer = ("Authorization", f"Bearer {jsonWebToken()}")
        self.assertEqual(self.status(server, "/l2", bearer), 101)
        self.assertEqual(metric(server, "l2_auth_reject_total", reason="invalid_jwt"), 2)
        target = f"/l2?token={jsonWebToken(origin='https://app.test')}"
        self.assertEqual(self.status(server, target, origin="https://app.test"), 101)
        self.assertEqual(self.status(server, target, origin="https://other.test"), 401)
        self.assertEqual(metric(server, "l2_auth_reject_total", reason="jwt_origin_mismatch"), 1)

    def test_audience(self) -> None:
        """
        Audience and issuer have to be the right ones where they are set (S14).
        """
        server = self.mode("jwt", AERO_L2_JWT_AUDIENCE="l2", AERO_L2_JWT_ISSUER="gateway")
        for audience, issuer, status in (
            ("l2", "gateway", 101),
            ("udp", "gateway", 401),
            ("l2", "other", 401),
        ):
            token = jsonWebToken(aud=audience, iss=issuer)
            self.assertEqual(self.status(server, f"/l2?token={token}"), status)
        self.assertEqual(self.status(server, f"/l2?token={jsonWebToken()}"), 401)

    def test_cookieOrJWT(self) -> None:
        """
        Either is enough (S15).
        """
        server = self.mode("cookie_or_jwt")
        target = f"/l2?token={jsonWebToken()}"
        self.assertEqual(self.status(server), 401)
        self.assertEqual(self.status(server, cookie=cookie()), 101)
        self.assertEqual(self.status(server, target), 101)
        self.assertEqual(self.status(server, target, cookie=cookie(ttl=-1)), 101)

    def test_cookieOrKey(self) -> None:
        """
        Either is enough, also where the other is bad (S16, S17).
        """
        server = self.mode("cookie_or_api_key")
        bad = cookie(secret="another")
        self.assertEqual(self.status(server), 401)
        self.assertEqual(self.status(server, cookie=cookie()), 101)
        self.assertEqual(self.status(server, f"/l2?apiKey={KEY}"), 101)
        self.assertEqual(self.status(server, f"/l2?apiKey={KEY}", cookie=bad), 101)
        self.assertEqual(self.status(server, "/l2?apiKey=wrong", cookie=bad), 401)

    def test_both(self) -> None:
        """
        Both are needed (S17).
        """
        server = self.mode("session_and_token")
        self.assertEqual(self.status(server, cookie=cookie()), 401)
        self.assertEqual(self.status(server, f"/l2?token={KEY}"), 401)
        self.assertEqual(self.status(server, f"/l2?token={KEY}", cookie=cookie()), 101)

    def test_cookies(self) -> None:
        """
        The first cookie of the name decides, over all lines of the header (S18, S22).
        """
        server = self.mode("session")
        good, bad = cookie(), cookie(secret="another")
        self.grows(
            server, lambda: self.assertEqual(self.status(server), 401), "l2_auth_failures_total"
        )
        for lines, status in (
            ([good], 101),
            ([f"foo; {good}"], 101),
            (["a=b", good], 101),
            ([bad, good], 401),
            ([f"aero_session=; {good}"], 401),
            ([cookie(ttl=-1)], 401),
            ([good[:-2] + ("AA" if good[-2:] != "AA" else "BB")], 401),
        ):
            headers = [("Cookie", line) for line in lines]
            self.assertEqual(self.status(server, "/l2", *headers), status, lines)
        self.assertGreaterEqual(metric(server, "l2_auth_reject_total", reason="invalid_cookie"), 3)
        with Guest(server) as guest:
            self.assertEqual(guest.body, "missing or expired session")
