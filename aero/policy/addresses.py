# -*- test-case-name: aero.policy.test.test_addresses -*-
"""
Which addresses are public.

A server that connects where strangers tell it to must not reach what only it can reach:
itself, its network, its cloud's metadata. The table is the two IANA special-purpose address
registries (RFC 6890, as updated by RFC 8190) and the IPv6 address space registry. Anything
that is not global unicast is refused rather than listed. Addresses that carry an IPv4
address follow the IPv4 rules where the network would deliver to it directly, and are refused
where a tunnel would: 6to4 (RFC 3056), Teredo (RFC 4380), and ISATAP under any prefix
(RFC 5214 section 6.1). Translation prefixes of local use (RFC 8215) and the IPv4-translated form
of RFC 2765 section 2.1 lie in ranges that are refused whole.

Some clouds give their machines services at addresses that the registries call public. Only
machines inside the cloud reach them, so they are refused too (L{CLOUD_NETWORKS}). The other
metadata and platform addresses that the clouds document (169.254.0.0/16, 100.100.100.200,
192.0.0.192, fd00:ec2::254, fd20:ce::254) lie in networks of the registries.

Left public on purpose, because their registry row says "globally reachable" and ordinary
networks announce them: 192.31.196.0/24 and 192.175.48.0/24 (AS112, RFC 7535 and RFC 7534),
192.52.193.0/24 (AMT, RFC 7450), 2620:4f:8000::/48 (AS112, RFC 7534).
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from typing import Iterable

from .numeric import parseIPv4, parseIPv6

#: IPv4 networks that are not public: network, meaning, source.
SPECIAL_IPV4: tuple[tuple[str, str, str], ...] = (
    ("0.0.0.0/8", "this network", "RFC 791 section 3.2"),
    ("10.0.0.0/8", "private use", "RFC 1918"),
    ("100.64.0.0/10", "shared address space of carriers", "RFC 6598"),
    ("127.0.0.0/8", "loopback", "RFC 1122 section 3.2.1.3"),
    ("169.254.0.0/16", "link-local, cloud metadata", "RFC 3927"),
    ("172.16.0.0/12", "private use", "RFC 1918"),
    ("192.0.0.0/24", "IETF protocol assignments", "RFC 6890 section 2.1"),
    ("192.0.2.0/24", "documentation", "RFC 5737"),
    ("192.88.99.0/24", "6to4 relay anycast, deprecated", "RFC 7526"),
    ("192.168.0.0/16", "private use", "RFC 1918"),
    ("198.18.0.0/15", "benchmarking", "RFC 2544"),
    ("198.51.100.0/24", "documentation", "RFC 5737"),
    ("203.0.113.0/24", "documentation", "RFC 5737"),
    ("224.0.0.0/4", "multicast", "RFC 5771"),
    ("240.0.0.0/4", "reserved, limited broadcast", "RFC 1112 section 4, RFC 8190"),
)

#: IPv6 networks that are not public: network, meaning, source. The first three are all that
#: is not global unicast; rows inside of them say what some of it is for.
SPECIAL_IPV6: tuple[tuple[str, str, str], ...] = (
    ("::/3", "reserved by the IETF", "RFC 4291 section 4"),
    ("4000::/2", "reserved by the IETF", "RFC 4291 section 4"),
    ("8000::/1", "reserved by the IETF", "RFC 4291 section 4"),
    ("::/128", "unspecified", "RFC 4291 section 2.5.2"),
    ("::1/128", "loopback", "RFC 4291 section 2.5.3"),
    ("64:ff9b:1::/48", "local-use translation", "RFC 8215"),
    ("100::/64", "discard-only", "RFC 6666"),
    ("100:0:0:1::/64", "dummy prefix", "RFC 9780"),
    ("2001::/23", "IETF protocol assignments", "RFC 2928"),
    ("2001::/32", "Teredo tunnels", "RFC 4380"),
    ("2001:1::/32", "anycast of PCP, TURN and DNS-SD SRP", "RFC 7723, RFC 8155, RFC 9665"),
    ("2001:2::/48", "benchmarking", "RFC 5180"),
    ("2001:3::/32", "AMT", "RFC 7450"),
    ("2001:4:112::/48", "AS112", "RFC 7535"),
    ("2001:10::/28", "ORCHID, deprecated", "RFC 4843"),
    ("2001:20::/28", "ORCHIDv2, not routed", "RFC 7343"),
    ("2001:30::/28", "drone remote identification, not routed", "RFC 9374"),
    ("2001:db8::/32", "documentation", "RFC 3849"),
    ("2002::/16", "6to4 tunnels", "RFC 3056"),
    ("3ffe::/16", "6bone, returned", "RFC 3701"),
    ("3fff::/20", "documentation", "RFC 9637"),
    ("5f00::/16", "segment routing identifiers", "RFC 9602"),
    ("fc00::/7", "unique local", "RFC 4193"),
    ("fe80::/10", "link-local", "RFC 4291 section 2.5.6"),
    ("fec0::/10", "site-local, deprecated", "RFC 3879"),
    ("ff00::/8", "multicast", "RFC 4291 section 2.7"),
)

#: Networks in public space that clouds serve to their own machines alone: network, meaning,
#: source.
CLOUD_NETWORKS: tuple[tuple[str, str, str], ...] = (
    (
        "168.63.129.16/32",
        "Azure: agent, DHCP, DNS and health probes of the host",
        "https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16",
    ),
    (
        "161.26.0.0/16",
        "IBM Cloud: DNS, time, package mirrors and object storage",
        "https://cloud.ibm.com/docs/vpc?topic=vpc-service-endpoints-for-vpc",
    ),
    (
        "166.8.0.0/14",
        "IBM Cloud: private endpoints of its services",
        "https://cloud.ibm.com/docs/vpc?topic=vpc-service-endpoints-for-vpc",
    ),
    (
        "199.36.153.4/30",
        "Google Cloud: restricted.googleapis.com",
        "https://cloud.google.com/vpc-service-controls/docs/private-connectivity",
    ),
    (
        "199.36.153.8/30",
        "Google Cloud: private.googleapis.com",
        "https://cloud.google.com/vpc/docs/configure-private-google-access",
    ),
    (
        "2600:2d00:2:1000::/56",
        "Google Cloud: restricted.googleapis.com",
        "https://cloud.google.com/vpc-service-controls/docs/private-connectivity",
    ),
    (
        "2600:2d00:2:2000::/56",
        "Google Cloud: private.googleapis.com",
        "https://cloud.google.com/vpc/docs/configure-private-google-access",
    ),
)

#: Bits 64 to 95 of an ISATAP address, without the bit that says whether the IPv4 address is
#: globally unique (RFC 5214 section 6.1).
_ISATAP = 0x00005EFE
_UNIVERSAL = 0x02000000

#: The first 96 bits of IPv6 addresses whose last 32 are an IPv4 address that is reached
#: without a tunnel: IPv4-compatible and IPv4-mapped (RFC 4291 section 2.5.5), NAT64
#: (RFC 6052 section 2.1).
_EMBEDDING = frozenset(
    int(ipaddress.IPv6Address(prefix)) >> 32 for prefix in ("::", "::ffff:0:0", "64:ff9b::")
)

_Ranges = tuple[list[int], list[int]]


def _merged(table: Iterable[tuple[str, str, str]]) -> _Ranges:
    """
    Turn networks into disjoint, sorted ranges: first addresses, last addresses.
    """
    networks = [ipaddress.ip_network(row[0]) for row in table]
    spans = sorted((int(net[0]), int(net[-1])) for net in networks)
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in spans:
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts


_IPV4_RANGES = _merged(
    (*SPECIAL_IPV4, *(row for row in CLOUD_NETWORKS if ":" not in row[0])),
)
_IPV6_RANGES = _merged((*SPECIAL_IPV6, *(row for row in CLOUD_NETWORKS if ":" in row[0])))


def isPublic(address: str) -> bool:
    """
    Whether an address is reachable by everybody, so that reaching it from here gives nothing
    away.

    @param address: An address without brackets. Whatever is not strictly one, a zone
        included, is not public.
    """
    if ":" not in address:
        four = parseIPv4(address)
        return four is not None and not _within(_IPV4_RANGES, four)
    six = parseIPv6(address)
    if six is None:
        return False
    four = embeddedIPv4(six)
    if four is not None:
        return not _within(_IPV4_RANGES, four)
    return not _isISATAP(six) and not _within(_IPV6_RANGES, six)


def embeddedIPv4(six: int) -> int | None:
    """
    The IPv4 address that packets to an IPv6 address reach without a tunnel.

    @param six: The IPv6 address.
    @return: C{None} where there is none.
    """
    return six & 0xFFFFFFFF if six >> 32 in _EMBEDDING else None


def _isISATAP(six: int) -> bool:
    return six >> 32 & 0xFFFFFFFF & ~_UNIVERSAL == _ISATAP


def _within(ranges: _Ranges, address: int) -> bool:
    firsts, lasts = ranges
    position = bisect_right(firsts, address) - 1
    return position >= 0 and address <= lasts[position]
