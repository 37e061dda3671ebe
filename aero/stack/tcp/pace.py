# -*- test-case-name: aero.stack.tcp.test.test_parts -*-
"""
How fast segments may follow each other.

The card of an emulator has a ring of eight frames or so, which its guest empties when it has
its turn. What arrives faster is lost, however large the window is. Two things see to that:

  - the clock: when nothing was on its way for longer than a round trip, no more than a burst
    may leave before an acknowledgment comes back;
  - the pace: credit grows with twice the window per round trip in slow start and 1.25 times
    later, and no more of it is saved than a burst, or what a millisecond brings, since timers
    are not finer.
"""

from __future__ import annotations

from .congestion import CongestionWindow
from .rtt import RoundTrip

#: Seconds of credit that may be saved.
_SAVED = 0.001

_UNLIMITED = 1 << 62


class Pace:
    """
    The limits of one connection.

    @ivar edge: Nothing may be sent beyond this position before an acknowledgment comes.
    """

    __slots__ = ("_at", "_burst", "_credit", "_most", "_rate", "edge")

    def __init__(self, burst: int) -> None:
        """
        @param burst: Bytes that may always follow each other.
        """
        self._burst = burst
        self._most = burst
        self._credit = burst
        self._at = 0.0
        #: Bytes in a second.
        self._rate = 1.0
        self.edge = _UNLIMITED

    def clockStopped(self, position: int) -> None:
        """
        Nothing is on its way, and has not been for a while.

        @param position: What will be sent next.
        """
        self.edge = position + self._burst

    def clockRuns(self) -> None:
        """
        Something was acknowledged.
        """
        self.edge = _UNLIMITED

    def sent(self, size: int) -> None:
        """
        So many bytes left.
        """
        self._credit -= size

    def wait(self, size: int, window: CongestionWindow, trip: RoundTrip, now: float) -> float:
        """
        How long so many bytes have to wait, in seconds; 0 if they may leave.
        """
        time = trip.smoothed if trip.smoothed < trip.latest else trip.latest
        if now > self._at and time > 0.0:
            self._refill(window, time, now)
        if self._credit >= size or time <= 0.0:
            # Before anything was measured only the clock limits us.
            return 0.0
        # Wake up for some segments together.
        wanted = self._most // 2
        return ((wanted if wanted > size else size) - self._credit) / self._rate

    def _refill(self, window: CongestionWindow, time: float, now: float) -> None:
        """
        Add the credit that the time since the last call brought.
        """
        gain = 2.0 if window.window < window.threshold else 1.25
        self._rate = rate = gain * window.window / time
        most = int(rate * _SAVED)
        if most < self._burst:
            most = self._burst
        credit = self._credit + int((now - self._at) * rate)
        self._at = now
        self._most = most
        self._credit = credit if credit < most else most
