# -*- test-case-name: aero.web.test.test_dns -*-
"""
Who may ask for names, and how often (gateway.md sections 7.2 and 14.1).
"""

from __future__ import annotations

from typing import Callable, Final

from aero.auth.sessions import Sessions
from aero.dns.engine import DNSEngine
from aero.http.credentials import requireSession
from aero.http.endpoint import Endpoint
from aero.http.request import AeroRequest
from aero.metrics import Metrics
from aero.metrics import dns as rows
from aero.policy.quota import MakeBuckets, addressKey, localBuckets
from aero.settings.dns import DNSSettings

#: What clients without a session are told (gateway.md section 14.1, row 1).
NO_SESSION: Final = "Missing or invalid session"


class DNSAdmission:
    """
    The session that a question needs, and one table of buckets by client address for every
    endpoint that resolves names, so that using two of them gives nobody twice as much.
    """

    def __init__(
        self,
        settings: DNSSettings,
        sessions: Sessions,
        metrics: Metrics,
        now: Callable[[], float],
        makeBuckets: MakeBuckets = localBuckets,
    ) -> None:
        """
        @param now: The current time in seconds since the epoch.
        """
        self._sessions = sessions if settings.requireSession else None
        self._buckets = makeBuckets("dns", settings.qpsPerIP, settings.burstPerIP)
        self._limited = metrics.counter(rows.LIMITED)
        self._now = now

    def admit(self, request: AeroRequest) -> float:
        """
        Check the session, where one is needed, and count the request.

        @return: 0.0 where it may be answered, else the seconds until it could be.
        @raise Refused: 401, there is no session.
        """
        now = self._now()
        if self._sessions is not None:
            requireSession(request, self._sessions, now, NO_SESSION)
        wait = self._buckets.take(addressKey(request.client.ip), now)
        if wait:
            self._limited.inc()
        return wait


class ResolvingEndpoint(Endpoint):
    """
    An endpoint that resolves names.

    @ivar engine: The resolver.
    @ivar admission: Who may ask.
    @ivar maxQueryBytes: Bytes of a query as a DNS message; a larger one is a 413.
    """

    def __init__(self, engine: DNSEngine, admission: DNSAdmission, maxQueryBytes: int) -> None:
        super().__init__()
        self.engine = engine
        self.admission = admission
        self.maxQueryBytes = maxQueryBytes
