# -*- test-case-name: aero.wire.test.test_icmpv4 -*-
"""
ICMP for IPv4 (RFC 792): echo, and the errors that help a guest.
"""

from __future__ import annotations

import struct

from .checksum import checksum, onesSum

#: Bytes of the header of every message made here.
HEADER = 8

#: The most that an error repeats of the packet it is about.
MAX_QUOTE = 576 - 20 - HEADER

ECHO_REPLY = 0
UNREACHABLE = 3
ECHO_REQUEST = 8
TIME_EXCEEDED = 11
PARAMETER_PROBLEM = 12

#: Codes of L{UNREACHABLE} (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1).
NET_UNREACHABLE = 0
HOST_UNREACHABLE = 1
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
PROHIBITED = 13

#: Codes of L{TIME_EXCEEDED}.
TTL_EXCEEDED = 0
REASSEMBLY_EXCEEDED = 1

#: Types that report an error, about which no error is ever sent (RFC 1122 section 3.2.2).
ERRORS = frozenset({3, 4, 5, 11, 12})

_HEADER = struct.Struct("!BBHI")


def verify(packet: bytes, offset: int, end: int) -> str:
    """
    Check a message.

    @return: Empty where it is right; else C{short} or C{checksum}.
    """
    if end - offset < HEADER:
        return "short"
    if onesSum(packet[offset:end]) != 0xFFFF:
        return "checksum"
    return ""


def build(kind: int, code: int, rest: int, data: bytes) -> bytes:
    """
    Make a message.

    @param rest: The second four bytes: identifier and sequence of an echo, the next-hop MTU of
        L{FRAGMENTATION_NEEDED} (RFC 1191), else 0.
    """
    bare = _HEADER.pack(kind, code, 0, rest) + data
    return bare[:2] + checksum(bare).to_bytes(2, "big") + bare[4:]


def quote(packet: bytes, offset: int, end: int) -> bytes:
    """
    What an error repeats of the packet it is about: as much as fits in 576 bytes together with
    the headers in front of it (RFC 1812 section 4.3.2.3), which is the ports and some payload.
    """
    return packet[offset : min(end, offset + MAX_QUOTE)]
