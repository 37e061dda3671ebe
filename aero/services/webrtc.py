# -*- test-case-name: aero.services.test.test_webrtc -*-
"""
The part of the relay that is WebRTC: peers, what sets them up, and where their channels lead.

aiortc is loaded only by a process that has a relay: its codecs, which nothing here uses, come with
it and take 40 MB.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from aero.auth.turnrest import TurnSecret
from aero.metrics import relay as rows
from aero.policy.icechecks import CheckLimits, IceChecks
from aero.policy.iceservers import IceServer, IceServersError, parseServers, parseURL
from aero.policy.reach import AddressPolicy
from aero.rtc.ice import IceOptions
from aero.rtc.peer import Peers, PeerShared
from aero.settings.relaychecks import maxMessageBytes, maxReceiveBuffer
from aero.settings.webrtc import WebRTCSettings
from aero.tunnel.datagrams.engine import DatagramSink, UDPSession
from aero.tunnel.datagrams.peers import TunnelOpener
from aero.tunnel.datagrams.sessions import RelaySession
from aero.web.ice import IceEndpoint
from aero.web.offers import OfferEndpoint, VersionedOfferEndpoint
from aero.web.relayendpoint import RelayDoor, UpgradeRequired
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.signal import SignalEndpoint, SignalProtocol

from .parts import Parts

#: What the settings say for every address of this machine.
_ANY = ("0.0.0.0", "::")  # noqa: S104 (compared with, never bound)


class WebRTC:
    """
    WebRTC for one relay.

    @ivar peers: The peers.
    @ivar problem: What is wrong with the ICE servers; empty where nothing is.
    """

    def __init__(
        self,
        parts: Parts,
        door: RelayDoor,
        *,
        tunnels: TunnelOpener | None = None,
        udpSession: type[UDPSession] = UDPSession,
    ) -> None:
        """
        @param door: Asks for credentials over HTTP.
        @param tunnels: Where channels of Ethernet lead; C{None} for nowhere.
        @param udpSession: What relays the datagrams of a channel C{udp}.
        """
        self._parts = parts
        self._door = door
        self._udpSession = udpSession
        settings = parts.settings
        self.problem, self._servers = iceServers(settings.webrtc)
        self.peers = Peers(
            PeerShared(
                clock=parts.reactor,
                metrics=parts.metrics,
                events=parts.relaySessions.events,
                udp=settings.udp,
                bridge=settings.bridge,
                ice=iceOptions(settings.webrtc, self._servers),
                checks=iceChecks(parts),
                connectTimeout=settings.webrtc.connectTimeout,
                maxMessage=maxMessageBytes(settings),
                maxBuffer=maxReceiveBuffer(settings),
                maxConnecting=settings.webrtc.maxConnecting,
                openDatagrams=self._openDatagrams,
                tunnels=tunnels,
                commons=parts.commons,
            )
        )

    def resources(self) -> Mapping[str, IResource]:
        """
        Offers, and the list of ICE servers.
        """
        parts = self._parts
        webrtc = parts.settings.webrtc
        secret = None
        if webrtc.turnRESTSecret.strip():
            secret = TurnSecret(
                webrtc.turnRESTSecret, ttl=webrtc.turnRESTTTL, prefix=webrtc.turnRESTPrefix
            )
        shared: dict[str, Any] = {
            "clock": parts.reactor,
            "events": parts.relaySessions.events,
            "gatheringTimeout": parts.settings.signal.gatheringTimeout,
        }
        return {
            "/webrtc/ice": IceEndpoint(
                self._door, self._servers, problem=self.problem, secret=secret, now=parts.now
            ),
            "/webrtc/offer": OfferEndpoint(self._door, parts.relaySessions, self.peers, **shared),
            "/offer": VersionedOfferEndpoint(self._door, parts.relaySessions, self.peers, **shared),
            "/webrtc/signal": UpgradeRequired(),
        }

    def endpoints(
        self, protocol: type[SignalProtocol] = SignalProtocol
    ) -> Sequence[WebSocketEndpoint]:
        """
        C{/webrtc/signal}.
        """
        parts = self._parts
        return (
            SignalEndpoint(
                auth=parts.relayAuth,
                sessions=parts.relaySessions,
                peers=self.peers,
                settings=parts.settings.signal,
                now=parts.now,
                gate=parts.relayGate,
                clock=parts.reactor,
                metrics=parts.metrics,
                commons=parts.commons,
                protocol=protocol,
            ),
        )

    def drain(self) -> Deferred[None]:
        """
        End every peer; fires when each has said goodbye.
        """
        self.peers.stop()
        return self.peers.whenGone()

    def stop(self) -> None:
        """
        End what is left.
        """
        self.peers.stop()

    def _openDatagrams(self, sink: DatagramSink, session: RelaySession) -> UDPSession:
        parts = self._parts
        return self._udpSession(
            sink,
            session,
            settings=parts.settings.udp,
            policy=parts.destinationPolicy,
            ports=parts.datagramPorts,
            clock=parts.reactor,
            metrics=parts.metrics,
            prefix="webrtc_udp",
            eagerV2=True,
        )


def iceChecks(parts: Parts) -> IceChecks:
    """
    Where ICE may send checks, and how many.
    """
    webrtc, metrics = parts.settings.webrtc, parts.metrics
    return IceChecks(
        AddressPolicy(allowPrivate=webrtc.allowPrivateCandidates, own=parts.ownAddresses),
        CheckLimits(
            candidates=webrtc.maxCandidates,
            perAddress=webrtc.maxChecksPerAddress,
            perSession=webrtc.maxChecks,
            clientRate=webrtc.checksPerSecondPerIP,
            rate=webrtc.checksPerSecond,
        ),
        now=parts.reactor.seconds,
        refused=lambda reason: metrics.counter(rows.ICE_REFUSED, reason).inc(),
    )


def iceServers(webrtc: WebRTCSettings) -> tuple[str, Sequence[IceServer]]:
    """
    The list of ICE servers.

    @return: What is wrong with it, and the list, empty where something is.
    """
    try:
        return "", parseServers(
            webrtc.iceServersJSON,
            stun=webrtc.stunURLs,
            turn=webrtc.turnURLs,
            username=webrtc.turnUsername,
            credential=webrtc.turnCredential,
            hasSecret=bool(webrtc.turnRESTSecret.strip()),
        )
    except IceServersError as error:
        return str(error), ()


def iceOptions(webrtc: WebRTCSettings, servers: Sequence[IceServer]) -> IceOptions:
    """
    What the settings say about our side of ICE. It asks the first STUN server, and the first TURN
    server that has credentials of its own (relay.md section 8.1).
    """
    stun: tuple[str, int] | None = None
    turn: dict[str, Any] | None = None
    for server in servers:
        for url in map(parseURL, server.urls):
            if url.scheme == "stun" and stun is None:
                stun = (url.host, url.port)
            if not url.scheme.startswith("turn") or turn is not None:
                continue
            if server.username and server.credential:
                turn = {
                    "turn_server": (url.host, url.port),
                    "turn_username": server.username,
                    "turn_password": server.credential,
                    "turn_ssl": url.scheme == "turns",
                    "turn_transport": url.transport,
                }
    return IceOptions(
        listen="" if webrtc.listenIP in _ANY else webrtc.listenIP,
        ports=(webrtc.portMin, webrtc.portMax) if webrtc.portMin else None,
        publicAddresses=webrtc.nat1To1IPs,
        publicAsHost=webrtc.nat1To1Type == "host",
        stun=stun,
        turn=turn,
        consentTimeout=webrtc.consentTimeout,
    )
