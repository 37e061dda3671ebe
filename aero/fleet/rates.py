# -*- test-case-name: aero.fleet.test.test_rates -*-
"""
Rates that hold for several processes together, without anybody waiting for an answer.

Each process decides at once, by buckets of its own, and a moment later tells the others what was
spent. A key that has spent its share somewhere is then refused everywhere until it has tokens
again. What can be had beyond the limit is what several processes grant in one such moment.
"""

from __future__ import annotations

from typing import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.policy.quota import TokenBuckets

from .store import SharedStore

#: Seconds that what was spent is added up for before it is told.
MOMENT = 0.1


class SharedBuckets(TokenBuckets):
    """
    Buckets of one kind. See L{TokenBuckets}.
    """

    _log = Logger()

    def __init__(
        self, kind: str, rate: float, burst: float, store: SharedStore, clock: IReactorTime
    ) -> None:
        super().__init__(rate, burst)
        self._kind = kind
        self._shared = rate, max(burst, 1.0)
        self._isShared = rate > 0 and burst > 0
        self._store = store
        self._clock = clock
        self._spent: dict[str, int] = {}
        #: By C{clock}: the callers' own clock may be another one.
        self._until: dict[str, float] = {}

    def take(self, key: str, now: float) -> float:
        """
        See L{TokenBuckets.take}.
        """
        until = self._until.get(key)
        if until is not None:
            wait = until - self._clock.seconds()
            if wait > 0:
                return wait
            del self._until[key]
        wait = super().take(key, now)
        if not wait and self._isShared:
            if not self._spent:
                self._clock.callLater(MOMENT, self._tell)
            self._spent[key] = self._spent.get(key, 0) + 1
        return wait

    def _tell(self) -> None:
        spent, self._spent = self._spent, {}
        self._forgetOld()
        told = self._store.debit(self._kind, *self._shared, spent)
        told.addCallbacks(self._told, self._unanswered)

    def _told(self, waits: Mapping[str, float]) -> None:
        now = self._clock.seconds()
        self._until.update((key, now + wait) for key, wait in waits.items())

    def _unanswered(self, failure: Failure) -> None:
        self._log.debug("nobody answered about {kind}: {failure}", kind=self._kind, failure=failure)

    def _forgetOld(self) -> None:
        """
        Keep what is refused small: what is over is over.
        """
        now = self._clock.seconds()
        if len(self._until) > 1_000:
            self._until = {key: until for key, until in self._until.items() if until > now}
