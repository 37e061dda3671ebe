# -*- test-case-name: aero.web.test.test_dns -*-
"""
The limit on DNS queries from one client address (gateway.md section 7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Final

from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.policy.quota import TokenBuckets, addressKey
from aero.settings.dns import DNSSettings

if TYPE_CHECKING:
    from .request import AeroRequest

#: What clients without a session are told (gateway.md section 14.1, row 1).
NO_SESSION: Final = "Missing or invalid session"


class DNSLimit:
    """
    One table of buckets for every endpoint that resolves names, so that using two of them
    gives nobody twice as much.
    """

    def __init__(self, settings: DNSSettings, metrics: Metrics, now: Callable[[], float]) -> None:
        """
        @param now: The current time in seconds.
        """
        self._buckets = TokenBuckets(settings.qpsPerIP, settings.burstPerIP)
        self._limited = metrics.counter(rows.LIMITED)
        self._now = now

    def take(self, request: AeroRequest) -> float:
        """
        Count a request.

        @return: 0.0 where it may be answered, else the seconds until it could be.
        """
        wait = self._buckets.take(addressKey(request.client.ip), self._now())
        if wait:
            self._limited.inc()
        return wait
