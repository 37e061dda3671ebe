"""
Tests for L{aero.net.turns}.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.net.turns import Turn, Turns


class WorkingClock(Clock):
    """
    A clock on which work takes time: who works calls L{work}.
    """

    def work(self, seconds: float) -> None:
        self.rightNow += seconds

    def worked(self, seconds: float) -> bool:
        self.work(seconds)
        return False

    def nextTurn(self) -> None:
        """
        One turn of the reactor: what is due now, and not what that puts off.
        """
        due: list[Any] = [
            call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()
        ]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class TurnsTests(SynchronousTestCase):
    """
    Who works when.
    """

    def setUp(self) -> None:
        self.clock = WorkingClock()
        self.ended = 0
        self.turns = Turns(self.clock, slice=0.002, most=0.01, ended=self.count)
        self.done: list[str] = []

    def count(self) -> None:
        self.ended += 1

    def worker(self, key: str, parts: int, each: float = 0.001) -> Callable[[], None]:
        """
        Work of some parts, as a connection does it.
        """
        turn = self.turns.turn(key)
        left = [parts]

        def part() -> bool:
            self.clock.work(each)
            self.done.append(key)
            left[0] -= 1
            return left[0] > 0

        def go() -> None:
            if turn.left() <= 0 or not turn.run(part, 1_000):
                turn.wait(go)

        return go

    def test_short(self) -> None:
        """
        What is short is done at once, and sets no timer.
        """
        self.worker("a", 1, 0.0001)()
        self.assertEqual(self.done, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_long(self) -> None:
        """
        What takes longer goes on in later turns of the reactor, a slice in each.
        """
        self.worker("a", 7)()
        self.assertEqual(len(self.done), 2)
        for expected in (4, 6, 7):
            self.clock.nextTurn()
            self.assertEqual(len(self.done), expected)
        self.assertEqual(self.ended, 3)
        self.clock.nextTurn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connectionsOfOneClient(self) -> None:
        """
        Eight connections of one client have no more time than one.
        """
        for _ in range(8):
            self.worker("a", 100)()
        self.assertEqual(len(self.done), 2)
        for _ in range(10):
            self.clock.nextTurn()
        self.assertLessEqual(len(self.done), 22)

    def test_connectionsTakeTurns(self) -> None:
        """
        The connections of a client are served one after the other.
        """
        order: list[int] = []
        for number in range(4):
            turn = self.turns.turn("a")

            def again(turn: Turn = turn, number: int = number) -> None:
                order.append(number)
                turn.run(lambda: self.clock.worked(0.002), 1)
                turn.wait(lambda: again(turn, number))

            turn.wait(again)
        for _ in range(8):
            self.clock.nextTurn()
        self.assertEqual(order[:8], [0, 1, 2, 3, 0, 1, 2, 3])

    def test_neighbour(self) -> None:
        """
        A client that comes while another waits is served at once.
        """
        self.worker("a", 1_000)()
        self.worker("b", 1, 0.0001)()
        self.assertEqual(self.done, ["a", "a", "b"])

    def test_manyClients(self) -> None:
        """
        However many clients wait, one turn of the reactor is short, and all of them are served.
        """
        for number in range(100):
            self.worker(str(number), 10)()
        for _ in range(5):
            begun = self.clock.seconds()
            self.clock.nextTurn()
            self.assertLessEqual(self.clock.seconds() - begun, 0.0125)
        for _ in range(200):
            self.clock.nextTurn()
        self.assertEqual(len(self.done), 1_000)

    def test_debt(self) -> None:
        """
        A client one of whose messages took long rests for as many turns, and then goes on.
        """
        self.worker("a", 2, 0.01)()
        self.assertEqual(len(self.done), 1)
        for _ in range(4):
            self.clock.nextTurn()
            self.assertEqual(len(self.done), 1)
        self.clock.nextTurn()
        self.assertEqual(len(self.done), 2)

    def test_many(self) -> None:
        """
        Short turns of one client in one turn of the reactor add up.
        """
        for _ in range(30):
            self.worker("a", 1, 0.0002)()
        self.assertLessEqual(len(self.done), 11)

    def test_cancel(self) -> None:
        """
        What was cancelled does not come; nothing is left behind.
        """
        turn = self.turns.turn("a")
        turn.wait(lambda: self.done.append("a"))
        self.assertTrue(turn.isWaiting)
        turn.cancel()
        turn.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        turn.wait(lambda: self.done.append("b"))
        self.clock.nextTurn()
        self.assertEqual(self.done, ["b"])

    def test_cancelledByAnother(self) -> None:
        """
        One that ends another of the same client in its turn.
        """
        first, second = self.turns.turn("a"), self.turns.turn("a")
        first.wait(second.cancel)
        second.wait(lambda: self.done.append("second"))
        self.clock.nextTurn()
        self.assertEqual(self.done, [])

    def test_failure(self) -> None:
        """
        One whose work fails does not keep the others from theirs.
        """
        self.turns.turn("a").wait(lambda: 1 / 0)
        self.turns.turn("b").wait(lambda: self.done.append("b"))
        self.clock.nextTurn()
        self.assertEqual(self.done, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_inside(self) -> None:
        """
        Work inside of work is counted once.
        """
        turn = self.turns.turn("a")

        def outer() -> bool:
            turn.run(inner, 1)
            return False

        def inner() -> bool:
            self.clock.work(0.0015)
            turn.spend(0.0015)
            return False

        turn.run(outer, 1)
        self.assertAlmostEqual(turn.left(), 0.0005)
