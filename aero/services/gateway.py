# -*- test-case-name: aero.test.test_app -*-
"""
The gateway: sessions, TCP over WebSocket, DNS over HTTPS.
"""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

from twisted.web.resource import IResource

from aero.errors import ConfigurationError
from aero.web.relaytoken import RelayCredentials, RelayTokenEndpoint
from aero.web.session import SessionEndpoint
from aero.ws.dialling import DiallingParts
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.mux import MuxEndpoint, MuxProtocol
from aero.ws.tcp import TCPEndpoint, TCPTunnelProtocol

from .parts import Parts
from .service import Service
from .warnings import gatewayWarnings


class GatewayService(Service):
    """
    The service C{gateway} (gateway.md).
    """

    name = "gateway"

    def __init__(
        self,
        parts: Parts,
        *,
        tcpProtocol: type[TCPTunnelProtocol] = TCPTunnelProtocol,
        muxProtocol: type[MuxProtocol] = MuxProtocol,
    ) -> None:
        super().__init__(parts)
        self._tcpProtocol = tcpProtocol
        self._muxProtocol = muxProtocol

    def resources(self) -> Mapping[str, IResource]:
        """
        Sessions, relay credentials, DNS over HTTPS.
        """
        parts = self.parts
        settings, relay = parts.settings, parts.relaySettings
        credentials = RelayCredentials(relay)
        if relay.baseURL:
            if relay.authMode == "api_key" and not relay.apiKey:
                raise _relayNeeds("UDP_RELAY_API_KEY", "api_key")
            if relay.authMode == "jwt" and not relay.jwtSecret:
                raise _relayNeeds("UDP_RELAY_JWT_SECRET", "jwt")
        _, dns = parts.dns
        return {
            **dns,
            "/session": SessionEndpoint(
                parts.sessions,
                parts.metrics,
                parts.now,
                settings=settings.session,
                tcp=settings.tcp,
                dns=settings.dns,
                l2=settings.l2,
                relay=relay,
                credentials=credentials,
                services=settings.server.siteServices,
                datagrams="relay" not in settings.server.services
                or not parts.destinationPolicy.permitsNothing,
                base=parts.base,
                makeBuckets=parts.fleet.makeBuckets,
            ),
            "/udp-relay/token": RelayTokenEndpoint(
                credentials,
                parts.sessions,
                parts.metrics,
                parts.now,
                makeBuckets=parts.fleet.makeBuckets,
            ),
        }

    def endpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        C{/tcp} and C{/tcp-mux}.
        """
        parts = self.parts
        shared = DiallingParts(
            gate=parts.upgradeGate,
            clock=parts.reactor,
            metrics=parts.metrics,
            settings=parts.settings.tcp,
            dialer=parts.dialer,
            slots=parts.slots,
            deliveries=parts.deliveries,
            commons=parts.commons,
        )
        return (
            TCPEndpoint(protocol=self._tcpProtocol, **shared),
            MuxEndpoint(protocol=self._muxProtocol, **shared),
        )

    def notices(self) -> Iterable[str]:
        """
        What opens private networks, or the resolver.
        """
        parts = self.parts
        yield from gatewayWarnings(parts.settings, isPublic=parts.isEdge and not parts.isInternal)
        if not self.parts.settings.dns.requireSession:
            yield "AERO_DNS_REQUIRE_SESSION=0: whoever reaches this server may ask it for names"

    def stop(self) -> None:
        """
        Close the sockets of the DNS engine.
        """
        self.parts.dns[0].stop()


def _relayNeeds(variable: str, mode: str) -> ConfigurationError:
    return ConfigurationError(
        variable, None, f"{variable} is required when UDP_RELAY_AUTH_MODE={mode}"
    )
