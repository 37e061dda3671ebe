"""
Tests for the claims of one process.
"""

from __future__ import annotations

from typing import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from aero.net.fleet.claims import Claims
from aero.net.fleet.store import Claim


class Noting:
    """
    A store that notes what it is told.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Claim]]] = []
        self.released: list[str] = []

    def acquire(self, holder: str, claims: Sequence[Claim]) -> Deferred[str]:
        """
        Answer never.
        """
        self.asked.append((holder, list(claims)))
        return Deferred()

    def release(self, holder: str) -> None:
        """
        Note it.
        """
        self.released.append(holder)


class ClaimsTests(SynchronousTestCase):
    """
    L{Claims}.
    """

    def setUp(self) -> None:
        self.store = Noting()
        self.claims = Claims(self.store)  # type: ignore[arg-type]

    def test_names(self) -> None:
        """
        No two holders have one name, and each is given back once.
        """
        one = self.claims.hold(Claim("a", "b", 1))
        two = self.claims.hold(Claim("a", "b", 1), Claim("c", "d", 0))
        assert one is not None and two is not None
        names = [name for name, _ in self.store.asked]
        self.assertEqual(len(set(names)), 2)
        two.release()
        two.release()
        self.assertEqual(self.store.released, [names[1]])

    def test_noLimit(self) -> None:
        """
        Where nothing is limited nobody is asked.
        """
        self.assertIsNone(self.claims.hold(Claim("a", "b", 0)))
        self.assertEqual(self.store.asked, [])
