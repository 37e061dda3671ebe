# -*- test-case-name: aero.ws.test.test_liveness -*-
"""
Pings that keep a WebSocket open through proxies, and that find clients that are gone (RFC 6455
section 5.5.2).

Proxies close a connection when one of its directions carries nothing for a time. So a ping leaves
when nothing was received for an interval, and when nothing was sent for an interval, and never
later; its answer is the client's byte.
"""

from __future__ import annotations

from typing import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Liveness:
    """
    Decides when to ping one client, and when to give it up.

    A client that is not read cannot answer and is not given up, but it is pinged all the same. A
    client that takes data, though slowly, is alive.

    @ivar sentAt: When the last byte was given to the transport; its owner sets it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        timeout: float,
        *,
        ping: Callable[[], None],
        isRead: Callable[[], bool],
        giveUp: Callable[[], None],
    ) -> None:
        """
        @param interval: Seconds without a byte in a direction after which a ping leaves; 0 for
            no pings.
        @param timeout: Seconds that a client has to answer, or to take data.
        @param ping: Sends a ping, which sets L{sentAt}.
        @param isRead: Whether the client is read.
        @param giveUp: Called once, when neither came.
        """
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._ping = ping
        self._isRead = isRead
        self._giveUp = giveUp
        self.sentAt = self._receivedAt = 0.0
        self._deadline: float | None = None
        self._progressed = False
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """
        The connection is open, and both of its directions have just carried something.
        """
        self.sentAt = self._receivedAt = self._clock.seconds()
        if self._interval:
            self._call = self._clock.callLater(self._interval, self._check)

    def stop(self) -> None:
        """
        The connection is gone.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def received(self) -> None:
        """
        The client sent something, or is read again after it was not.
        """
        self._receivedAt = self._clock.seconds()
        self._deadline = None

    def progressed(self) -> None:
        """
        The client took data.
        """
        self._progressed = True

    def _check(self) -> None:
        now = self._clock.seconds()
        isRead = self._isRead()
        if not isRead:
            self._deadline = None
        elif self._deadline is not None and now >= self._deadline:
            if not self._progressed:
                self._call = None
                self._giveUp()
                return
            self._progressed = False
            self._deadline = now + self._timeout
        # While an answer is missing it is only the other direction that must not be silent.
        isWaiting = self._deadline is not None or not isRead
        quietSince = self.sentAt if isWaiting else min(self.sentAt, self._receivedAt)
        if now >= quietSince + self._interval:
            self._ping()
            self.sentAt = quietSince = now
            if isRead and self._deadline is None:
                self._progressed = False
                self._deadline = now + self._timeout
        following = quietSince + self._interval
        if self._deadline is not None:
            following = min(following, self._deadline)
        self._call = self._clock.callLater(max(0.0, following - now), self._check)
