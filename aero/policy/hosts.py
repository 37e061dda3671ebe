# -*- test-case-name: aero.policy.test.test_hosts -*-
"""
What a target host is: an IP address, however it is spelled, or a name.

System resolvers take C{0177.1} for 127.0.0.1. Whoever decides by the text has to see the same
address, so every such spelling becomes an address here, before any rule looks at it
(gateway.md sections 11.1 and 11.2).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Iterable

from .idn import toASCII
from .numeric import ipv4Text, ipv6FullText, joinParts, parseIPv4, parseIPv6, parseNumber

#: The most characters of a host that are looked at.
MAX_HOST_CHARACTERS = 1_024

_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_EXPECTED = "expected a host name or an IP address"
_DECIMAL_QUAD = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")


@dataclasses.dataclass(frozen=True, slots=True)
class IPTarget:
    """
    A host that is an address.

    @ivar address: IPv4 in dotted decimal; IPv6 as eight groups of four lower-case digits, so
        that two spellings of an address are equal.
    """

    address: str

    def __str__(self) -> str:
        return self.address


@dataclasses.dataclass(frozen=True, slots=True)
class NameTarget:
    """
    A host that has to be looked up.

    @ivar name: Lower-case ASCII, no trailing dot.
    """

    name: str

    def __str__(self) -> str:
        return self.name


def classifyHost(text: str) -> IPTarget | NameTarget:
    """
    Tell addresses from names.

    Classifying the text of the result again gives the same result.

    @raise ValueError: It is neither.
    """
    host = text.strip()
    if len(host) > MAX_HOST_CHARACTERS:
        raise ValueError("expected a host name or an IP address of at most 1024 characters")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    six = parseIPv6(host)
    if six is not None:
        return IPTarget(ipv6FullText(six))
    four = _parseIPv4Spelling(host)
    if four is None:
        name = _normalizeName(host)
        four = _parseIPv4Spelling(name)
        if four is None:
            return NameTarget(_checkedName(name))
    return IPTarget(ipv4Text(four))


@dataclasses.dataclass(frozen=True, slots=True)
class HostPattern:
    """
    One entry of a host list.

    @ivar target: The host it is about.
    @ivar wildcard: True where it is about every proper subdomain of the target instead.
    """

    target: IPTarget | NameTarget
    wildcard: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """
        Read C{name}, C{*.name} or an IP address.

        @raise ValueError: It is none of them.
        """
        stripped = text.strip()
        wildcard = stripped.startswith("*.")
        try:
            target = classifyHost(stripped[2:] if wildcard else stripped)
        except ValueError:
            target = None
        if target is None or (wildcard and isinstance(target, IPTarget)):
            raise ValueError(
                "expected a host name such as example.com, *. before one for all its"
                " subdomains, or an IP address"
            )
        return cls(target, wildcard)

    def matches(self, target: IPTarget | NameTarget) -> bool:
        """
        Whether a classified host is meant. An address never matches a name, nor a name an
        address.
        """
        if not self.wildcard:
            return self.target == target
        return isinstance(target, NameTarget) and target.name.endswith(f".{self.target}")

    def __str__(self) -> str:
        return f"*.{self.target}" if self.wildcard else str(self.target)


class HostPatterns:
    """
    A host list, in which looking up costs the same however long it is.
    """

    def __init__(self, patterns: Iterable[HostPattern]) -> None:
        listed = tuple(patterns)
        self._exact = frozenset(each.target for each in listed if not each.wildcard)
        self._parents = frozenset(str(each.target) for each in listed if each.wildcard)

    def __bool__(self) -> bool:
        """
        Whether it has any entry.
        """
        return bool(self._exact or self._parents)

    def matches(self, target: IPTarget | NameTarget) -> bool:
        """
        Whether any entry is about this host.
        """
        if target in self._exact:
            return True
        if self._parents and isinstance(target, NameTarget):
            parent = target.name.partition(".")[2]
            while parent:
                if parent in self._parents:
                    return True
                parent = parent.partition(".")[2]
        return False


def _parseIPv4Spelling(host: str) -> int | None:
    """
    Read every spelling of an IPv4 address that resolvers are known to take.
    """
    strict = parseIPv4(host)
    if strict is not None:
        return strict
    if host.endswith("."):
        return _parseDecimalQuad(host[:-1])
    address = joinParts([parseNumber(part) for part in host.split(".")])
    return _parseDecimalQuad(host) if address is None else address


def _parseDecimalQuad(host: str) -> int | None:
    """
    Read four decimal parts in which leading zeros mean nothing.
    """
    if not _DECIMAL_QUAD.fullmatch(host):
        return None
    return joinParts([int(part) for part in host.split(".")])


def _normalizeName(host: str) -> str:
    try:
        return toASCII(host).rstrip(".")
    except ValueError:
        raise ValueError(_EXPECTED) from None


def _checkedName(name: str) -> str:
    """
    Refuse what DNS cannot hold, and what ends in a number without being an address: there is
    no such top-level domain, but there are resolvers that would make an address of it.
    """
    last = name.rpartition(".")[2]
    if not _NAME.fullmatch(name) or last.isdigit() or parseNumber(last) is not None:
        raise ValueError(_EXPECTED)
    return name
