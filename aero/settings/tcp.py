"""
Settings of C{/tcp} and C{/tcp-mux}, and of the egress policy they share.
"""

from __future__ import annotations

from typing import Any, Mapping

from aero.policy.hosts import HostPattern

from ._names import isInternalName, onPublicDomains
from ._parsers import choice, flag, integer, listOf, milliseconds, number, text
from ._ports import portList
from ._table import group, setting


def _profile(values: Mapping[str, Any]) -> str:
    return "open" if isInternalName(values["domain"]) else "standard"


@group
class EgressSettings:
    """
    Egress

    Where a browser may connect to through this server.
    """

    profile: str = setting(
        variable="AERO_EGRESS_PROFILE",
        option="egress-profile",
        default="open",
        derive=_profile,
        parse=choice("web", "standard", "open"),
        shown="standard on a public domain, open for internal names",
        help="A bundle of port rules: web (80 and 443 only), standard (everything but mail and other ports that are"
        " mostly abused), open (every port). Private addresses are a matter of their own.",
    )
    allowPrivate: bool = setting(
        variable="TCP_ALLOW_PRIVATE_IPS",
        option="tcp-allow-private-ips",
        default=False,
        parse=flag,
        help="1 lets browsers reach addresses that are not public: loopback, private networks, cloud metadata.",
    )
    allowedHosts: tuple[HostPattern, ...] = setting(
        variable="TCP_ALLOWED_HOSTS",
        option="tcp-allowed-hosts",
        default=(),
        parse=listOf(HostPattern.parse, "a host pattern"),
        shown="all",
        help="The hosts that may be reached: names, *.name for any subdomain, or IP addresses.",
    )
    blockedHosts: tuple[HostPattern, ...] = setting(
        variable="TCP_BLOCKED_HOSTS",
        option="tcp-blocked-hosts",
        default=(),
        parse=listOf(HostPattern.parse, "a host pattern"),
        help="Hosts that may never be reached; wins over the allowed ones.",
    )
    requireName: bool = setting(
        variable="TCP_REQUIRE_DNS_NAME",
        option="tcp-require-dns-name",
        default=False,
        parse=lambda value: value.strip() == "1",
        help="1 refuses targets given as IP addresses.",
    )
    allowedPorts: tuple[int, ...] = setting(
        variable="TCP_ALLOWED_PORTS",
        option="tcp-allowed-ports",
        default=(),
        parse=portList("TCP_ALLOWED_PORTS"),
        shown="those of the profile",
        help="The ports that may be reached, separated by commas.",
    )
    blockedClients: tuple[str, ...] = setting(
        variable="TCP_BLOCKED_CLIENT_IPS",
        option="tcp-blocked-client-ips",
        default=(),
        parse=listOf(text, "an address"),
        help="Client addresses that get no tunnel.",
    )
    lookupTimeout: float = setting(
        variable="AERO_TCP_LOOKUP_TIMEOUT_MS",
        option="tcp-lookup-timeout-ms",
        default=5.0,
        parse=milliseconds(1),
        shown="5000",
        help="Milliseconds that looking up the name of a target may take.",
    )
    maxLookups: int = setting(
        variable="AERO_TCP_MAX_LOOKUPS",
        option="tcp-max-lookups",
        default=64,
        parse=integer(1, 10_000),
        help="Names looked up through the system resolver at once; more wait their turn.",
    )


@group
class TCPSettings:
    """
    TCP tunnels

    Limits of C{/tcp}; those of C{/tcp-mux} follow below.
    """

    maxConnections: int = setting(
        variable="TCP_PROXY_MAX_CONNECTIONS",
        option="tcp-max-connections",
        default=64,
        parse=integer(1),
        help="Connections at once in one session, /tcp sockets and /tcp-mux streams together.",
    )
    maxConnectionsPerIP: int = setting(
        variable="TCP_PROXY_MAX_CONNECTIONS_PER_IP",
        option="tcp-max-connections-per-ip",
        default=0,
        derive=onPublicDomains(1_024),
        parse=integer(0),
        shown="1024 on a public domain, off for internal names",
        help="The same for one client IPv4 address or IPv6 /64; 0 is no limit.",
    )
    maxMessageBytes: int = setting(
        variable="TCP_PROXY_MAX_MESSAGE_BYTES",
        option="tcp-max-message-bytes",
        default=1_048_576,
        parse=integer(1),
        help="Bytes of one WebSocket message; a larger one closes with 1009.",
    )
    maxBufferBytes: int = setting(
        variable="TCP_PROXY_MAX_TCP_BUFFER_BYTES",
        option="tcp-max-buffer-bytes",
        default=10_485_760,
        parse=integer(1),
        help="Bytes waiting for one target, beyond which the tunnel is closed with 1011. The browser is paused long"
        " before, so only one giant message can get there.",
    )
    pauseBytes: int = setting(
        variable="AERO_TCP_PAUSE_BYTES",
        option="tcp-pause-bytes",
        default=262_144,
        parse=integer(1),
        help="Bytes waiting in one direction of a tunnel, beyond which its source is not read.",
    )
    connectTimeout: float = setting(
        variable="TCP_PROXY_CONNECT_TIMEOUT_MS",
        option="tcp-connect-timeout-ms",
        default=10.0,
        parse=milliseconds(1),
        shown="10000",
        help="Milliseconds that connecting to a target may take, over all its addresses.",
    )
    idleTimeout: float = setting(
        variable="TCP_PROXY_IDLE_TIMEOUT_MS",
        option="tcp-idle-timeout-ms",
        default=300.0,
        parse=milliseconds(1),
        shown="300000",
        help="Milliseconds without a byte in either direction after which a tunnel is closed.",
    )
    pingInterval: float = setting(
        variable="AERO_WS_PING_INTERVAL_SECONDS",
        option="ws-ping-interval",
        default=30,
        parse=number(0),
        help="Seconds without a byte from the client, or without one to it, after which a WebSocket ping is sent; 0 sends none."
        " Keep it below the idle timeout of proxies in between.",
    )
    pingTimeout: float = setting(
        variable="AERO_WS_PING_TIMEOUT_SECONDS",
        option="ws-ping-timeout",
        default=30,
        parse=number(1),
        help="Seconds without any answer to a ping after which the client is gone.",
    )
    maxStreams: int = setting(
        variable="TCP_MUX_MAX_STREAMS",
        option="tcp-mux-max-streams",
        default=1_024,
        parse=integer(1),
        help="Streams at once on one /tcp-mux WebSocket.",
    )
    maxStreamBufferBytes: int = setting(
        variable="TCP_MUX_MAX_STREAM_BUFFER_BYTES",
        option="tcp-mux-max-stream-buffer-bytes",
        default=1_048_576,
        parse=integer(0),
        help="Bytes waiting for the target of one stream; more ends the stream with error 6.",
    )
    maxFramePayloadBytes: int = setting(
        variable="TCP_MUX_MAX_FRAME_PAYLOAD_BYTES",
        option="tcp-mux-max-frame-payload-bytes",
        default=16_777_216,
        parse=integer(0),
        help="Bytes of one /tcp-mux frame; a larger one closes with 1002.",
    )
