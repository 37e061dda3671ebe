"""
Tests for rates that several processes share.
"""

from __future__ import annotations

from typing import Mapping

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.fleet.rates import MOMENT, SharedBuckets
from aero.fleet.tables import FleetTables


class OneTable:
    """
    A store with tables and nothing in between.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tables = FleetTables()
        self.asked = 0
        self.isAway = False

    def debit(
        self, kind: str, rate: float, burst: float, amounts: Mapping[str, int]
    ) -> Deferred[Mapping[str, float]]:
        """
        Take tokens.
        """
        self.asked += 1
        if self.isAway:
            return fail(ConnectionLost())
        now = self._clock.seconds()
        return succeed(self._tables.debit(kind, rate, burst, amounts, now))


class SharedBucketsTests(SynchronousTestCase):
    """
    L{SharedBuckets} of two processes.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = OneTable(self.clock)
        self.one, self.two = self.buckets(), self.buckets()

    def buckets(self, rate: float = 1.0, burst: float = 4.0) -> SharedBuckets:
        return SharedBuckets("dns", rate, burst, self.store, self.clock)  # type: ignore[arg-type]

    def take(self, buckets: SharedBuckets) -> float:
        return buckets.take("ip", self.clock.seconds())

    def test_oneShare(self) -> None:
        """
        What one process granted the other no longer has, a moment later.
        """
        self.assertEqual([self.take(self.one) for _ in range(3)], [0.0] * 3)
        self.clock.advance(MOMENT)
        self.assertEqual(self.take(self.two), 0.0)
        self.clock.advance(MOMENT)
        self.assertGreater(self.take(self.two), 0.0)
        # The first one hears of it when it grants its last one.
        self.assertEqual(self.take(self.one), 0.0)
        self.clock.advance(MOMENT)
        self.assertGreater(self.take(self.one), 0.0)
        self.clock.advance(5)
        self.assertEqual(self.take(self.two), 0.0)

    def test_added(self) -> None:
        """
        A moment costs one message, whatever is spent in it.
        """
        for number in range(50):
            self.one.take(str(number), self.clock.seconds())
        self.assertEqual(self.store.asked, 0)
        self.clock.advance(MOMENT)
        self.assertEqual(self.store.asked, 1)
        self.clock.advance(10)
        self.assertEqual(self.store.asked, 1)

    def test_unlimited(self) -> None:
        """
        Without a limit nobody is asked.
        """
        free = self.buckets(0.0, 0.0)
        self.assertEqual([self.take(free) for _ in range(100)], [0.0] * 100)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_away(self) -> None:
        """
        Where nobody answers, the process has its own limit.
        """
        self.store.isAway = True
        self.assertEqual([self.take(self.one) for _ in range(4)], [0.0] * 4)
        self.clock.advance(MOMENT)
        self.assertGreater(self.take(self.one), 0.0)
        self.clock.advance(1)
        self.assertEqual(self.take(self.one), 0.0)
