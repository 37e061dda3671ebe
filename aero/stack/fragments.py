# -*- test-case-name: aero.stack.test.test_fragments -*-
"""
Putting IPv4 packets together again (RFC 791 section 3.2, RFC 815).

Theory of operation. A packet under construction is named by source, destination, protocol and
identification. Its pieces are kept in order and never overlap: an exact copy of a piece is
ignored, and anything else that overlaps, or that contradicts what is known of the end, makes
the whole packet worthless (RFC 5722 gives the reasons, for IPv6). What is left of such a packet
is its name, so that its remaining pieces are recognised until it times out. As nothing
overlaps, the packet is complete when the bytes of its pieces are as many as it has.

Everything is bounded: packets, bytes (with what Python needs to keep a piece), and time. Beyond
the first two the oldest packet is given up. Work per piece is a search among the pieces of one
packet, which are 8,192 at most.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Callable, Final

from aero.wire.checksum import checksum

#: What is charged for each piece besides its bytes.
PIECE_OVERHEAD: Final = 128

#: What is charged for each packet besides its pieces.
PACKET_OVERHEAD: Final = 512

_MAX_PACKET: Final = 65_535


class _Packet:
    """
    A packet under construction.

    @ivar deadline: When it is given up.
    @ivar offsets: Where its pieces begin, in order.
    @ivar pieces: The pieces, in the same order.
    @ivar received: Bytes of the pieces.
    @ivar total: Bytes of the payload; -1 until the last piece is here.
    @ivar first: The first fragment as it came, or empty.
    @ivar charged: Bytes it is charged.
    @ivar broken: Whether it can never be complete.
    """

    __slots__ = (
        "broken",
        "charged",
        "deadline",
        "first",
        "offsets",
        "pieces",
        "received",
        "total",
    )

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.offsets: list[int] = []
        self.pieces: list[bytes] = []
        self.received = 0
        self.total = -1
        self.first = b""
        self.charged = PACKET_OVERHEAD
        self.broken = False

    def empty(self) -> int:
        """
        Forget the pieces.

        @return: How many bytes less are charged.
        """
        less = self.charged - PACKET_OVERHEAD
        self.offsets = []
        self.pieces = []
        self.first = b""
        self.charged = PACKET_OVERHEAD
        self.broken = True
        return less


class Reassembly:
    """
    The packets of one guest that are under construction.

    @ivar size: Bytes charged for all of them.
    """

    def __init__(
        self,
        maxPackets: int,
        maxBytes: int,
        timeout: float,
        *,
        drop: Callable[[str], None],
        timedOut: Callable[[bytes], None],
    ) -> None:
        """
        @param maxPackets: Packets at once.
        @param maxBytes: Bytes charged at most; see L{PIECE_OVERHEAD}.
        @param timeout: Seconds that a packet may take.
        @param drop: Called with the reason why a fragment or a packet was lost.
        @param timedOut: Called with the first fragment of a packet that took too long
            (RFC 1122 section 3.3.2), where that is here.
        """
        self._maxPackets = maxPackets
        self._maxBytes = maxBytes
        self._timeout = timeout
        self._drop = drop
        self._timedOut = timedOut
        self._packets: dict[bytes, _Packet] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._packets)

    def fragmentReceived(self, packet: bytes, now: float) -> bytes | None:
        """
        A fragment, its header verified.

        @param packet: The fragment; bytes behind its total length are ignored.
        @return: The whole packet with a right header, if it is complete now.
        """
        headerLength = (packet[0] & 15) * 4
        end = packet[2] << 8 | packet[3]
        word = packet[6] << 8 | packet[7]
        offset = (word & 0x1FFF) << 3
        more = word & 0x2000
        data = packet[headerLength:end]
        size = len(data)
        if not size or (more and size & 7):
            self._drop("fragmentSize")
            return None
        key = packet[12:20] + packet[9:10] + packet[4:6]
        building = self._packets.get(key)
        if building is None:
            if not self._maxPackets:
                self._drop("fragmentLimit")
                return None
            if len(self._packets) >= self._maxPackets:
                self._giveUp(next(iter(self._packets)), "fragmentLimit")
            building = self._packets[key] = _Packet(now + self._timeout)
            self.size += PACKET_OVERHEAD
        elif building.broken:
            self._drop("fragmentBroken")
            return None
        reason = self._add(building, offset, data, bool(more), headerLength)
        if reason:
            self._drop(reason)
            if reason != "fragmentDuplicate":
                self.size -= building.empty()
            self._keepBound()
            return None
        if not offset:
            building.first = packet[:end]
        self._keepBound()
        if key not in self._packets:
            return None
        if building.received != building.total:
            return None
        del self._packets[key]
        self.size -= building.charged
        # The options of the first fragment may be longer than those of the last.
        if (building.first[0] & 15) * 4 + building.total > _MAX_PACKET:
            self._drop("fragmentTooLong")
            return None
        return _join(building)

    def _keepBound(self) -> None:
        """
        Give up the oldest packets while there are too many bytes.
        """
        while self.size > self._maxBytes:
            self._giveUp(next(iter(self._packets)), "fragmentLimit")

    def nextTimeout(self) -> float | None:
        """
        When L{handleTimeout} has something to do.
        """
        for building in self._packets.values():
            return building.deadline
        return None

    def handleTimeout(self, now: float) -> None:
        """
        Give up what took too long.
        """
        for key, building in list(self._packets.items()):
            if building.deadline > now:
                break
            first = building.first
            self._giveUp(key, "fragmentTimeout")
            if first:
                self._timedOut(first)

    def _add(
        self, building: _Packet, offset: int, data: bytes, more: bool, headerLength: int
    ) -> str:
        """
        Put a piece in its place.

        @return: Empty, or why that cannot be.
        """
        size = len(data)
        end = offset + size
        if end + headerLength > _MAX_PACKET:
            return "fragmentTooLong"
        offsets = building.offsets
        place = bisect_left(offsets, offset)
        if place < len(offsets):
            if offsets[place] == offset and building.pieces[place] == data:
                # A last piece that comes again without having been the last is no copy.
                return "fragmentDuplicate" if more or end == building.total else "fragmentEnd"
            if offsets[place] < end:
                return "fragmentOverlap"
        if place and offsets[place - 1] + len(building.pieces[place - 1]) > offset:
            return "fragmentOverlap"
        if more:
            if 0 <= building.total < end:
                return "fragmentEnd"
        elif building.total >= 0 or place < len(offsets):
            return "fragmentEnd"
        else:
            building.total = end
        offsets.insert(place, offset)
        building.pieces.insert(place, data)
        building.received += size
        # The first fragment is kept twice: whole, for an error that quotes it.
        charge = size + PIECE_OVERHEAD + (0 if offset else size + headerLength)
        building.charged += charge
        self.size += charge
        return ""

    def _giveUp(self, key: bytes, reason: str) -> None:
        building = self._packets.pop(key)
        self.size -= building.charged
        if not building.broken:
            self._drop(reason)


def _join(building: _Packet) -> bytes:
    """
    The whole packet; its header is that of the first fragment (RFC 791 section 3.2).
    """
    first = building.first
    headerLength = (first[0] & 15) * 4
    header = bytearray(first[:headerLength])
    header[2:4] = (headerLength + building.total).to_bytes(2, "big")
    header[6:8] = b"\0\0"
    header[10:12] = b"\0\0"
    header[10:12] = checksum(header).to_bytes(2, "big")
    return b"".join((header, *building.pieces))
