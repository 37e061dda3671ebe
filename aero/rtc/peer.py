# -*- test-case-name: aero.rtc.test.test_peer -*-
"""
One WebRTC connection, from the offer to its end (relay.md sections 6.5, 8 and 9).

A peer is ICE, DTLS and SCTP on top of each other and nothing else: there is one section, of data
channels, so aiortc's C{RTCPeerConnection} with its media, its parser of any SDP and its
renegotiation is not needed. An offer is answered in the turn in which it comes, with the host
candidates in the answer; candidates of STUN and TURN servers follow.

The states are C{new}, C{connecting}, C{connected} and C{ended}. Whatever goes wrong, in whichever
layer, leads to L{Peer.close}: it gives the relay session back at once, tells whoever set the
connection up, and only then takes its time to say goodbye to the client.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from aero.errors import Refused
from aero.metrics import Metrics
from aero.metrics import relay as rows
from aero.net.commons import Commons
from aero.net.turns import Turn
from aero.policy.icechecks import IceChecks
from aero.settings.udp import UDPSettings
from aero.settings.webrtc import BridgeSettings
from aero.tunnel.datagrams.engine import DatagramSink, UDPSession
from aero.tunnel.datagrams.peers import PeerRequest, TunnelOpener
from aero.tunnel.datagrams.sessions import RelaySession
from aero.wire import sdp, signaling

from .association import Association
from .channels import L2, UDP, L2Channel, UDPChannel, refusal
from .datachannel import ChannelRequest
from .dtls import Certificates, DTLSTransport
from .ice import IceConnection, IceOptions

#: Seconds that an ended peer has to close its layers, a TURN allocation included.
_GOODBYE = 10.0

#: Hash functions that a certificate is compared by (RFC 8122 section 5).
_DIGESTS = ("sha-256", "sha-384", "sha-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerShared:
    """
    What the peers of a process share.

    @ivar clock: The reactor.
    @ivar metrics: The live metrics.
    @ivar events: The relay's events.
    @ivar udp: Settings of datagrams.
    @ivar bridge: Settings of the channel C{l2}.
    @ivar ice: How ICE is to be done.
    @ivar checks: What ICE may check.
    @ivar connectTimeout: Seconds that a peer has to connect.
    @ivar maxMessage: Bytes of the longest data channel message.
    @ivar maxBuffer: Bytes that SCTP holds for reassembly.
    @ivar maxConnecting: Peers that are not connected yet, at a time.
    @ivar openDatagrams: Makes the engine of a channel C{udp}.
    @ivar tunnels: Opens what a channel C{l2} leads to; C{None} without Ethernet.
    @ivar certificates: Gives the certificate.
    @ivar commons: What all clients share.
    """

    clock: IReactorTime
    metrics: Metrics
    events: Any
    udp: UDPSettings
    bridge: BridgeSettings
    ice: IceOptions
    checks: IceChecks
    connectTimeout: float
    maxMessage: int
    maxBuffer: int
    maxConnecting: int
    openDatagrams: Callable[[DatagramSink, RelaySession], UDPSession]
    tunnels: TunnelOpener | None
    certificates: Certificates = field(default_factory=Certificates)
    commons: Commons | None = None


class Peers:
    """
    Makes peers, and counts them.

    @ivar open: Those that have not ended.
    @ivar connecting: How many of them are not connected.
    """

    def __init__(self, shared: PeerShared) -> None:
        self._shared = shared
        self.open: set[Peer] = set()
        self.connecting = 0
        self._gauge = shared.metrics.gauge(rows.PEERS)
        self._leaving: set[asyncio.Future[None]] = set()

    def makePeer(self, session: RelaySession, request: PeerRequest) -> Peer:
        """
        See L{aero.tunnel.datagrams.peers.PeerFactory}.
        """
        if self.connecting >= self._shared.maxConnecting:
            self._shared.metrics.counter(rows.SESSIONS_REFUSED, "connecting").inc()
            raise Refused(503, "too_many_sessions", "too many sessions", retryAfter=1.0)
        peer = Peer(self, self._shared, session, request)
        self.open.add(peer)
        self.connecting += 1
        self._gauge.inc()
        return peer

    def stop(self) -> None:
        """
        End every peer.
        """
        for peer in list(self.open):
            peer.close("server is shutting down")

    def whenGone(self) -> Deferred[None]:
        """
        Fires when every peer that has ended has said goodbye.
        """
        if not self._leaving:
            return succeed(None)
        return Deferred.fromFuture(asyncio.ensure_future(_waitFor(list(self._leaving))))

    def peerConnected(self) -> None:
        """
        One is connected.
        """
        self.connecting -= 1

    def peerEnded(self, peer: Peer, goodbye: asyncio.Future[None] | None) -> None:
        """
        One has ended.

        @param goodbye: What it still has to do; C{None} where it had not begun.
        """
        self.open.discard(peer)
        self._gauge.dec()
        if goodbye is not None:
            self._leaving.add(goodbye)
            goodbye.add_done_callback(self._leaving.discard)


async def _waitFor(futures: Sequence[asyncio.Future[None]]) -> None:
    await asyncio.wait(futures)


class Peer:
    """
    One connection. See L{aero.tunnel.datagrams.peers.RelayPeer}.

    @ivar shared: What it shares with the others.
    @ivar session: Its relay session.
    @ivar request: Who asked for it.
    @ivar state: See above.
    """

    _log = Logger()

    def __init__(
        self, owner: Peers, shared: PeerShared, session: RelaySession, request: PeerRequest
    ) -> None:
        self.shared = shared
        self.session = session
        self.request = request
        self.state = "new"
        self.candidateFound: Callable[[sdp.Candidate], None] | None = None
        self.ended: Callable[[str], None] | None = None
        self._owner = owner
        self._offer: sdp.Offer | None = None
        self._candidates: list[sdp.Candidate] = []
        self._isGathered = False
        self._waiting: list[Deferred[None]] = []
        self._certificate = shared.certificates.current()
        self._sessionId = random.getrandbits(62)
        self._channels: dict[str, UDPChannel | L2Channel] = {}
        self._tasks: list[asyncio.Future[None]] = []
        self._ice: IceConnection | None = None
        self._dtls: DTLSTransport | None = None
        self._sctp: Association | None = None
        self._timer: IDelayedCall | None = shared.clock.callLater(
            shared.connectTimeout, self._connectTimedOut
        )

    # -- signalling

    @property
    def section(self) -> tuple[str, int]:
        """
        See L{aero.tunnel.datagrams.peers.RelayPeer}.
        """
        return (self._offer.mid, self._offer.index) if self._offer is not None else ("", 0)

    def offerReceived(self, text: str) -> str:
        """
        See L{aero.tunnel.datagrams.peers.RelayPeer}.
        """
        if self.state != "new":
            raise sdp.DescriptionError("there was an offer already")
        offer = sdp.parseOffer(text)
        if not any(name in _DIGESTS for name, _ in offer.fingerprints):
            raise sdp.DescriptionError("no DTLS fingerprint with a hash function that is known")
        self._offer = offer
        self.state = "connecting"
        shared = self.shared
        checks = shared.checks.session(self.request.address)
        ice = self._ice = IceConnection(shared.ice, self._candidateFound, checks, self._makeTurn)
        self._candidates = ice.bind()
        self._dtls = DTLSTransport(ice, [self._certificate])  # type: ignore[arg-type]
        self._dtls.turn = self._makeTurn()
        self._dtls._set_role("server" if offer.setup == "active" else "client")
        self._dtls.on("statechange", self._dtlsChanged)
        self._sctp = Association(
            self._dtls, self, maxMessage=shared.maxMessage, maxBuffer=shared.maxBuffer
        )
        for candidate in offer.candidates:
            ice.addRemote(candidate)
        self._start(self._gather(ice))
        self._start(self._connect(ice, self._dtls, self._sctp, offer))
        return self.answer()

    def _makeTurn(self) -> Turn | None:
        commons = self.shared.commons
        return None if commons is None else commons.turns.turn(self.session.address)

    def answer(self) -> str:
        """
        See L{aero.tunnel.datagrams.peers.RelayPeer}.
        """
        assert self._offer is not None and self._ice is not None
        prints = [
            (print.algorithm, print.value)
            for print in self._certificate.getFingerprints()
            if print.algorithm == "sha-256"
        ]
        return sdp.encodeAnswer(
            self._offer,
            sessionId=self._sessionId,
            ufrag=self._ice.local_username,
            password=self._ice.local_password,
            fingerprints=prints,
            setup="passive" if self._offer.setup == "active" else "active",
            maxMessageSize=self.shared.maxMessage,
            candidates=self._candidates,
            complete=self._isGathered,
        )

    def candidateReceived(self, candidate: signaling.Candidate) -> None:
        """
        See L{aero.tunnel.datagrams.peers.RelayPeer}.
        """
        text = candidate.candidate.strip()
        if not text or self._ice is None or self._offer is None:
            return
        parsed = sdp.parseCandidate(text)
        named = candidate.sdpMid
        if named is not None and named != self._offer.mid:
            return
        if named is None and candidate.sdpMLineIndex not in (None, self._offer.index):
            return
        self._ice.addRemote(parsed)

    def whenGathered(self) -> Deferred[None]:
        """
        See L{aero.tunnel.datagrams.peers.RelayPeer}.
        """
        if self._isGathered or self.state == "ended":
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def _candidateFound(self, candidate: sdp.Candidate) -> None:
        self._candidates.append(candidate)
        if self.candidateFound is not None:
            self.candidateFound(candidate)

    # -- connecting

    def _start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.append(task)

    async def _gather(self, ice: IceConnection) -> None:
        try:
            await ice.gatherFromServers()
        except Exception:  # noqa: BLE001 - the candidates so far have to do
            self._log.failure("Candidates could not be gathered")
        self._gathered()

    def _gathered(self) -> None:
        self._isGathered = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    async def _connect(
        self, ice: IceConnection, dtls: DTLSTransport, sctp: Association, offer: sdp.Offer
    ) -> None:
        try:
            await ice.establish(offer.ufrag, offer.password, lite=offer.lite)
            prints = [
                RTCDtlsFingerprint(algorithm=name, value=value)
                for name, value in offer.fingerprints
            ]
            await dtls.start(RTCDtlsParameters(fingerprints=prints))
            if dtls.state != "connected":
                self.close("dtls failed")
                return
            capabilities = RTCSctpCapabilities(maxMessageSize=offer.maxMessageSize)
            await sctp.start(capabilities, offer.sctpPort)
        except ConnectionError:
            self.close("ice failed")
        except Exception:  # noqa: BLE001 - whatever aiortc raises ends this peer alone
            self._log.failure("A WebRTC connection failed")
            self.close("internal error")

    def associationEstablished(self) -> None:
        """
        See L{aero.rtc.association.AssociationOwner}.
        """
        if self.state == "connecting":
            self.state = "connected"
            self._owner.peerConnected()
            self._stopTimer()

    def _connectTimedOut(self) -> None:
        self._timer = None
        self.shared.events.inc("webrtc_session_connect_timeout")
        self._log.warn(
            "webrtc session connect timeout after {timeout} s",
            timeout=self.shared.connectTimeout,
            session=self.session.id,
            origin=self.request.origin,
        )
        self.close("connect timeout")

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- channels

    def channelRequested(self, request: ChannelRequest) -> UDPChannel | L2Channel | None:
        """
        See L{aero.rtc.association.AssociationOwner}.
        """
        label = request.label if request.label in (UDP, L2) else "other"
        reason = refusal(request)
        if reason is None and label == L2 and self.shared.tunnels is None:
            reason = "off"
        if reason is None and label in self._channels:
            reason = "duplicate"
        if reason is None:
            channel = UDPChannel(self) if label == UDP else L2Channel(self)
            self._channels[label] = channel
            self.shared.metrics.gauge(rows.CHANNELS, label).inc()
            return channel
        if reason == "unknown_label":
            self.shared.events.inc("webrtc_datachannel_rejected_unknown_label")
        elif reason == "duplicate":
            self.shared.events.inc(f"webrtc_datachannel_rejected_duplicate_{label}")
        self.shared.metrics.counter(rows.CHANNELS_REFUSED, label, reason).inc()
        self._log.warn(
            "rejecting {label} datachannel: {reason}",
            label=label,
            reason=reason,
            session=self.session.id,
            ordered=request.ordered,
            maxRetransmits=request.maxRetransmits,
            maxPacketLifeTime=request.maxPacketLifeTime,
        )
        return None

    def channelGone(self, channel: UDPChannel | L2Channel) -> None:
        """
        A channel has closed; its place is free.
        """
        if self._channels.get(channel.label) is channel:
            del self._channels[channel.label]
            self.shared.metrics.gauge(rows.CHANNELS, channel.label).dec()

    def messageTooLarge(self, label: str, size: int) -> None:
        """
        See L{aero.rtc.association.AssociationOwner}.
        """
        if label in (UDP, L2):
            self.shared.events.inc(f"webrtc_datachannel_{label}_message_too_large")
        self._log.warn(
            "{label} datachannel message too large: {size} bytes and more, {most} at most",
            label=label,
            size=size,
            most=self.shared.maxMessage,
            session=self.session.id,
        )

    # -- the end

    def associationEnded(self, reason: str) -> None:
        """
        See L{aero.rtc.association.AssociationOwner}.
        """
        self.close(reason)

    def _dtlsChanged(self) -> None:
        if self._dtls is not None and self._dtls.state in ("closed", "failed"):
            self.close("dtls closed by the peer")

    def close(self, reason: str) -> None:
        """
        See L{aero.tunnel.datagrams.peers.RelayPeer}.
        """
        if self.state == "ended":
            return
        connecting = self.state != "connected"
        self.state = "ended"
        if connecting:
            self._owner.peerConnected()
        self._stopTimer()
        self.session.release()
        goodbye = asyncio.ensure_future(self._goodbye()) if self._ice is not None else None
        self._owner.peerEnded(self, goodbye)
        if self._sctp is not None:
            self._sctp.end(reason)
            self._countTroubles(self._sctp)
        for channel in list(self._channels.values()):
            channel.channelClosed()
        self._gathered()
        self._log.debug("WebRTC session ended: {reason}", reason=reason, session=self.session.id)
        ended, self.ended, self.candidateFound = self.ended, None, None
        if ended is not None:
            ended(reason)

    def _countTroubles(self, sctp: Association) -> None:
        counter = self.shared.metrics.counter
        dropped = 0 if self._ice is None else self._ice.dropped
        for what, count in (
            ("malformed", sctp.malformed),
            ("retransmitted", sctp.outbound.retransmitted),
            ("abandoned", sctp.outbound.abandoned),
            ("unsent", dropped),
        ):
            if count:
                counter(rows.SCTP, what).inc(count)

    async def _goodbye(self) -> None:
        """
        Close the layers from the top. Nothing here may keep the process.
        """
        tasks = [task for task in self._tasks if not task.done()]
        try:
            async with asyncio.timeout(_GOODBYE):
                if self._dtls is not None:
                    await self._dtls.stop()
                if self._ice is not None:
                    await self._ice.close()
        except TimeoutError:
            pass
        except Exception:  # noqa: BLE001 - there is nobody left to tell
            self._log.failure("A WebRTC connection did not close well")
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._dtls is not None:
            self._dtls.remove_all_listeners()
        self._ice = self._dtls = self._sctp = None
