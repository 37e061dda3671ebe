# -*- test-case-name: aero.wire.test.test_udp -*-
"""
UDP datagrams over IPv4 (RFC 768).
"""

from __future__ import annotations

import struct

from .checksum import onesSum, pseudoHeader
from .ipv4 import UDP

#: Bytes of the header.
HEADER = 8

#: The most that one datagram carries over IPv4.
MAX_PAYLOAD = 65_535 - 20 - HEADER

_HEADER = struct.Struct("!HHHH")


def build(
    source: int, sourcePort: int, destination: int, destinationPort: int, data: bytes
) -> bytes:
    """
    Make a datagram with its checksum; a sum of 0 is sent as 0xFFFF, because 0 means none.

    @param data: At most L{MAX_PAYLOAD} bytes.
    """
    length = HEADER + len(data)
    total = onesSum(
        data,
        pseudoHeader(source, destination, UDP, length) + sourcePort + destinationPort + length,
    )
    return _HEADER.pack(sourcePort, destinationPort, length, 0xFFFF - total or 0xFFFF) + data


def verify(packet: bytes, offset: int, end: int, source: int, destination: int) -> str:
    """
    Check a datagram in a packet.

    @param offset: Where the UDP header begins.
    @param end: Where the IPv4 packet ends.
    @return: Empty where it is right; else C{short}, C{length} or C{checksum}. The payload then
        goes from C{offset + 8} for as many bytes as the length field says, less 8.
    """
    if end - offset < HEADER:
        return "short"
    length = packet[offset + 4] << 8 | packet[offset + 5]
    if not HEADER <= length <= end - offset:
        return "length"
    if packet[offset + 6] or packet[offset + 7]:
        initial = pseudoHeader(source, destination, UDP, length)
        if onesSum(packet[offset : offset + length], initial) != 0xFFFF:
            return "checksum"
    return ""
