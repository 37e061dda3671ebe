# -*- test-case-name: tests.test_fuzz -*-
"""
Fragments of IPv4 packets. The first byte chooses the bounds; each six bytes after it are one
fragment: which packet and whether more follow, offset, size, what is in it, options, time.
"""

from __future__ import annotations

from typing import Final

from aero.stack.fragments import Reassembly
from aero.wire import ipv4

from .explore import main

_STEP: Final = 6
_MOST_STEPS: Final = 200
_TIMEOUT: Final = 15.0
_SOURCE: Final = 0x0A00020F
_DESTINATION: Final = 0xCB00710A


# A packet that comes out is right and made of the bytes that were sent at each place; it comes out
# exactly when the plainest model, a table of bytes, has all of them without a contradiction. Bounds
# hold at every step, and after the time has passed nothing is held.
def check(data: bytes) -> None:
    if not data:
        return
    # The model knows nothing about giving up, so one half of the inputs has room for everything.
    roomy = bool(data[0] & 1)
    maxPackets, maxBytes = (64, 1 << 30) if roomy else (data[0] >> 5, (data[0] & 30) * 500)
    dropped: list[str] = []
    late: list[bytes] = []
    reassembly = Reassembly(
        maxPackets, maxBytes, _TIMEOUT, drop=dropped.append, timedOut=late.append
    )
    models: dict[int, _Model] = {}
    now = 0.0
    for place in range(1, min(len(data), 1 + _STEP * _MOST_STEPS) - _STEP + 1, _STEP):
        first, offset, size, content, options, passed = data[place : place + _STEP]
        now += passed / 1_000
        identification = first & 7
        more, start = bool(first & 8), offset * (8 if first & 16 else 256)
        payload = bytes([content]) * (size * 8 if more or first & 32 else size * 8 + (first >> 6))
        packet = _fragment(identification, more, start, payload, options)
        whole = reassembly.fragmentReceived(packet, now)
        assert len(reassembly) <= maxPackets and reassembly.size <= maxBytes
        expected = models.setdefault(identification, _Model(identification)).add(
            start, payload, more, options
        )
        if whole is not None:
            del models[identification]
            assert ipv4.verify(whole, 0) == ""
            assert whole[6:8] == b"\0\0"
            assert int.from_bytes(whole[2:4], "big") == len(whole)
        if roomy:
            assert whole == expected
            if expected is None and models[identification].tooLong:
                del models[identification]
        elif whole is not None and expected is not None:
            assert whole == expected
    dropped.clear()
    reassembly.handleTimeout(now + _TIMEOUT)
    assert reassembly.nextTimeout() is None
    assert len(reassembly) == reassembly.size == 0
    assert len(late) <= maxPackets


class _Model:
    """
    One packet as a table of its bytes, and which of them are there as the bits of a number.
    """

    def __init__(self, identification: int) -> None:
        self.identification = identification
        self.content = bytearray(1 << 17)
        self.there = 0
        self.pieces: set[tuple[int, bytes]] = set()
        self.header = b""
        self.end = -1
        self.broken = False
        self.tooLong = False

    def add(self, start: int, payload: bytes, more: bool, options: int) -> bytes | None:
        end = start + len(payload)
        header = _fragment(self.identification, more, start, payload, options)[
            : -len(payload) or None
        ]
        if not payload or self.broken:
            return None
        if (start, payload) in self.pieces:
            # The same again, unless it now says to be the last.
            self.broken = not more and end != self.end
            return None
        places = (1 << end) - (1 << start)
        if (
            end + len(header) > 65_535
            or self.there & places
            or (more and 0 <= self.end < end)
            or (not more and (self.end >= 0 or self.there >> end))
        ):
            self.broken = True
            return None
        self.pieces.add((start, payload))
        self.there |= places
        self.content[start:end] = payload
        if not more:
            self.end = end
        if not start:
            self.header = header
        if self.end < 0 or self.there != (1 << self.end) - 1:
            return None
        length = len(self.header) + self.end
        if length > 65_535:
            self.tooLong = True
            return None
        body = bytes(self.content[: self.end])
        return _packet(self.header[4:6], 0, self.header[20:], body)


def _fragment(identification: int, more: bool, start: int, payload: bytes, options: int) -> bytes:
    word = (ipv4.MORE_FRAGMENTS if more else 0) | start >> 3
    # No-operations, as many words as fit.
    filling = b"\x01" * 4 * (options % 11 if options & 128 else 0)
    return _packet(identification.to_bytes(2, "big"), word, filling, payload)


def _packet(identification: bytes, word: int, options: bytes, payload: bytes) -> bytes:
    size = 20 + len(options)
    total = min(size + len(payload), 65_535)
    head = bytes([0x40 | size >> 2, 0]) + total.to_bytes(2, "big") + identification
    head += word.to_bytes(2, "big") + bytes([64, 17])
    tail = _SOURCE.to_bytes(4, "big") + _DESTINATION.to_bytes(4, "big") + options
    words = head + tail
    value = sum(int.from_bytes(words[at : at + 2], "big") for at in range(0, len(words), 2))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return head + (0xFFFF - value).to_bytes(2, "big") + tail + payload


if __name__ == "__main__":
    main(check)
