"""
Tests for L{aero.rtc.channels}: who gets a channel, the ladder of sizes, and pressure (relay.md
section 9).
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import relay as rows
from aero.rtc.channels import L2Channel, UDPChannel, refusal
from aero.rtc.datachannel import ChannelRequest
from aero.settings.udp import UDPSettings
from aero.settings.webrtc import BridgeSettings


class FakeChannel:
    """
    A data channel that sends nothing until it is told to.
    """

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.queuedBytes = 0
        self.isClosed = False
        self.isPaused = False

    def send(self, messages: Sequence[bytes], limit: int = 0) -> int:
        self.sent += messages
        self.queuedBytes += sum(map(len, messages))
        return 0

    def close(self) -> None:
        self.isClosed = True

    def pauseReading(self) -> None:
        self.isPaused = True

    def resumeReading(self) -> None:
        self.isPaused = False


class FakeEnd:
    """
    What a channel leads to: an engine or a tunnel.
    """

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.isPaused = False
        self.lost: str | None = None

    def messagesReceived(self, messages: Sequence[bytes]) -> None:
        self.received += messages

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False

    def close(self) -> None:
        self.lost = "closed"

    def connectionLost(self, reason: str) -> None:
        self.lost = reason


class FakePeer:
    """
    As much of a peer as a channel needs. It is what its peers share, its session and its opener
    too.
    """

    id = "0" * 32

    def __init__(self) -> None:
        self.metrics = Metrics(ROWS)
        self.events = self.metrics.events(rows.EVENTS)
        self.udp = UDPSettings(maxPayload=8)
        self.bridge = BridgeSettings(maxL2Message=100)
        self.end: FakeEnd | None = FakeEnd()
        self.shared = self.session = self.request = self.tunnels = self
        self.gone: list[Any] = []
        self.clock = Clock()

    def openDatagrams(self, sink: Any, session: Any) -> Any:
        return self.end

    def openTunnel(self, session: Any, request: Any, carrier: Any) -> Any:
        return self.end

    def channelGone(self, channel: Any) -> None:
        self.gone.append(channel)


class RefusalTests(SynchronousTestCase):
    """
    L{refusal}.
    """

    def test_rules(self) -> None:
        """
        The rules of section 9.1.
        """
        for label, ordered, retransmits, lifetime, expected in (
            ("udp", False, 0, None, None),
            ("udp", True, 0, None, "invalid_datachannel"),
            ("udp", False, None, None, "invalid_datachannel"),
            ("udp", False, 1, None, "invalid_datachannel"),
            ("udp", False, None, 0, "invalid_datachannel"),
            ("l2", True, None, None, None),
            ("l2", False, None, None, "unordered"),
            ("l2", True, 0, None, "partial_reliability"),
            ("l2", False, 0, None, "partial_reliability"),
            ("l2", True, None, 1, "partial_reliability"),
            ("UDP", False, 0, None, "unknown_label"),
            ("", True, None, None, "unknown_label"),
            ("l2 ", True, None, None, "unknown_label"),
        ):
            request = ChannelRequest(label, "any", ordered, retransmits, lifetime)
            self.assertEqual(refusal(request), expected, request)


class ChannelTestCase(SynchronousTestCase):
    """
    A channel that is open.
    """

    def make(self, kind: type[UDPChannel] | type[L2Channel], *, end: bool = True) -> Any:
        """
        Open one.
        """
        peer: Any = FakePeer()
        if not end:
            peer.end = None
        channel: Any = FakeChannel()
        made = kind(peer)
        made.channelOpened(channel)
        self.peer, self.channel = peer, channel
        return made

    def event(self, name: str) -> int:
        """
        How often something happened.
        """
        return int(self.peer.events.counts[name])


class UDPChannelTests(ChannelTestCase):
    """
    L{UDPChannel}.
    """

    def test_messages(self) -> None:
        """
        They go to the engine, strings do not, and what it sends goes to the client.
        """
        udp = self.make(UDPChannel)
        udp.messagesReceived([b"a", b"b" * 32])
        udp.textReceived(5)
        self.assertEqual(self.peer.end.received, [b"a", b"b" * 32])
        udp.sendDatagrams((b"c",))
        self.assertEqual(self.channel.sent, [b"c"])

    def test_tooLong(self) -> None:
        """
        A message that no datagram fits closes the channel; those before it count.
        """
        udp = self.make(UDPChannel)
        udp.messagesReceived([b"a", b"b" * 33, b"c"])
        self.assertEqual((self.peer.end.received, self.channel.isClosed), ([b"a"], True))
        for name in ("datagrams_in", "dropped", "dropped_oversized"):
            self.assertEqual(self.event(f"webrtc_udp_{name}"), 1)

    def test_pressure(self) -> None:
        """
        A channel with much to send pauses the engine, and resumes it once it has little.
        """
        udp = self.make(UDPChannel)
        udp.sendDatagrams([bytes(1_000)] * 64)
        self.assertFalse(self.peer.end.isPaused)
        udp.sendDatagrams([bytes(1_000)] * 2)
        self.assertTrue(self.peer.end.isPaused)
        self.channel.queuedBytes = 20_000
        udp.channelDrained()
        self.assertTrue(self.peer.end.isPaused)
        self.channel.queuedBytes = 10_000
        udp.channelDrained()
        self.assertFalse(self.peer.end.isPaused)

    def test_closed(self) -> None:
        """
        With the channel the engine ends, and nothing happens after that.
        """
        udp = self.make(UDPChannel)
        udp.channelClosed()
        self.assertEqual((self.peer.end.lost, self.peer.gone), ("closed", [udp]))
        udp.messagesReceived([b"a"])
        udp.sendDatagrams([b"b"])
        udp.channelDrained()
        self.assertEqual((self.peer.end.received, self.channel.sent), ([], []))


class L2ChannelTests(ChannelTestCase):
    """
    L{L2Channel}.
    """

    def test_messages(self) -> None:
        """
        Both ways, and counted.
        """
        l2 = self.make(L2Channel)
        l2.messagesReceived([b"abc", b"de"])
        l2.textReceived(5)
        l2.sendMessages([b"f"])
        self.assertEqual((self.peer.end.received, self.channel.sent), ([b"abc", b"de"], [b"f"]))
        for name, count in (
            ("messages_from_client", 2),
            ("bytes_from_client", 5),
            ("messages_to_client", 1),
            ("bytes_to_client", 1),
        ):
            self.assertEqual(self.event(f"l2_bridge_{name}_total"), count)

    def test_nothingBehind(self) -> None:
        """
        A client that may have no Ethernet has its channel closed.
        """
        l2 = self.make(L2Channel, end=False)
        self.assertTrue(self.channel.isClosed)
        l2.messagesReceived([b"x"])
        l2.channelClosed()
        self.assertEqual(self.peer.gone, [l2])

    def test_tooLong(self) -> None:
        """
        A message over the limit is the end of the channel, in either direction.
        """
        l2 = self.make(L2Channel)
        l2.messagesReceived([b"a", bytes(101), b"b"])
        self.assertEqual(self.peer.end.received, [b"a"])
        self.assertEqual((self.peer.end.lost, self.channel.isClosed), ("oversized_message", True))
        l2 = self.make(L2Channel)
        l2.sendMessages([bytes(101)])
        self.assertEqual((self.peer.end.lost, self.channel.sent), ("oversized_message", []))
        self.assertEqual(self.event("l2_bridge_dropped_oversized_total"), 1)

    def test_pressure(self) -> None:
        """
        It pauses the tunnel and drops nothing; and the tunnel may stop the client.
        """
        l2 = self.make(L2Channel)
        l2.sendMessages([bytes(100)] * 700)
        self.assertTrue(self.peer.end.isPaused)
        l2.sendMessages([b"more"])
        self.assertEqual(len(self.channel.sent), 701)
        self.channel.queuedBytes = 0
        l2.channelDrained()
        self.assertFalse(self.peer.end.isPaused)
        l2.pauseReading()
        self.assertTrue(self.channel.isPaused)
        l2.resumeReading()
        self.assertFalse(self.channel.isPaused)

    def test_tunnelCloses(self) -> None:
        """
        A tunnel that closes closes the channel; what the client still sends is nothing.
        """
        l2 = self.make(L2Channel)
        l2.sendMessages([b"error"])
        l2.closeTunnel(1008, "quota")
        self.assertEqual((self.channel.sent, self.channel.isClosed), ([b"error"], True))
        l2.messagesReceived([b"x"])
        l2.sendMessages([b"y"])
        self.assertEqual((self.peer.end.received, self.channel.sent), ([], [b"error"]))
        l2.channelClosed()
        self.assertEqual(self.peer.end.lost, "datachannel_closed")
