# -*- test-case-name: tests.test_fuzz -*-
"""
SCTP packets of a peer that has finished its handshake: what is checked, and what receives.
"""

from __future__ import annotations

import struct

from google_crc32c import value as crc32c

from aero.rtc import guard
from aero.rtc.inbound import BufferExhausted, Inbound, MessageTooLarge
from aero.rtc.outbound import Outbound, SendStream

from .explore import main

_MAX_MESSAGE, _MAX_BUFFER = 4_096, 32_768


# The input is packets without checksum, each behind its length, for one association. A packet is
# refused, or its chunks lie in it one behind the other. Whatever the chunks say, nothing raises but
# the two ends of an association, no more is held than the buffer, the flight is never negative,
# and each SACK is one that a strict reader takes.
def check(data: bytes) -> None:
    inbound = Inbound(maxMessage=_MAX_MESSAGE, maxBuffer=_MAX_BUFFER)
    inbound.start(100)
    outbound = Outbound(500)
    outbound.peerWindow = 100_000
    streams = [
        SendStream(2, ordered=True, reliable=True),
        SendStream(4, ordered=False, reliable=False),
    ]
    for stream in streams:
        for size in (1, 700, 3_000):
            outbound.queue(stream, 53, bytes(size))
    now = 0.0
    for body in _packets(data):
        now += 0.3
        outbound.handleTimeout(now)
        for chunks in outbound.chunksToSend(now, 4):
            assert len(chunks) <= 1_172
        header = struct.pack("!HHL", 5_000, 5_000, 7)
        packet = header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body
        try:
            spans = guard.splitPacket(packet)
        except guard.MalformedPacket:
            continue
        at = guard.COMMON_HEADER
        for kind, flags, start, end in spans:
            assert start == at and end <= len(packet)
            at = end + -(end - start) % 4
            try:
                _take(inbound, outbound, packet, (kind, flags, start, end), now)
            except (MessageTooLarge, BufferExhausted):
                return
        assert 0 <= inbound.held <= _MAX_BUFFER
        assert 0 <= outbound.flight <= 100_000
        _checkSACK(inbound.encodeSACK())


def _take(
    inbound: Inbound,
    outbound: Outbound,
    packet: bytes,
    span: tuple[int, int, int, int],
    now: float,
) -> None:
    kind, flags, start, end = span
    if kind == guard.DATA:
        found = inbound.dataReceived(packet, start, end, flags)
    elif kind == guard.FORWARD_TSN:
        found = inbound.forwardReceived(packet, start, end)
    else:
        found = []
        if kind == guard.SACK:
            outbound.sackReceived(packet, start, now)
    assert all(0 < len(message.payload) <= _MAX_MESSAGE for message in found)


def _packets(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(found) < 64:
        size = int.from_bytes(data[at : at + 2], "big") % 1_200
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def _checkSACK(chunk: bytes) -> None:
    kind, _, size, _, _, gaps, duplicates = struct.unpack_from("!BBHLLHH", chunk)
    assert (kind, size) == (guard.SACK, len(chunk)) and size == 16 + 4 * (gaps + duplicates)
    last = 1
    for number in range(gaps):
        first, end = struct.unpack_from("!HH", chunk, 16 + 4 * number)
        assert last < first <= end
        last = end + 1


if __name__ == "__main__":
    main(check)
