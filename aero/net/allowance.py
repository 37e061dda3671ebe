# -*- test-case-name: aero.net.test.test_allowance -*-
"""
How many messages that lead to nothing a client may send.

Pings, refused requests, messages about what does not exist: each of them is right in itself and
costs the server more than the client. Each client address has a token bucket for them, over all
its connections. A client that empties it loses the connection that did, with L{NO_EFFECT}.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from aero.metrics import Metrics
from aero.metrics import shares as rows
from aero.policy.quota import TokenBuckets

#: What a client is told that sent too many.
NO_EFFECT: Final = "too many messages without effect"

#: Seconds between two log lines about one client.
QUIET: Final = 60.0


class Allowance:
    """
    The allowance of all clients of this process. Processes do not share it, because it is about
    the time of this one.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, metrics: Metrics, rate: float = 0.0, burst: float = 0.0
    ) -> None:
        """
        @param rate: Messages a second; 0 is no limit.
        @param burst: Messages at once; 0 is no limit.
        """
        self._seconds = clock.seconds
        self._metrics = metrics
        self._buckets = TokenBuckets(rate, burst)
        self._lines = TokenBuckets(1 / QUIET, 1)

    def take(self, key: str, kind: str) -> bool:
        """
        Count a message.

        @param key: The client: L{aero.policy.quota.addressKey} of its address.
        @param kind: Where it came in, for the metrics and the log.
        @return: Whether the client may go on.
        """
        now = self._seconds()
        if not self._buckets.take(key, now):
            return True
        self._metrics.counter(rows.NO_EFFECT, kind).inc()
        if not self._lines.take(key, now):
            self._log.warn("closing {kind} of a client: {why}", kind=kind, why=NO_EFFECT)
        return False
