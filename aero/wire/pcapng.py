# -*- test-case-name: aero.wire.test.test_pcapng -*-
"""
The blocks of a PCAPNG capture file (draft-ietf-opsawg-pcapng), as far as a capture of one
Ethernet interface needs them (l2.md section 19).

A file is a section header, an interface description, and one enhanced packet for each frame;
everything is little-endian.
"""

from __future__ import annotations

from typing import Final

#: Directions of a packet: the low two bits of the flags option (C{epb_flags}).
INBOUND: Final = 1
OUTBOUND: Final = 2

#: Bytes of an enhanced packet block besides its data.
PACKET_OVERHEAD: Final = 44

_SECTION_HEADER, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET = 1
_SNAP_LENGTH = 65_535

# Options: their codes depend on the block they stand in.
_USER_APPLICATION, _INTERFACE_NAME, _TIME_RESOLUTION, _PACKET_FLAGS = 4, 2, 9, 2
_NANOSECONDS = b"\x09"
_END_OF_OPTIONS = bytes(4)


def sectionHeader(application: str) -> bytes:
    """
    The block a file begins with; its section may have any length.

    @param application: The name of the program that writes it.
    """
    body = _u32(0x1A2B3C4D) + _u16(1) + _u16(0) + b"\xff" * 8
    return _block(
        _SECTION_HEADER,
        body + _option(_USER_APPLICATION, application.encode("utf-8")) + _END_OF_OPTIONS,
    )


def interfaceDescription(name: str) -> bytes:
    """
    The description of the one Ethernet interface, whose timestamps are nanoseconds.
    """
    body = _u16(_ETHERNET) + _u16(0) + _u32(_SNAP_LENGTH)
    options = _option(_INTERFACE_NAME, name.encode("utf-8"))
    options += _option(_TIME_RESOLUTION, _NANOSECONDS)
    return _block(_INTERFACE, body + options + _END_OF_OPTIONS)


def packetSize(length: int) -> int:
    """
    Bytes that the block of a frame takes.
    """
    return PACKET_OVERHEAD + length + (-length & 3)


def enhancedPacket(frame: bytes, nanoseconds: int, direction: int) -> bytes:
    """
    The block of one frame, captured whole.

    @param nanoseconds: When it was seen, since 1970.
    @param direction: L{INBOUND} from the guest, or L{OUTBOUND} to it.
    """
    length = len(frame)
    size = _u32(packetSize(length))
    return b"".join(
        (
            _u32(_ENHANCED_PACKET) + size + _u32(0),
            _u32(nanoseconds >> 32 & 0xFFFFFFFF) + _u32(nanoseconds & 0xFFFFFFFF),
            _u32(length) * 2,
            frame,
            bytes(-length & 3),
            _u16(_PACKET_FLAGS) + _u16(4) + _u32(direction) + _END_OF_OPTIONS,
            size,
        )
    )


def _block(kind: int, body: bytes) -> bytes:
    size = _u32(len(body) + 12)
    return _u32(kind) + size + body + size


def _option(code: int, value: bytes) -> bytes:
    return _u16(code) + _u16(len(value)) + value + bytes(-len(value) & 3)


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
