"""
The session cookie as a key to C{/tcp} (gateway.md section 4; section 18, A45 to A55).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from aero.testing import vectors

from .support.http import sessionCookie
from .support.rigs import SECRET, Rigged
from .support.targets import Target, echo
from .support.websocket import CLOSE, WebSocket, tcpTarget


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def mint(payload: bytes | object, secret: str = SECRET) -> str:
    """
    Sign a token, of any claims or of any bytes.
    """
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    encoded = _encode(data)
    return f"{encoded}.{_encode(hmac.digest(secret.encode(), encoded.encode(), hashlib.sha256))}"


class _TokenTests(Rigged):
    """
    Which cookies open a tunnel.
    """

    def status(self, *cookies: str) -> int:
        """
        What an upgrade with these C{Cookie} lines is answered.
        """
        headers = [("Cookie", cookie) for cookie in cookies]
        target = tcpTarget("127.0.0.1", self.port)
        with WebSocket(self.server(), target, *headers, cookie=None) as tunnel:
            if tunnel.accepted:
                tunnel.send(b"\x03\xe8", CLOSE)
                tunnel.closeCode()
            else:
                self.assertEqual(tunnel.response.body, b"Unauthorized\n")
            return tunnel.response.status

    def setUp(self) -> None:
        """
        A target, so that only the cookie decides.
        """
        target = Target(echo)
        self.addCleanup(target.__exit__)
        self.port = target.port
        self.later = int(time.time()) + 3_600
        self.good = mint({"v": 1, "sid": "one", "exp": self.later})

    def test_vectors(self) -> None:
        """
        No token of the shared vectors opens a tunnel: what was good once has expired since
        (A45).
        """
        for vector in vectors.load("auth-tokens.json")["sessionTokens"]["vectors"]:
            self.assertEqual(vector["secret"], SECRET)
            cookie = f"aero_session={vector['token']}"
            self.assertEqual(self.status(cookie), 401, vector["name"])

    def test_claims(self) -> None:
        """
        Claims that are good open a tunnel until they expire, and no others, however well
        they are signed (A45).
        """
        for claims, status in (
            ({"v": 1, "sid": "one", "exp": self.later}, 101),
            ({"v": 1.0, "sid": "one", "exp": self.later + 0.5}, 101),
            ({"v": 1, "sid": "one", "exp": self.later, "more": [1]}, 101),
            ({"v": 1, "sid": "one", "exp": int(time.time()) - 1}, 401),
            ({"v": 2, "sid": "one", "exp": self.later}, 401),
            ({"v": "1", "sid": "one", "exp": self.later}, 401),
            ({"v": True, "sid": "one", "exp": self.later}, 401),
            ({"v": 1, "sid": "", "exp": self.later}, 401),
            ({"v": 1, "sid": 1, "exp": self.later}, 401),
            ({"v": 1, "exp": self.later}, 401),
            ({"v": 1, "sid": "one"}, 401),
            ({"v": 1, "sid": "one", "exp": str(self.later)}, 401),
            ({"v": 1, "sid": "one", "exp": True}, 401),
            ({"v": 1, "sid": "one", "exp": float("inf")}, 401),
            ({"v": 1, "sid": "one", "exp": float("nan")}, 401),
            ([1, "one", self.later], 401),
            (b'{"v":1,"sid":"one","exp":1e400}', 401),
            (b'{"v":1,"sid":"\xc0\xaf","exp":9999999999}', 401),
            (b'{"v":1,"sid":"one","exp":9999999999} x', 401),
            (b'{"v":1,"sid":"", "sid":"one","exp":9999999999}', 101),
            (b"[" * 5_000, 401),
            (b"", 401),
        ):
            self.assertEqual(self.status(f"aero_session={mint(claims)}"), status, str(claims)[:60])
        self.assertAlive(self.server())

    def test_otherSecret(self) -> None:
        """
        A token that somebody else signed opens nothing.
        """
        token = mint({"v": 1, "sid": "one", "exp": self.later}, "another secret")
        self.assertEqual(self.status(f"aero_session={token}"), 401)

    def test_damaged(self) -> None:
        """
        A good token with any one part changed opens nothing (A47).
        """
        payload, signature = self.good.split(".")
        other = "A" if signature[-1] != "A" else "E"
        for token in (
            payload,
            f"{payload}.",
            f".{signature}",
            f"{payload}.{signature}.",
            f"{payload}.{signature}.x",
            f"{payload}.{signature[:-1]}",
            f"{payload}.{signature[:-1]}{other}",
            f"{payload}.{signature}=",
            f"{payload}=.{signature}",
            f"{payload[:-1]}.{signature}",
            f"{payload} .{signature}",
            f'"{self.good}"',
            "a" * 4_000,
        ):
            self.assertEqual(self.status(f"aero_session={token}"), 401, token[-60:])

    def test_cookieSyntax(self) -> None:
        """
        The cookie is found among others, with spaces and percent-encoding, by its exact name
        (A53).
        """
        for line, status in (
            (f"aero_session={self.good}", 101),
            (f"a=b;  aero_session = {self.good} ; c", 101),
            (f"novalue; aero_session={self.good}", 101),
            ("aero_session=" + quote(self.good).replace(".", "%2E"), 101),
            (f"aero_session={self.good}%", 401),
            (f"Aero_Session={self.good}", 401),
            (f"xaero_session={self.good}", 401),
            (f"aero_session2={self.good}", 401),
            ("", 401),
        ):
            self.assertEqual(self.status(line), status, line[:40])

    def test_firstWins(self) -> None:
        """
        Of several session cookies the first counts, even if it is empty or bad, on one line
        or on many (A54, A81).
        """
        good = f"aero_session={self.good}"
        for lines, status in (
            (("aero_session=", good), 401),
            (("aero_session=%zz", good), 401),
            (("aero_session=bad; " + good,), 401),
            ((good, "aero_session="), 101),
            (("other=1", good), 101),
        ):
            self.assertEqual(self.status(*lines), status, lines)

    def test_longCookies(self) -> None:
        """
        A cookie over 4096 characters is cut and so no longer good; a line of 20000 makes all
        of them void, also one that comes later (A55).
        """
        good = f"aero_session={self.good}"
        self.assertEqual(self.status("a=" + "x" * 20_000, good), 401)
        self.assertEqual(self.status("a=" + "x" * 10_000 + "; " + good), 101)
        long = mint({"v": 1, "sid": "s" * 4_000, "exp": self.later})
        self.assertEqual(self.status(f"aero_session={long}"), 401)

    def test_own(self) -> None:
        """
        A cookie that the server made opens a tunnel, as it is.
        """
        self.assertEqual(self.status(sessionCookie(self.server())), 101)


class GatewayTokenTests(_TokenTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeTokenTests(_TokenTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
