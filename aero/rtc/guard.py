# -*- test-case-name: aero.rtc.test.test_guard -*-
"""
What stands between a peer's SCTP packets and aiortc's parser.

Whoever has finished the DTLS handshake may send any packet, and aiortc 1.16.0 trusts too much:
its C{decode_params} stays where it is on a parameter of length zero, for ever and with a growing
list; a SACK may name 65,535 positions in each of 280 gaps, all of which it visits; short chunks
raise errors that end its receiving task. So a packet is walked here first: every length moves
forward and stays inside what contains it, every chunk has the fields of its type, and only then
is anything made of it. A packet that fails is dropped whole (RFC 9260 section 6.10 allows it).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from google_crc32c import value as crc32c

COMMON_HEADER = 12
CHUNK_HEADER = 4

DATA = 0
INIT = 1
INIT_ACK = 2
SACK = 3
HEARTBEAT = 4
HEARTBEAT_ACK = 5
ABORT = 6
SHUTDOWN = 7
SHUTDOWN_ACK = 8
ERROR = 9
COOKIE_ECHO = 10
COOKIE_ACK = 11
SHUTDOWN_COMPLETE = 14
RECONFIG = 130
FORWARD_TSN = 192

#: Chunks of one packet; a packet of 1,200 bytes with the smallest DATA chunks has 59.
MAX_CHUNKS = 512
#: Parameters of one chunk.
MAX_PARAMETERS = 64

_CHUNK = struct.Struct("!BBH")
_PARAMETER = struct.Struct("!HH")
_COUNTS = struct.Struct("!HH")
_CHECKSUM = struct.Struct("<L")
_NO_CHECKSUM = bytes(4)

#: The shortest chunk of each type, header included (RFC 9260 section 3.3, RFC 3758, RFC 6525).
_SHORTEST = {
    DATA: 17,
    INIT: 20,
    INIT_ACK: 20,
    SACK: 16,
    SHUTDOWN: 8,
    FORWARD_TSN: 8,
}
#: Where the parameters of those chunks begin that have any.
_PARAMETERS_AT = {
    INIT: 20,
    INIT_ACK: 20,
    HEARTBEAT: 4,
    HEARTBEAT_ACK: 4,
    ABORT: 4,
    ERROR: 4,
    RECONFIG: 4,
}
#: The shortest re-configuration parameters, header included (RFC 6525 section 4).
_OUTGOING_RESET, _RESET_RESPONSE, _ADD_STREAMS = 13, 16, 17
_SHORTEST_RECONFIG = {_OUTGOING_RESET: 16, _RESET_RESPONSE: 12, _ADD_STREAMS: 12}


class MalformedPacket(ValueError):
    """
    A packet that is dropped. aiortc takes a C{ValueError} of its parser the same way.
    """


class ChunkSpan(NamedTuple):
    """
    Where a chunk is in its packet.

    @ivar kind: Its type.
    @ivar flags: Its flags.
    @ivar start: Where its header begins.
    @ivar end: Where its value ends, padding not included.
    """

    kind: int
    flags: int
    start: int
    end: int


def splitPacket(packet: bytes) -> list[ChunkSpan]:
    """
    Check a packet and find its chunks.

    @raise MalformedPacket: It is not one that may be looked at any further.
    """
    size = len(packet)
    if size < COMMON_HEADER + CHUNK_HEADER:
        raise MalformedPacket("the packet is too short")
    (checksum,) = _CHECKSUM.unpack_from(packet, 8)
    if checksum != crc32c(packet[:8] + _NO_CHECKSUM + packet[12:]):
        raise MalformedPacket("the checksum is wrong")
    spans: list[ChunkSpan] = []
    at = COMMON_HEADER
    while at + CHUNK_HEADER <= size:
        kind, flags, length = _CHUNK.unpack_from(packet, at)
        end = at + length
        if length < _SHORTEST.get(kind, CHUNK_HEADER) or end > size:
            raise MalformedPacket(f"chunk {kind} has an invalid length of {length} bytes")
        if kind != DATA:
            _checkChunk(packet, kind, at, end)
        spans.append(ChunkSpan(kind, flags, at, end))
        if len(spans) > MAX_CHUNKS:
            raise MalformedPacket("the packet has too many chunks")
        at = end + -length % 4
    return spans


def _checkChunk(packet: bytes, kind: int, start: int, end: int) -> None:
    """
    Check what is inside a chunk other than DATA.
    """
    if kind == SACK:
        gaps, duplicates = _COUNTS.unpack_from(packet, start + 12)
        if end - start < 16 + 4 * (gaps + duplicates):
            raise MalformedPacket("a SACK is shorter than what it announces")
    elif kind == FORWARD_TSN and (end - start) % 4:
        raise MalformedPacket("a FORWARD-TSN ends within a stream")
    first = _PARAMETERS_AT.get(kind)
    if first is not None:
        checkParameters(packet, start + first, end, reconfig=kind == RECONFIG)


def checkParameters(data: bytes, start: int, end: int, *, reconfig: bool = False) -> None:
    """
    Check a run of parameters (RFC 9260 section 3.2.1).

    @param reconfig: Whether they are those of a RE-CONFIG chunk.
    @raise MalformedPacket: One of them has a length that does not lead to the next.
    """
    count = 0
    while start + 4 <= end:
        kind, length = _PARAMETER.unpack_from(data, start)
        shortest = _SHORTEST_RECONFIG.get(kind, 4) if reconfig else 4
        if length < shortest or start + length > end:
            raise MalformedPacket(f"parameter {kind} has an invalid length of {length} bytes")
        if reconfig and kind == _OUTGOING_RESET and length % 2:
            raise MalformedPacket("a stream reset ends within a stream")
        count += 1
        if count > MAX_PARAMETERS:
            raise MalformedPacket("a chunk has too many parameters")
        start += length + -length % 4
