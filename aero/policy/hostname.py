# -*- test-case-name: aero.policy.test.test_hostname -*-
"""
The one spelling of a host name, for every place that compares two of them: SNI, C{Host},
C{Origin}, redirects, the site name and lists of hosts.

A host is read as the URL standard reads it (RFC 3986 section 3.2.2): in any case, as Unicode or
Punycode (UTS #46), with the dot of the root or without, an address in any of its spellings.
Percent-encoding is refused: no client needs it, and programs differ about it.
"""

from __future__ import annotations

import re

from .idn import toASCII
from .numeric import ipv4Text, ipv6Text, joinParts, parseIPv6, parseNumber

#: The forbidden domain code points of the URL standard; C{%} is one of them.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")


def normalizeName(name: str) -> str | None:
    """
    Give the one spelling of a name: lower-case ASCII, without the dot of the root. An IPv4 address
    stays as it is written.

    @return: C{None} for what is no name.
    """
    if not name:
        return None
    try:
        ascii = toASCII(name)
    except ValueError:
        return None
    ascii = ascii.removesuffix(".")
    return None if not ascii or _FORBIDDEN.search(ascii) else ascii


def normalizeHost(host: str) -> str | None:
    """
    Give the one spelling of a host: a name as L{normalizeName} gives it, an IPv4 address in
    dotted decimal, or an IPv6 address in brackets and compressed.

    @param host: A host without a port, an IPv6 address in brackets.
    @return: C{None} for what is no host.
    """
    if host.startswith("["):
        address = parseIPv6(host[1:-1]) if host.endswith("]") else None
        return None if address is None else f"[{ipv6Text(address)}]"
    name = normalizeName(host)
    if name is None:
        return None
    labels = name.split(".")
    if not labels[-1].isdigit() and parseNumber(labels[-1]) is None:
        return name
    # The last label is a number, so this is an IPv4 address or nothing.
    four = joinParts([parseNumber(label) for label in labels])
    return None if four is None else ipv4Text(four)


def splitAuthority(authority: str) -> tuple[str, str | None] | None:
    """
    Split C{host[:port]}. Neither part is checked, but for the brackets of an IPv6 address.

    @return: The host, brackets included, and the text after the colon; C{None} for the latter
        without a colon, and for all of it where something else follows the brackets.
    """
    if authority.startswith("["):
        address, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        return address + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def hostOf(authority: bytes) -> str | None:
    """
    The host of a C{Host} header, as L{normalizeHost} spells it, whatever its port.

    @return: C{None} for what is no host.
    """
    parts = splitAuthority(authority.decode("latin-1"))
    return None if parts is None else normalizeHost(parts[0])
