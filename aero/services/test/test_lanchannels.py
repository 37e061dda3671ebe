"""
Tests for L{aero.services.lanchannels}: the tunnel of C{/l2} with a data channel as its carrier.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.l2modes import L2Authenticator
from aero.metrics import ROWS, Metrics
from aero.metrics import relay as rows
from aero.policy.origin import normalizeOrigin
from aero.services.lanchannels import LANChannels, credentials
from aero.settings.l2 import L2Settings
from aero.testing.l2 import MemoryCarrier, MemoryLANs, makeTunnels
from aero.tunnel.datagrams.peers import PeerRequest
from aero.tunnel.ethernet.permits import TunnelPermits

NOW = 1_700_000_000.0
PING, PONG = b"\xa2\x03\x01\x00", b"\xa2\x03\x02\x00"
FRAME = b"\xa2\x03\x00\x00"


class LANChannelTests(SynchronousTestCase):
    """
    L{LANChannels}.
    """

    def make(self, mode: str = "none", **keys: Any) -> None:
        """
        Two LANs at most, for those whom this mode lets in.
        """
        self.metrics = Metrics(ROWS)
        self.lans = MemoryLANs()
        self.events = self.metrics.events(rows.EVENTS)
        self.permits = TunnelPermits(L2Settings(maxConnections=2), self.metrics)
        self.channels = LANChannels(
            makeTunnels(self.lans, Clock(), self.metrics),
            self.permits,
            L2Authenticator(mode, normalizeOrigin=normalizeOrigin, **keys),
            events=self.events,
            now=lambda: NOW,
        )
        self.session: Any = type("Session", (), {"id": "0" * 32})()

    def open(self, carrier: Any = None, **request: Any) -> Any:
        """
        Open one.
        """
        asked = PeerRequest(**({"address": "192.0.2.1", "origin": "https://a"} | request))
        return self.channels.openTunnel(self.session, asked, carrier or MemoryCarrier())

    def count(self, name: str) -> int:
        """
        How often something happened.
        """
        return self.events.counts[f"l2_bridge_{name}"]

    def test_frames(self) -> None:
        """
        The guest's frames reach a LAN that knows who it is, and PING is answered.
        """
        self.make()
        carrier = MemoryCarrier()
        channel = self.open(carrier)
        channel.messagesReceived([PING, FRAME + bytes(60)])
        self.assertEqual(carrier.take(), [PONG])
        lan = self.lans.last
        self.assertEqual((lan.peer.address, lan.peer.origin), ("192.0.2.1", "https://a"))
        channel.pauseProducing()
        channel.resumeProducing()
        channel.connectionLost("datachannel_closed")
        self.assertEqual((self.permits.held, self.count("dials_total")), (0, 1))

    def test_decision(self) -> None:
        """
        The authenticator of C{/l2} decides, about the relay's credential.
        """
        self.make("token", apiKey="k")
        self.assertIsNone(self.open())
        self.assertIsNone(self.open(credential="wrong"))
        self.assertEqual(self.count("dial_errors_total"), 2)
        self.assertIsNotNone(self.open(credential="k"))

    def test_token(self) -> None:
        """
        A token brings its session, and the origin it was made for has to be the client's.
        """
        self.make("jwt", jwtSecret="s")
        token, _ = mintRelayToken("s", "sid", now=NOW, ttl=60, origin="https://a")
        self.assertIsNotNone(self.open(credential=token))
        self.assertEqual(self.lans.last.peer.session, "sid")
        self.assertIsNone(self.open(credential=token, origin="https://b"))

    def test_permits(self) -> None:
        """
        There are as many tunnels as there may be, whatever carries them.
        """
        self.make()
        first, _ = self.open(), self.open()
        self.assertIsNone(self.open())
        first.connectionLost("datachannel_closed")
        self.assertIsNotNone(self.open())

    def test_credentials(self) -> None:
        """
        What the authenticator is shown is what a backend would be.
        """
        shown = credentials(
            PeerRequest(
                address="a", origin="https://a", credential="k&=", cookies=(b"aero_session=x",)
            )
        )
        self.assertEqual(shown.query, "token=k%26%3D&apiKey=k%26%3D")
        self.assertEqual((shown.cookies, shown.origins), ((b"aero_session=x",), (b"https://a",)))
        self.assertEqual(credentials(PeerRequest(address="a")).query, "")
