# -*- test-case-name: aero.policy.test.test_datagramlimits -*-
"""
How many datagrams one session may send, how many bytes it may get, and when it is enough
(relay.md sections 11.5 to 11.7).

All decisions take the time as an argument. A datagram is decided about as a whole: one that
a later limit refuses has not used up an earlier one, so that a guest that runs into one limit
is not starved by another (section 21 item 19).
"""

from __future__ import annotations

from collections import OrderedDict


class Bucket:
    """
    A token bucket that starts full.

    @ivar rate: Tokens a second.
    """

    __slots__ = ("_last", "_most", "_tokens", "rate")

    def __init__(self, rate: float, now: float, seconds: float = 1.0) -> None:
        """
        @param seconds: How much of its rate it holds.
        """
        self.rate = rate
        self._most = self._tokens = rate * seconds
        self._last = now

    def has(self, amount: float, now: float) -> bool:
        """
        Whether this many tokens are there.
        """
        if now > self._last:  # a clock that went backwards refills nothing
            self._tokens = min(self._most, self._tokens + (now - self._last) * self.rate)
        self._last = now
        return self._tokens >= amount

    def spend(self, amount: float) -> None:
        """
        Use tokens that L{has} said are there.
        """
        self._tokens -= amount

    def take(self, amount: float, now: float) -> bool:
        """
        Use tokens if they are there.
        """
        if not self.has(amount, now):
            return False
        self._tokens -= amount
        return True


class OutboundLimits:
    """
    What one session may send.

    @ivar evictions: Destinations whose rate was forgotten to make room for another.
    """

    def __init__(
        self,
        now: float,
        *,
        perSecond: int = 0,
        bytesPerSecond: int = 0,
        perDestination: int = 0,
        uniqueDestinations: int = 0,
        maxDestinations: int = 1_024,
    ) -> None:
        """
        @param perSecond: Datagrams a second; 0 is no limit, here and below.
        @param bytesPerSecond: Bytes of payload a second.
        @param perDestination: Datagrams a second to one address and port.
        @param uniqueDestinations: Different addresses and ports in the session's life.
        @param maxDestinations: The most whose rates are remembered.
        """
        self.evictions = 0
        self._datagrams = Bucket(perSecond, now) if perSecond > 0 else None
        self._bytes = Bucket(bytesPerSecond, now) if bytesPerSecond > 0 else None
        self._perDestination = perDestination
        self._maxDestinations = maxDestinations
        self._buckets: OrderedDict[tuple[bytes, int], Bucket] = OrderedDict()
        self._unique = uniqueDestinations
        self._seen: set[tuple[bytes, int]] = set()

    def refusal(self, remote: bytes, port: int, size: int, now: float) -> str:
        """
        Decide about one datagram, and count it if it may go.

        @param size: Bytes of payload.
        @return: Empty where it may go; else C{rate}, or C{quota} for one destination too many.
        """
        datagrams, byBytes = self._datagrams, self._bytes
        if datagrams is not None and not datagrams.has(1, now):
            return "rate"
        if byBytes is not None and not byBytes.has(size, now):
            return "rate"
        key = (remote, port)
        isNew = self._unique > 0 and key not in self._seen
        if isNew and len(self._seen) >= self._unique:
            return "quota"
        if self._perDestination > 0 and not self._destination(key, now).take(1, now):
            return "rate"
        if isNew:
            self._seen.add(key)
        if datagrams is not None:
            datagrams.spend(1)
        if byBytes is not None:
            byBytes.spend(size)
        return ""

    def _destination(self, key: tuple[bytes, int], now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._buckets.move_to_end(key)
            return bucket
        if len(self._buckets) >= self._maxDestinations:
            self._buckets.popitem(last=False)
            self.evictions += 1
        bucket = self._buckets[key] = Bucket(self._perDestination, now)
        return bucket


class Violations:
    """
    Counts refusals of one session, for closing it when there are too many.

    They count as long as they are inside of a window that slides.
    """

    def __init__(self, limit: int, window: float) -> None:
        """
        @param limit: So many close the session; 0 never does.
        @param window: Seconds; 0 and less is for ever.
        """
        self._limit = limit
        self._window = window
        self._times: list[float] = []
        self._next = 0

    def add(self, now: float) -> bool:
        """
        Count one.

        @return: Whether the session is to be closed.
        """
        if self._limit <= 0:
            return False
        if len(self._times) < self._limit:
            self._times.append(now)
        else:
            self._times[self._next] = now
        # A ring of the last ones: after one is written, the next slot holds the oldest.
        self._next = (self._next + 1) % self._limit
        if len(self._times) < self._limit:
            return False
        return self._window <= 0 or now - self._times[self._next] <= self._window
