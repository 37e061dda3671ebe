"""
Limits for one client, which new sessions do not get around (gateway.md section 19.2, H9): an
IPv6 client is its /64, whose addresses are all its own.
"""

from __future__ import annotations

import os
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from .support.http import Response, request
from .support.mux import STREAM_LIMIT, SUBPROTOCOL, Mux, dataFrame, openFrame
from .support.rigs import ORIGIN, Rigged
from .support.server import Aero
from .support.targets import Target, echo
from .support.websocket import WebSocket, tcpTarget

_SESSIONS, _UPGRADES, _TUNNELS = 3, 5, 2

_SETTINGS = {
    "ALLOWED_ORIGINS": ORIGIN,
    "AERO_SESSIONS_PER_MINUTE_PER_IP": str(_SESSIONS),
    "AERO_TRUSTED_PROXIES": "127.0.0.0/8,::1",
    "AERO_UPGRADES_PER_MINUTE_PER_IP": str(_UPGRADES),
    "TCP_ALLOW_PRIVATE_IPS": "1",
    "TCP_PROXY_MAX_CONNECTIONS_PER_IP": str(_TUNNELS),
    "TRUST_PROXY": "1",
}

_numbers = count(1)


def network() -> str:
    """
    The first half of IPv6 addresses that nothing came from yet: a /64.
    """
    return f"2001:db8:{os.getpid() & 0xFFFF:x}:{next(_numbers):x}"


class _LimitTests(Rigged):
    """
    What one client may have.
    """

    def server(self, settings: dict[str, str] | None = None) -> Aero:
        """
        One with small limits, which believes the proxy that the tests are.
        """
        return super().server(_SETTINGS)

    def create(self, address: str, *headers: tuple[str, str]) -> Response:
        """
        Ask for a session.
        """
        forwarded = ("X-Forwarded-For", address)
        return request(self.server(), "POST", "/session", forwarded, *headers)

    def cookie(self, address: str) -> str:
        """
        A new session of a client.
        """
        response = self.create(address)
        self.assertEqual(response.status, 201)
        return response.one("Set-Cookie").partition(";")[0]

    def assertLater(self, response: Response) -> None:
        """
        A refusal that says when to come again.
        """
        self.assertEqual(response.status, 429)
        self.assertIn(int(response.one("Retry-After")), range(1, 61))

    def test_sessions(self) -> None:
        """
        Only so many new sessions a minute, whichever address of a /64 asks; renewing one is no
        new session, and others have their own share.
        """
        mine, other = network(), network()
        found = [self.create(f"{mine}::{number}") for number in range(1, _SESSIONS + 1)]
        self.assertEqual({response.status for response in found}, {201})
        self.assertLater(self.create(f"{mine}:ffff::1"))
        cookie = ("Cookie", found[0].one("Set-Cookie").partition(";")[0])
        self.assertEqual(self.create(f"{mine}::9", cookie).status, 201)
        self.assertEqual(self.create(f"{other}::1").status, 201)

    def test_upgrades(self) -> None:
        """
        Only so many upgrades a minute, whatever their sessions are, and whether they succeed.
        """
        mine = network()
        cookies = [self.cookie(f"{mine}::{number}") for number in (1, 2)]
        for number in range(_UPGRADES + 1):
            forwarded = ("X-Forwarded-For", f"{mine}::{number}")
            target = tcpTarget("127.0.0.1", 0) if number % 2 else "/tcp-mux"
            with WebSocket(self.server(), target, forwarded, cookie=cookies[number % 2]) as refused:
                if number < _UPGRADES:
                    self.assertEqual(refused.response.status, 400)
                else:
                    self.assertLater(refused.response)

    def test_tunnels(self) -> None:
        """
        Only so many connections at once, over all sessions and both endpoints.
        """
        mine = network()
        first, second = self.cookie(f"{mine}::1"), self.cookie(f"{mine}::2")
        lines = [
            (("X-Forwarded-For", f"{mine}::{number}"), ("Sec-WebSocket-Protocol", SUBPROTOCOL))
            for number in (3, 4)
        ]
        server = self.server()
        with (
            Target(echo) as target,
            Mux(server, *lines[0], cookie=first) as one,
            Mux(server, *lines[1], cookie=second) as two,
        ):
            opening = openFrame(1, "127.0.0.1", target.port) + dataFrame(1, b"hi")
            for mux in (one, two):
                mux.send(opening)
                self.assertEqual(mux.data(1, 2), b"hi")
            two.send(openFrame(2, "127.0.0.1", target.port))
            expected = (STREAM_LIMIT, "session max connections exceeded")
            self.assertEqual(two.of(2).error(), expected)
            path = tcpTarget("127.0.0.1", target.port)
            with WebSocket(server, path, lines[0][0], cookie=first) as refused:
                self.assertEqual(refused.response.status, 429)


class GatewayLimitTests(_LimitTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeLimitTests(_LimitTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
