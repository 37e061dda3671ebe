"""
Tests for L{aero.lan.driver}.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.lan.driver import StackDriver
from aero.net.test.test_turns import WorkingClock
from aero.net.turns import Turns
from aero.stack.commands import RejectTCP


class ScriptedStack:
    """
    A stack whose events and frames the test gives, and that writes down its calls.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.drops: dict[str, int] = {}
        self.calls: list[Any] = []
        self.events: deque[Any] = deque()
        self.frames: deque[bytes] = deque()
        self.timeout: float | None = None
        self.echo = False

    def frameReceived(self, frame: bytes, now: float) -> None:
        self.calls.append(("frame", frame, now))
        if self.echo:
            self.frames.append(frame)

    def apply(self, command: Any, now: float) -> None:
        self.calls.append(("apply", command, now))
        if isinstance(command, bytes):
            self.frames.append(b"for " + command)

    def framesToSend(self, now: float, limit: int = 64) -> list[bytes]:
        found = [self.frames.popleft() for _ in range(min(limit, 10, len(self.frames)))]
        return found

    def nextEvent(self) -> Any:
        return self.events.popleft() if self.events else None

    def nextTimeout(self) -> float | None:
        return self.timeout

    def handleTimeout(self, now: float) -> None:
        self.calls.append(("timeout", now))

    def newConnection(self) -> int:
        return 1

    def sendRoom(self, connection: int) -> int:
        return 1


class Port:
    """
    Keeps what is sent.
    """

    maxFrame = 2_048

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    def sendFrames(self, frames: list[bytes]) -> None:
        self.batches.append(list(frames))


