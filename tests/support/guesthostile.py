"""
Frames of guests that mean harm, without an end.
"""

from __future__ import annotations

import random
import struct
from typing import Iterator

from tests.fuzz.explore import examples
from tests.fuzz.mutate import Mutator

from .guestrig import REMOTE
from .l2 import ARP_REQUEST, GUEST_IP, checksum, ethernet, ipv4

_REMOTE = bytes(int(part) for part in REMOTE.split("."))


def brokenFrames() -> Iterator[bytes]:
    """
    Frames that are wrong in all places.
    """
    known = [frame for _, data in examples("stackframe") for frame in _split(data)]
    mutator = Mutator(7, known)
    while True:
        yield mutator.next()[:1_514]


def _split(data: bytes) -> Iterator[bytes]:
    place = 0
    while place + 2 <= len(data):
        size = int.from_bytes(data[place : place + 2], "big")
        yield data[place + 2 : place + 2 + size]
        place += 2 + size


def _syn(port: int, window: int) -> bytes:
    """
    A SYN from a port to port 80.
    """
    pseudo = GUEST_IP + _REMOTE + struct.pack("!BBH", 0, 6, 20)
    segment = struct.pack("!HHIIBBHHH", port, 80, 7, 0, 0x50, 0x02, window, 0, 0)
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def floodOfSYNs() -> Iterator[bytes]:
    """
    Connections that are opened from everywhere, with windows of nothing, and never used.
    """
    numbers = random.Random(5)
    while True:
        segment = _syn(numbers.randrange(1_024, 65_536), numbers.randrange(3))
        yield ethernet(ipv4(6, segment, _REMOTE))


def fragments() -> Iterator[bytes]:
    """
    Fragments that overlap, and never make a packet.
    """
    numbers = random.Random(6)
    while True:
        packet = bytearray(ipv4(17, bytes(numbers.randrange(8, 1_400) & ~7), _REMOTE))
        packet[4:6] = struct.pack("!H", numbers.randrange(200))
        packet[6:8] = struct.pack("!H", 0x2000 | numbers.randrange(0x1FFF))
        packet[10:12] = b"\0\0"
        packet[10:12] = struct.pack("!H", checksum(bytes(packet[:20])))
        yield ethernet(bytes(packet))


def questions() -> Iterator[bytes]:
    """
    Who has the gateway's address?
    """
    while True:
        yield ARP_REQUEST
