"""
C{/l2} behind the TLS edge, on the origin of everything else (edge.md section 3.3, l2.md S28).
"""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.headerset import problems
from tests.support.http import request, sessionCookie
from tests.support.l2 import ARP_REPLY, L2_PING, L2_PONG, Guest
from tests.support.l2case import L2Case
from tests.support.server import Aero, edgeOptions, shared

PATHS = ("/l2", "/l2/", "/eth", "/eth/")


def originOf(server: Aero) -> str:
    """
    The site's own origin.
    """
    return f"https://localhost:{server.port}"


class Edge(L2Case):
    """
    Tests with servers of their own.
    """

    def edge(self, state: Path | None = None, **variables: str) -> Aero:
        """
        A server of the test's own.
        """
        server = Aero(*edgeOptions(), state=state, runDir=None, **variables)
        self.addCleanup(server.kill)
        return server


class EdgeTests(Edge, SynchronousTestCase):
    """
    An internal site as it starts by itself.
    """

    def test_tunnel(self) -> None:
        """
        A page of the site gets a tunnel by each name, without credentials; the set of headers is
        on the 101 and on every refusal.
        """
        server = shared("edge")
        for path in PATHS:
            guest = self.guest(server, path, origin=originOf(server))
            self.assertEqual(guest.arp(), ARP_REPLY)
            self.assertEqual(problems(guest.response), [], path)
            self.assertEqual(guest.close().code, 1000)
        for origin, body in (
            (None, "missing Origin header"),
            ("https://evil.test", "Origin not allowed: https://evil.test"),
        ):
            with Guest(server, origin=origin) as refused:
                self.assertEqual((refused.response.status, refused.body), (403, body))
                self.assertEqual(problems(refused.response), [])
        self.assertEqual(request(server, "GET", "/l2").json()["error"], "not_found")

    def test_session(self) -> None:
        """
        The session tells where the tunnel is and what it takes.
        """
        value = request(shared("edge"), "POST", "/session").json()
        self.assertEqual(value["endpoints"]["l2"], "/l2")
        self.assertEqual(
            value["limits"]["l2"], {"maxFramePayloadBytes": 2048, "maxControlPayloadBytes": 256}
        )
        self.assertIn("l2", value["services"])

    def test_proxies(self) -> None:
        """
        Nobody gets another address by a header while this process terminates TLS itself.
        """
        server = self.edge(AERO_L2_TRUST_PROXY="1", AERO_L2_MAX_CONNECTIONS_PER_IP="1")
        origin = originOf(server)
        self.guest(server, "/l2", ("X-Forwarded-For", "203.0.113.1"), origin=origin)
        for name, value in (
            ("X-Forwarded-For", "203.0.113.2"),
            ("Forwarded", "for=203.0.113.3"),
        ):
            self.assertEqual(self.status(server, "/l2", (name, value), origin=origin), 429, name)

    def test_drain(self) -> None:
        """
        A stopping server closes tunnels with 1001 over TLS as well.
        """
        server = self.edge()
        guest = self.guest(server, origin=originOf(server))
        guest.sendMessage(L2_PING, b"x")
        self.assertEqual(guest.receiveMessage(), (L2_PONG, b"x"))
        server.sendSignal(signal.SIGTERM)
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code, ended.reason), (None, 1001, "shutting down"))
        guest.connection.close()
        self.assertEqual(server.wait(), 0)


class CookieTests(Edge, SynchronousTestCase):
    """
    A site that asks for the session.
    """

    def test_cookie(self) -> None:
        """
        Without the cookie of the session there is no tunnel, without an Origin neither (S28), and
        the cookie outlives the process without any secret being configured (edge.md E80).
        """
        holder = tempfile.TemporaryDirectory(prefix="aero-test-")
        self.addCleanup(holder.cleanup)
        state = Path(holder.name) / "state"
        mode = {"AERO_L2_AUTH_MODE": "session"}
        server = self.edge(state=state, **mode)
        origin = originOf(server)
        given = sessionCookie(server)
        for path in ("/l2", "/eth"):
            self.assertEqual(self.status(server, path, origin=origin), 401)
            self.assertEqual(self.status(server, path, origin=origin, cookie=given), 101)
            self.assertEqual(self.status(server, path, cookie=given), 403)
        self.assertEqual(server.stop(), 0)
        server = self.edge(state=state, **mode)
        self.assertEqual(self.status(server, origin=originOf(server), cookie=given), 101)

    def test_sessionEnds(self) -> None:
        """
        A session that ends takes its tunnels with it (W40).
        """
        server = self.edge(AERO_L2_AUTH_MODE="session")
        given = sessionCookie(server)
        guest = self.guest(server, origin=originOf(server), cookie=given)
        self.assertEqual(guest.arp(), ARP_REPLY)
        response = request(
            server, "DELETE", "/session", ("Cookie", given), ("Origin", originOf(server))
        )
        self.assertEqual(response.status, 204)
        ended = guest.untilEnd()
        self.assertEqual((ended.code, ended.reason), (1008, "session ended"))
        self.assertEqual(self.status(server, origin=originOf(server), cookie=given), 401)
