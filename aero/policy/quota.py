# -*- test-case-name: aero.policy.test.test_quota -*-
"""
Rates and counts for each key, in tables that strangers cannot grow without bound.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Callable

from .numeric import ipv4Text, ipv6Text, parseIPv6

_MAPPED = 0xFFFF
_HALF = (1 << 64) - 1

#: Entries looked at for dropping whenever one is added: more than are added, so that the
#: table shrinks, yet no single request pays for all of it.
_SWEEP = 2


class TokenBuckets:
    """
    One token bucket for each key (gateway.md section 7.0).

    The least recently used buckets are forgotten: those that are idle and full again while
    there is room, and any when there is none, because a table that grows is worse than a
    stranger with ten thousand networks who gets a fresh bucket.

    @param rate: Tokens a second. Without a positive rate and burst everything is allowed.
    @param burst: The most tokens in a bucket, and what a new one holds; at least one.
    @param maxKeys: The most buckets kept.
    @param idle: Seconds that a bucket is kept at least while there is room.
    """

    def __init__(
        self, rate: float, burst: float, maxKeys: int = 10_000, idle: float = 600.0
    ) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._unlimited = rate <= 0 or burst <= 0
        self._maxKeys = maxKeys
        self._idle = 0.0 if self._unlimited else max(idle, self._burst / rate)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """
        Take one token.

        @param now: A clock in seconds that the caller always takes from the same place.
        @return: 0.0 where it was there; else the seconds until it will be.
        """
        if self._unlimited:
            return 0.0
        bucket = self._buckets.get(key)
        if bucket is None:
            self._sweep(now)
            self._buckets[key] = self._burst - 1.0, now
            return 0.0
        tokens, last = bucket
        tokens = min(self._burst, tokens + max(0.0, now - last) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[key] = tokens - 1.0 if allowed else tokens, now
        self._buckets.move_to_end(key)
        return 0.0 if allowed else (1.0 - tokens) / self._rate

    def _sweep(self, now: float) -> None:
        """
        Make room for one more bucket.
        """
        buckets = self._buckets
        for _ in range(_SWEEP):
            if not buckets:
                return
            oldest = next(iter(buckets))
            if len(buckets) < self._maxKeys and now - buckets[oldest][1] < self._idle:
                return
            del buckets[oldest]


#: Makes the buckets of one kind: its name, tokens a second, and the most in a bucket.
MakeBuckets = Callable[[str, float, float], TokenBuckets]


def localBuckets(kind: str, rate: float, burst: float) -> TokenBuckets:
    """
    Buckets that this process alone takes from. See L{MakeBuckets}.
    """
    return TokenBuckets(rate, burst)


class Slots:
    """
    How many things of a kind each key holds at once.

    @param limit: The most that one key may hold; 0 is no limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}

    def acquire(self, key: str) -> bool:
        """
        Take one slot, if there is one.
        """
        held = self._held.get(key, 0)
        if 0 < self._limit <= held:
            return False
        self._held[key] = held + 1
        return True

    def release(self, key: str) -> None:
        """
        Give one slot back.

        @raise ValueError: The key holds none, which is a mistake of the caller.
        """
        held = self._held.get(key, 0)
        if held < 1:
            raise ValueError("a slot was released that nobody holds")
        if held == 1:
            del self._held[key]
        else:
            self._held[key] = held - 1

    def held(self, key: str) -> int:
        """
        How many slots a key holds.
        """
        return self._held.get(key, 0)


def addressKey(ip: str) -> str:
    """
    The key under which a client's address is counted: IPv4 whole, IPv6 by its /64, because
    that is what one subscriber has at least (RFC 6177), IPv4-mapped as IPv4.

    Text that is no address, such as the peer of a UNIX socket, is its own key.
    """
    address = parseIPv6(ip.partition("%")[0])
    if address is None:
        return ip
    if address >> 32 == _MAPPED:
        return ipv4Text(address & 0xFFFFFFFF)
    return f"{ipv6Text(address & ~_HALF)}/64"
