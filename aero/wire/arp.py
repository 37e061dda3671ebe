# -*- test-case-name: aero.wire.test.test_arp -*-
"""
ARP for IPv4 over Ethernet (RFC 826).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PACKET = struct.Struct("!HHBBH6sI6sI")
_ETHERNET, _IPV4 = 1, 0x0800

REQUEST = 1
REPLY = 2


@dataclass(frozen=True, slots=True)
class ARPPacket:
    """
    One packet.

    @ivar opcode: L{REQUEST} or L{REPLY}.
    @ivar senderHardware: The sender's MAC address.
    @ivar sender: The sender's IPv4 address as a number; 0 in a probe (RFC 5227).
    @ivar targetHardware: What is asked for, in a request usually zeros.
    @ivar target: The IPv4 address asked about.
    """

    opcode: int
    senderHardware: bytes
    sender: int
    targetHardware: bytes
    target: int

    def encode(self) -> bytes:
        """
        The 28 bytes behind the Ethernet header.
        """
        return _PACKET.pack(
            _ETHERNET,
            _IPV4,
            6,
            4,
            self.opcode,
            self.senderHardware,
            self.sender,
            self.targetHardware,
            self.target,
        )


def parse(data: bytes, offset: int = 0) -> ARPPacket | None:
    """
    Read a packet; padding behind it is ignored.

    @return: C{None} where it is cut short or not for IPv4 over Ethernet.
    """
    if len(data) - offset < _PACKET.size:
        return None
    hardware, protocol, hardwareSize, protocolSize, *rest = _PACKET.unpack_from(data, offset)
    if (hardware, protocol, hardwareSize, protocolSize) != (_ETHERNET, _IPV4, 6, 4):
        return None
    return ARPPacket(*rest)
