# -*- test-case-name: aero.ws.test.test_intake -*-
"""
What a WebSocket client sent, taken apart and handled a turn at a time.

One read may hold thousands of small frames. They are handled in portions until the client's time
is over (L{aero.net.turns}); the rest waits, and the client is not read meanwhile. So no more waits
than one read gave. It is handled also where the connection is lost before its turn comes.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Protocol, Sequence

from aero.net.turns import Turn
from aero.wire.websocket import Event, FrameReader

#: Bytes that are taken apart at once where frames are small.
PIECE = 16_384
#: Frames in one read from which on they count as small.
MANY = 256
#: Frames that are handled in one turn at the most, whatever time they take.
MOST = 1_024


class Receiver(Protocol):
    """
    The WebSocket protocol as its intake sees it.

    @ivar discards: Whether nothing that comes is looked at any more.
    """

    portion: int

    @property
    def discards(self) -> bool: ...

    def expand(self, events: list[Event]) -> Sequence[Event]: ...

    def eventsReceived(self, events: Sequence[Event]) -> None: ...

    def violationReceived(self, code: int, why: str) -> None: ...

    def turnEnded(self) -> None: ...

    def turnCame(self) -> None: ...


class Intake:
    """
    The intake of one WebSocket.
    """

    def __init__(self, receiver: Receiver, reader: FrameReader, turn: Turn) -> None:
        self._receiver = receiver
        self._reader = reader
        self._turn = turn
        self._portion = receiver.portion
        self._most = max(1, MOST // self._portion)
        self._arrived: deque[bytes] = deque()
        self._events: Sequence[Event] = ()
        self._next = 0  # of the events
        self._small = False
        self._held = False
        self._busy = False
        self._then: Callable[[], object] | None = None

    def dataReceived(self, data: bytes) -> None:
        """
        Take what a read gave.
        """
        if self._small and len(data) > PIECE:
            self._arrived.extend(data[at : at + PIECE] for at in range(0, len(data), PIECE))
        else:
            self._arrived.append(data)
        if not self._held and not self._busy:
            if self._turn.left() > 0.0:
                self._go()
            else:
                self._hold()

    def finish(self, then: Callable[[], object]) -> None:
        """
        Nothing more comes.

        @param then: Called once everything that came is handled.
        """
        if self.waits:
            self._then = then
        else:
            self._turn.cancel()
            then()

    @property
    def waits(self) -> bool:
        """
        Whether something is there that is still to be handled.
        """
        return self._held and not self._receiver.discards

    def _go(self) -> None:
        """
        Handle what is there, for as long as the client has time.
        """
        self._busy = True
        try:
            done = self._turn.run(self._work, self._most)
        finally:
            self._busy = False
        if not done:
            self._hold()
            return
        if self._held:
            self._held = False
            self._receiver.turnCame()
        then, self._then = self._then, None
        if then is not None:
            then()

    def _hold(self) -> None:
        if not self._held:
            self._held = True
            self._receiver.turnEnded()
        self._turn.wait(self._go)

    def _work(self) -> bool:
        """
        Handle one portion.

        @return: Whether there is more.
        """
        receiver = self._receiver
        events = self._events
        if receiver.discards:
            return self._drop()
        if not events and self._arrived:
            found = self._reader.receive(self._arrived.popleft())
            self._small = len(found) >= MANY
            events = receiver.expand(found)
        if len(events) <= self._portion:
            self._events = ()
            if events:
                receiver.eventsReceived(events)
        else:
            start = self._next
            self._next = start + self._portion
            if self._next < len(events):
                self._events = events
            else:
                self._events, self._next = (), 0
            receiver.eventsReceived(events[start : start + self._portion])
        if receiver.discards:
            return self._drop()
        if self._events:
            return True
        reader = self._reader
        if reader.failure:
            receiver.violationReceived(reader.failure, reader.why)
            return self._drop()
        return bool(self._arrived)

    def _drop(self) -> bool:
        self._events, self._next = (), 0
        self._arrived.clear()
        return False


class NoTransport:
    """
    Stands for a connection that is lost while messages that came before wait for their turn.
    """

    def write(self, data: bytes) -> None:
        """
        Nobody gets it.
        """

    writeSequence = write

    def loseConnection(self) -> None:
        """
        It is lost.
        """

    loseWriteConnection = abortConnection = loseConnection
    pauseProducing = resumeProducing = unregisterProducer = loseConnection
