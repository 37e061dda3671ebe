# -*- test-case-name: aero.services.test.test_fleet -*-
"""
What this process agrees about with others: with the workers of its supervisor, with everybody who
uses the same Redis, or with nobody.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Callable, Sequence

from twisted.internet.defer import Deferred, succeed

from aero.auth.revocations import Revocations, RevocationStore
from aero.errors import ConfigurationError
from aero.fleet.claims import Claims
from aero.fleet.member import SupervisedStore
from aero.fleet.rates import SharedBuckets
from aero.fleet.revocations import SharedRevocations
from aero.fleet.store import Answer, SharedStore
from aero.fleet.workers.member import Member
from aero.metrics import Metrics
from aero.policy.quota import TokenBuckets
from aero.settings.fleet import FleetSettings


class Fleet:
    """
    The shared state, as those see it who use it.

    @ivar store: C{None} where this process is the only one.
    @ivar claims: See L{Claims}; C{None} likewise.
    @ivar revocations: The sessions that ended before their time.
    """

    def __init__(self, store: SharedStore | None, *, clock: Any, now: Callable[[], float]) -> None:
        """
        @param clock: The reactor.
        @param now: Gives the seconds since 1970.
        """
        self.store = store
        self.claims = None if store is None else Claims(store)
        self.revocations: RevocationStore = (
            Revocations() if store is None else SharedRevocations(store, now)
        )
        self._clock = clock
        self._answers: dict[str, Answer] = {}

    def answer(self, question: str, answer: Answer) -> None:
        """
        Answer what any process of the fleet asks all of them.

        @param answer: Gives plain values.
        """
        self._answers[question] = answer
        if self.store is not None:
            self.store.answer(question, answer)

    def gather(self, question: str) -> Deferred[tuple[Sequence[Any], bool]]:
        """
        Ask all processes of the fleet, this one included.

        @return: Fires with the answers, and whether every process answered.
        """
        if self.store is not None:
            return self.store.askAll(question)
        return succeed(([self._answers[question]()], True))

    def makeBuckets(self, kind: str, rate: float, burst: float) -> TokenBuckets:
        """
        See L{aero.policy.quota.MakeBuckets}.
        """
        if self.store is None:
            return TokenBuckets(rate, burst)
        return SharedBuckets(kind, rate, burst, self.store, self._clock)

    def start(self) -> None:
        """
        Begin to talk to the others.
        """
        if self.store is not None:
            self.store.start()

    def stop(self) -> None:
        """
        Give everything back.
        """
        if self.store is not None:
            self.store.stop()


def sharedStore(
    settings: FleetSettings, member: Member | None, *, clock: Any, metrics: Metrics
) -> SharedStore | None:
    """
    The store that the settings ask for. Redis is for machines, and so it is for workers too.

    @param clock: The reactor.
    @raise ConfigurationError: C{REDIS_URL} is set and the client is not installed.
    """
    if settings.redisURL:
        try:
            from aero.fleet.redisstore import RedisStore
        except ImportError:
            raise ConfigurationError(
                "REDIS_URL", None, "it needs the package redis: pip install 'aero-edge[redis]'"
            ) from None
        # The host alone would not tell containers apart that were cloned, nor a process from its
        # successor with the same number.
        process = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        return RedisStore(settings, process=process, clock=clock, metrics=metrics)
    if member is not None:
        return SupervisedStore(member.channel, member.answer)
    return None
