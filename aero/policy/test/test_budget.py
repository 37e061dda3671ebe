"""
Tests for L{aero.policy.budget}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.budget import Budget
from aero.testing.properties import given, strategies


class BudgetTests(SynchronousTestCase):
    """
    L{Budget} and L{Share<aero.policy.budget.Share>}.
    """

    def test_process(self) -> None:
        """
        All shares together hold no more than the process may; a refusal takes nothing.
        """
        refusals: list[str] = []
        budget = Budget(100, refused=refusals.append)
        one, two = budget.share("a"), budget.share("b")
        self.assertTrue(one.take(60))
        self.assertFalse(two.take(41))
        self.assertTrue(two.take(40))
        self.assertEqual((one.held, two.held, budget.used), (60, 40, 100))
        self.assertEqual(refusals, ["process"])

    def test_client(self) -> None:
        """
        The shares of one client together hold no more than a client may, and another client
        does not notice.
        """
        refusals: list[str] = []
        budget = Budget(1_000, 100, refused=refusals.append)
        one, two, other = budget.share("a"), budget.share("a"), budget.share("b")
        self.assertTrue(one.take(60))
        self.assertFalse(two.take(41))
        self.assertTrue(other.take(100))
        self.assertEqual(refusals, ["client"])
        self.assertEqual(budget.usedBy("a"), 60)

    def test_close(self) -> None:
        """
        A closed share has given everything back, once.
        """
        used: list[int] = []
        budget = Budget(100, 100, changed=used.append)
        share = budget.share("a")
        share.take(70)
        share.close()
        share.close()
        self.assertEqual((budget.used, budget.usedBy("a")), (0, 0))
        self.assertEqual(used, [70, 0])
        self.assertTrue(budget.share("a").take(100))

    def test_resize(self) -> None:
        """
        A share follows the size of a buffer, up while there is room and down always.
        """
        budget = Budget(100)
        share = budget.share("a")
        self.assertTrue(share.resize(80))
        self.assertFalse(share.resize(101))
        self.assertEqual(share.held, 80)
        self.assertTrue(share.resize(10))
        self.assertEqual(budget.used, 10)

    def test_tooMuchBack(self) -> None:
        """
        Giving back more than is held is a mistake that shows.
        """
        share = Budget(100).share("a")
        share.take(1)
        self.assertRaises(ValueError, share.give, 2)

    def test_unlimited(self) -> None:
        """
        0 is no limit, and the bytes are counted all the same.
        """
        budget = Budget(0)
        self.assertTrue(budget.share("a").take(1 << 40))
        self.assertEqual(budget.used, 1 << 40)

    @given(
        strategies.lists(
            strategies.tuples(strategies.integers(0, 5), strategies.integers(0, 90)), max_size=40
        )
    )
    def test_sums(self, resizes: list[tuple[int, int]]) -> None:
        """
        Whatever is taken and given back: the sums are those of the shares, within the limits.
        """
        budget = Budget(200, 100)
        shares = [budget.share("ab"[index % 2]) for index in range(6)]
        for index, size in resizes:
            shares[index].resize(size)
            self.assertEqual(budget.used, sum(share.held for share in shares))
            self.assertEqual(budget.usedBy("a"), sum(share.held for share in shares[::2]))
            self.assertLessEqual(budget.used, 200)
            self.assertLessEqual(budget.usedBy("b"), 100)

    def test_hold(self) -> None:
        """
        What is in memory already counts whatever the limits are, and others get nothing then.
        """
        budget = Budget(200, 100)
        share, other = budget.share("a"), budget.share("b")
        self.assertTrue(share.hold(80))
        self.assertFalse(share.hold(250))
        self.assertEqual((budget.used, share.held), (250, 250))
        self.assertFalse(other.take(1))
        self.assertTrue(share.hold(10))
        self.assertTrue(other.take(1))
        share.close()
        self.assertEqual((budget.used, budget.usedBy("a")), (1, 0))
