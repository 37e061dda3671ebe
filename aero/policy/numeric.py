# -*- test-case-name: aero.policy.test.test_numeric -*-
"""
IP addresses as text and as integers.

The parsers are as strict as gateway.md section 11.3 asks, so that one address has few
spellings and nothing that a resolver might read differently passes. The writers always give
hexadecimal groups: C{str(ipaddress.IPv6Address)} changed its mind about IPv4-mapped
addresses in Python 3.13.
"""

from __future__ import annotations

import ipaddress
import re

#: The most characters an address may have.
MAX_ADDRESS_CHARACTERS = 128

_HEX_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*")
_OCTAL_NUMBER = re.compile(r"0[0-7]*")
_DECIMAL_NUMBER = re.compile(r"[1-9][0-9]*")


def parseIPv4(text: str) -> int | None:
    """
    Read four decimal parts without leading zeros; C{None} for anything else.
    """
    if len(text) > MAX_ADDRESS_CHARACTERS:
        return None
    try:
        return int(ipaddress.IPv4Address(text))
    except ValueError:
        return None


def parseIPv6(text: str) -> int | None:
    """
    Read an IPv6 address of RFC 4291 section 2.2 without zone and without brackets;
    C{None} for anything else.
    """
    if len(text) > MAX_ADDRESS_CHARACTERS or "%" in text or ":" not in text:
        return None
    try:
        return int(ipaddress.IPv6Address(text))
    except ValueError:
        return None


def parseNumber(text: str) -> int | None:
    """
    Read one part of an IPv4 address as C{inet_aton} and the URL standard do: C{0x} is
    hexadecimal, a leading zero is octal, the rest is decimal.
    """
    if _HEX_NUMBER.fullmatch(text):
        return int(text[2:] or "0", 16)
    if _OCTAL_NUMBER.fullmatch(text):
        return int(text, 8)
    return int(text) if _DECIMAL_NUMBER.fullmatch(text) else None


def joinParts(parts: list[int | None]) -> int | None:
    """
    Join one to four parts of an IPv4 address, of which the last fills what is left.
    """
    if not 1 <= len(parts) <= 4:
        return None
    address = 0
    for position, part in enumerate(parts[:-1]):
        if part is None or part > 255:
            return None
        address |= part << (24 - 8 * position)
    last = parts[-1]
    if last is None or last >= 1 << (8 * (5 - len(parts))):
        return None
    return address | last


def ipv4Text(address: int) -> str:
    """
    Dotted decimal.
    """
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def ipv6Groups(address: int) -> list[int]:
    """
    The eight groups of an IPv6 address.
    """
    return [address >> shift & 0xFFFF for shift in range(112, -1, -16)]


def ipv6FullText(address: int) -> str:
    """
    Eight groups of four lower-case digits: the form in which targets are compared and dialled.
    """
    return ":".join(f"{group:04x}" for group in ipv6Groups(address))


def ipv6Text(address: int) -> str:
    """
    The compressed form of the URL standard: the first of the longest runs of two or more zero
    groups becomes C{::}.
    """
    groups = ipv6Groups(address)
    best, length = 0, 1
    start = 0
    while start < 8:
        end = start
        while end < 8 and groups[end] == 0:
            end += 1
        if end - start > length:
            best, length = start, end - start
        start = max(end, start + 1)
    if length < 2:
        return ":".join(f"{group:x}" for group in groups)
    head = ":".join(f"{group:x}" for group in groups[:best])
    tail = ":".join(f"{group:x}" for group in groups[best + length :])
    return f"{head}::{tail}"
