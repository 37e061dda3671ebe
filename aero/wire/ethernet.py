# -*- test-case-name: aero.wire.test.test_ethernet -*-
"""
Ethernet II frames without their check sequence (IEEE 802.3 section 3.1.1).

MAC addresses are 6 C{bytes}. A frame is read in place: C{frame[:6]} is the destination,
C{frame[6:12]} the source, C{frame[12:14]} the type.
"""

from __future__ import annotations

#: Bytes of the header.
HEADER = 14

IPV4 = b"\x08\x00"
ARP = b"\x08\x06"

BROADCAST = b"\xff" * 6


def header(destination: bytes, source: bytes, ethertype: bytes) -> bytes:
    """
    Make the header of a frame.

    @param ethertype: L{IPV4} or L{ARP}.
    """
    return destination + source + ethertype


def isGroup(address: bytes) -> bool:
    """
    Whether an address is for several stations, which none of them can send from.
    """
    return bool(address[0] & 1)


def macText(address: bytes) -> str:
    """
    An address as people write it.
    """
    return address.hex(":")
