# -*- test-case-name: aero.net.test.test_turns -*-
"""
Share the time of the reactor among the clients that keep it busy.

Whatever one client sends, a loop over its messages must end soon, or everybody else waits. So the
time is counted for each client address: in one turn of the reactor all connections of a client
together have L{Turns.slice} seconds. What is left then waits for the next turn, where the clients
that wait are served one after the other, and where all of them together have L{Turns.most}
seconds. A client that nobody waits behind has the whole process.

A client that took longer than its slice, because one message took so long, rests for as many turns
as it took.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


def _nothing() -> None:
    """
    Nobody counts.
    """


class Turns:
    """
    The turns of all clients.

    @ivar clock: The reactor.
    @ivar slice: Seconds that one client may take in one turn of the reactor.
    @ivar most: Seconds that all clients together may take whose messages waited.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        slice: float = 0.002,
        most: float = 0.01,
        ended: Callable[[], object] = _nothing,
    ) -> None:
        """
        @param ended: Called whenever messages have to wait, for a counter.
        """
        self.clock = clock
        self.slice = slice
        self.most = most
        self._ended = ended
        self._spent: dict[str, float] = {}
        #: By client, and what was served last is last.
        self._waiting: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._next: IDelayedCall | None = None
        self._running = False

    def turn(self, key: str) -> Turn:
        """
        Make what one connection, tunnel or channel takes its turns with.

        @param key: The client: L{aero.policy.quota.addressKey} of its address.
        """
        return Turn(self, key)

    def left(self, key: str) -> float:
        """
        Seconds that a client may still take in this turn of the reactor; 0.0 and less is none.
        """
        return self.slice - self._spent.get(key, 0.0)

    def spend(self, key: str, seconds: float) -> None:
        """
        Count what a client took. What is taken inside of L{Turn.run} is counted there.
        """
        if self._running or seconds <= 0.0:
            return
        spent = self._spent[key] = self._spent.get(key, 0.0) + seconds
        # A client that takes next to nothing is not worth a timer in each turn of the reactor.
        if spent * 4 >= self.slice:
            self._soon()

    def run(self, key: str, work: Callable[[], bool], most: int) -> bool:
        """
        See L{Turn.run}.
        """
        seconds = self.clock.seconds
        begun = seconds()
        end = begun + self.left(key)
        outer, self._running = self._running, True
        try:
            for _ in range(most):
                if not work():
                    return True
                if seconds() >= end:
                    break
            return False
        finally:
            self._running = outer
            self.spend(key, seconds() - begun)

    def enqueue(self, turn: Turn) -> None:
        """
        See L{Turn.wait}.
        """
        self._ended()
        self._waiting.setdefault(turn.key, deque()).append(turn)
        self._soon()

    def dequeue(self, turn: Turn) -> None:
        """
        See L{Turn.cancel}.
        """
        queue = self._waiting[turn.key]
        queue.remove(turn)
        if not queue:
            del self._waiting[turn.key]
        if not self._waiting and not self._spent and self._next is not None:
            self._next.cancel()
            self._next = None

    def _soon(self) -> None:
        if self._next is None:
            self._next = self.clock.callLater(0, self._nextTurn)

    def _nextTurn(self) -> None:
        """
        The reactor has served everybody else: serve those who wait, each once at the most.
        """
        self._next = None
        self._spent = {
            key: spent - self.slice for key, spent in self._spent.items() if spent > self.slice
        }
        seconds = self.clock.seconds
        end = seconds() + self.most
        waiting = self._waiting
        left = {key: len(queue) for key, queue in waiting.items()}
        order = deque(left)
        while order:
            key = order.popleft()
            if self.left(key) <= 0.0:
                continue
            queue = waiting.get(key)
            if not queue:
                continue  # what waited was cancelled
            turn = queue.popleft()
            left[key] -= 1
            if left[key]:
                order.append(key)
            if queue:
                waiting.move_to_end(key)
            else:
                del waiting[key]
            try:
                turn.came()
            except Exception:  # noqa: BLE001 - one client's fault must not stop the others
                self._log.failure("The messages of a client could not be handled")
            if seconds() >= end:
                break
        if waiting or self._spent:
            self._soon()


class Turn:
    """
    The turns of one connection, tunnel or channel.

    @ivar key: Whose it is.
    """

    __slots__ = ("_function", "_turns", "key")

    def __init__(self, turns: Turns, key: str) -> None:
        self.key = key
        self._turns = turns
        self._function: Callable[[], object] | None = None

    @property
    def isWaiting(self) -> bool:
        """
        Whether it waits for the next turn.
        """
        return self._function is not None

    def left(self) -> float:
        """
        Seconds that the client may still take in this turn of the reactor.
        """
        return self._turns.left(self.key)

    def spend(self, seconds: float) -> None:
        """
        Count what was taken outside of L{run}.
        """
        self._turns.spend(self.key, seconds)

    def run(self, work: Callable[[], bool], most: int) -> bool:
        """
        Do work for as long as the client has time.

        @param work: Does a small part, and says whether there is more.
        @param most: How many parts at the most.
        @return: Whether all is done; if not, the caller calls L{wait}.
        """
        return self._turns.run(self.key, work, most)

    def wait(self, function: Callable[[], object]) -> None:
        """
        Be called once, in the next turn of the reactor in which the client has time.
        """
        if self._function is None:
            self._function = function
            self._turns.enqueue(self)

    def cancel(self) -> None:
        """
        Not be called after all.
        """
        if self._function is not None:
            self._function = None
            self._turns.dequeue(self)

    def came(self) -> None:
        """
        The turn came. For L{Turns}.
        """
        function, self._function = self._function, None
        assert function is not None
        function()
