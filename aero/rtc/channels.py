# -*- test-case-name: aero.rtc.test.test_channels -*-
"""
The data channels C{udp} and C{l2}: who gets one, and what they lead to (relay.md section 9).

Both push back. C{udp} leads to a L{UDPSession}, which is paused while the channel is full, and
then drops its oldest datagrams; C{l2} leads to a tunnel that is paused, and whose frames are
never dropped. What a client sends is held back by L{DataChannel.pauseReading}.
"""

from __future__ import annotations

from typing import Any, Callable, Protocol, Sequence

from twisted.logger import Logger

from aero.settings.udp import UDPSettings
from aero.settings.webrtc import BridgeSettings
from aero.tunnel.datagrams.engine import DatagramSink, UDPSession
from aero.tunnel.datagrams.peers import PeerRequest, Tunnel, TunnelOpener
from aero.tunnel.datagrams.sessions import RelaySession

from .datachannel import ChannelRequest, DataChannel

UDP, L2 = "udp", "l2"

#: Bytes that a channel may hold before its source is paused, and down to which it drains.
_HIGH, _LOW = 65_536, 16_384

#: What the framing of a datagram adds at most (relay.md section 9.3).
_OVERHEAD = 24


class ChannelParts(Protocol):
    """
    The parts that channels of all peers share; L{aero.rtc.peer.PeerShared} has more.

    @ivar events: The relay's events.
    @ivar openDatagrams: Makes the engine of a channel C{udp}.
    @ivar tunnels: Opens the tunnel of a channel C{l2}; C{None} without Ethernet.
    """

    @property
    def events(self) -> Any: ...
    @property
    def udp(self) -> UDPSettings: ...
    @property
    def bridge(self) -> BridgeSettings: ...
    @property
    def openDatagrams(self) -> Callable[[DatagramSink, RelaySession], UDPSession]: ...
    @property
    def tunnels(self) -> TunnelOpener | None: ...


class ChannelPeer(Protocol):
    """
    The peer of a channel, as the channel sees it.

    @ivar session: Its relay session.
    @ivar request: The request that began it.
    """

    session: RelaySession
    request: PeerRequest

    @property
    def shared(self) -> ChannelParts: ...

    def channelGone(self, channel: UDPChannel | L2Channel) -> None:
        """
        The channel has closed; its place is free.
        """


def refusal(request: ChannelRequest) -> str | None:
    """
    Why a data channel is refused for what it is.

    @return: C{unknown_label}, C{partial_reliability}, C{unordered}, C{invalid_datachannel}, or
        C{None} where nothing is wrong with it.
    """
    if request.label == L2:
        if request.maxRetransmits is not None or request.maxPacketLifeTime is not None:
            return "partial_reliability"
        return None if request.ordered else "unordered"
    if request.label == UDP:
        good = (
            not request.ordered
            and request.maxRetransmits == 0
            and request.maxPacketLifeTime is None
        )
        return None if good else "invalid_datachannel"
    return "unknown_label"


