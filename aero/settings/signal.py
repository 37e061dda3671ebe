# -*- test-case-name: aero.settings.test.test_relaychecks -*-
"""
Settings of the relay's sessions and signalling (relay.md sections 5, 6, 16.2 to 16.4). How its
clients prove themselves is in L{aero.settings.relay}, which the gateway mints for as well.
"""

from __future__ import annotations

from ._goparsers import positive, positiveDuration
from ._names import onPublicDomains
from ._parsers import duration, integer, text
from ._ports import listenAddress
from ._table import group, setting


@group
class SignalSettings:
    """
    Relay sessions and signalling

    The relay's own listener, its sessions, and the WebSocket that sets up WebRTC.
    """

    relayListen: tuple[str, int] = setting(
        variable="AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR",
        option="relay-listen-addr",
        default=("127.0.0.1", 8080),
        parse=listenAddress,
        shown="127.0.0.1:8080",
        help="The address and port of the relay when it is the only service.",
    )
    relayPublicURL: str = setting(
        variable="AERO_WEBRTC_UDP_RELAY_PUBLIC_BASE_URL",
        default="",
        parse=text,
        help="The URL that clients know the relay by; written to the log.",
    )
    relayShutdown: float = setting(
        variable="AERO_WEBRTC_UDP_RELAY_SHUTDOWN_TIMEOUT",
        default=15.0,
        parse=positiveDuration,
        shown="15s",
        help="How long the relay, when it is the only service, waits for open connections when it stops.",
    )
    gatheringTimeout: float = setting(
        variable="AERO_WEBRTC_UDP_RELAY_ICE_GATHERING_TIMEOUT",
        option="ice-gather-timeout",
        default=2.0,
        parse=positiveDuration,
        shown="2s",
        help="How long POST /offer and POST /webrtc/offer wait for ICE candidates before they answer.",
    )
    authTimeout: float = setting(
        variable="SIGNALING_AUTH_TIMEOUT",
        option="signaling-auth-timeout",
        default=2.0,
        parse=positiveDuration,
        shown="2s",
        help="How long a signalling or /udp WebSocket has to show a credential.",
    )
    signalIdle: float = setting(
        variable="SIGNALING_WS_IDLE_TIMEOUT",
        option="signaling-ws-idle-timeout",
        default=60.0,
        parse=positiveDuration,
        shown="60s",
        help="How long a signalling WebSocket may be silent.",
    )
    signalPing: float = setting(
        variable="SIGNALING_WS_PING_INTERVAL",
        option="signaling-ws-ping-interval",
        default=20.0,
        parse=positiveDuration,
        shown="20s",
        help="How often a signalling WebSocket is pinged; less than SIGNALING_WS_IDLE_TIMEOUT.",
    )
    maxSignalBytes: int = setting(
        variable="MAX_SIGNALING_MESSAGE_BYTES",
        option="max-signaling-message-bytes",
        default=65_536,
        parse=positive,
        help="Bytes of one signalling message.",
    )
    maxSignalRate: int = setting(
        variable="MAX_SIGNALING_MESSAGES_PER_SECOND",
        option="max-signaling-messages-per-second",
        default=50,
        parse=positive,
        help="Signalling messages a second of one WebSocket.",
    )
    maxRelaySessions: int = setting(
        variable="MAX_SESSIONS",
        option="max-sessions",
        default=0,
        derive=onPublicDomains(4_096),
        parse=lambda value: max(0, integer(-(2**63))(value)),
        shown="4096 on a public domain, off for internal names",
        help="Relay sessions of all clients together.",
    )
    maxRelaySessionsPerIP: int = setting(
        variable="AERO_RELAY_MAX_SESSIONS_PER_IP",
        option="relay-max-sessions-per-ip",
        default=0,
        derive=onPublicDomains(64),
        parse=integer(0),
        shown="64 on a public domain, off for internal names",
        help="Relay sessions of one IPv4 address or IPv6 /64, reservations included; 0 is no limit.",
    )
    maxRelaySessionTime: float = setting(
        variable="AERO_RELAY_MAX_SESSION_TIME",
        option="relay-max-session-time",
        default=0.0,
        derive=onPublicDomains(604_800.0),
        parse=duration,
        shown="168h on a public domain, off for internal names",
        help="How long one relay session may last before it is ended; 0 is for ever.",
    )
    preallocationTTL: float = setting(
        variable="SESSION_PREALLOC_TTL",
        option="session-prealloc-ttl",
        default=60.0,
        parse=positiveDuration,
        shown="60s",
        help="How long a session that POST /session of the relay reserved is held.",
    )
