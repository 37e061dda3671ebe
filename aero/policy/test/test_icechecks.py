"""
Tests for L{aero.policy.icechecks}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.icechecks import CheckLimits, IceChecks, SessionChecks
from aero.policy.reach import AddressPolicy

VICTIM = ("8.8.8.8", 5_000)


class CheckTests(SynchronousTestCase):
    """
    L{IceChecks} and L{SessionChecks}.
    """

    def make(self, **limits: Any) -> IceChecks:
        self.now = 0.0
        self.refused: list[str] = []
        return IceChecks(
            AddressPolicy(),
            CheckLimits(**limits),
            now=lambda: self.now,
            refused=self.refused.append,
        )

    def count(self, checks: SessionChecks, host: str = "8.8.8.8", most: int = 10_000) -> int:
        """
        How many checks go to an address that does not answer.
        """
        return sum(checks.allowsCheck((host, port)) for port in range(1, most))

    def test_address(self) -> None:
        """
        Few go to one address, whatever the port, and others are not touched by that.
        """
        checks = self.make(perAddress=5, perSession=1_000).session("192.0.2.1")
        self.assertEqual(self.count(checks), 5)
        self.assertEqual(self.count(checks, "8.8.4.4"), 5)
        self.assertEqual(set(self.refused), {"address"})

    def test_session(self) -> None:
        """
        Few are sent in one session, to however many addresses.
        """
        checks = self.make(perAddress=5, perSession=12).session("192.0.2.1")
        found = [self.count(checks, f"8.8.8.{n}", 50) for n in range(1, 6)]
        self.assertEqual(found, [5, 5, 2, 0, 0])
        self.assertIn("session", self.refused)

    def test_client(self) -> None:
        """
        The sessions of one client share a rate, an IPv6 client's by its /64. Others have their
        own. It comes back with time.
        """
        shared = self.make(clientRate=2, perAddress=100, perSession=100)
        first, second = (shared.session(f"2001:db8::{n}") for n in (1, 2))
        other = shared.session("2001:db8:0:1::1")
        self.assertEqual(self.count(first, most=15), 14)
        self.assertEqual(self.count(second, most=15), 6)
        self.assertEqual(self.refused[-1], "client")
        self.assertEqual(self.count(other, most=15), 14)
        self.now = 2.0
        self.assertEqual(self.count(second), 4)

    def test_process(self) -> None:
        """
        All clients share a rate.
        """
        shared = self.make(rate=2, perAddress=100, perSession=100)
        found = [self.count(shared.session(f"192.0.2.{n}"), most=9) for n in range(1, 5)]
        self.assertEqual(found, [8, 8, 4, 0])
        self.assertEqual(self.refused[-1], "process")

    def test_unlimitedRates(self) -> None:
        """
        Without rates the limits of the session are left.
        """
        shared = self.make(rate=0, clientRate=0)
        for _ in range(100):
            self.assertEqual(self.count(shared.session("192.0.2.1")), 16)

    def test_answered(self) -> None:
        """
        A peer that answers is checked as often as is needed, at the port that answered.
        """
        checks = self.make(perAddress=3).session("192.0.2.1")
        self.assertEqual(self.count(checks), 3)
        checks.answerReceived(VICTIM)
        for _ in range(1_000):
            self.assertTrue(checks.allowsCheck(VICTIM))
        self.assertFalse(checks.allowsCheck((VICTIM[0], 1)))

    def test_returned(self) -> None:
        """
        A check of the peer allows a few in return; a flood of them allows no more than before.
        """
        checks = self.make(perAddress=3, perSession=3).session("192.0.2.1")
        self.assertEqual(self.count(checks), 3)
        checks.checkReceived(VICTIM)
        self.assertEqual(self.count(checks), 2)
        for _ in range(100):
            checks.checkReceived(VICTIM)
        self.assertEqual(self.count(checks), 3)

    def test_candidates(self) -> None:
        """
        Candidates pass the policy, and are few.
        """
        checks = self.make(candidates=3).session("192.0.2.1")
        found = [checks.allowsCandidate(a) for a in ("127.0.0.1", "8.8.8.8", "8.8.4.4", "1.1.1.1")]
        self.assertEqual(found, [False, True, True, False])
        self.assertEqual(self.refused, ["policy", "candidates"])
