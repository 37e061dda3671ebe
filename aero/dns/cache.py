# -*- test-case-name: aero.dns.test.test_cache -*-
"""
Answers kept for a while (gateway.md section 14.7).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.wire.dnsanswer import ScannedAnswer

#: What an entry takes beside its key and its message, about.
OVERHEAD: Final = 600
#: What one noted TTL takes.
_TTL_OVERHEAD: Final = 96


class Cached(NamedTuple):
    """
    An answer in the cache.

    @ivar stored: When the upstream gave it, in the seconds of the clock.
    @ivar expires: From when on it is stale.
    """

    answer: ScannedAnswer
    stored: float
    expires: float
    size: int


class AnswerCache:
    """
    Answers by question, bounded in number and in bytes; the one not used for longest goes
    first.
    """

    def __init__(
        self,
        *,
        maxEntries: int,
        maxBytes: int,
        maxTTL: int,
        negativeTTL: int,
        keepStale: int,
        metrics: Metrics,
    ) -> None:
        """
        @param maxTTL: Seconds that an answer is kept at the most; 0 keeps none.
        @param negativeTTL: Seconds for a negative answer that says nothing about it.
        @param keepStale: Seconds that an answer stays after it expired, for the case that
            every upstream fails.
        """
        self._maxEntries = maxEntries
        self._maxBytes = maxBytes
        self._maxTTL = maxTTL
        self._negativeTTL = negativeTTL
        self._keepStale = keepStale
        self._entries: OrderedDict[bytes, Cached] = OrderedDict()
        self._bytes = 0
        self._entriesGauge = metrics.gauge(rows.CACHE_ENTRIES)
        self._bytesGauge = metrics.gauge(rows.CACHE_BYTES)
        self._evictions = metrics.counter(rows.EVICTIONS)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """
        Bytes taken, about.
        """
        return self._bytes

    def get(self, key: bytes, now: float) -> Cached | None:
        """
        The answer to a question, unless it has expired.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires:
            if now >= entry.expires + self._keepStale:
                self._remove(key)
                self._show()
            return None
        self._entries.move_to_end(key)
        return entry

    def getStale(self, key: bytes, now: float) -> Cached | None:
        """
        The answer to a question even after its time, for as long as those are kept.
        """
        entry = self._entries.get(key)
        if entry is None or now >= entry.expires + self._keepStale:
            return None
        return entry

    def lifetimeOf(self, answer: ScannedAnswer) -> int:
        """
        Seconds for which an answer may be kept; 0 is not at all.
        """
        lifetime = self._negativeTTL if answer.lifetime is None else answer.lifetime
        return min(lifetime, self._maxTTL)

    def put(self, key: bytes, answer: ScannedAnswer, now: float) -> None:
        """
        Keep an answer, if it may be kept and fits.
        """
        lifetime = self.lifetimeOf(answer)
        size = len(key) + len(answer.message) + OVERHEAD + _TTL_OVERHEAD * len(answer.ttls)
        if lifetime <= 0 or size > self._maxBytes or not self._maxEntries:
            return
        self._remove(key)
        self._entries[key] = Cached(answer, now, now + lifetime, size)
        self._bytes += size
        while len(self._entries) > self._maxEntries or self._bytes > self._maxBytes:
            self._remove(next(iter(self._entries)))
            self._evictions.inc()
        self._show()

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size

    def _show(self) -> None:
        self._entriesGauge.set(len(self._entries))
        self._bytesGauge.set(self._bytes)
