# -*- test-case-name: aero.stack.tcp.test.test_timewait -*-
"""
Connections that are over, and answer late segments for a moment (RFC 9293 section 3.6.1).

Nothing of the connection is kept but the numbers that an answer needs. The wait is short, since
nothing between the guest and us holds a segment back for long, and there is a bound on how many
wait: beyond it the oldest are let go.
"""

from __future__ import annotations

from collections import OrderedDict

from aero.wire.seqnum import MASK

Key = tuple[int, int, int, int]

_HALF = 0x80000000


class Remains:
    """
    What is left of a connection.

    @ivar sequence: Our next sequence number.
    @ivar acknowledgment: The guest's next one.
    @ivar window: What the last acknowledgment told, as it is in a header.
    @ivar timestamps: Whether it used timestamps.
    @ivar stamp: The last timestamp of the guest.
    @ivar offset: What is added to the clock of our timestamps.
    @ivar until: When it is let go.
    @ivar answeredAt: When it last answered.
    """

    __slots__ = (
        "acknowledgment",
        "answeredAt",
        "offset",
        "sequence",
        "stamp",
        "timestamps",
        "until",
        "window",
    )

    def __init__(
        self,
        sequence: int,
        acknowledgment: int,
        window: int,
        timestamps: bool,
        stamp: int,
        offset: int,
        until: float,
    ) -> None:
        self.sequence = sequence
        self.acknowledgment = acknowledgment
        self.window = window
        self.timestamps = timestamps
        self.stamp = stamp
        self.offset = offset
        self.until = until
        self.answeredAt = -1.0

    def isReusedBy(self, sequence: int, stamp: int | None) -> bool:
        """
        Whether a SYN may begin a new connection with the same addresses and ports: it is newer
        than all that the old one sent (RFC 6191 section 2).
        """
        if self.timestamps and stamp is not None and stamp != self.stamp:
            return (stamp - self.stamp) & MASK < _HALF
        return (sequence - self.acknowledgment) & MASK < _HALF


class TimeWait:
    """
    All of them, the oldest first.
    """

    __slots__ = ("_most", "_remains", "_wait")

    def __init__(self, wait: float, most: int) -> None:
        """
        @param wait: How long each is kept, in seconds.
        @param most: How many are.
        """
        self._wait = wait
        self._most = most
        self._remains: OrderedDict[Key, Remains] = OrderedDict()

    def __len__(self) -> int:
        return len(self._remains)

    def add(self, key: Key, remains: Remains) -> None:
        """
        Keep one, until C{remains.until} or until others need its place.
        """
        if self._most <= 0 or self._wait <= 0:
            return
        while len(self._remains) >= self._most:
            self._remains.popitem(last=False)
        self._remains.pop(key, None)
        self._remains[key] = remains

    def get(self, key: Key) -> Remains | None:
        """
        What is left of a connection; C{None} for nothing.
        """
        return self._remains.get(key)

    def remove(self, key: Key) -> None:
        """
        Let one go.
        """
        self._remains.pop(key, None)

    def restart(self, key: Key, now: float) -> None:
        """
        Its FIN came again, so wait once more from the beginning.
        """
        remains = self._remains.pop(key)
        remains.until = now + self._wait
        self._remains[key] = remains

    def nextTimeout(self) -> float | None:
        """
        When the next is let go; C{None} if there is none.
        """
        for remains in self._remains.values():
            return remains.until
        return None

    def handleTimeout(self, now: float) -> None:
        """
        Let go of those whose time is over.
        """
        done = []
        for key, remains in self._remains.items():
            if remains.until > now:
                break
            done.append(key)
        for key in done:
            del self._remains[key]
