# -*- test-case-name: aero.stack.tcp.test.test_parts -*-
"""
How much may be on its way: CUBIC (RFC 9438), with slow start that counts bytes (RFC 3465).

The path to a guest is a reliable tunnel with a small ring at its end. What is lost was lost in
that ring, so the window finds out what the guest's driver can take between two of its turns.
"""

from __future__ import annotations

#: What is left of the window after a loss (RFC 9438 section 4.6).
_BETA = 0.7
_C = 0.4
#: Growth per round trip of a Reno flow that is as fast (RFC 9438 section 4.3).
_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)

_NEVER = 1 << 62


class CongestionWindow:
    """
    The window, in bytes.

    @ivar window: What may be on its way.
    @ivar threshold: Below it, the window doubles with every round trip.
    @ivar mss: Bytes of a full segment.
    """

    __slots__ = (
        "_epoch",
        "_estimate",
        "_grownAt",
        "_initial",
        "_isPaused",
        "_k",
        "_most",
        "_peak",
        "_prior",
        "mss",
        "threshold",
        "window",
    )

    def __init__(self, mss: int, burst: int, most: int) -> None:
        """
        @param burst: Segments sent at first.
        @param most: The window never grows beyond so many bytes.
        """
        self.mss = mss
        self._initial = burst * mss
        self._most = max(most, self._initial)
        self.window = self._initial
        self.threshold = _NEVER
        self._epoch = -1.0
        self._grownAt = 0.0
        self._isPaused = False
        self._peak = 0.0
        self._k = 0.0
        self._estimate = 0.0
        self._prior = (self.window, self.threshold)

    def inSlowStart(self) -> bool:
        """
        Whether the window doubles with every round trip.
        """
        return self.window < self.threshold

    def acknowledged(self, size: int, now: float, roundTrip: float) -> None:
        """
        So many bytes were delivered while the window was what limited us.
        """
        if self.window < self.threshold:
            self.window += size
            if self.window > self.threshold:
                self.window = self.threshold
        else:
            self._grow(size, now, roundTrip)
        if self.window > self._most:
            self.window = self._most

    def _grow(self, size: int, now: float, roundTrip: float) -> None:
        mss = self.mss
        segments = self.window / mss
        if self._epoch < 0.0:
            self._epoch = now
            self._estimate = segments
            if self._peak > segments:
                self._k = ((self._peak - segments) / _C) ** (1 / 3)
            else:
                self._k = 0.0
                self._peak = segments
        elif self._isPaused:
            # Time in which something else was the limit does not count (RFC 9438 section 5.8).
            self._epoch += now - self._grownAt
        self._isPaused = False
        self._grownAt = now
        elapsed = now - self._epoch + roundTrip - self._k
        cubic = _C * elapsed * elapsed * elapsed + self._peak
        share = size / self.window
        self._estimate += (_ALPHA if self._estimate < self._peak else 1.0) * share
        if cubic < self._estimate:
            target = self._estimate
            if target > segments:
                self.window = int(target * mss)
            return
        if cubic > 1.5 * segments:
            cubic = 1.5 * segments
        if cubic > segments:
            self.window += int((cubic - segments) * mss * share)

    def lossDetected(self, inFlight: int) -> None:
        """
        Something was lost: begin with less (RFC 9438 sections 4.6 and 4.7).

        @param inFlight: Bytes on their way.
        """
        self._prior = (self.window, self.threshold)
        self._epoch = -1.0
        segments = self.window / self.mss
        # Let go of what another flow could use (fast convergence).
        self._peak = segments * (1 + _BETA) / 2 if segments < self._peak else segments
        base = min(self.window, max(inFlight, self.mss))
        self.threshold = max(int(base * _BETA), 2 * self.mss)
        self.window = self.threshold

    def timedOut(self, inFlight: int, again: bool) -> None:
        """
        Nothing came back at all (RFC 5681 section 3.1, equation 4).

        @param again: It is not the first time in a row, so the threshold stays.
        """
        if not again:
            self.lossDetected(inFlight)
        self.window = self.mss

    def idled(self) -> None:
        """
        Nothing was sent for long (RFC 5681 section 4.1).
        """
        self._epoch = -1.0
        if self.window > self._initial:
            # Slow start finds the way back faster than congestion avoidance.
            if self.threshold != _NEVER and self.window > self.threshold:
                self.threshold = self.window
            self.window = self._initial

    def paused(self) -> None:
        """
        The window is not what limits us: the growth over time goes on when it is again.
        """
        self._isPaused = True

    def undo(self) -> None:
        """
        The loss was none.
        """
        window, threshold = self._prior
        self.window = max(self.window, window)
        self.threshold = max(self.threshold, threshold)
        self._epoch = -1.0

    def setSegment(self, mss: int) -> None:
        """
        Segments have become smaller.
        """
        self.mss = mss
