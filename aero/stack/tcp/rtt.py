# -*- test-case-name: aero.stack.tcp.test.test_parts -*-
"""
How long a segment and its acknowledgment take (RFC 6298).
"""

from __future__ import annotations

#: The timeout before anything was measured (RFC 6298 section 2.1).
INITIAL_TIMEOUT = 1.0

#: The same where the handshake had to be repeated (RFC 6298 section 5.7).
REPEATED_TIMEOUT = 3.0

#: How long the shortest time measured is believed, in seconds.
_MINIMUM_LASTS = 30.0


class RoundTrip:
    """
    What was measured, and the retransmission timeout that follows from it. Whoever measures
    leaves out segments that were sent twice (Karn's algorithm).

    @ivar smoothed: SRTT; 0 before anything was measured.
    @ivar variance: RTTVAR.
    @ivar minimum: The shortest of late; 0 before anything was measured.
    @ivar latest: The last.
    @ivar timeout: RTO, without the backing off.
    """

    __slots__ = (
        "_maxRTO",
        "_minRTO",
        "_minimumAt",
        "latest",
        "minimum",
        "smoothed",
        "timeout",
        "variance",
    )

    def __init__(self, minRTO: float, maxRTO: float) -> None:
        self._minRTO = minRTO
        self._maxRTO = maxRTO
        self._minimumAt = 0.0
        self.smoothed = 0.0
        self.variance = 0.0
        self.minimum = 0.0
        self.latest = 0.0
        self.timeout = min(max(INITIAL_TIMEOUT, minRTO), maxRTO)

    def measured(self, sample: float, now: float) -> None:
        """
        A segment that was sent once was acknowledged after C{sample} seconds.
        """
        if sample < 1e-6:
            sample = 1e-6
        self.latest = sample
        if not self.minimum or sample <= self.minimum or now - self._minimumAt > _MINIMUM_LASTS:
            self.minimum = sample
            self._minimumAt = now
        if not self.smoothed:
            self.smoothed = sample
            self.variance = sample / 2
        else:
            difference = sample - self.smoothed
            self.smoothed += difference / 8
            if difference < 0.0:
                difference = -difference
            self.variance += (difference - self.variance) / 4
        # The lower bound is on the variance, as in Linux: a guest may hold its acknowledgment
        # back for as long at any time.
        spread = 4 * self.variance
        timeout = self.smoothed + (spread if spread > self._minRTO else self._minRTO)
        self.timeout = timeout if timeout < self._maxRTO else self._maxRTO

    def isUsual(self, trip: float) -> bool:
        """
        Whether a trip is no other than those that were measured.

        @param trip: Seconds.
        """
        smoothed = self.smoothed
        spread = max(4 * self.variance, smoothed / 2)
        return 0.9 * self.minimum <= trip <= smoothed + spread and smoothed > 0.0

    def repeated(self) -> None:
        """
        The handshake had to be repeated, so that nothing was measured (RFC 6298 section 5.7).
        """
        self.timeout = min(max(REPEATED_TIMEOUT, self._minRTO), self._maxRTO)

    def backedOff(self, times: int) -> float:
        """
        The timeout after so many in a row (RFC 6298 section 5.5).
        """
        timeout = self.timeout * (1 << min(times, 16))
        return timeout if timeout < self._maxRTO else self._maxRTO
