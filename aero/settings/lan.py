"""
Settings of the network that a guest of C{/l2} finds itself in: addresses, DHCP, DNS, limits
(l2.md sections 3.3, 3.4 and 16).
"""

from __future__ import annotations

import ipaddress

from aero.policy.forwards import Forward

from ._lanparsers import (
    StaticRoute,
    forwards,
    ipv4,
    ipv4OrOff,
    mappingMilliseconds,
    millisecondsUpTo,
    staticNames,
    staticRoute,
    subnet,
    upTo,
)
from ._names import domainName, onPublicDomains
from ._parsers import choice, integer, listOf, milliseconds, number, positiveOr
from ._table import group, setting


@group
class LANSettings:
    """
    The guest's network

    What the LAN behind C{/l2} looks like, and what one guest may use of it.
    """

    subnet: ipaddress.IPv4Network = setting(
        variable="AERO_L2_SUBNET",
        option="l2-subnet",
        default=ipaddress.IPv4Network("10.0.2.0/24"),
        parse=subnet,
        help="The network of each guest. Guests do not see each other, so they all have the same.",
    )
    gateway: int | None = setting(
        variable="AERO_L2_GATEWAY_ADDRESS",
        option="l2-gateway-address",
        default=None,
        parse=ipv4,
        shown="the second address of the network",
        help="The address of the gateway, which is the DHCP and DNS server too.",
    )
    guest: int | None = setting(
        variable="AERO_L2_GUEST_ADDRESS",
        option="l2-guest-address",
        default=None,
        parse=ipv4,
        shown="the fifteenth address of the network, in a small one the next after the gateway",
        help="The address that DHCP gives to the guest.",
    )
    dnsAddress: int | None = setting(
        variable="AERO_L2_DNS_ADDRESS",
        option="l2-dns-address",
        default=None,
        parse=ipv4OrOff,
        shown="the third address of the network, unless it is taken",
        help="A further address of the DNS, for guests that were made for slirp; off for none. DHCP tells the gateway's.",
    )
    mtu: int | None = setting(
        variable="AERO_L2_MTU",
        option="l2-mtu",
        default=None,
        parse=integer(576, 65_535),
        shown="1500, or less where the frame limit is less",
        help="Bytes of the longest IP packet, told by DHCP; at most AERO_L2_MAX_FRAME_PAYLOAD less 14.",
    )
    leaseTime: int = setting(
        variable="AERO_L2_DHCP_LEASE_SECONDS",
        option="l2-dhcp-lease",
        default=86_400,
        parse=integer(60, 0xFFFFFFFE),
        help="Seconds of a DHCP lease; half of it is the time of renewal, seven eighths that of rebinding.",
    )
    hostName: str = setting(
        variable="AERO_L2_HOST_NAME",
        option="l2-host-name",
        default="",
        parse=domainName,
        help="The host name that DHCP suggests to the guest.",
    )
    dhcpDomain: str = setting(
        variable="AERO_L2_DOMAIN",
        option="l2-domain",
        default="",
        parse=domainName,
        help="The domain name that DHCP tells the guest.",
    )
    searchDomains: tuple[str, ...] = setting(
        variable="AERO_L2_SEARCH_DOMAINS",
        option="l2-search-domains",
        default=(),
        parse=listOf(domainName, "a domain"),
        help="The domains that the guest's resolver tries for short names, separated by commas.",
    )
    ntpServers: tuple[int, ...] = setting(
        variable="AERO_L2_NTP_SERVERS",
        option="l2-ntp-servers",
        default=(),
        parse=listOf(ipv4, "an address"),
        shown="none",
        help="Addresses of time servers that DHCP tells the guest.",
    )
    routes: tuple[StaticRoute, ...] = setting(
        variable="AERO_L2_STATIC_ROUTES",
        option="l2-static-routes",
        default=(),
        parse=listOf(staticRoute, "a route"),
        shown="none",
        help="Routes that DHCP tells the guest beside the default one: 192.168.7.0/24=10.0.2.2, separated by commas.",
    )
    staticNames: tuple[tuple[str, int], ...] = setting(
        variable="AERO_L2_DNS_A",
        option="l2-dns-a",
        default=(),
        parse=staticNames,
        shown="none",
        help="Names that the LAN's DNS answers itself: name=address, separated by commas.",
    )
    tcpForwards: tuple[Forward, ...] = setting(
        variable="AERO_L2_TCP_FORWARD",
        option="l2-tcp-forward",
        default=(),
        parse=forwards,
        shown="none",
        help="Where TCP to some addresses really goes: 203.0.113.10:80=127.0.0.1:8080, separated by commas. The targets"
        " are trusted.",
    )
    udpForwards: tuple[Forward, ...] = setting(
        variable="AERO_L2_UDP_FORWARD",
        option="l2-udp-forward",
        default=(),
        parse=forwards,
        shown="none",
        help="The same for UDP.",
    )
    maxConnections: int = setting(
        variable="AERO_L2_STACK_MAX_TCP_CONNECTIONS",
        option="l2-max-tcp-connections",
        default=1_024,
        parse=upTo(65_535),
        help="TCP connections of one guest at once; 0 refuses every one.",
    )
    maxEarlyBytes: int = setting(
        variable="AERO_L2_STACK_MAX_BUFFERED_TCP_BYTES_PER_CONN",
        option="l2-max-early-tcp-bytes",
        default=262_144,
        parse=upTo(67_108_864),
        help="Bytes that a guest may send on a connection before its target is connected; with 0 the first one resets it.",
    )
    tcpBufferBytes: int = setting(
        variable="AERO_L2_TCP_BUFFER_BYTES",
        option="l2-tcp-buffer-bytes",
        default=262_144,
        parse=integer(4_096, 16_777_216),
        help="Bytes held for each direction of a TCP connection between the guest's acknowledgment and the other side.",
    )
    sendBuffer: int = setting(
        variable="AERO_L2_TCP_SEND_BUFFER",
        option="l2-tcp-send-buffer",
        default=32,
        parse=positiveOr(32),
        help="Blocks of 2 KiB that may wait for a slow target before the guest's window closes; 0 is the default.",
    )
    connectTimeout: float = setting(
        variable="AERO_L2_TCP_CONNECT_TIMEOUT_MS",
        option="l2-tcp-connect-timeout-ms",
        default=5.0,
        parse=milliseconds(),
        shown="5000",
        help="Milliseconds that connecting to a target may take.",
    )
    connectHold: float = setting(
        variable="AERO_L2_TCP_CONNECT_HOLD_MS",
        option="l2-tcp-connect-hold-ms",
        default=0.25,
        parse=millisecondsUpTo(30_000),
        shown="250",
        help="Milliseconds that a guest's SYN waits for the target, so that a refusal is one; then it is answered.",
    )
    keepalive: float = setting(
        variable="AERO_L2_TCP_KEEPALIVE_MS",
        option="l2-tcp-keepalive-ms",
        default=300.0,
        parse=milliseconds(),
        shown="300000",
        help="Milliseconds of silence after which a guest's connection is probed; 0 never is.",
    )
    maxFlows: int = setting(
        variable="AERO_L2_MAX_UDP_FLOWS_PER_TUNNEL",
        option="l2-max-udp-flows",
        default=256,
        parse=upTo(65_535),
        help="Pairs of a guest's port and a remote address and port that may exchange datagrams at once; 0 is no limit.",
    )
    flowIdle: float = setting(
        variable="AERO_L2_UDP_FLOW_IDLE_TIMEOUT_MS",
        option="l2-udp-flow-idle-timeout-ms",
        default=300.0,
        parse=mappingMilliseconds(86_400_000),
        shown="300000",
        help="Milliseconds without a datagram after which such a pair is forgotten: at least 120000 (RFC 4787 section"
        " 4.3), or 0 for never. Pairs with port 53 are forgotten after 30000.",
    )
    evictIdle: float = setting(
        variable="AERO_L2_UDP_EVICT_IDLE_MS",
        option="l2-udp-evict-idle-ms",
        default=5.0,
        parse=milliseconds(),
        shown="5000",
        help="Milliseconds that the longest silent pair must have been silent to make room for a new one.",
    )
    udpMapping: str = setting(
        variable="AERO_L2_UDP_MAPPING",
        option="l2-udp-mapping",
        default="endpoint-independent",
        parse=choice("endpoint-independent", "address-and-port"),
        help="Whether a guest's port has one port on the network (RFC 4787), or one for each remote.",
    )
    udpFiltering: str = setting(
        variable="AERO_L2_UDP_FILTERING",
        option="l2-udp-filtering",
        default="address-and-port",
        parse=choice("address-and-port", "address", "endpoint-independent"),
        help="Who may send to that port: the addresses and ports written to, those addresses, or everybody.",
    )
    preservePorts: str = setting(
        variable="AERO_L2_UDP_PRESERVE_PORTS",
        option="l2-udp-preserve-ports",
        default="ephemeral",
        parse=choice("off", "ephemeral", "all"),
        help="Whether a guest's port keeps its number on the network where that is free: never, for the ports that the"
        " system gives to clients, or for all from 1024.",
    )
    pingsPerSecond: float = setting(
        variable="AERO_L2_PINGS_PER_SECOND",
        option="l2-pings-per-second",
        default=20,
        parse=upTo(1_000),
        help="Pings a second that leave the LAN of one guest, if the system has ping sockets; 0 sends none.",
    )
    maxPendingDNS: int = setting(
        variable="AERO_L2_STACK_MAX_PENDING_DNS",
        option="l2-max-pending-dns",
        default=1_024,
        derive=lambda values: 256 if onPublicDomains(1)(values) else 1_024,
        parse=upTo(65_535),
        shown="256 on a public domain, 1024 for internal names",
        help="Questions of one guest that wait for an answer at once; more get SERVFAIL.",
    )
    dnsQPS: float = setting(
        variable="AERO_L2_DNS_QPS",
        option="l2-dns-qps",
        default=0,
        derive=onPublicDomains(50),
        parse=number(0),
        shown="50 on a public domain, off for internal names",
        help="Questions a second that one guest may ask of the resolver. More are dropped over UDP, so that the guest asks"
        " again later, and get REFUSED over TCP. 0 is no limit.",
    )
    dnsBurst: float = setting(
        variable="AERO_L2_DNS_BURST",
        option="l2-dns-burst",
        default=0,
        derive=onPublicDomains(200),
        parse=number(0),
        shown="200 on a public domain, off for internal names",
        help="Questions that one guest may ask of the resolver at once; 0 is no limit.",
    )
    dnsQPSPerIP: float = setting(
        variable="AERO_L2_DNS_QPS_PER_IP",
        option="l2-dns-qps-per-ip",
        default=0,
        derive=onPublicDomains(100),
        parse=number(0),
        shown="100 on a public domain, off for internal names",
        help="Questions a second of all guests together of one client IPv4 address or IPv6 /64; 0 is no limit.",
    )
    dnsBurstPerIP: float = setting(
        variable="AERO_L2_DNS_BURST_PER_IP",
        option="l2-dns-burst-per-ip",
        default=0,
        derive=onPublicDomains(400),
        parse=number(0),
        shown="400 on a public domain, off for internal names",
        help="Questions that all guests of one client address may ask at once; 0 is no limit.",
    )
    maxDNSCacheEntries: int = setting(
        variable="AERO_L2_STACK_MAX_DNS_CACHE_ENTRIES",
        option="l2-max-dns-cache-entries",
        default=10_000,
        parse=upTo(1_000_000),
        help="Answers kept for one guest, beside those that the DNS keeps for all; 0 keeps none.",
    )
    lookupTimeout: float = setting(
        variable="AERO_L2_DNS_LOOKUP_TIMEOUT_MS",
        option="l2-dns-lookup-timeout-ms",
        default=2.0,
        parse=millisecondsUpTo(60_000),
        shown="2000",
        help="Milliseconds that a guest waits for an answer of the DNS before it gets SERVFAIL; 0 is as long as it takes.",
    )
    defaultTTL: int = setting(
        variable="AERO_L2_DNS_DEFAULT_TTL_SECS",
        option="l2-dns-default-ttl",
        default=60,
        parse=integer(0, 0xFFFFFFFF),
        help="The TTL in seconds of static answers, and of those that come with a TTL of 0.",
    )
    maxTTL: int = setting(
        variable="AERO_L2_DNS_MAX_TTL_SECS",
        option="l2-dns-max-ttl",
        default=300,
        parse=integer(0, 0xFFFFFFFF),
        help="The largest TTL in seconds that a guest is told, static answers aside.",
    )
