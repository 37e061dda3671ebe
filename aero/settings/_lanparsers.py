# -*- test-case-name: aero.settings.test.test_lan -*-
"""
Parsers for the settings of the guest's network: addresses, routes, names, forwards.
"""

from __future__ import annotations

import ipaddress
from typing import Callable, NamedTuple

from aero.policy.forwards import Forward
from aero.policy.hosts import IPTarget, classifyHost

from ._names import domainName
from ._parsers import MIN_MAPPING, integer, listOf


class StaticRoute(NamedTuple):
    """
    A route for the guest.

    @ivar router: An address of the guest's network.
    """

    network: int
    prefixLength: int
    router: int


def ipv4(value: str) -> int:
    """
    An IPv4 address as a number.
    """
    try:
        return int(ipaddress.IPv4Address(value.strip()))
    except ValueError:
        raise ValueError("expected an IPv4 address such as 10.0.2.2") from None


def ipv4OrOff(value: str) -> int:
    """
    An IPv4 address as a number, or C{off}, which is 0.
    """
    if value.strip().lower() == "off":
        return 0
    try:
        return ipv4(value)
    except ValueError as problem:
        raise ValueError(f"{problem}, or off") from None


def subnet(value: str) -> ipaddress.IPv4Network:
    """
    The network that a guest is in: at least a gateway, a guest, and their broadcast address.
    """
    expected = "expected an IPv4 network of 8 to 29 bits such as 10.0.2.0/24"
    try:
        found = ipaddress.IPv4Network(value.strip())
    except ValueError:
        raise ValueError(expected) from None
    if not 8 <= found.prefixlen <= 29 or found.is_multicast or found.is_loopback:
        raise ValueError(expected)
    return found


def staticRoute(value: str) -> StaticRoute:
    """
    C{network=router}.
    """
    expected = "expected a network and a router such as 192.168.7.0/24=10.0.2.2"
    network, equals, router = value.partition("=")
    try:
        found = ipaddress.IPv4Network(network.strip())
    except ValueError:
        raise ValueError(expected) from None
    if not equals:
        raise ValueError(expected)
    return StaticRoute(int(found.network_address), found.prefixlen, ipv4(router))


def u16(value: str) -> int:
    """
    A port number, 0 included.
    """
    return integer(0, 65_535)(value)


def portAllowlist(what: str) -> Callable[[str], frozenset[int] | None]:
    """
    Ports separated by commas; none is none at all (l2.md section 3.7).

    @param what: C{tcp} or C{udp}, for the error that the reference's users know.
    """
    ports = listOf(u16, "a port")

    def parse(value: str) -> frozenset[int] | None:
        try:
            return frozenset(ports(value))
        except ValueError as error:
            raise ValueError(f"{what} port allowlist: {error}") from None

    return parse


def domainSuffixes(value: str) -> tuple[str, ...]:
    """
    Domains that stand for themselves and everything below them; dots around them mean
    nothing, and what then is empty is dropped.
    """
    items = (item.strip().strip(".") for item in value.split(","))
    return listOf(domainName, "a domain")(",".join(item for item in items if item))


def staticNames(value: str) -> tuple[tuple[str, int], ...]:
    """
    C{name=address} separated by commas.
    """
    return listOf(_staticName, "a name and an address")(value)


def _staticName(value: str) -> tuple[str, int]:
    name, equals, address = value.partition("=")
    folded = name.strip().rstrip(".").lower()
    if not equals or not folded or not folded.isascii() or len(folded) > 253:
        raise ValueError("expected a name and an IPv4 address such as echo.local=203.0.113.10")
    return folded, ipv4(address)


def forwards(value: str) -> tuple[Forward, ...]:
    """
    C{address:port=host:port} separated by commas; of two about one address the later counts.
    """
    return listOf(_forward, "a forward")(value)


def _forward(value: str) -> Forward:
    expected = "expected an address and where it leads, such as 203.0.113.10:80=127.0.0.1:8080"
    left, equals, right = value.partition("=")
    address, colon, port = left.strip().rpartition(":")
    host, hostColon, hostPort = right.strip().rpartition(":")
    if not (equals and colon and hostColon and address and host):
        raise ValueError(expected)
    try:
        target = classifyHost(host)
        if isinstance(target, IPTarget) and ":" in str(target) and not host.startswith("["):
            raise ValueError(expected)
        leadsTo = str(target)
        if isinstance(target, IPTarget):
            # As a socket spells it, or answers from there would be those of a stranger.
            leadsTo = str(ipaddress.ip_address(leadsTo))
        return Forward(ipv4(address), u16(port), leadsTo, u16(hostPort))
    except ValueError:
        raise ValueError(expected) from None


def upTo(maximum: int) -> Callable[[str], int]:
    """
    A whole number; a larger one than the maximum is the maximum (l2.md section 3.1, class
    Nc).
    """
    whole = integer(0)
    return lambda value: min(whole(value), maximum)


def mappingMilliseconds(maximum: int) -> Callable[[str], float]:
    """
    Milliseconds that a NAT keeps a mapping, kept in seconds: two minutes or more (RFC 4787 section
    4.3, REQ-5), or 0. More than the maximum is the maximum.
    """
    whole = millisecondsUpTo(maximum)

    def parse(value: str) -> float:
        found = whole(value)
        if 0 < found < MIN_MAPPING:
            raise ValueError(
                "expected 120000 or more, such as 300000 (RFC 4787 section 4.3), or 0 for never"
            )
        return found

    return parse


def millisecondsUpTo(maximum: int) -> Callable[[str], float]:
    """
    The same in milliseconds, kept in seconds.
    """
    whole = upTo(maximum)
    return lambda value: whole(value) / 1000.0
