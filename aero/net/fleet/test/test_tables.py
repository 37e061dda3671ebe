"""
Tests for claims and buckets.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.net.fleet.store import Claim
from aero.net.fleet.tables import FleetTables


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
        Each kind has buckets of its own.
        """
        self.assertEqual(self.tables.take("dns", "ip", 1.0, 1.0, 0.0), 0.0)
        self.assertEqual(self.tables.take("dns", "ip", 1.0, 1.0, 0.25), 0.75)
        self.assertEqual(self.tables.take("upgrades", "ip", 1.0, 1.0, 0.25), 0.0)
