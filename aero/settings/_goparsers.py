# -*- test-case-name: aero.settings.test.test_goparsers -*-
"""
Parsers for the settings of the relay, whose reference reads them as Go does (relay.md
section 16.1).
"""

from __future__ import annotations

import ipaddress
from typing import Callable

from ._parsers import MIN_MAPPING, IPNetwork, duration, integer, listOf, port

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def goBoolean(value: str) -> bool:
    """
    A boolean in Go's spellings.
    """
    if value.strip() in _TRUE:
        return True
    if value.strip() in _FALSE:
        return False
    raise ValueError("expected true or false (or 1, t, T, TRUE, True, 0, f, F, FALSE, False)")


def positiveDuration(value: str) -> float:
    """
    A duration above zero in Go's syntax, kept in seconds.
    """
    found = duration(value)
    if found <= 0:
        raise ValueError("expected a duration above zero such as 250ms, 30s or 1m30s")
    return found


def mappingDuration(value: str) -> float:
    """
    A duration of two minutes or more, for how long a NAT keeps a mapping (RFC 4787 section 4.3,
    REQ-5).
    """
    found = duration(value)
    if found < MIN_MAPPING:
        raise ValueError("expected a duration of 2m or more such as 5m (RFC 4787 section 4.3)")
    return found


def choiceIgnoringCase(aliases: dict[str, str]) -> Callable[[str], str]:
    """
    One of a few words in any case.

    @param aliases: What is accepted, in lower case, to what it means.
    """

    def parse(value: str) -> str:
        try:
            return aliases[value.strip().lower()]
        except KeyError:
            raise ValueError("expected one of " + ", ".join(aliases)) from None

    return parse


def cidrs(value: str) -> tuple[IPNetwork, ...]:
    """
    Networks with their prefix length; a bare address is refused, because the reference does.
    """
    return listOf(_cidr, "a network")(value)


def portRanges(value: str) -> tuple[tuple[int, int], ...]:
    """
    Ports and inclusive ranges of ports.
    """
    return listOf(_portRange, "a port or a range of ports")(value)


def _cidr(value: str) -> IPNetwork:
    if "/" not in value:
        raise ValueError("expected a network with its prefix length such as 10.0.0.0/8")
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("expected a network such as 10.0.0.0/8 or 2001:db8::/32") from None


def _portRange(value: str) -> tuple[int, int]:
    first, dash, last = value.partition("-")
    begin = port(first)
    end = port(last) if dash else begin
    if end < begin:
        raise ValueError("expected the smaller port first")
    return begin, end


def positive(value: str) -> int:
    """
    A whole number above zero.
    """
    return integer(1)(value)
