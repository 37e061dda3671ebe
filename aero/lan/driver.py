# -*- test-case-name: aero.lan.test.test_driver -*-
"""
Binds a stack to a clock and to the port that its frames leave through.

Frames of the guest are handled in batches: all of them first, then the events they led to,
then every frame in answer at once. Commands that come from elsewhere, such as data of a host
socket, are collected until the end of the reactor's turn, so that ten small writes become one
segment.

Whatever a guest does, one turn handles at most L{StackDriver.maxFrames} of its frames,
L{StackDriver.maxEvents} events and L{StackDriver.maxSent} frames for it, and of frames and events
no more than what takes a L{StackDriver.slice} each, and nothing when its client has had its share
of the time (L{aero.net.turns}). The rest waits for the next turn, after everybody else had theirs,
and no frames are handled while events wait. A backlog of frames
pauses the port. A guest that sends more rubbish than anything else has to rest for several times
as long as that took.

The stack makes segments when it is asked for them. While the port is full it is not asked, so
that what waits is in the send buffers of its connections, which slow down whoever fills them.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, Callable, Iterable, Protocol, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from aero.net.turns import Turn, Turns
from aero.stack.commands import Command, RejectTCP
from aero.stack.events import Event

from .peer import FramePort


class StackLike(Protocol):
    """
    The six verbs of C{aero.stack.stack.Stack}, and what goes with them.
    """

    @property
    def connections(self) -> int: ...
    @property
    def drops(self) -> Any: ...
    def frameReceived(self, frame: bytes, now: float) -> None: ...
    def apply(self, command: Command, now: float) -> None: ...
    def framesToSend(self, now: float, limit: int = 64) -> list[bytes]: ...
    def nextEvent(self) -> Event | None: ...
    def nextTimeout(self) -> float | None: ...
    def handleTimeout(self, now: float) -> None: ...
    def newConnection(self) -> int: ...
    def sendRoom(self, connection: int) -> int: ...


class StackDriver:
    """
    One stack at work.

    @ivar clock: The clock.
    @ivar stack: The stack. Commands go through L{apply}, never to it directly.
    @ivar lostFrames: Frames of the guest dropped because a port without C{pauseFrames} went on.
    """

    #: Seconds that one turn may spend on the frames of a guest, and again on its events. A guest
    #: whose frames cost much is handled in smaller pieces, between which others have their turn.
    slice = 0.001
    #: How long a guest rests most of whose frames are dropped or refused: so many times what they
    #: cost, within these bounds in seconds.
    restFactor = 9.0
    leastRest = 0.01
    longestRest = 0.5
    maxFrames = 256
    maxEvents = 512
    maxSent = 128
    #: Bytes of the guest's frames that may wait.
    maxBacklog = 1_048_576
    #: Seconds between two looks at a stack whose timer cannot be served, because it has frames
    #: that nobody takes.
    patience = 0.05

    _log = Logger()

    def __init__(
        self,
        stack: StackLike,
        clock: IReactorTime,
        port: FramePort,
        dispatch: Callable[[Event], None],
        share: Turn | None = None,
    ) -> None:
        """
        @param dispatch: Gets every event. It may raise, which is logged.
        @param share: The turns of the guest's client.
        """
        self._share = Turns(clock).turn("") if share is None else share
        self.stack = stack
        self.clock = clock
        self.lostFrames = 0
        self._port = port
        self._dispatch = dispatch
        self._backlog: deque[bytes] = deque()
        self._backlogBytes = 0
        self._portPaused = False
        self._paused = False
        self._working = False
        self._stopped = False
        self._owesEvents = False
        self._rest: IDelayedCall | None = None
        self._handled = 0  # frames since the last judgment
        self._dropped = 0  # all those of the stack at that time
        self._refused = 0  # connections since
        self._spent = 0.0  # seconds since
        self._later: deque[Callable[[], None]] = deque()
        self._turn: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._timerAt = 0.0

    def framesReceived(self, frames: Sequence[bytes]) -> None:
        """
        The guest sent frames.
        """
        if self._stopped:
            return
        if self._backlog or self._working or self._owesEvents or self._rest is not None:
            self._keep(frames)
            self._soon()
            return
        done = self._handle(frames)
        if done < len(frames):
            self._keep(frames[done:])
            self._soon()
        self._work()

    def apply(self, command: Command) -> None:
        """
        Tell the stack something; what it answers leaves at the end of the turn.
        """
        if self._stopped:
            return
        if isinstance(command, RejectTCP):
            self._refused += 1
        self.stack.apply(command, self.clock.seconds())
        if not self._working:
            self._soon()

    def callSoon(self, function: Callable[[], None]) -> None:
        """
        Call something when whoever is running has returned.
        """
        if not self._stopped:
            self._later.append(function)
            if not self._working:
                self._soon()

    def pauseProducing(self) -> None:
        """
        The port is full.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The port has room again.
        """
        if self._paused:
            self._paused = False
            self._soon()

    def flush(self) -> None:
        """
        Do at once what would be done at the end of the turn.
        """
        if not self._working and not self._stopped:
            self._work()

    def stop(self) -> None:
        """
        No frame and no event comes any more. What was put off with L{callSoon} is done.
        """
        if self._stopped:
            return
        self._stopped = True
        for call in (self._turn, self._timer, self._rest):
            if call is not None and call.active():
                call.cancel()
        self._turn = self._timer = self._rest = None
        self._share.cancel()
        self._backlog.clear()
        self._runLater()

    # -- private

    def _keep(self, frames: Sequence[bytes]) -> None:
        """
        Put frames off to the next turn.
        """
        size = sum(map(len, frames))
        pause = getattr(self._port, "pauseFrames", None)
        if pause is None and self._backlogBytes + size > self.maxBacklog:
            self.lostFrames += len(frames)
            return
        self._backlog.extend(frames)
        self._backlogBytes += size
        if pause is not None and not self._portPaused:
            self._portPaused = True
            pause()

    def _handle(self, frames: Iterable[bytes]) -> int:
        """
        Handle frames for as long as a turn may take.

        @return: How many.
        """
        seconds = self.clock.seconds
        begun = now = seconds()
        end = now + self.slice
        received = self.stack.frameReceived
        done = 0
        for frame in islice(frames, self.maxFrames):
            received(frame, now)
            done += 1
            if not done & 15:
                now = seconds()
                if now >= end:
                    break
        self._handled += done
        self._spent += seconds() - begun
        if self._handled >= self.maxFrames // 4:
            self._judge()
        return done

    def _judge(self) -> None:
        """
        Let a guest rest most of whose frames were for nothing.
        """
        dropped = sum(self.stack.drops.values())
        if 2 * (dropped - self._dropped + self._refused) > self._handled:
            rest = min(max(self.restFactor * self._spent, self.leastRest), self.longestRest)
            self._rest = self.clock.callLater(rest, self._rested)
        self._dropped = dropped
        self._handled = self._refused = 0
        self._spent = 0.0

    def _rested(self) -> None:
        self._rest = None
        if self._backlog:
            self._soon()

    def _soon(self) -> None:
        if self._turn is None and not self._share.isWaiting and not self._stopped:
            self._turn = self.clock.callLater(0, self._nextTurn)

    def _nextTurn(self) -> None:
        self._turn = None
        if self._stopped:
            return
        if self._share.left() > 0.0:
            self._share.run(self._takeTurn, 1)
        else:
            self._share.wait(self._nextTurn)

    def _takeTurn(self) -> bool:
        """
        Go on with what waits.

        @return: False: what is left waits for the next turn.
        """
        backlog = self._backlog
        if backlog and not self._owesEvents and self._rest is None:
            for _ in range(self._handle(backlog)):
                self._backlogBytes -= len(backlog.popleft())
        self._work()
        if backlog:
            if self._rest is None:
                self._soon()
        elif self._portPaused and not self._stopped:
            self._portPaused = False
            self._port.resumeFrames()  # type: ignore[attr-defined]
        return False

    def _work(self) -> None:
        """
        Hand out events, send frames, and set the timer.
        """
        self._working = True
        try:
            more = self._handOut()
            if not self._paused and not self._stopped:
                more |= self._send()
        finally:
            self._working = False
        if self._stopped:
            return
        if more or self._later:
            self._soon()
        self._setTimer()

    def _handOut(self) -> bool:
        """
        Hand out events.

        @return: Whether there may be more.
        """
        begun = self.clock.seconds()
        self._owesEvents = self._dispatchUntil(begun + self.slice)
        self._spent += self.clock.seconds() - begun
        return self._owesEvents

    def _dispatchUntil(self, end: float) -> bool:
        nextEvent = self.stack.nextEvent
        seconds = self.clock.seconds
        for count in range(self.maxEvents):
            if self._later:
                self._runLater()
            if count & 7 == 7 and seconds() >= end:
                break
            event = nextEvent()
            if event is None:
                return False
            try:
                self._dispatch(event)
            except Exception:  # noqa: BLE001 - one protocol's mistake must not end the LAN
                self._log.failure("An event of a guest could not be handled")
            if self._stopped:
                return False
        return True

    def _send(self) -> bool:
        """
        Send frames.

        @return: Whether there may be more.
        """
        left = self.maxSent
        batch: list[bytes] = []
        while left > 0:
            frames = self.stack.framesToSend(self.clock.seconds(), left)
            if not frames:
                break
            batch += frames
            left -= len(frames)
        if batch:
            self._port.sendFrames(batch)
        return left <= 0

    def _runLater(self) -> None:
        for _ in range(len(self._later)):
            function = self._later.popleft()
            try:
                function()
            except Exception:  # noqa: BLE001 - one protocol's mistake must not end the LAN
                self._log.failure("A protocol in a guest's LAN failed")

    def _setTimer(self, earliest: float = 0.0) -> None:
        """
        Be called when the stack wants to be. A timer that is early finds nothing to do and is
        set again, which costs less than moving it with every segment.
        """
        at = self.stack.nextTimeout()
        if at is None:
            return
        now = self.clock.seconds()
        at = max(at, now + earliest)
        timer = self._timer
        if timer is not None and timer.active():
            if at >= self._timerAt:
                return
            timer.reset(at - now)
        else:
            self._timer = self.clock.callLater(at - now, self._timeout)
        self._timerAt = at

    def _timeout(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        at = self.stack.nextTimeout()
        if at is not None and at <= now:
            self.stack.handleTimeout(now)
        self._work()
        if self._stopped:
            return
        at = self.stack.nextTimeout()
        if at is not None and at <= now:
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._timer = None
            self._setTimer(self.patience)
