# -*- test-case-name: aero.tunnel.ethernet.test.test_pressure -*-
"""
Finds out whether a carrier that is full takes anything.
"""

from __future__ import annotations

from typing import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds that a carrier may take nothing while an answer has no place to wait.
STALL_SECONDS = 1.0
#: Between two looks at whether it took something.
_CHECK = 0.1


class StallTimer:
    """
    Watches one carrier, from L{start} until L{stop}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        unsentBytes: Callable[[], int],
        stalled: Callable[[], object],
    ) -> None:
        """
        @param unsentBytes: Says what the carrier still holds.
        @param stalled: Called when it took nothing for L{STALL_SECONDS}.
        """
        self._clock = clock
        self._unsentBytes = unsentBytes
        self._stalled = stalled
        self._unsent = 0  # bytes that the carrier held when it was last looked at
        self._tookAt = 0.0  # when it was last seen to have taken something
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """
        Watch, unless it is watched already.
        """
        if self._call is None:
            self._unsent = self._unsentBytes()
            self._tookAt = self._clock.seconds()
            self._call = self._clock.callLater(_CHECK, self._check)

    def stop(self) -> None:
        """
        It took something, or is gone.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _check(self) -> None:
        """
        A carrier that took a part of what it held is slow; one that took nothing stalls.
        """
        self._call = None
        now = self._clock.seconds()
        before, self._unsent = self._unsent, self._unsentBytes()
        if self._unsent < before:
            self._tookAt = now
        left = self._tookAt + STALL_SECONDS - now
        if left <= 0.0:
            self._stalled()
        else:
            self._call = self._clock.callLater(min(left, _CHECK), self._check)
