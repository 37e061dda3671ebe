# -*- test-case-name: aero.stack.tcp.test.test_receiver -*-
"""
What the guest sent: put in order, within the window it was told (RFC 9293 section 3.10.7.4,
RFC 2018, RFC 2883).

Positions count bytes from the initial sequence number and never wrap; only headers hold their
lowest 32 bits. Everything that is held counts against C{limit}: what the outside has been given
and has not taken, and what waits for a gap to close. The window is what is left. Its right edge
never moves back; where scaling hides the last few bytes of it, they are still accepted (RFC 7323
section 2.4).
"""

from __future__ import annotations

from operator import attrgetter

#: Stretches with gaps between them. More would cost a guest nothing to make, and help nobody.
MAX_BLOCKS = 128

_lastTouched = attrgetter("touched")


class Block:
    """
    A stretch behind a gap.

    @ivar start: Its position.
    @ivar data: Its bytes.
    @ivar touched: The later it grew, the larger.
    """

    __slots__ = ("data", "start", "touched")

    def __init__(self, start: int, data: bytearray, touched: int) -> None:
        self.start = start
        self.data = data
        self.touched = touched


class Receiver:
    """
    The receiving half of a connection.

    @ivar next: The position that comes next: RCV.NXT.
    @ivar edge: The end of the window that the guest was told.
    @ivar limit: The most bytes held.
    @ivar held: Bytes the outside has, and has not taken.
    @ivar blocks: What waits for gaps to close, in order and never adjacent.
    @ivar waiting: Bytes in C{blocks}.
    @ivar step: The window is opened by so much at least (RFC 9293 section 3.8.6.2.2).
    @ivar duplicate: What came twice, to be told once (RFC 2883); C{None} for nothing.
    """

    __slots__ = (
        "_count",
        "_most",
        "blocks",
        "duplicate",
        "edge",
        "held",
        "limit",
        "next",
        "step",
        "waiting",
    )

    def __init__(self, start: int, limit: int, segment: int) -> None:
        """
        @param start: The position of the first byte.
        @param segment: Bytes of the guest's segments.
        """
        self.next = start
        self.edge = start
        self.limit = limit
        self.held = 0
        self.blocks: list[Block] = []
        self.waiting = 0
        self.duplicate: tuple[int, int] | None = None
        self.step = max(1, min(limit // 2, segment))
        self._count = 0
        self._most = 0xFFFF

    def setLimit(self, limit: int, segment: int) -> None:
        """
        Hold more from now on, or less: the window closes as data comes in then.
        """
        self.limit = limit
        self.step = max(1, min(limit // 2, segment))

    def setShift(self, shift: int) -> None:
        """
        Windows are told with so much scaling from now on.
        """
        self._most = 0xFFFF << shift

    def window(self) -> int:
        """
        The window to tell now, in bytes. It is opened as far as there is room.
        """
        room = self.limit - self.held
        if room > self._most:
            room = self._most
        window = self.edge - self.next
        if room - window >= self.step:
            self.edge = self.next + room
            return room
        return window if window > 0 else 0

    def isWorthTelling(self) -> bool:
        """
        Whether the window could be so much larger than the guest knows that it should hear of
        it without sending first.
        """
        window = self.edge - self.next
        room = self.limit - self.held
        if room > self._most:
            room = self._most
        return room - window >= self.step and room >= 2 * window and 2 * window <= self.limit

    def dataReceived(self, start: int, packet: bytes, begin: int, end: int) -> bytes:
        """
        Take the payload of a segment, as far as it is in the window and new.

        @param start: Its position.
        @param packet: Holds it from C{begin} to C{end}.
        @return: What is in order now, perhaps nothing.
        """
        stop = start + end - begin
        if start < self.next:
            self.duplicate = start, min(stop, self.next)
            begin += self.next - start
            start = self.next
        if stop > self.edge:
            end -= stop - self.edge
            stop = self.edge
        if begin >= end:
            return b""
        if start != self.next:
            self._keep(start, packet, begin, end)
            return b""
        data = packet[begin:end]
        self.next = stop
        if self.blocks:
            data = self._join(data)
        self.held += len(data)
        return data

    def _join(self, data: bytes) -> bytes:
        """
        Add the blocks that are not behind a gap any more.
        """
        parts = [data]
        blocks = self.blocks
        count = 0
        for block in blocks:
            if block.start > self.next:
                break
            count += 1
            size = len(block.data)
            self.waiting -= size
            fresh = block.start + size - self.next
            if fresh > 0:
                parts.append(bytes(block.data[size - fresh :]))
                self.next += fresh
        if not count:
            return data
        del blocks[:count]
        return b"".join(parts)

    def _keep(self, start: int, packet: bytes, begin: int, end: int) -> None:
        """
        Put aside what is behind a gap; it does not touch C{next}.
        """
        blocks = self.blocks
        stop = start + end - begin
        self._count += 1
        # Nearly always it belongs to the last block, so look from behind for the first place
        # whose block ends before this begins.
        index = len(blocks)
        while index and blocks[index - 1].start > start:
            index -= 1
        if index:
            block = blocks[index - 1]
            last = block.start + len(block.data)
            if start <= last:
                if stop <= last:
                    self.duplicate = start, stop
                    block.touched = self._count
                    return
                if start < last:
                    self.duplicate = start, last
                block.data += packet[begin + last - start : end]
                self.waiting += stop - last
                block.touched = self._count
                self._absorb(index - 1)
                return
        if len(blocks) >= MAX_BLOCKS:
            return
        blocks.insert(index, Block(start, bytearray(packet[begin:end]), self._count))
        self.waiting += stop - start
        self._absorb(index)

    def _absorb(self, index: int) -> None:
        """
        Join a block with those behind it that it has reached.
        """
        blocks = self.blocks
        block = blocks[index]
        last = block.start + len(block.data)
        count = 0
        for later in blocks[index + 1 :]:
            if later.start > last:
                break
            count += 1
            size = len(later.data)
            over = last - later.start
            if over >= size:
                self.waiting -= size
                continue
            self.waiting -= over
            block.data += later.data[over:]
            last = later.start + size
        if count:
            del blocks[index + 1 : index + 1 + count]

    def consumed(self, size: int) -> None:
        """
        The outside has taken so many bytes.
        """
        self.held -= size
        if self.held < 0:
            self.held = 0

    def ranges(self, most: int) -> list[tuple[int, int]]:
        """
        What to tell in a selective acknowledgment: first what came twice, then the block that
        grew last, then others, those that grew later first (RFC 2018 section 4, RFC 2883
        section 4).

        @param most: At most so many.
        @return: Positions, each with the one behind its end.
        """
        told: list[tuple[int, int]] = []
        if self.duplicate is not None:
            told.append(self.duplicate)
            self.duplicate = None
        blocks = self.blocks
        if len(blocks) > 1:
            blocks = sorted(blocks, key=_lastTouched, reverse=True)
        for block in blocks[: most - len(told)]:
            told.append((block.start, block.start + len(block.data)))
        return told

    def forget(self) -> None:
        """
        Let go of what waits: nothing more will be told to the outside.
        """
        self.blocks.clear()
        self.waiting = 0
