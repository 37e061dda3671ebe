# -*- test-case-name: aero.http.test.test_channel -*-
"""
Pull producers on a consumer that pushes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

#: How often a producer is asked in one turn of the reactor, unless its consumer has enough.
_PULLS = 4


@implementer(IPushProducer)
class PullDriver:
    """
    Asks a pull producer again and again while its consumer has room.
    """

    def __init__(
        self, producer: Any, clock: IReactorTime, failed: Callable[[Failure], object]
    ) -> None:
        """
        @param producer: An C{IPullProducer}.
        @param failed: Is told when the producer raises, which ends it.
        """
        self._producer = producer
        self._clock = clock
        self._failed = failed
        self._paused = False
        self._stopped = False
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """
        Begin, unless paused already.
        """
        self._schedule()

    def stop(self) -> None:
        """
        End, because the producer is done.
        """
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def pauseProducing(self) -> None:
        """
        The consumer has enough for now.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The consumer has room again.
        """
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        """
        The consumer is gone.
        """
        self.stop()
        self._producer.stopProducing()

    def _schedule(self) -> None:
        if self._call is None and not self._paused and not self._stopped:
            self._call = self._clock.callLater(0, self._pull)

    def _pull(self) -> None:
        self._call = None
        try:
            for _ in range(_PULLS):
                if self._paused or self._stopped:
                    return
                self._producer.resumeProducing()
        except Exception:  # noqa: BLE001
            self.stop()
            self._failed(Failure())
            return
        self._schedule()
