# -*- test-case-name: aero.http.test.test_turns -*-
"""
A fair part of the processor for each client's input.

One read from a socket can hold thousands of requests or frames. L{Turns} decides when each
connection works on its input: at once while its client has used little, otherwise in a queue
that gives the next short slice to the client, and of that client to the connection, that has
used the least (start-time fair queueing). Between two runs of the queue the reactor serves
everything else.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.logger import Logger

#: Seconds of one slice. Work that has begun is finished, so a slice may last longer.
SLICE = 0.002

#: Seconds that the queue works in one turn of the reactor.
TURN = 0.006

#: Seconds of work that one client, and all clients together, may have done at once before their
#: input waits in the queue.
CLIENT_CREDIT = 0.004
TOTAL_CREDIT = 0.02

#: How much of the time that goes by comes back to one client as credit.
RECOVERY = 0.25

#: From so many clients on, those without a connection are forgotten.
_MOST_CLIENTS = 1_024

_log = Logger()


class _Flow:
    """
    What is served in its turn.

    @ivar start: The virtual time at which its next slice starts; the smallest is served next.
    @ivar finish: The virtual time at which its last slice ended.
    """

    start = 0.0
    finish = 0.0


class _Client(_Flow):
    """
    One client address.

    @ivar waiting: Its seats that wait, by their start.
    @ivar virtual: The start of the seat that was served last.
    @ivar isQueued: Whether it is in the queue of clients.
    @ivar seats: How many seats it has.
    @ivar debt: Seconds that were worked for it lately, less what has come back.
    @ivar since: When that was computed.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[float, int, Seat]] = []
        self.virtual = 0.0
        self.isQueued = False
        self.seats = 0
        self.debt = 0.0
        self.since = 0.0


class Seat(_Flow):
    """
    The place of one connection.

    @ivar isWaiting: Whether it is in the queue.
    """

    def __init__(self, turns: Turns, key: str, client: _Client, work: Callable[[], bool]) -> None:
        self.turns = turns
        self.key = key
        self.client = client
        self.work = work
        self.isWaiting = False
        self.closed = False

    def run(self) -> None:
        """
        There is input: work on it now or in a later turn.
        """
        if not self.isWaiting and not self.closed:
            self.turns.arrived(self)

    def close(self) -> None:
        """
        There will be no more input. Calling it again does nothing.
        """
        if not self.closed:
            self.closed = True
            self.turns.left(self)


class Turns:
    """
    The queue of a process.
    """

    def __init__(
        self,
        callLater: Callable[..., Any],
        seconds: Callable[[], float],
        deferred: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param callLater: The reactor's.
        @param seconds: A clock that goes on while work is done.
        @param deferred: Called each time that input has to wait.
        """
        self._callLater = callLater
        self._seconds = seconds
        self._deferred = deferred
        self._clients: dict[str, _Client] = {}
        self._queue: list[tuple[float, int, _Client]] = []
        self._order = count()
        self._virtual = 0.0
        self._debt = 0.0
        self._since = 0.0
        self._deadline = 0.0
        self._waiting = 0
        self._scheduled = False

    def seat(self, key: str, work: Callable[[], bool]) -> Seat:
        """
        Make a place for a connection.

        @param key: Its client.
        @param work: Works on the input until there is none or L{isOver}, and says whether
            there is more that can be worked on.
        """
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) >= _MOST_CLIENTS:
                self._forget()
            client = self._clients[key] = _Client()
        client.seats += 1
        return Seat(self, key, client, work)

    def isOver(self) -> bool:
        """
        Whether the slice that is being worked in has lasted long enough.
        """
        return self._seconds() >= self._deadline

    def arrived(self, seat: Seat) -> None:
        """
        Serve a seat now, or put it into the queue.
        """
        client, now = seat.client, self._seconds()
        self._debt = max(0.0, self._debt - max(0.0, now - self._since))
        client.debt = max(0.0, client.debt - RECOVERY * max(0.0, now - client.since))
        self._since = client.since = now
        if client.waiting or client.debt > CLIENT_CREDIT or self._debt > TOTAL_CREDIT:
            self._enqueue(seat)
        else:
            client.start = max(client.finish, self._virtual)
            seat.start = max(seat.finish, client.virtual)
            if self._serve(seat) and not (seat.closed or seat.isWaiting):
                self._enqueue(seat)

    def left(self, seat: Seat) -> None:
        """
        A seat is given up; where it waits it is passed over. Its client is remembered for a while,
        so that a new connection does not begin with new credit.
        """
        seat.client.seats -= 1

    def _forget(self) -> None:
        for key in [key for key, client in self._clients.items() if not client.seats]:
            del self._clients[key]

    def _enqueue(self, seat: Seat) -> None:
        self._deferred()
        seat.start = max(seat.finish, seat.client.virtual)
        self._push(seat)
        if not self._scheduled:
            self._scheduled = True
            self._callLater(0, self._run)

    def _push(self, seat: Seat) -> None:
        client = seat.client
        seat.isWaiting = True
        self._waiting += 1
        heapq.heappush(client.waiting, (seat.start, next(self._order), seat))
        self._pushClient(client)

    def _pushClient(self, client: _Client) -> None:
        if not client.isQueued:
            client.isQueued = True
            client.start = max(client.finish, self._virtual)
            heapq.heappush(self._queue, (client.start, next(self._order), client))

    def _run(self) -> None:
        """
        Serve the queue for a while, but nothing that joins it meanwhile.
        """
        end = self._seconds() + TURN
        for _ in range(self._waiting):
            self._next()
            if self._seconds() >= end:
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._callLater(0, self._run)

    def _next(self) -> None:
        self._virtual, _, client = heapq.heappop(self._queue)
        client.isQueued = False
        client.virtual, _, seat = heapq.heappop(client.waiting)
        seat.isWaiting = False
        self._waiting -= 1
        if not seat.closed and self._serve(seat) and not (seat.closed or seat.isWaiting):
            seat.start = seat.finish
            self._push(seat)
        if client.waiting:
            self._pushClient(client)

    def _serve(self, seat: Seat) -> bool:
        """
        Work for one slice.

        @return: Whether there is more.
        """
        client, began = seat.client, self._seconds()
        outer, self._deadline = self._deadline, began + SLICE
        try:
            return seat.work()
        except Exception:  # noqa: BLE001
            _log.failure("Working on the input of a connection failed")
            return False
        finally:
            self._deadline = outer
            now = self._seconds()
            spent = max(0.0, now - began)
            self._debt += spent
            client.debt += spent
            self._since = client.since = now
            client.finish = client.start + spent
            seat.finish = seat.start + spent
