"""
Tests for what a supervisor keeps for its workers.
"""

from __future__ import annotations

import json
from typing import Any, Callable

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from aero.fleet.hub import Hub
from aero.fleet.member import SupervisedStore
from aero.fleet.store import Claim


class Line:
    """
    The way from one worker to the hub, which carries nothing but JSON.
    """

    def __init__(self, hub: Hub, worker: str) -> None:
        self._hub = hub
        self._worker = worker
        self.handlers: dict[str, Callable[[Any], Any]] = {}

    def ask(self, question: str, value: Any = None) -> Deferred[Any]:
        """
        Ask the hub.
        """
        answer = self._hub.answer(self._worker, question, json.loads(json.dumps(value)))
        return succeed(json.loads(json.dumps(answer)))

    def tell(self, question: str, value: Any = None) -> None:
        """
        Tell the hub.
        """
        self.ask(question, value)


class HubTests(SynchronousTestCase):
    """
    L{Hub} and L{SupervisedStore}.
    """

    def setUp(self) -> None:
        self.now = 1000.0
        self.lines: list[Line] = []
        self.hub = Hub(seconds=lambda: self.now, now=lambda: self.now, tellAll=self.tellAll)

    def tellAll(self, question: str, value: Any) -> None:
        for line in self.lines:
            line.handlers[question](json.loads(json.dumps(value)))

    def worker(self, name: str) -> SupervisedStore:
        line = Line(self.hub, name)
        self.lines.append(line)
        return SupervisedStore(line, line.handlers.__setitem__)

    def test_limitHoldsForAll(self) -> None:
        """
        What one worker holds counts for the others.
        """
        one, two = self.worker("1"), self.worker("2")
        claim = Claim("relay.sid", "sid", 1)
        self.assertEqual(self.successResultOf(one.acquire("x", [claim])), "")
        self.assertEqual(self.successResultOf(two.acquire("x", [claim])), "relay.sid")
        one.release("x")
        self.assertEqual(self.successResultOf(two.acquire("x", [claim])), "")

    def test_workerEnded(self) -> None:
        """
        A worker that ended holds nothing; one with a longer name is another.
        """
        one, eleven = self.worker("1"), self.worker("11")
        claim = Claim("relay.sid", "sid", 2)
        one.acquire("x", [claim])
        eleven.acquire("x", [claim])
        self.hub.workerEnded("1")
        again = self.worker("2")
        self.assertEqual(self.successResultOf(again.acquire("a", [claim])), "")
        self.assertEqual(self.successResultOf(again.acquire("b", [claim])), "relay.sid")

    def test_rates(self) -> None:
        """
        All workers take from one bucket.
        """
        one, two = self.worker("1"), self.worker("2")
        self.assertEqual(self.successResultOf(one.debit("dns", 1, 2, {"a": 1, "b": 1})), {})
        found = self.successResultOf(two.debit("dns", 1, 2, {"a": 1, "c": 1}))
        self.assertEqual(found, {"a": 1})

    def test_revocations(self) -> None:
        """
        Every worker hears of a session that ended, and so does one that starts later.
        """
        heard: dict[str, list[tuple[str, float, bool]]] = {"1": [], "2": [], "3": []}

        def listen(name: str) -> SupervisedStore:
            store = self.worker(name)
            store.onRevoked(lambda *what: heard[name].append(what))
            return store

        one, _ = listen("1"), listen("2")
        one.revoke("sid", 2000.0, True)
        self.assertEqual(heard["1"], [("sid", 2000.0, True)])
        self.assertEqual(heard["2"], heard["1"])
        listen("3").start()
        self.assertEqual(heard["3"], heard["1"])

    def test_noSuchQuestion(self) -> None:
        """
        A question that nobody knows is refused.
        """
        self.assertRaises(ValueError, self.hub.answer, "1", "nothing", None)
