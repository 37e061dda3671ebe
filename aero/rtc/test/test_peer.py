"""
Tests for L{aero.rtc.peer}: what a peer is before and after its network. The rest is in
C{tests/test_rtc*.py}, with real ones.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import ROWS, Metrics
from aero.metrics import relay as rows
from aero.policy.icechecks import CheckLimits, IceChecks
from aero.policy.reach import AddressPolicy
from aero.rtc.datachannel import ChannelRequest
from aero.rtc.ice import IceOptions
from aero.rtc.peer import Peers, PeerShared
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.settings.webrtc import BridgeSettings
from aero.tunnel.datagrams.peers import PeerRequest, clientOrigin
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.wire.sdp import DescriptionError

UDP = ChannelRequest("udp", "", False, 0, None)
L2 = ChannelRequest("l2", "", True, None, None)


class PeerTests(SynchronousTestCase):
    """
    L{Peers} and what they make.
    """

    def make(self, *, tunnels: Any = None) -> None:
        """
        Peers of which two may be connecting.
        """
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.sessions = RelaySessions(
            SignalSettings(), UDPSettings(), clock=self.clock, metrics=self.metrics
        )
        self.peers = Peers(
            PeerShared(
                clock=self.clock,
                metrics=self.metrics,
                events=self.sessions.events,
                udp=UDPSettings(),
                bridge=BridgeSettings(),
                ice=IceOptions(),
                checks=IceChecks(
                    AddressPolicy(allowPrivate=True),
                    CheckLimits(),
                    now=self.clock.seconds,
                    refused=lambda reason: None,
                ),
                connectTimeout=30.0,
                maxMessage=4_352,
                maxBuffer=1_048_576,
                maxConnecting=2,
                openDatagrams=lambda sink, session: self.fail("nothing is open"),
                tunnels=tunnels,
            )
        )

    def setUp(self) -> None:
        self.make()

    def peer(self) -> Any:
        """
        One more.
        """
        session = self.sessions.take(None, lambda reason: None)
        return self.peers.makePeer(session, PeerRequest(address="192.0.2.1"))

    def event(self, name: str) -> int:
        """
        How often something happened.
        """
        return int(self.sessions.events.counts[name])

    def test_badOffer(self) -> None:
        """
        An offer that is none changes nothing.
        """
        peer = self.peer()
        for text in ("", "v=0", "x" * 200_000):
            self.assertRaises(DescriptionError, peer.offerReceived, text)
        self.assertEqual(peer.state, "new")

    def test_strangeFingerprint(self) -> None:
        """
        Nor does one whose certificate could not be compared.
        """
        text = (
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:abcd\r\n"
            "a=ice-pwd:0123456789012345678901\r\na=fingerprint:md5 AB:CD\r\n"
        )
        self.assertRaises(DescriptionError, self.peer().offerReceived, text)

    def test_connectTimeout(self) -> None:
        """
        One that does not connect in time ends, and gives its session back before anybody hears
        of it.
        """
        peer = self.peer()
        told: list[tuple[str, int]] = []
        peer.ended = lambda reason: told.append((reason, len(self.sessions)))
        self.clock.advance(30)
        self.assertEqual(told, [("connect timeout", 0)])
        self.assertEqual(self.event("webrtc_session_connect_timeout"), 1)
        self.assertEqual((self.peers.connecting, self.peers.open), (0, set()))

    def test_connected(self) -> None:
        """
        One that is connected has all the time, and makes room for others.
        """
        peer = self.peer()
        peer.offerReceived = None
        peer.state = "connecting"
        peer.associationEstablished()
        self.assertEqual((peer.state, self.peers.connecting), ("connected", 0))
        self.clock.advance(100)
        self.assertEqual(len(self.sessions), 1)
        peer.close("done")
        self.assertEqual((self.peers.connecting, len(self.sessions)), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_onlySoManyConnect(self) -> None:
        """
        Those that are not connected are few; the others are told to come back.
        """
        first, _ = self.peer(), self.peer()
        error = self.assertRaises(Refused, self.peer)
        self.assertEqual((error.status, error.code), (503, "too_many_sessions"))
        self.assertEqual(self.metrics.value(rows.SESSIONS_REFUSED, "connecting"), 1)
        first.close("done")
        self.peer()
        self.assertEqual(self.metrics.value(rows.PEERS), 2)

    def test_closesOnce(self) -> None:
        """
        However often it is closed, it is told once.
        """
        peer = self.peer()
        told: list[str] = []
        peer.ended = told.append
        peer.close("first")
        peer.close("second")
        peer.associationEnded("third")
        self.assertEqual(told, ["first"])

    def test_stop(self) -> None:
        """
        All of them end together, and nothing is waited for where nothing had begun.
        """
        self.peer()
        self.peer()
        self.peers.stop()
        self.assertEqual(len(self.sessions), 0)
        self.successResultOf(self.peers.whenGone())

    def test_gathering(self) -> None:
        """
        Whoever waits for candidates waits no longer than the peer lives.
        """
        peer = self.peer()
        waiting = peer.whenGathered()
        cancelled = peer.whenGathered()
        cancelled.cancel()
        self.failureResultOf(cancelled)
        self.assertNoResult(waiting)
        peer.close("done")
        self.successResultOf(waiting)
        self.successResultOf(peer.whenGathered())

    def test_channels(self) -> None:
        """
        One channel of each kind, and none of any other; a place is free again once its channel is
        closed.
        """
        self.make(tunnels=object())
        peer = self.peer()
        udp = peer.channelRequested(UDP)
        self.assertIsNotNone(udp)
        self.assertIsNone(peer.channelRequested(UDP))
        self.assertIsNotNone(peer.channelRequested(L2))
        self.assertIsNone(peer.channelRequested(L2))
        self.assertIsNone(peer.channelRequested(UDP._replace(label="x")))
        self.assertIsNone(peer.channelRequested(L2._replace(ordered=False)))
        for name in ("unknown_label", "duplicate_udp", "duplicate_l2"):
            self.assertEqual(self.event(f"webrtc_datachannel_rejected_{name}"), 1)
        self.assertEqual(self.metrics.value(rows.CHANNELS, "udp"), 1)
        udp.channelClosed()
        self.assertEqual(self.metrics.value(rows.CHANNELS, "udp"), 0)
        self.assertIsNotNone(peer.channelRequested(UDP))

    def test_noEthernet(self) -> None:
        """
        Without anywhere to lead to there is no channel of Ethernet; it is no mistake of anybody's.
        """
        self.assertIsNone(self.peer().channelRequested(L2))
        self.assertEqual(self.metrics.value(rows.CHANNELS_REFUSED, "l2", "off"), 1)

    def test_tooLarge(self) -> None:
        """
        A message that is too large is counted for the channel that it came on.
        """
        peer = self.peer()
        for label in ("udp", "l2", "l2", "other"):
            peer.messageTooLarge(label, 9_999)
        self.assertEqual(self.event("webrtc_datachannel_udp_message_too_large"), 1)
        self.assertEqual(self.event("webrtc_datachannel_l2_message_too_large"), 2)


class ClientOriginTests(SynchronousTestCase):
    """
    L{clientOrigin} (relay.md section 13.3).
    """

    def test_rules(self) -> None:
        """
        The client's origin in its one spelling, as it is where it has none; ours where there is
        none; nothing where there are several.
        """
        for origins, hosts, secure, expected in (
            ([b"HTTPS://A.example:443"], [b"b"], False, "https://a.example"),
            ([b"null"], [b"b"], False, "null"),
            ([b"chrome-extension://x"], [b"b"], False, "chrome-extension://x"),
            ([b"https://a", b"https://a"], [b"b"], False, ""),
            ([], [b"Relay.Example:8080"], False, "http://relay.example:8080"),
            ([b" "], [b"relay.example:443"], True, "https://relay.example"),
            ([], [], True, ""),
            ([], [b"a b"], True, ""),
        ):
            self.assertEqual(clientOrigin(origins, hosts, secure), expected)
