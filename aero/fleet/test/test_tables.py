"""
Tests for claims and buckets.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.fleet import tables as module
from aero.fleet.store import Claim
from aero.fleet.tables import FleetTables


class FleetTablesTests(SynchronousTestCase):
    """
    L{FleetTables}.
    """

    def setUp(self) -> None:
        self.tables = FleetTables()

    def test_limit(self) -> None:
        """
        A key has so many claims and no more, until one is given back.
        """
        claim = Claim("tcp.session", "sid", 2)
        found = [self.tables.acquire(name, [claim]) for name in ("a", "b", "c")]
        self.assertEqual(found, ["", "", "tcp.session"])
        self.tables.release("a")
        self.assertEqual(self.tables.acquire("c", [claim]), "")
        self.assertEqual(self.tables.acquire("d", [Claim("tcp.session", "other", 2)]), "")

    def test_allOrNothing(self) -> None:
        """
        Where one claim is refused none is held.
        """
        session, address = Claim("session", "s", 2), Claim("address", "a", 1)
        self.assertEqual(self.tables.acquire("1", [address]), "")
        self.assertEqual(self.tables.acquire("2", [session, address]), "address")
        self.assertEqual(self.tables.holders(), ["1"])
        for name in ("3", "4"):
            self.assertEqual(self.tables.acquire(name, [session]), "")

    def test_unlimited(self) -> None:
        """
        A limit of 0 is none, and costs nothing.
        """
        for number in range(100):
            self.assertEqual(self.tables.acquire(str(number), [Claim("a", "b", 0)]), "")
        self.assertEqual(self.tables.holders(), [])

    def test_releaseOfNothing(self) -> None:
        """
        Who holds nothing gives nothing back.
        """
        self.tables.release("nobody")
        self.assertEqual(self.tables.acquire("a", [Claim("lock", "k", 1)]), "")
        self.tables.release("a")
        self.tables.release("a")
        self.assertEqual(self.tables.acquire("b", [Claim("lock", "k", 1)]), "")
        self.assertEqual(self.tables.acquire("c", [Claim("lock", "k", 1)]), "lock")

    def test_rates(self) -> None:
        """
        Each kind has buckets of its own, which fill up with time.
        """
        tables = self.tables
        self.assertEqual(tables.debit("dns", 1.0, 2.0, {"ip": 1}, 0.0), {})
        self.assertEqual(tables.debit("dns", 1.0, 2.0, {"ip": 1}, 0.25), {"ip": 0.75})
        self.assertEqual(tables.debit("upgrades", 1.0, 2.0, {"ip": 1}, 0.25), {})
        self.assertEqual(tables.debit("dns", 1.0, 2.0, {"ip": 1}, 10.0), {})

    def test_overdrawn(self) -> None:
        """
        A bucket is overdrawn by what it holds and no more, whatever was spent.
        """
        found = self.tables.debit("dns", 2.0, 4.0, {"ip": 1_000}, 0.0)
        self.assertEqual(found, {"ip": 2.5})

    def test_boundedBuckets(self) -> None:
        """
        The bucket that was used the longest time ago makes room.
        """
        self.patch(module, "MAX_KEYS", 2)
        for key in ("a", "b", "a", "c"):
            self.tables.debit("dns", 0.001, 3.0, {key: 1}, 0.0)
        # b was forgotten, so it is full again; a is not.
        self.assertEqual(set(self.tables.debit("dns", 0.001, 3.0, {"a": 1, "b": 1}, 0.0)), {"a"})
