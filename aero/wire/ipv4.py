# -*- test-case-name: aero.wire.test.test_ipv4 -*-
"""
IPv4 headers (RFC 791).

Addresses are unsigned 32-bit numbers. Packets are checked once with L{verify}; after that
their fields are read in place at the offsets of section 3.1.
"""

from __future__ import annotations

import struct

from .checksum import onesSum

#: Bytes of a header without options.
HEADER = 20

ICMP = 1
TCP = 6
UDP = 17

DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET_MASK = 0x1FFF

LIMITED_BROADCAST = 0xFFFFFFFF

_END_OF_OPTIONS = 0
_NO_OPERATION = 1
#: Loose and strict.
_SOURCE_ROUTES = (131, 137)

_HEADER = struct.Struct("!BBHHHBBHII")


def verify(packet: bytes, offset: int) -> str:
    """
    Check a header and the length of its packet; bytes behind the total length are padding.

    @param packet: A frame or packet.
    @param offset: Where the header begins.
    @return: Empty where all is right, so that the header length and total length hold; else
        C{short}, C{version}, C{length} or C{checksum}.
    """
    available = len(packet) - offset
    if available < HEADER:
        return "short"
    first = packet[offset]
    if first >> 4 != 4:
        return "version"
    headerLength = (first & 15) * 4
    total = packet[offset + 2] << 8 | packet[offset + 3]
    if headerLength < HEADER or not headerLength <= total <= available:
        return "length"
    if onesSum(packet[offset : offset + headerLength]) != 0xFFFF:
        return "checksum"
    return ""


def routesItself(packet: bytes) -> bool:
    """
    Whether the options of a verified packet, which begins at 0, hold a route that its sender
    chose (RFC 791 section 3.1); options that make no sense count as one.
    """
    place, end = HEADER, (packet[0] & 15) * 4
    while place < end:
        kind = packet[place]
        if kind == _END_OF_OPTIONS:
            return False
        if kind == _NO_OPERATION:
            place += 1
            continue
        if kind in _SOURCE_ROUTES or place + 1 >= end or packet[place + 1] < 2:
            return True
        place += packet[place + 1]
    return place > end


def buildHeader(
    source: int,
    destination: int,
    protocol: int,
    payloadLength: int,
    identification: int,
    flags: int = DONT_FRAGMENT,
    ttl: int = 64,
) -> bytes:
    """
    Make a header without options.

    @param payloadLength: Bytes behind the header.
    @param flags: The 16 bits of flags and fragment offset.
    """
    total = HEADER + payloadLength
    words = (
        0x4500
        + total
        + identification
        + flags
        + (ttl << 8 | protocol)
        + (source >> 16)
        + (source & 0xFFFF)
        + (destination >> 16)
        + (destination & 0xFFFF)
    )
    return _HEADER.pack(
        0x45,
        0,
        total,
        identification,
        flags,
        ttl,
        protocol,
        0xFFFF - (words % 0xFFFF or 0xFFFF),
        source,
        destination,
    )


def addressText(address: int) -> str:
    """
    An address in dotted decimal.
    """
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def addressNumber(text: str) -> int:
    """
    An address from dotted decimal that is known to be one.

    @raise ValueError: It is none.
    """
    parts = text.split(".")
    number = 0
    for part in parts:
        if not part.isascii() or not part.isdigit() or int(part) > 255:
            raise ValueError(f"{text!r} is not an IPv4 address")
        number = number << 8 | int(part)
    if len(parts) != 4:
        raise ValueError(f"{text!r} is not an IPv4 address")
    return number
