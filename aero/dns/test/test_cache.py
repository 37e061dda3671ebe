"""
Tests for L{aero.dns.cache}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.dns.cache import OVERHEAD, AnswerCache
from aero.metrics import ROWS, Metrics
from aero.metrics import dns as rows
from aero.wire.dnsanswer import ScannedAnswer, scanAnswer

from .fakes import answerTo, question


def answer(ttl: int = 100, **options: Any) -> ScannedAnswer:
    """
    An answer with one record.
    """
    asked = question()
    raw = asked.message(0, asked.wire(), payloadSize=None)
    return scanAnswer(answerTo(raw, f"www.example. {ttl} IN A 192.0.2.1", **options))


class AnswerCacheTests(SynchronousTestCase):
    """
    Tests for L{AnswerCache}.
    """

    def makeCache(self, **changes: int) -> AnswerCache:
        """
        A cache of three entries.
        """
        self.metrics = Metrics(ROWS)
        options = {
            "maxEntries": 3,
            "maxBytes": 100_000,
            "maxTTL": 300,
            "negativeTTL": 60,
            "keepStale": 0,
        }
        return AnswerCache(**(options | changes), metrics=self.metrics)

    def test_expires(self) -> None:
        """
        A TTL of 100 with a maximum of 2 expires after exactly 2,000 milliseconds (A178).
        """
        cache = self.makeCache(maxTTL=2)
        cache.put(b"k", answer(100), 10.0)
        self.assertIsNotNone(cache.get(b"k", 11.999))
        self.assertIsNone(cache.get(b"k", 12.0))
        self.assertEqual((len(cache), cache.size), (0, 0))

    def test_ownTTL(self) -> None:
        """
        A shorter TTL counts.
        """
        cache = self.makeCache()
        cache.put(b"k", answer(5), 0.0)
        self.assertIsNotNone(cache.get(b"k", 4.9))
        self.assertIsNone(cache.get(b"k", 5.0))

    def test_negativeDefault(self) -> None:
        """
        A negative answer without an SOA record is kept for the configured time.
        """
        asked = question()
        raw = asked.message(0, asked.wire(), payloadSize=None)
        cache = self.makeCache(negativeTTL=7)
        cache.put(b"k", scanAnswer(answerTo(raw, rcode=3)), 0.0)
        self.assertIsNotNone(cache.get(b"k", 6.9))
        self.assertIsNone(cache.get(b"k", 7.0))

    def test_notKept(self) -> None:
        """
        Nothing is kept of truncated answers, of failures, of TTL 0, and of a cache that is off.
        """
        cache = self.makeCache()
        for one in (answer(flags=0x0200), answer(rcode=2), answer(rcode=5), answer(0)):
            cache.put(b"k", one, 0.0)
        for off in (
            self.makeCache(maxEntries=0),
            self.makeCache(maxTTL=0),
            self.makeCache(maxBytes=0),
            self.makeCache(maxBytes=OVERHEAD),
        ):
            off.put(b"k", answer(), 0.0)
            self.assertEqual(len(off), 0)
        self.assertEqual(len(cache), 0)

    def test_leastRecentlyUsedGoes(self) -> None:
        """
        A full cache drops what was not used for longest; a hit is a use.
        """
        cache = self.makeCache()
        for key in (b"a", b"b", b"c"):
            cache.put(key, answer(), 0.0)
        cache.get(b"a", 1.0)
        cache.put(b"d", answer(), 2.0)
        kept = [key for key in (b"a", b"b", b"c", b"d") if cache.get(key, 3.0) is not None]
        self.assertEqual(kept, [b"a", b"c", b"d"])
        self.assertEqual(
            self.metrics.registry.get_sample_value("aero_dns_cache_evictions_total"), 1.0
        )
        self.assertEqual(self.metrics.value(rows.CACHE_ENTRIES), 3.0)

    def test_bytes(self) -> None:
        """
        A cache stays below its bytes, and says how many it has.
        """
        one = self.makeCache()
        one.put(b"k", answer(), 0.0)
        cache = self.makeCache(maxEntries=1_000, maxBytes=5 * one.size)
        for number in range(50):
            cache.put(bytes([number]), answer(), 0.0)
            self.assertLessEqual(cache.size, 5 * one.size)
        self.assertEqual(len(cache), 5)
        self.assertEqual(self.metrics.value(rows.CACHE_BYTES), cache.size)

    def test_replaced(self) -> None:
        """
        A newer answer takes the place of the older one.
        """
        cache = self.makeCache()
        cache.put(b"k", answer(1), 0.0)
        size = cache.size
        cache.put(b"k", answer(50), 0.5)
        self.assertEqual((len(cache), cache.size), (1, size))
        self.assertIsNotNone(cache.get(b"k", 40.0))

    def test_stale(self) -> None:
        """
        Where that is wanted, an expired answer can still be had for a while.
        """
        cache = self.makeCache(keepStale=10)
        cache.put(b"k", answer(5), 0.0)
        self.assertIsNone(cache.get(b"k", 5.0))
        self.assertIsNotNone(cache.getStale(b"k", 14.9))
        self.assertIsNone(cache.getStale(b"k", 15.0))
        self.assertIsNone(cache.get(b"k", 15.0))
        self.assertEqual(len(cache), 0)
        self.assertIsNone(cache.getStale(b"other", 0.0))
