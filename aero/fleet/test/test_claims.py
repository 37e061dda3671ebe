"""
Tests for the claims of one process.
"""

from __future__ import annotations

from typing import Sequence

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from aero.fleet.claims import Claims, granted
from aero.fleet.store import Claim


class Noting:
    """
    A store that notes what it is told.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Claim]]] = []
        self.released: list[str] = []
        self.answers: list[Deferred[str]] = []

    def acquire(self, holder: str, claims: Sequence[Claim]) -> Deferred[str]:
        """
        Leave the answer to the test.
        """
        self.asked.append((holder, list(claims)))
        self.answers.append(Deferred())
        return self.answers[-1]

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

    def waiting(self) -> tuple[Deferred[bool], list[str]]:
        """
        Somebody who waits for an answer.
        """
        given: list[str] = []
        held = self.claims.hold(Claim("a", "b", 1))
        return ensureDeferred(granted(held, lambda: given.append("back"))), given

    def test_granted(self) -> None:
        """
        What is granted is kept, and what is refused is given back.
        """
        for answer, kept in (("", True), ("a", False)):
            waiting, given = self.waiting()
            self.assertNoResult(waiting)
            self.store.answers[-1].callback(answer)
            self.assertEqual(self.successResultOf(waiting), kept)
            self.assertEqual(given, [] if kept else ["back"])

    def test_nobodyWaits(self) -> None:
        """
        Whoever is cancelled holds nothing.
        """
        waiting, given = self.waiting()
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual(given, ["back"])

    def test_alone(self) -> None:
        """
        Where nobody else has a say there is nothing to wait for.
        """
        done = ensureDeferred(granted(None, lambda: self.fail("nothing is held")))
        self.assertTrue(self.successResultOf(done))

    def test_noLimit(self) -> None:
        """
        Where nothing is limited nobody is asked.
        """
        self.assertIsNone(self.claims.hold(Claim("a", "b", 0)))
        self.assertEqual(self.store.asked, [])
