# -*- test-case-name: aero.tunnel.test.test_keepalive -*-
"""
Timers of a tunnel: the round trip to the guest, and its silence (l2.md section 11).
"""

from __future__ import annotations

from typing import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Intervals after which an answer is not waited for any more.
_PATIENCE = 3


class Pinger:
    """
    Sends a PING at once and then in an interval, one at a time, and measures when it comes back.
    """

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        send: Callable[[bytes], bool],
        observe: Callable[[float], None],
    ) -> None:
        """
        @param interval: Seconds; 0 sends none.
        @param send: Sends a PING with this payload, unless now is a bad time; tells whether.
        @param observe: Is told the whole milliseconds of a round trip.
        """
        self._clock = clock
        self._interval = interval
        self._send = send
        self._observe = observe
        self._number = 0
        self._sentAt: float | None = None
        self._call: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """
        Send the first.
        """
        if self._interval:
            self._tick()

    def stop(self) -> None:
        """
        Send no more.
        """
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def answered(self, payload: bytes) -> None:
        """
        A PONG came. Only the answer to the last PING is one.
        """
        if self._sentAt is not None and payload == self._number.to_bytes(8, "big"):
            self._observe(int((self._clock.seconds() - self._sentAt) * 1000))
            self._sentAt = None

    def _tick(self) -> None:
        now = self._clock.seconds()
        if self._sentAt is None or now - self._sentAt > _PATIENCE * self._interval:
            number = self._number + 1
            if self._send(number.to_bytes(8, "big")):
                self._number, self._sentAt = number, now
        if not self._stopped:
            self._call = self._clock.callLater(self._interval, self._tick)


class IdleTimer:
    """
    Expires when nothing was heard for a time. Hearing something costs no timer.
    """

    def __init__(self, clock: IReactorTime, timeout: float, expired: Callable[[], None]) -> None:
        """
        @param timeout: Seconds; 0 never expires.
        """
        self._clock = clock
        self._timeout = timeout
        self._expired = expired
        self._heardAt = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """
        Begin to listen.
        """
        if self._timeout:
            self._heardAt = self._clock.seconds()
            self._call = self._clock.callLater(self._timeout, self._check)

    def heard(self) -> None:
        """
        Something came.
        """
        if self._timeout:
            self._heardAt = self._clock.seconds()

    def stop(self) -> None:
        """
        Do not expire any more.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _check(self) -> None:
        left = self._heardAt + self._timeout - self._clock.seconds()
        if left <= 0:
            self._expired()
        else:
            self._call = self._clock.callLater(left, self._check)
