"""
Tests for L{aero.http.turns}.
"""

from __future__ import annotations

from typing import Callable

from twisted.trial.unittest import SynchronousTestCase

from ..turns import SLICE, TURN, Turns


class Stage:
    """
    A queue, a clock that work moves on, and the order in which work was done.
    """

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.now = 0.0
        self.done: list[str] = []
        self.deferred = 0
        self.turns = Turns(self._callLater, lambda: self.now, self._count)

    def _callLater(self, delay: float, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        """
        One turn of the reactor.
        """
        calls, self.calls = self.calls, []
        for call in calls:
            call()

    def _count(self) -> None:
        self.deferred += 1

    def worker(self, name: str, pieces: int, cost: float = 0.001) -> Callable[[], bool]:
        """
        Work in so many pieces that take so long each.
        """
        left = [pieces]

        def work() -> bool:
            while left[0]:
                left[0] -= 1
                self.now += cost
                self.done.append(name)
                if self.turns.isOver():
                    break
            return left[0] > 0

        return work


class TurnsTests(SynchronousTestCase):
    """
    L{Turns} gives each client and each of its connections a fair part.
    """

    def test_little(self) -> None:
        """
        Little work is done at once.
        """
        stage = Stage()
        stage.turns.seat("a", stage.worker("a", 1)).run()
        self.assertEqual((stage.done, stage.deferred), (["a"], 0))
        self.assertEqual(stage.calls, [])

    def test_slice(self) -> None:
        """
        Much work ends its turn, goes on in later ones, and is all done.
        """
        stage = Stage()
        stage.turns.seat("a", stage.worker("a", 100)).run()
        self.assertEqual(len(stage.done), 2)
        before = stage.now
        stage.turn()
        self.assertLessEqual(stage.now - before, TURN + SLICE)
        for _ in range(100):
            stage.turn()
        self.assertEqual(len(stage.done), 100)
        self.assertEqual(stage.calls, [])

    def test_clients(self) -> None:
        """
        A client beside one with many busy connections waits for no more than a turn.
        """
        stage = Stage()
        for index in range(50):
            stage.turns.seat("busy", stage.worker(f"busy{index}", 100)).run()
        stage.turns.seat("neighbour", stage.worker("neighbour", 1)).run()
        before = stage.now
        while "neighbour" not in stage.done:
            stage.turn()
        self.assertLessEqual(stage.now - before, TURN)

    def test_connections(self) -> None:
        """
        Of one client's connections the one that has used the least is next.
        """
        stage = Stage()
        for index in range(50):
            stage.turns.seat("busy", stage.worker(f"busy{index}", 100)).run()
        for _ in range(100):
            stage.turn()
        stage.turns.seat("busy", stage.worker("new", 1)).run()
        before = stage.now
        while "new" not in stage.done:
            stage.turn()
        self.assertLessEqual(stage.now - before, 2 * TURN)

    def test_manyAtOnce(self) -> None:
        """
        Many connections of one client that arrive in one turn of the reactor do not add up.
        """
        stage = Stage()
        for index in range(500):
            stage.turns.seat("busy", stage.worker(str(index), 1)).run()
        self.assertLess(len(stage.done), 10)
        self.assertEqual(stage.deferred, 500 - len(stage.done))

    def test_credit(self) -> None:
        """
        With time a client may again work at once; a new connection does not renew its credit.
        """
        stage = Stage()
        seat = stage.turns.seat("a", stage.worker("a", 1, cost=0.1))
        seat.run()
        seat.close()
        stage.turns.seat("a", stage.worker("b", 1)).run()
        self.assertEqual(stage.done, ["a"])
        stage.turn()
        self.assertEqual(stage.done, ["a", "b"])
        stage.now += 1.0
        stage.turns.seat("a", stage.worker("c", 1)).run()
        self.assertEqual(stage.done, ["a", "b", "c"])

    def test_closed(self) -> None:
        """
        A connection that is gone is not worked for.
        """
        stage = Stage()
        seat = stage.turns.seat("a", stage.worker("a", 100))
        seat.run()
        seat.close()
        seat.close()
        stage.turn()
        self.assertEqual(len(stage.done), 2)
        self.assertEqual(stage.calls, [])

    def test_failure(self) -> None:
        """
        Work that fails ends itself and nothing else.
        """
        stage = Stage()

        def fail() -> bool:
            raise RuntimeError("broken")

        stage.turns.seat("a", fail).run()
        stage.turns.seat("a", stage.worker("b", 1)).run()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(stage.done, ["b"])

    def test_forgotten(self) -> None:
        """
        Clients that are gone are forgotten when there are many.
        """
        stage = Stage()
        for index in range(5_000):
            stage.turns.seat(str(index), stage.worker("x", 0)).close()
        self.assertLessEqual(len(stage.turns._clients), 1_024)