class UDPChannel:
    """
    Datagrams over a data channel: what listens to it, and the sink of its engine.
    """

    _log = Logger()
    label = UDP

    def __init__(self, peer: ChannelPeer) -> None:
        self._peer = peer
        self._maxMessage = peer.shared.udp.maxPayload + _OVERHEAD
        self._engine: UDPSession | None = None
        self._channel: DataChannel | None = None
        self._paused = False

    def channelOpened(self, channel: DataChannel) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        self._channel = channel
        self._engine = self._peer.shared.openDatagrams(self, self._peer.session)

    def messagesReceived(self, messages: list[bytes]) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        engine, channel = self._engine, self._channel
        if engine is None or channel is None:
            return
        longest = max(map(len, messages))
        if longest <= self._maxMessage:
            engine.messagesReceived(messages)
            return
        good: list[bytes] = []
        for message in messages:
            if len(message) > self._maxMessage:
                break
            good.append(message)
        if good:
            engine.messagesReceived(good)
        events = self._peer.shared.events
        for name in ("datagrams_in", "dropped", "dropped_oversized"):
            events.inc(f"webrtc_udp_{name}")
        self._log.warn(
            "rejecting oversized udp datachannel message: {size} bytes, {most} at most",
            size=longest,
            most=self._maxMessage,
            session=self._peer.session.id,
        )
        channel.close()

    def textReceived(self, size: int) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """

    def sendDatagrams(self, messages: Sequence[bytes]) -> None:
        """
        See L{aero.tunnel.datagrams.engine.DatagramSink}.
        """
        channel = self._channel
        if channel is None:
            return
        channel.send(messages)
        if not self._paused and channel.queuedBytes > _HIGH and self._engine is not None:
            self._paused = True
            self._engine.pauseProducing()

    def channelDrained(self) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        channel, engine = self._channel, self._engine
        if not self._paused or engine is None or channel is None:
            return
        if channel.queuedBytes <= _LOW:
            self._paused = False
            engine.resumeProducing()

    def channelClosed(self) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        engine, self._engine, self._channel = self._engine, None, None
        if engine is not None:
            engine.close()
        self._peer.channelGone(self)


class L2Channel:
    """
    Ethernet over a data channel: what listens to it, and the carrier of its tunnel.
    """

    _log = Logger()
    label = L2

    def __init__(self, peer: ChannelPeer) -> None:
        self._peer = peer
        self._maxMessage = peer.shared.bridge.maxL2Message
        self._tunnel: Tunnel | None = None
        self._channel: DataChannel | None = None
        self._paused = False
        self._closing = False

    def channelOpened(self, channel: DataChannel) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        self._channel = channel
        peer = self._peer
        opener = peer.shared.tunnels
        if opener is not None:
            self._tunnel = opener.openTunnel(peer.session, peer.request, self)
        if self._tunnel is None:
            channel.close()

    def messagesReceived(self, messages: list[bytes]) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        tunnel, channel = self._tunnel, self._channel
        if tunnel is None or channel is None or self._closing:
            return
        events = self._peer.shared.events
        kept = messages
        if max(map(len, messages)) > self._maxMessage:
            kept = []
            for message in messages:
                if len(message) > self._maxMessage:
                    break
                kept.append(message)
        if kept:
            events.inc("l2_bridge_messages_from_client_total", len(kept))
            events.inc("l2_bridge_bytes_from_client_total", sum(map(len, kept)))
            tunnel.messagesReceived(kept)
        if kept is not messages:
            self._oversized("from_client", len(messages[len(kept)]))

    def textReceived(self, size: int) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """

    def sendMessages(self, messages: list[bytes]) -> None:
        """
        See L{aero.tunnel.datagrams.peers.TunnelCarrier}.
        """
        channel = self._channel
        if channel is None or self._closing or not messages:
            return
        longest = max(map(len, messages))
        if longest > self._maxMessage:
            self._oversized("to_client", longest)
            return
        events = self._peer.shared.events
        events.inc("l2_bridge_messages_to_client_total", len(messages))
        events.inc("l2_bridge_bytes_to_client_total", sum(map(len, messages)))
        channel.send(messages)
        if not self._paused and channel.queuedBytes > _HIGH and self._tunnel is not None:
            self._paused = True
            self._tunnel.pauseProducing()

    def closeTunnel(self, code: int, reason: str) -> None:
        """
        See L{aero.tunnel.datagrams.peers.TunnelCarrier}.
        """
        if self._channel is not None and not self._closing:
            self._closing = True
            self._log.info(
                "l2_bridge_shutdown: {reason} ({code})",
                reason=reason,
                code=code,
                session=self._peer.session.id,
            )
            self._channel.close()

    def pauseReading(self) -> None:
        """
        See L{aero.tunnel.datagrams.peers.TunnelCarrier}.
        """
        if self._channel is not None:
            self._channel.pauseReading()

    def resumeReading(self) -> None:
        """
        See L{aero.tunnel.datagrams.peers.TunnelCarrier}.
        """
        if self._channel is not None:
            self._channel.resumeReading()

    def unsentBytes(self) -> int:
        """
        See L{aero.tunnel.datagrams.peers.TunnelCarrier}.
        """
        return 0 if self._channel is None else self._channel.queuedBytes

    def channelDrained(self) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        channel, tunnel = self._channel, self._tunnel
        if not self._paused or tunnel is None or channel is None:
            return
        if channel.queuedBytes <= _LOW:
            self._paused = False
            tunnel.resumeProducing()

    def channelClosed(self) -> None:
        """
        See L{aero.rtc.datachannel.ChannelReceiver}.
        """
        tunnel, self._tunnel, self._channel = self._tunnel, None, None
        if tunnel is not None:
            tunnel.connectionLost("datachannel_closed")
        self._peer.channelGone(self)

    def _oversized(self, direction: str, size: int) -> None:
        self._peer.shared.events.inc("l2_bridge_dropped_oversized_total")
        self._log.warn(
            "l2_bridge_shutdown: oversized_message {direction}: {size} bytes, {most} at most",
            direction=direction,
            size=size,
            most=self._maxMessage,
            session=self._peer.session.id,
        )
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            tunnel.connectionLost("oversized_message")
        self.closeTunnel(1009, "oversized_message")