class PausingPort(Port):
    """
    A port that can be paused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def pauseFrames(self) -> None:
        self.told.append("pause")

    def resumeFrames(self) -> None:
        self.told.append("resume")


class DriverTests(SynchronousTestCase):
    """
    One stack at work.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.stack = ScriptedStack()
        self.port: Any = Port()
        self.seen: list[Any] = []
        self.build()

    def build(self) -> None:
        self.driver = StackDriver(
            self.stack,
            self.clock,
            self.port,
            self.seen.append,
        )

    def test_batch(self) -> None:
        """
        All frames of one read are handled before anything is answered, and all answers leave
        at once.
        """
        self.stack.echo = True
        frames = [b"%d" % number for number in range(30)]
        self.driver.framesReceived(frames)
        self.assertEqual([call[1] for call in self.stack.calls], frames)
        self.assertEqual(self.port.batches, [frames])

    def test_commands(self) -> None:
        """
        Commands from elsewhere reach the stack at once; what they lead to leaves together at
        the end of the turn.
        """
        for command in (b"a", b"b"):
            self.driver.apply(command)  # type: ignore[arg-type]
        self.assertEqual(len(self.stack.calls), 2)
        self.assertEqual(self.port.batches, [])
        self.clock.advance(0)
        self.assertEqual(self.port.batches, [[b"for a", b"for b"]])

    def test_events(self) -> None:
        """
        Events are handed out in order; one that cannot be handled does not stop the others.
        """

        def dispatch(event: Any) -> None:
            if event == "bad":
                raise RuntimeError("bad")
            self.seen.append(event)
            self.driver.apply(event.encode())

        self.driver = StackDriver(self.stack, self.clock, self.port, dispatch)
        self.stack.events.extend(["one", "bad", "two"])
        self.driver.framesReceived([b"x"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.seen, ["one", "two"])
        self.assertEqual(self.port.batches, [[b"for one", b"for two"]])

    def test_boundedEvents(self) -> None:
        """
        One turn hands out so many events; the rest waits for the next one, behind everybody
        else.
        """
        self.driver.maxEvents = 3
        self.stack.events.extend(range(7))
        self.driver.framesReceived([b"x"])
        self.clock.callLater(0, self.seen.append, "others")
        self.clock.advance(0)
        self.assertEqual(self.seen, [0, 1, 2, 3, 4, 5, "others", 6])

    def test_slowGuest(self) -> None:
        """
        Frames that cost much end the turn early, and so do events; no frames are handled while
        events wait.
        """
        happened: list[str] = []

        def slowly(frame: bytes, now: float) -> None:
            self.clock.rightNow += 0.01
            self.stack.events.append(frame)
            happened.append("frame")

        def dispatch(event: Any) -> None:
            self.clock.rightNow += 0.02
            happened.append("event")

        def others(left: int) -> None:
            happened.append("others")
            if left:
                self.clock.callLater(0.01, others, left - 1)

        self.stack.frameReceived = slowly  # type: ignore[method-assign]
        self.port = PausingPort()
        self.driver = StackDriver(self.stack, self.clock, self.port, dispatch)
        self.driver.slice = 0.1
        self.clock.callLater(0.01, others, 500)
        self.driver.framesReceived([b"%d" % number for number in range(40)])
        for _ in range(20):
            self.clock.advance(1)
        turns = [(kind, len(list(group))) for kind, group in groupby(happened)]
        self.assertEqual(
            [turn for turn in turns if turn[0] != "others"],
            [
                *(("frame", 16), ("event", 7), ("event", 7), ("event", 2)),
                *(("frame", 16), ("event", 7), ("event", 7), ("event", 2)),
                *(("frame", 8), ("event", 7), ("event", 1)),
            ],
        )
        self.assertEqual(self.port.told, ["pause", "resume"])

    def test_rubbish(self) -> None:
        """
        A guest most of whose frames are dropped rests for nine times as long as they took, and
        its port with it; what the outside has for it goes on. Then it has its next turn.
        """
        handled: list[float] = []

        def dropped(frame: bytes, now: float) -> None:
            self.clock.rightNow += 0.001
            self.stack.drops["noise"] = self.stack.drops.get("noise", 0) + 1
            handled.append(now)

        self.stack.frameReceived = dropped  # type: ignore[method-assign]
        self.port = PausingPort()
        self.build()
        self.driver.slice = 1.0
        self.driver.maxFrames = 40
        self.driver.framesReceived([b"rubbish"] * 60)
        self.assertEqual((len(handled), self.port.told), (40, ["pause"]))
        self.driver.framesReceived([b"more"])
        self.driver.apply(b"answer")  # type: ignore[arg-type]
        self.clock.advance(0.35)
        self.assertEqual((len(handled), self.port.batches), (40, [[b"for answer"]]))
        self.clock.advance(0.1)
        self.assertEqual((len(handled), self.port.told), (61, ["pause", "resume"]))

    def test_refusals(self) -> None:
        """
        Connections that are refused are rubbish as well; half of them is not too many.
        """
        for refused, rests in ((32, False), (33, True)):
            self.setUp()
            self.driver.maxFrames = 256
            for _ in range(refused):
                self.driver.apply(RejectTCP(1, "prohibited"))
            self.clock.advance(0)
            self.driver.framesReceived([b"SYN"] * 64)
            self.driver.framesReceived([b"next"])
            self.assertIs(len(self.stack.calls) < 65 + refused, rests)
            self.clock.advance(0.01)
            self.assertEqual(len(self.stack.calls), 65 + refused)

    def test_restEnds(self) -> None:
        """
        With the LAN, a rest is over.
        """
        for _ in range(64):
            self.driver.apply(RejectTCP(1, "prohibited"))
        self.driver.framesReceived([b"SYN"] * 64)
        self.driver.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_boundedSending(self) -> None:
        """
        One turn sends so many frames, the next ones the rest.
        """
        self.driver.maxSent = 25
        self.stack.frames.extend(b"%d" % number for number in range(60))
        self.driver.framesReceived([b"x"])
        for _ in range(5):
            self.clock.advance(0)
        self.assertEqual([len(batch) for batch in self.port.batches], [25, 25, 10])

    def test_backlog(self) -> None:
        """
        Of a flood of frames one turn takes so many, in order, and everybody else has theirs
        before the next; the port is paused until none is left, and what comes meanwhile waits
        behind.
        """
        self.port = PausingPort()
        self.build()
        self.driver.maxFrames = 4
        self.driver.framesReceived([b"%d" % number for number in range(10)])
        self.assertEqual((len(self.stack.calls), self.port.told), (4, ["pause"]))

        def others() -> None:
            self.assertEqual((len(self.stack.calls), self.port.told), (8, ["pause"]))
            self.driver.framesReceived([b"10"])
            self.seen.append("others")

        self.clock.callLater(0, others)
        self.clock.advance(0)
        self.assertEqual(self.seen, ["others"])
        self.assertEqual([int(call[1]) for call in self.stack.calls], list(range(11)))
        self.assertEqual(self.port.told, ["pause", "resume"])

    def test_lost(self) -> None:
        """
        A port that cannot be paused loses what is too much, which is counted.
        """
        self.driver.maxFrames = 2
        self.driver.maxBacklog = 3_500
        self.driver.framesReceived([bytes(1_000)] * 5)
        self.driver.framesReceived([bytes(1_000)])
        self.assertEqual(self.driver.lostFrames, 1)
        self.clock.advance(0)
        self.assertEqual(len(self.stack.calls), 5)

    def test_full(self) -> None:
        """
        A port that is full is not given anything, and the stack not asked, until there is
        room.
        """
        self.driver.pauseProducing()
        self.stack.frames.append(b"frame")
        self.driver.framesReceived([b"x"])
        self.clock.advance(1)
        self.assertEqual((self.port.batches, len(self.stack.frames)), ([], 1))
        self.driver.resumeProducing()
        self.driver.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.port.batches, [[b"frame"]])

    def test_timer(self) -> None:
        """
        The stack is called when it wants to be; a later wish does not move the timer, an
        earlier one does.
        """
        self.stack.timeout = 5.0
        self.driver.framesReceived([b"x"])
        self.stack.timeout = 9.0
        self.driver.framesReceived([b"x"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(5)
        self.assertNotIn(("timeout", 5.0), self.stack.calls)
        self.stack.timeout = 7.0
        self.driver.framesReceived([b"x"])
        self.clock.advance(2)
        self.assertEqual(self.stack.calls[-1], ("timeout", 7.0))
        self.stack.timeout = None

    def test_timerOfFullPort(self) -> None:
        """
        A stack whose time has come but whose frames nobody takes is not called all the time.
        """
        self.driver.pauseProducing()
        self.stack.timeout = 1.0
        self.driver.framesReceived([b"x"])
        for _ in range(1_000):
            self.clock.advance(0.001)
        before = len(self.stack.calls)
        for _ in range(1_000):
            self.clock.advance(0.001)
        self.assertLess(len(self.stack.calls) - before, 50)
        self.assertGreater(len(self.stack.calls) - before, 5)

    def test_soon(self) -> None:
        """
        What is put off is done when whoever runs has returned, in order.
        """
        self.driver.callSoon(lambda: self.seen.append("first"))
        self.driver.callSoon(lambda: self.seen.append("second"))
        self.assertEqual(self.seen, [])
        self.clock.advance(0)
        self.assertEqual(self.seen, ["first", "second"])

    def test_stop(self) -> None:
        """
        After the end nothing happens any more, but for what was put off.
        """
        self.stack.timeout = 1.0
        self.driver.framesReceived([b"x"])
        self.driver.callSoon(lambda: self.seen.append("last"))
        calls = len(self.stack.calls)
        self.driver.stop()
        self.driver.stop()
        self.assertEqual(self.seen, ["last"])
        self.driver.framesReceived([b"x"])
        self.driver.apply(b"x")  # type: ignore[arg-type]
        self.driver.callSoon(lambda: self.seen.append("never"))
        self.driver.flush()
        self.assertEqual((len(self.stack.calls), self.seen), (calls, ["last"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ShareTests(SynchronousTestCase):
    """
    Several guests of one client.
    """

    def test_oneClient(self) -> None:
        """
        In one turn of the reactor all guests of a client together have the time of one; those of
        another client have theirs. In the end everybody's frames are handled, in order.
        """
        clock = WorkingClock()
        turns = Turns(clock, slice=0.002)
        handled: list[str] = []

        class Slow(ScriptedStack):
            """
            A stack on which each frame takes a tenth of a millisecond.
            """

            def frameReceived(self, frame: bytes, now: float) -> None:
                clock.work(0.0001)
                handled.append(frame.decode())

        drivers = [
            StackDriver(Slow(), clock, Port(), lambda event: None, turns.turn(key))
            for key in ("a", "a", "a", "a", "a", "a", "a", "a", "b")
        ]
        for number, driver in enumerate(drivers):
            driver._keep([f"{number} {index}".encode() for index in range(100)])
            driver._soon()
        begun = clock.seconds()
        clock.nextTurn()
        ofClient = [each for each in handled if not each.startswith("8")]
        self.assertLessEqual(len(ofClient) * 0.0001, 0.002 + 0.0032)
        self.assertGreater(len(handled) - len(ofClient), 0)
        self.assertLess(clock.seconds() - begun, 0.01)
        for _ in range(2_000):
            clock.advance(0)
        self.assertEqual(len(handled), 900)
        for number in range(9):
            mine = [each.split()[1] for each in handled if each.startswith(f"{number} ")]
            self.assertEqual(mine, [str(index) for index in range(100)])
