# -*- test-case-name: tests.test_fuzz -*-
"""
Frames in a capture file: each has its direction, its time and its length in front of it.
"""

from __future__ import annotations

import io
from typing import Any, cast

from scapy.utils import RawPcapNgReader

from aero.wire.pcapng import (
    INBOUND,
    OUTBOUND,
    enhancedPacket,
    interfaceDescription,
    packetSize,
    sectionHeader,
)

from .explore import main

_MOST = 20


# Another implementation reads back every frame, whole and with its time; the size of each block is
# what was said before it was made.
def check(data: bytes) -> None:
    capture = bytearray(sectionHeader("fuzz") + interfaceDescription("l2-tunnel"))
    frames: list[tuple[bytes, int]] = []
    place = 0
    while place + 11 <= len(data) and len(frames) < _MOST:
        size = int.from_bytes(data[place + 9 : place + 11], "big")
        when = int.from_bytes(data[place + 1 : place + 9], "big")
        frame = data[place + 11 : place + 11 + size]
        block = enhancedPacket(frame, when, OUTBOUND if data[place] & 1 else INBOUND)
        assert len(block) == packetSize(len(frame))
        capture += block
        frames.append((frame, when))
        place += 11 + size
    reader: Any = RawPcapNgReader(cast(Any, io.BytesIO(bytes(capture))))
    read: list[tuple[bytes, int]] = []
    for frame, about in reader:
        read.append((frame, about.tshigh << 32 | about.tslow))
    assert read == frames


if __name__ == "__main__":
    main(check)
