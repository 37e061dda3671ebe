# -*- test-case-name: aero.wire.test.test_tcp -*-
"""
TCP segments over IPv4 (RFC 9293 section 3.1), and the options of RFC 9293 section 3.2,
RFC 7323 and RFC 2018.

A segment is read in place with L{HEADER_STRUCT}; only options make objects, and only where
there are other than timestamps.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .checksum import onesSum

#: Bytes of a header without options.
HEADER = 20

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
URG = 0x20

#: Source port, destination port, sequence number, acknowledgment number, data offset and
#: flags, window, checksum, urgent pointer.
HEADER_STRUCT = struct.Struct("!HHIIHHHH")

#: The layout that nearly every segment with timestamps has (RFC 7323 appendix A): two no-ops,
#: then the option.
TIMESTAMP_PREFIX = b"\x01\x01\x08\x0a"
TIMESTAMP_STRUCT = struct.Struct("!4sII")

#: The largest shift of a window (RFC 7323 section 2.3).
MAX_SHIFT = 14


class Options(NamedTuple):
    """
    The options of one segment; C{None} and empty where there are none.

    @ivar mss: Maximum segment size, in bytes.
    @ivar shift: Window scale.
    @ivar sackPermitted: Whether selective acknowledgments may be sent.
    @ivar timestamp: Value and echo reply.
    @ivar sack: Left and right edges.
    """

    mss: int | None = None
    shift: int | None = None
    sackPermitted: bool = False
    timestamp: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()


def verify(packet: bytes, offset: int, end: int, pseudoSum: int) -> str:
    """
    Check a segment.

    @param offset: Where its header begins.
    @param end: Where its payload ends.
    @param pseudoSum: The sum over addresses and protocol; the length is added here.
    @return: Empty where it is right; else C{short}, C{length} or C{checksum}.
    """
    length = end - offset
    if length < HEADER:
        return "short"
    if not HEADER <= (packet[offset + 12] >> 4) * 4 <= length:
        return "length"
    if onesSum(packet[offset:end], pseudoSum + length) != 0xFFFF:
        return "checksum"
    return ""


def parseOptions(packet: bytes, offset: int, end: int) -> Options:
    """
    Read options; whatever is malformed ends them, and unknown ones are skipped
    (RFC 9293 section 3.1, MUST-6 and MUST-7).
    """
    mss: int | None = None
    shift: int | None = None
    permitted = False
    timestamp: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()
    while offset < end:
        kind = packet[offset]
        if kind == 0:
            break
        if kind == 1:
            offset += 1
            continue
        if offset + 1 >= end:
            break
        length = packet[offset + 1]
        if length < 2 or offset + length > end:
            break
        if kind == 2 and length == 4:
            mss = packet[offset + 2] << 8 | packet[offset + 3]
        elif kind == 3 and length == 3:
            shift = min(packet[offset + 2], MAX_SHIFT)
        elif kind == 4 and length == 2:
            permitted = True
        elif kind == 5 and length >= 10 and length % 8 == 2:
            edges = struct.unpack_from(f"!{(length - 2) // 4}I", packet, offset + 2)
            sack = tuple(zip(edges[::2], edges[1::2], strict=True))
        elif kind == 8 and length == 10:
            value, echo = struct.unpack_from("!II", packet, offset + 2)
            timestamp = value, echo
        offset += length
    return Options(mss, shift, permitted, timestamp, sack)


def buildOptions(options: Options) -> bytes:
    """
    Write options, padded to a multiple of four bytes.
    """
    made = b""
    if options.mss is not None:
        made += struct.pack("!BBH", 2, 4, options.mss)
    if options.sackPermitted:
        made += b"\x04\x02" if options.timestamp else b"\x01\x01\x04\x02"
    if options.timestamp is not None:
        # Behind SACK-permitted no padding is needed to keep it aligned.
        prefix = b"\x08\x0a" if options.sackPermitted else TIMESTAMP_PREFIX
        made += prefix + struct.pack("!II", *options.timestamp)
    if options.shift is not None:
        made += struct.pack("!BBBB", 1, 3, 3, options.shift)
    if options.sack:
        made += struct.pack("!BBBB", 1, 1, 5, 2 + 8 * len(options.sack))
        for left, right in options.sack:
            made += struct.pack("!II", left, right)
    return made


def build(
    sourcePort: int,
    destinationPort: int,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    pseudoSum: int,
    options: bytes = b"",
    data: bytes = b"",
) -> bytes:
    """
    Make a segment with its checksum.

    @param options: A multiple of four bytes.
    @param pseudoSum: As for L{verify}.
    """
    offsetAndFlags = (5 + (len(options) >> 2)) << 12 | flags
    length = HEADER + len(options) + len(data)
    total = (
        pseudoSum
        + length
        + sourcePort
        + destinationPort
        + (sequence >> 16)
        + (sequence & 0xFFFF)
        + (acknowledgment >> 16)
        + (acknowledgment & 0xFFFF)
        + offsetAndFlags
        + window
    )
    if options:
        total += int.from_bytes(options, "big")
    if data:
        total = onesSum(data, total)
    return (
        HEADER_STRUCT.pack(
            sourcePort,
            destinationPort,
            sequence,
            acknowledgment,
            offsetAndFlags,
            window,
            0xFFFF - (total % 0xFFFF or 0xFFFF),
            0,
        )
        + options
        + data
    )
