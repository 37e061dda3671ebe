# -*- test-case-name: aero.settings.test.test_relaychecks -*-
"""
Settings of the UDP engine behind C{/udp} and the data channel C{udp} (relay.md sections 11,
12, 16.4 and 16.5).
"""

from __future__ import annotations

from typing import Any, Mapping

from ._goparsers import cidrs, goBoolean, mappingDuration, portRanges, positiveDuration
from ._names import onPublicDomains
from ._parsers import IPNetwork, choice, integer
from ._table import group, setting

#: The names of a destination policy preset, and what each means.
PRESETS = {
    "": "prod",
    "prod": "prod",
    "production": "prod",
    "dev": "dev",
    "development": "dev",
}


def _preset(value: str) -> str:
    try:
        return PRESETS[value.strip().lower()]
    except KeyError:
        raise ValueError("expected prod, production, dev or development") from None


def _limit(value: str) -> int:
    """
    A whole number; 0 and anything below it switch the limit off.
    """
    return max(0, integer(-(2**63))(value))


def _window(value: str) -> float:
    found = integer(-(2**31))(value)
    return float(found) if found > 0 else 10.0


def _destBuckets(values: Mapping[str, Any]) -> int:
    return int(values["maxUniqueDestinations"]) or 1_024


@group
class UDPSettings:
    """
    Datagrams

    What guests may send over C{/udp} and the data channel C{udp}, and how much of it.
    """

    preset: str = setting(
        variable="DESTINATION_POLICY_PRESET",
        aliases=("UDP_DESTINATION_POLICY_PRESET", "POLICY_PRESET"),
        option="destination-policy-preset",
        default="prod",
        parse=_preset,
        help="What holds for a destination: prod refuses every destination that ALLOW_UDP_CIDRS does not name; dev allows all, private networks"
        " included.",
    )
    allowPrivateNetworks: bool = setting(
        variable="ALLOW_PRIVATE_NETWORKS",
        default=False,
        derive=lambda values: values["preset"] == "dev",
        parse=goBoolean,
        shown="true with the preset dev, else false",
        help="Whether datagrams may go to private, local and otherwise special networks.",
    )
    allowCIDRs: tuple[IPNetwork, ...] = setting(
        variable="ALLOW_UDP_CIDRS",
        default=(),
        parse=cidrs,
        help="The networks that datagrams may go to, separated by commas; with any, no other.",
    )
    denyCIDRs: tuple[IPNetwork, ...] = setting(
        variable="DENY_UDP_CIDRS",
        default=(),
        parse=cidrs,
        help="Networks that no datagram may go to, separated by commas.",
    )
    allowUDPPorts: tuple[tuple[int, int], ...] = setting(
        variable="ALLOW_UDP_PORTS",
        default=(),
        parse=portRanges,
        shown="all",
        help="Ports and ranges (53, 1000-2000) that datagrams may go to, separated by commas.",
    )
    denyUDPPorts: tuple[tuple[int, int], ...] = setting(
        variable="DENY_UDP_PORTS",
        default=(),
        parse=portRanges,
        help="Ports and ranges that no datagram may go to, separated by commas.",
    )
    maxPayload: int = setting(
        variable="MAX_DATAGRAM_PAYLOAD_BYTES",
        option="max-datagram-payload-bytes",
        default=1_200,
        parse=integer(1, 65_507),
        help="The longest datagram, in bytes of payload, in either direction.",
    )
    readBuffer: int = setting(
        variable="UDP_READ_BUFFER_BYTES",
        option="udp-read-buffer-bytes",
        default=1_201,
        derive=lambda values: values["maxPayload"] + 1,
        parse=integer(1, 1_048_576),
        shown="MAX_DATAGRAM_PAYLOAD_BYTES + 1",
        help="Bytes taken from a socket for one datagram; a longer one is dropped, never cut.",
    )
    preferV2: bool = setting(
        variable="PREFER_V2",
        option="prefer-v2",
        default=False,
        parse=goBoolean,
        help="Whether a client that has spoken version 2 gets IPv4 datagrams in version 2.",
    )
    maxBindings: int = setting(
        variable="MAX_UDP_BINDINGS_PER_SESSION",
        option="max-udp-bindings-per-session",
        default=128,
        parse=integer(1, 65_536),
        help="Guest ports of one session that have a socket at a time; the longest unused makes room.",
    )
    bindingIdle: float = setting(
        variable="UDP_BINDING_IDLE_TIMEOUT",
        option="udp-binding-idle-timeout",
        default=300.0,
        parse=mappingDuration,
        shown="5m",
        help="How long an unused guest port keeps its socket: at least 2m (RFC 4787 section 4.3).",
    )
    inboundFilter: str = setting(
        variable="UDP_INBOUND_FILTER_MODE",
        option="udp-inbound-filter-mode",
        default="address_and_port",
        parse=choice("address_and_port", "any"),
        help="Who may answer: address_and_port only those that the guest port has written to, any everybody.",
    )
    remoteIdle: float = setting(
        variable="UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT",
        option="udp-remote-allowlist-idle-timeout",
        default=300.0,
        derive=lambda values: values["bindingIdle"],
        parse=positiveDuration,
        shown="UDP_BINDING_IDLE_TIMEOUT",
        help="How long a remote may answer after the last datagram to or from it.",
    )
    maxRemotes: int = setting(
        variable="MAX_ALLOWED_REMOTES_PER_BINDING",
        option="max-allowed-remotes-per-binding",
        default=1_024,
        parse=integer(1, 1_048_576),
        help="Remotes that may answer one guest port; the longest silent makes room.",
    )
    sendQueue: int = setting(
        variable="DATACHANNEL_SEND_QUEUE_BYTES",
        option="datachannel-send-queue-bytes",
        default=1_048_576,
        parse=integer(1),
        help="Bytes waiting for one slow client, after which datagrams to it are dropped.",
    )
    maxPPS: int = setting(
        variable="MAX_UDP_PPS_PER_SESSION",
        option="max-udp-pps-per-session",
        default=0,
        derive=onPublicDomains(10_000),
        parse=_limit,
        shown="10000 on a public domain, off for internal names",
        help="Datagrams a second that one session may send.",
    )
    maxBPS: int = setting(
        variable="MAX_UDP_BPS_PER_SESSION",
        option="max-udp-bps-per-session",
        default=0,
        derive=onPublicDomains(12_500_000),
        parse=_limit,
        shown="12500000 on a public domain, off for internal names",
        help="Bytes of payload a second that one session may send.",
    )
    maxPPSPerDestination: int = setting(
        variable="MAX_UDP_PPS_PER_DEST",
        option="max-udp-pps-per-dest",
        default=0,
        derive=onPublicDomains(10_000),
        parse=_limit,
        shown="10000 on a public domain, off for internal names",
        help="Datagrams a second that one session may send to one address and port.",
    )
    maxUniqueDestinations: int = setting(
        variable="MAX_UNIQUE_DESTINATIONS_PER_SESSION",
        option="max-unique-destinations-per-session",
        default=0,
        derive=onPublicDomains(4_096),
        parse=_limit,
        shown="4096 on a public domain, off for internal names",
        help="Different addresses and ports that one session may send to in its life.",
    )
    maxDestinationBuckets: int = setting(
        variable="MAX_UDP_DEST_BUCKETS_PER_SESSION",
        option="max-udp-dest-buckets-per-session",
        default=1_024,
        derive=_destBuckets,
        parse=integer(1, 1_048_576),
        shown="MAX_UNIQUE_DESTINATIONS_PER_SESSION, or 1024 without",
        help="Destinations of one session whose rate is remembered at a time.",
    )
    maxClientBPS: int = setting(
        variable="MAX_DC_BPS_PER_SESSION",
        option="max-dc-bps-per-session",
        default=0,
        derive=onPublicDomains(25_000_000),
        parse=_limit,
        shown="25000000 on a public domain, off for internal names",
        help="Bytes a second sent to the client of one session, framing included.",
    )
    hardCloseAfter: int = setting(
        variable="HARD_CLOSE_AFTER_VIOLATIONS",
        option="hard-close-after-violations",
        default=0,
        derive=onPublicDomains(100_000),
        parse=_limit,
        shown="100000 on a public domain, off for internal names",
        help="Datagrams over a rate or quota after which a session is closed.",
    )
    violationWindow: float = setting(
        variable="VIOLATION_WINDOW_SECONDS",
        option="violation-window-seconds",
        default=10.0,
        parse=_window,
        shown="10",
        help="Seconds in which so many violations close a session; 0 and less stand for 10.",
    )
    udpIdle: float = setting(
        variable="UDP_WS_IDLE_TIMEOUT",
        option="udp-ws-idle-timeout",
        default=60.0,
        parse=positiveDuration,
        shown="60s",
        help="How long a /udp WebSocket may be silent.",
    )
    udpPing: float = setting(
        variable="UDP_WS_PING_INTERVAL",
        option="udp-ws-ping-interval",
        default=20.0,
        parse=positiveDuration,
        shown="20s",
        help="How often a /udp WebSocket is pinged; less than UDP_WS_IDLE_TIMEOUT.",
    )
    maxUDPSockets: int = setting(
        variable="AERO_UDP_MAX_SOCKETS",
        option="udp-max-sockets",
        default=4_096,
        parse=integer(1, 1_048_576),
        help="UDP sockets of all sessions together. Beyond it a new guest port takes the socket of the one that was unused"
        " for longest, if it was for 5 seconds; else it gets none.",
    )
