# -*- test-case-name: aero.testing.test.test_link -*-
"""
A link that loses, repeats and overtakes, the same way every time.

It has no clock: whoever uses it says what time it is, and asks when something arrives.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from random import Random


class LossyLink:
    """
    One direction of a link, with an emulated network card at its end. Its chances are drawn from
    a generator of its own, so that a run can be repeated.

    The card has a ring with room for C{ring} frames. A frame stays in it until the guest has
    dealt with it, which takes C{service} seconds each; a frame that finds the ring full is lost.

    @ivar sent: Frames given to the link.
    @ivar lost: Frames that will never arrive, for whatever reason.
    @ivar overrun: Those of them that found the ring full.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        delay: float = 0.001,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        ring: int = 0,
        service: float = 0.0,
    ) -> None:
        """
        @param delay: Seconds that every frame takes.
        @param loss: The chance that a frame is lost, 0 to 1.
        @param duplicate: The chance that it arrives twice.
        @param reorder: The chance that it takes up to four times as long.
        @param ring: Frames that the card has room for; 0 for any number.
        @param service: Seconds that the guest needs for a frame.
        """
        self._random = Random(seed)  # noqa: S311 - so that a run can be repeated
        self._delay = delay
        self._loss = loss
        self._duplicate = duplicate
        self._reorder = reorder
        self._ring = ring
        self._service = service
        self._onTheWay: list[tuple[float, int, bytes]] = []
        self._inRing: deque[tuple[float, bytes]] = deque()
        self._freeAt = 0.0
        self._count = 0
        self.sent = 0
        self.lost = 0
        self.overrun = 0

    def send(self, frame: bytes, now: float) -> None:
        """
        Put a frame on the link.
        """
        self.sent += 1
        if self._random.random() < self._loss:
            self.lost += 1
            return
        copies = 2 if self._random.random() < self._duplicate else 1
        for _ in range(copies):
            delay = self._delay
            if self._random.random() < self._reorder:
                delay *= 1 + 3 * self._random.random()
            self._count += 1
            heappush(self._onTheWay, (now + delay, self._count, frame))

    def nextTimeout(self) -> float | None:
        """
        When something happens next; C{None} while the link is empty.
        """
        times = []
        if self._onTheWay:
            times.append(self._onTheWay[0][0])
        if self._inRing:
            times.append(self._inRing[0][0])
        return min(times) if times else None

    def receive(self, now: float) -> list[bytes]:
        """
        The frames that the guest has dealt with by now, in the order it did.
        """
        arrived: list[bytes] = []
        while self._onTheWay and self._onTheWay[0][0] <= now:
            at, _, frame = heappop(self._onTheWay)
            self._finish(at, arrived)
            if self._ring and len(self._inRing) >= self._ring:
                self.lost += 1
                self.overrun += 1
                continue
            self._freeAt = max(at, self._freeAt) + self._service
            self._inRing.append((self._freeAt, frame))
        self._finish(now, arrived)
        return arrived

    def _finish(self, now: float, arrived: list[bytes]) -> None:
        """
        Take from the ring what is done.
        """
        while self._inRing and self._inRing[0][0] <= now:
            arrived.append(self._inRing.popleft()[1])
