"""
Tests for L{aero.tunnel.streams.pressure}. How it works on a WebSocket is in L{aero.ws.test.test_muxflow}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies
from aero.tunnel.streams.pressure import GRACE, GRACES, PATIENCE, QUIET, UploadPressure


class FakeStream:
    """
    As much of a stream as the rule looks at.
    """

    def __init__(self) -> None:
        self.heard = 0.0
        self.remoteOpen = True
        self.isFull = False
        self.taken = 0

    def progress(self) -> object:
        return self.taken


class Case(SynchronousTestCase):
    """
    The rule for two streams.
    """

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.one: Any = FakeStream()
        self.two: Any = FakeStream()
        self.calls: list[str] = []
        self.pressure = UploadPressure(
            self.clock,
            lambda: [self.one, self.two],
            pause=lambda: self.calls.append("pause"),
            resume=lambda: self.calls.append("resume"),
            gaveUp=lambda: self.calls.append("gave up"),
        )


class UploadPressureTests(Case):
    """
    Who waits for whom.
    """

    def test_everybody(self) -> None:
        """
        When every busy stream is congested the client is not read, until one is relieved.
        """
        self.pressure.streamCongested(self.one)
        self.pressure.readHandled()
        self.assertEqual(self.calls, [])
        self.pressure.streamCongested(self.two)
        self.pressure.readHandled()
        self.pressure.readHandled()
        self.assertEqual(self.calls, ["pause"])
        self.pressure.streamRelieved(self.two)
        self.pressure.streamRelieved(self.two)
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), (["pause", "resume"], []))

    def test_quiet(self) -> None:
        """
        A stream that was silent for a second, or has ended its side, is not busy.
        """
        self.pressure.streamCongested(self.one)
        self.two.remoteOpen = False
        self.pressure.readHandled()
        self.assertTrue(self.pressure.holding)
        self.pressure.streamRelieved(self.one)
        self.two.remoteOpen = True
        self.clock.advance(QUIET)
        self.pressure.streamCongested(self.one)
        self.pressure.readHandled()
        self.assertTrue(self.pressure.holding)

    def test_patience(self) -> None:
        """
        A target that takes nothing is given up, one that takes something is waited for.
        """
        for stream in (self.one, self.two):
            self.pressure.streamCongested(stream)
        self.pressure.readHandled()
        self.one.taken = 1
        self.clock.advance(PATIENCE)
        self.assertEqual(self.calls, ["pause", "gave up"])
        self.clock.advance(PATIENCE)
        self.assertEqual(self.calls, ["pause", "gave up", "gave up", "resume"])
        self.pressure.readHandled()
        self.assertFalse(self.pressure.holding)

    def test_grace(self) -> None:
        """
        A stream half way to its limit holds up a busy client for a moment; what takes
        something all the time gets four of them and no more.
        """
        self.one.isFull = True
        self.pressure.streamCongested(self.one)
        self.pressure.readHandled()
        for _ in range(GRACES):
            self.assertEqual(self.calls, ["pause"])
            self.one.taken += 1
            self.clock.advance(GRACE)
        self.assertEqual(self.calls, ["pause", "gave up", "resume"])
        self.pressure.streamRelieved(self.one)
        self.two.heard = self.clock.seconds()
        self.pressure.streamCongested(self.one)
        self.pressure.readHandled()
        self.clock.advance(GRACE)
        self.assertEqual(self.calls, ["pause", "gave up", "resume"] * 2)

    def test_stop(self) -> None:
        """
        Nothing is left when the client is gone.
        """
        self.pressure.streamCongested(self.one)
        self.pressure.streamCongested(self.two)
        self.pressure.readHandled()
        self.pressure.stop()
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), (["pause"], []))

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from(["congest", "relieve", "read", "full", "hear", "wait"]),
                strategies.booleans(),
            ),
            max_size=40,
        )
    )
    def test_never(self, steps: list[tuple[str, bool]]) -> None:
        """
        Whatever happens, pausing and resuming take turns, and a client is never left unread
        when its targets stand still.
        """
        self.setUp()
        for step, first in steps:
            stream = self.one if first else self.two
            if step == "congest":
                self.pressure.streamCongested(stream)
            elif step == "relieve":
                stream.isFull = False
                self.pressure.streamRelieved(stream)
            elif step == "full":
                stream.isFull = True
            elif step == "hear":
                stream.heard = self.clock.seconds()
            elif step == "wait":
                self.clock.advance(0.7)
            else:
                self.pressure.readHandled()
        self.clock.advance(PATIENCE)
        self.assertFalse(self.pressure.holding)
        turns = [call for call in self.calls if call != "gave up"]
        self.assertEqual(turns, ["pause", "resume"] * (len(turns) // 2))
