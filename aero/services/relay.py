# -*- test-case-name: aero.services.test.test_relay -*-
"""
The relay: datagrams over WebSocket, and with C{--services relay} the whole WebRTC/UDP relay of
the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import IResource

from aero.errors import ConfigurationError
from aero.settings.relaychecks import checkRelay, maxMessageBytes, maxReceiveBuffer
from aero.tunnel.datagrams.peers import TunnelOpener
from aero.web.ice import IceGate
from aero.web.relayendpoint import (
    RelayDoor,
    RelayHealthEndpoint,
    RelayReadyEndpoint,
    RelaySessionEndpoint,
    RelayVersionEndpoint,
    UpgradeRequired,
)
from aero.web.relaygates import RelayOriginGate
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.l2backend import Backends
from aero.ws.udp import UDPEndpoint, UDPProtocol

from .l2 import L2Service
from .lanchannels import LANChannels
from .parts import Parts
from .role import Role
from .service import Service
from .warnings import relayWarnings

if TYPE_CHECKING:
    from .webrtc import WebRTC


class RelayService(Service):
    """
    The service C{relay} (relay.md).
    """

    name = "relay"

    _log = Logger(namespace="aero.relay")

    def __init__(self, parts: Parts, *, udpProtocol: type[UDPProtocol] = UDPProtocol) -> None:
        """
        @raise ConfigurationError: Settings that do not go together.
        """
        super().__init__(parts)
        checkRelay(parts.settings)
        self._udpProtocol = udpProtocol
        self.door = RelayDoor(parts.relayAuth, parts.relaySessions.events, parts.now)
        self.webrtc = self._makeWebRTC()

    def resources(self) -> Mapping[str, IResource]:
        """
        What is asked for over HTTP. With the gateway C{/session} is the gateway's.
        """
        return {"/udp": UpgradeRequired(typed=True), **self.webrtc.resources()}

    def endpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        C{/udp} and C{/webrtc/signal}.
        """
        parts = self.parts
        settings = parts.settings
        shared: dict[str, Any] = {
            "gate": parts.relayGate,
            "clock": parts.reactor,
            "metrics": parts.metrics,
            "commons": parts.commons,
            "auth": parts.relayAuth,
            "sessions": parts.relaySessions,
            "signal": settings.signal,
            "now": parts.now,
            "fullAddresses": settings.server.logFullAddresses,
        }
        return (
            UDPEndpoint(
                settings=settings.udp,
                policy=parts.destinationPolicy,
                ports=parts.datagramPorts,
                protocol=self._udpProtocol,
                **shared,
            ),
            *self.webrtc.endpoints(),
        )

    def role(self) -> Role:
        """
        The reference's relay.
        """
        parts = self.parts
        server, signal = parts.settings.server, parts.settings.signal
        host, port = signal.relayListen
        self._logStart()
        pages: dict[str, IResource] = {
            "/healthz": RelayHealthEndpoint(),
            "/readyz": RelayReadyEndpoint(parts.readiness, self.problem),
            "/version": RelayVersionEndpoint(server.gitSha, server.builtAt),
            "/metrics": parts.metricsPage(),
            "/session": RelaySessionEndpoint(self.door, parts.relaySessions),
        }
        return Role(
            addresses=(host,) if host else ("0.0.0.0", "::"),  # noqa: S104 (what was asked for)
            port=port,
            option="relay-listen-addr",
            grace=signal.relayShutdown,
            resources=pages,
            gates=(IceGate(), RelayOriginGate(parts.relayOrigins, parts.metrics)),
            listening=self._listening,
        )

    def problem(self) -> str:
        """
        What is wrong with the ICE servers; the process runs all the same, and is not ready.
        """
        return self.webrtc.problem

    def drain(self) -> Deferred[Any]:
        """
        End the WebRTC connections.
        """
        return self.webrtc.drain()

    def tunnels(self) -> Iterable[tuple[str, str, str]]:
        """
        The WebRTC connections.
        """
        for peer in self.webrtc.peers.open:
            yield peer.session.key or "", peer.session.address, "webrtc"

    def notices(self) -> Iterable[str]:
        """
        What lets strangers in, and what nobody gets through.
        """
        parts = self.parts
        settings = parts.settings
        isLocal = parts.isEdge and parts.isInternal
        yield from relayWarnings(settings, isLocal=isLocal)
        if parts.destinationPolicy.permitsNothing:
            rates = {
                "MAX_UDP_PPS_PER_SESSION": settings.udp.maxPPS,
                "MAX_UDP_BPS_PER_SESSION": settings.udp.maxBPS,
                "MAX_UDP_PPS_PER_DEST": settings.udp.maxPPSPerDestination,
            }
            off = [name for name, rate in rates.items() if not rate]
            yield (
                "no datagram of /udp and WebRTC may go anywhere: set"
                " ALLOW_UDP_CIDRS=0.0.0.0/0,::/0 for the public internet (private networks and"
                " this machine stay refused), or name the networks"
                + (f"; limit the rates too, which are off: {', '.join(off)}" if off else "")
            )

    def stop(self) -> None:
        """
        End the sessions that are left, reservations included.
        """
        self.webrtc.stop()
        self.parts.relaySessions.stop()

    def _makeWebRTC(self) -> WebRTC:
        """
        Load aiortc, which a process without a relay does without, and make what is of it.
        """
        from .webrtc import WebRTC

        return WebRTC(
            self.parts,
            self.door,
            tunnels=self._tunnels(),
            udpSession=self._udpProtocol.udpSession,
        )

    def _tunnels(self) -> TunnelOpener | None:
        """
        Where data channels of Ethernet lead.
        """
        parts = self.parts
        url = parts.settings.bridge.backendURL
        if url == "off":
            return None
        if url == "internal":
            if "l2" not in parts.settings.server.services:
                raise ConfigurationError(
                    "L2_BACKEND_WS_URL", url, "needs the service l2 in the same process"
                )
            return LANChannels(
                parts.tunnels,
                parts.tunnelPermits,
                L2Service(parts).authenticator(),
                events=parts.relaySessions.events,
                now=parts.now,
            )
        return Backends(
            parts.settings.bridge, reactor=parts.reactor, events=parts.relaySessions.events
        )

    def _logStart(self) -> None:
        settings = self.parts.settings
        backend = settings.bridge.backendURL
        self._log.info(
            "starting aero-webrtc-udp-relay",
            listen_addr="{}:{}".format(*settings.signal.relayListen),
            public_base_url=settings.signal.relayPublicURL,
            mode=settings.server.relayMode,
            max_datagram_payload_bytes=settings.udp.maxPayload,
            l2_max_message_bytes=settings.bridge.maxL2Message,
            webrtc_datachannel_max_message_bytes=maxMessageBytes(settings),
            webrtc_sctp_max_receive_buffer_bytes=maxReceiveBuffer(settings),
            webrtc_session_connect_timeout=settings.webrtc.connectTimeout,
            udp_inbound_filter_mode=settings.udp.inboundFilter,
            max_sessions=settings.signal.maxRelaySessions,
            prefer_v2=settings.udp.preferV2,
            l2_backend_ws_url_set="://" in backend,
            l2_backend_ws_host=backend.partition("://")[2].partition("/")[0],
        )

    def _listening(self, host: str, port: int) -> Iterable[str]:
        shown = f"[{host}]" if ":" in host else host
        self._log.info("http server serving on {addr}", addr=f"{shown}:{port}")
        return ()
