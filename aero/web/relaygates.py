# -*- test-case-name: aero.web.test.test_relaygates -*-
"""
The origin guard and CORS of the relay when it runs alone (relay.md section 3.3). With the
gateway the rules of L{aero.http.gates} hold for everything on the one origin.
"""

from __future__ import annotations

from typing import Sequence

from aero.errors import Refused
from aero.http.gates import ALLOWED_METHODS, PREFLIGHT_MAX_AGE, requestedNames
from aero.http.replies import Header, replyEmpty
from aero.http.request import AeroRequest
from aero.metrics import Metrics, sessions
from aero.policy.origin import Origins

from .relayendpoint import replyRelayError


class RelayOriginGate:
    """
    Refuses foreign origins on every path, tells the others that they may read the answer, and
    answers preflights.

    Without a list of origins the request's own host is allowed, whatever the scheme: TLS may
    end in front of this process.
    """

    def __init__(self, origins: Origins, metrics: Metrics) -> None:
        self._origins = origins
        self._refused = metrics.counter(sessions.GATE_REFUSALS, "origin")
        self._preflights = metrics.counter(sessions.PREFLIGHTS)

    def admits(self, request: AeroRequest) -> bool:
        """
        See L{aero.http.gates.Gate.admits}.
        """
        lines = request.requestHeaders.getRawHeaders
        decision = self._origins.allow(lines(b"Origin", ()), lines(b"Host", ()))
        headers = request.responseHeaders
        if not decision.allowed:
            self._refused.inc()
            replyRelayError(request, Refused(403, "forbidden", "forbidden"))
            return False
        headers.addRawHeader(b"Vary", b"Origin")
        if decision.origin is None:
            return True
        headers.setRawHeaders(b"Access-Control-Allow-Origin", [decision.origin.encode("ascii")])
        headers.setRawHeaders(b"Access-Control-Allow-Credentials", [b"true"])
        headers.setRawHeaders(b"Access-Control-Expose-Headers", [b"X-Request-ID"])
        asked = lines(b"Access-Control-Request-Method", ())
        if request.method != b"OPTIONS" or not any(line.strip() for line in asked):
            return True
        self._preflights.inc()
        replyEmpty(request, headers=self._preflight(lines(b"Access-Control-Request-Headers", ())))
        return False

    def _preflight(self, asked: Sequence[bytes]) -> list[Header]:
        headers: list[Header] = [
            (b"Access-Control-Allow-Methods", ALLOWED_METHODS),
            (b"Access-Control-Max-Age", PREFLIGHT_MAX_AGE),
        ]
        names = requestedNames(asked)
        if names:
            headers.append((b"Access-Control-Allow-Headers", names))
        return headers
