# -*- test-case-name: aero.testing.test.test_guest -*-
"""
Ethernet frames as a guest makes and reads them, for tests.

None of aero's own codecs is used here, so that a mistake in them is not made twice. Everything
that is read is checked: lengths, addresses, and every checksum.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

BROADCAST = b"\xff" * 6
IPV4 = 0x0800
ARP = 0x0806
ICMP, TCP, UDP = 1, 6, 17

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Packet(NamedTuple):
    """
    An IPv4 packet without options, its header checked.

    @ivar station: The MAC addresses of the frame: to, from.
    @ivar fragment: The 16 bits of flags and offset.
    """

    station: tuple[bytes, bytes]
    source: str
    destination: str
    protocol: int
    ttl: int
    fragment: int
    payload: bytes


class Datagram(NamedTuple):
    """
    A UDP datagram.
    """

    source: tuple[str, int]
    destination: tuple[str, int]
    data: bytes


class Segment(NamedTuple):
    """
    A TCP segment.

    @ivar options: As they are on the wire.
    """

    source: tuple[str, int]
    destination: tuple[str, int]
    sequence: int
    acknowledgment: int
    flags: int
    window: int
    options: bytes
    data: bytes


def internetSum(data: bytes) -> int:
    """
    The checksum of RFC 1071, byte by byte; 0 for data with a right one in it.
    """
    if len(data) % 2:
        data += b"\0"
    total = sum(high << 8 | low for high, low in zip(data[::2], data[1::2], strict=True))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address: str) -> bytes:
    """
    The four bytes of an address.
    """
    return bytes(int(part) for part in address.split("."))


def dotted(address: bytes) -> str:
    """
    The address of four bytes.
    """
    return ".".join(map(str, address))


def ipFrame(
    to: bytes,
    fro: bytes,
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    fragment: int = 0x4000,
    ident: int = 1,
) -> bytes:
    """
    A frame with an IPv4 packet.
    """
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(payload),
        ident,
        fragment,
        ttl,
        protocol,
        0,
        packed(source),
        packed(destination),
    )
    header = header[:10] + struct.pack("!H", internetSum(header)) + header[12:]
    return to + fro + struct.pack("!H", IPV4) + header + payload


def withChecksum(
    source: str, destination: str, protocol: int, payload: bytes, offset: int
) -> bytes:
    """
    A UDP or TCP payload with its checksum.

    @param offset: Where in it the checksum is.
    """
    pseudo = packed(source) + packed(destination) + struct.pack("!BBH", 0, protocol, len(payload))
    found = internetSum(pseudo + payload)
    if protocol == UDP and not found:
        found = 0xFFFF
    return payload[:offset] + struct.pack("!H", found) + payload[offset + 2 :]


def readPacket(frame: bytes) -> Packet:
    """
    Read a frame with an IPv4 packet.

    @raise AssertionError: Something about it is wrong.
    """
    assert len(frame) >= 34 and frame[12:14] == struct.pack("!H", IPV4), frame.hex()
    total = int.from_bytes(frame[16:18], "big")
    assert frame[14] == 0x45 and 20 <= total <= len(frame) - 14, frame.hex()
    assert internetSum(frame[14:34]) == 0, f"IPv4 checksum: {frame.hex()}"
    return Packet(
        (frame[:6], frame[6:12]),
        dotted(frame[26:30]),
        dotted(frame[30:34]),
        frame[23],
        frame[22],
        int.from_bytes(frame[20:22], "big"),
        frame[34 : 14 + total],
    )


def _checkPayload(packet: Packet) -> None:
    pseudo = (
        packed(packet.source)
        + packed(packet.destination)
        + struct.pack("!BBH", 0, packet.protocol, len(packet.payload))
    )
    assert internetSum(pseudo + packet.payload) == 0, f"checksum: {packet}"


def readDatagram(packet: Packet) -> Datagram:
    """
    Read the datagram in a packet.

    @raise AssertionError: Something about it is wrong.
    """
    fro, to, length, found = struct.unpack_from("!HHHH", packet.payload)
    assert length == len(packet.payload), packet
    assert found, "a UDP checksum is missing"
    _checkPayload(packet)
    return Datagram((packet.source, fro), (packet.destination, to), packet.payload[8:])


def readSegment(packet: Packet) -> Segment:
    """
    Read the segment in a packet.

    @raise AssertionError: Something about it is wrong.
    """
    payload = packet.payload
    fro, to, sequence, acknowledgment, offset, flags, window = struct.unpack_from(
        "!HHIIBBH", payload
    )
    header = (offset >> 4) * 4
    assert 20 <= header <= len(payload), packet
    _checkPayload(packet)
    return Segment(
        (packet.source, fro),
        (packet.destination, to),
        sequence,
        acknowledgment,
        flags,
        window,
        payload[20:header],
        payload[header:],
    )
