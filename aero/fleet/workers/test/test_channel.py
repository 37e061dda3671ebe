"""
Tests for the conversation of a supervisor with a worker.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.fleet.workers.channel import RemoteError, WorkerChannel


class WorkerChannelTests(SynchronousTestCase):
    """
    Two L{WorkerChannel}s that are joined by hand.
    """

    def setUp(self) -> None:
        self.told: list[Any] = []
        self.later: Deferred[Any] = Deferred()

        def refuse(value: Any) -> None:
            raise ValueError(f"not {value}")

        self.asking = WorkerChannel({})
        self.answering = WorkerChannel(
            {
                "double": lambda value: value * 2,
                "later": lambda value: self.later,
                "refuse": refuse,
                "told": self.told.append,
            }
        )
        for end in (self.asking, self.answering):
            end.makeConnection(StringTransport())

    def pump(self, size: int = 1_000_000) -> None:
        """
        Carry everything over, in pieces.
        """
        for source, sink in ((self.asking, self.answering), (self.answering, self.asking)):
            transport: Any = source.transport
            data = transport.value()
            transport.clear()
            for start in range(0, len(data), size):
                sink.dataReceived(data[start : start + size])

    def test_answer(self) -> None:
        """
        A question gets its answer, whole or byte by byte.
        """
        for size in (1_000_000, 1):
            answer = self.asking.ask("double", 21)
            self.assertNoResult(answer)
            self.pump(size)
            self.assertEqual(self.successResultOf(answer), 42)

    def test_outOfOrder(self) -> None:
        """
        An answer that takes time holds up no other.
        """
        slow = self.asking.ask("later")
        quick = self.asking.ask("double", "a")
        self.pump()
        self.assertEqual(self.successResultOf(quick), "aa")
        self.assertNoResult(slow)
        self.later.callback({"a": [1]})
        self.pump()
        self.assertEqual(self.successResultOf(slow), {"a": [1]})

    def test_error(self) -> None:
        """
        What the other end cannot answer fails with its words.
        """
        refused, unknown = self.asking.ask("refuse", 1), self.asking.ask("nothing")
        self.pump()
        self.assertIn("not 1", str(self.failureResultOf(refused, RemoteError).value))
        self.assertIn("nothing", str(self.failureResultOf(unknown, RemoteError).value))

    def test_tell(self) -> None:
        """
        What is only told has no answer, whatever comes of it.
        """
        self.asking.tell("told", [1])
        self.asking.tell("refuse", 2)
        self.asking.tell("nothing")
        self.pump()
        self.assertEqual(self.told, [[1]])
        transport: Any = self.answering.transport
        self.assertEqual(transport.value(), b"")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_lost(self) -> None:
        """
        Questions that are open when the other end goes fail, and so do later ones.
        """
        before = self.asking.ask("later")
        self.asking.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(before, ConnectionLost)
        self.failureResultOf(self.asking.ask("double", 1), ConnectionLost)
        self.asking.tell("told")

    def test_cancelled(self) -> None:
        """
        The answer to a question that nobody waits for any more is dropped.
        """
        answer = self.asking.ask("double", 1)
        answer.cancel()
        self.pump()
        self.failureResultOf(answer)
