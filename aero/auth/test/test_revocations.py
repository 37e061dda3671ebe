"""
Tests for L{aero.auth.revocations}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.revocations import Revocations
from aero.testing.properties import given, strategies


class RevocationsTests(SynchronousTestCase):
    """
    L{Revocations}.
    """

    def test_until(self) -> None:
        """
        A session is ended until its cookie ends by itself.
        """
        revoked = Revocations()
        revoked.revoke("a", 100.0, 0.0)
        self.assertTrue(revoked.isRevoked("a", 99.9))
        self.assertFalse(revoked.isRevoked("a", 100.0))
        self.assertFalse(revoked.isRevoked("b", 0.0))

    def test_longer(self) -> None:
        """
        Ending a session again makes it longer and never shorter.
        """
        revoked = Revocations()
        for until in (100.0, 300.0, 200.0):
            revoked.revoke("a", until, 0.0)
        self.assertTrue(revoked.isRevoked("a", 299.0))
        revoked.revoke("b", 400.0, 150.0)
        self.assertTrue(revoked.isRevoked("a", 299.0))
        self.assertEqual(len(revoked), 2)

    def test_past(self) -> None:
        """
        What ended by itself is not remembered, and forgotten when something else is.
        """
        revoked = Revocations()
        revoked.revoke("a", 10.0, 10.0)
        self.assertEqual(len(revoked), 0)
        revoked.revoke("a", 20.0, 10.0)
        revoked.revoke("b", 40.0, 30.0)
        self.assertEqual(len(revoked), 1)
        self.assertTrue(revoked.isRevoked("b", 30.0))

    def test_bounded(self) -> None:
        """
        Beyond the bound those that end first are forgotten first.
        """
        revoked = Revocations(maxEntries=3)
        for number in (5, 1, 4, 2, 3):
            revoked.revoke(str(number), 100.0 + number, 0.0)
        self.assertEqual(
            [number for number in range(1, 6) if revoked.isRevoked(str(number), 0.0)], [3, 4, 5]
        )

    def test_operators(self) -> None:
        """
        However many sessions end themselves, what an operator ended stays ended.
        """
        revoked = Revocations(maxEntries=3)
        revoked.revoke("bad", 100.0, 0.0, byOperator=True)
        for number in range(10):
            revoked.revoke(str(number), 200.0 + number, 0.0)
        self.assertTrue(revoked.isRevoked("bad", 99.9))
        self.assertFalse(revoked.isRevoked("bad", 100.0))
        self.assertEqual(len(revoked), 4)

    def test_listeners(self) -> None:
        """
        Those who listen are told once of each session that ends.
        """
        revoked = Revocations()
        told: list[str] = []
        revoked.onRevoked(told.append)
        for sid, until in (("a", 100.0), ("a", 100.0), ("b", -1.0), ("c", 50.0)):
            revoked.revoke(sid, until, 0.0)
        self.assertEqual(told, ["a", "c"])

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from("abcdef"),
                strategies.integers(0, 60),
                strategies.integers(0, 3),
            ),
            max_size=60,
        )
    )
    def test_model(self, steps: list[tuple[str, int, int]]) -> None:
        """
        With room enough exactly those are ended whose time has not come, however often they
        are ended again.
        """
        revoked, model, now = Revocations(maxEntries=6), dict.fromkeys("abcdef", 0), 0
        for sid, until, step in steps:
            now += step
            revoked.revoke(sid, until, now)
            model[sid] = max(model[sid], until)
            for name, end in model.items():
                self.assertIs(revoked.isRevoked(name, now), now < end)
            self.assertLessEqual(len(revoked), 6)
