# -*- test-case-name: aero.http.test.test_gates -*-
"""
What a request passes before any resource sees it: the origin guard with CORS, then the
rate limit (gateway.md section 3.1, steps 5 and 6).

Each gate is terminal. It lets a request through untouched, or answers it in full and says
so; no second gate and no resource runs after an answer.
"""

from __future__ import annotations

import re
from typing import Callable, Protocol, Sequence

from aero.metrics import Metrics, sessions
from aero.policy.origin import Origins
from aero.policy.quota import MakeBuckets, addressKey, localBuckets
from aero.wire.fieldlist import elements

from .replies import Header, reply, replyEmpty, replyError, retryAfter
from .request import AeroRequest

#: Every method the services know of; what a preflight is told (gateway.md section 3.2).
ALLOWED_METHODS = b"GET,POST,PUT,PATCH,DELETE,OPTIONS"

#: Seconds that a browser may remember a preflight.
PREFLIGHT_MAX_AGE = b"600"

#: Routes that a load balancer and a monitor must always reach.
_UNLIMITED = ("/healthz", "/readyz", "/metrics")

_MAX_REQUEST_HEADERS = 4_096
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

#: A DNS message with the id 0 that says SERVFAIL (gateway.md section 7.1).
_SERVFAIL = bytes.fromhex("000080820000000000000000")


class Gate(Protocol):
    """
    One condition for a request to reach its resource.
    """

    def admits(self, request: AeroRequest) -> bool:
        """
        Decide about a request, whose C{route} is known.

        @return: True to let it go on; false after it was answered.
        """


class OriginGate:
    """
    The origin guard, CORS, and the answer to preflights (gateway.md section 3.2).

    An origin that may use the services is repeated as it was normalised, with credentials;
    a literal C{*} is never sent. Every response that depends on the origin says so in
    C{Vary}, also the one to a request without an origin where other sites are allowed:
    a cache would otherwise give them a response without the CORS headers.
    """

    def __init__(self, origins: Origins, metrics: Metrics, *, shared: bool = False) -> None:
        """
        @param shared: Whether origins other than the site's own are allowed.
        """
        self._origins = origins
        self._shared = shared
        self._refused = metrics.counter(sessions.GATE_REFUSALS, "origin")
        self._preflights = metrics.counter(sessions.PREFLIGHTS)

    def admits(self, request: AeroRequest) -> bool:
        """
        See L{Gate.admits}.
        """
        lines = request.requestHeaders.getRawHeaders(b"Origin", ())
        decision = self._origins.allow(
            lines,
            request.requestHeaders.getRawHeaders(b"Host", ()) if lines else (),
            "https" if request.client.secure else "http",
        )
        if not decision.allowed:
            self._refused.inc()
            replyError(request, 403, "Origin not allowed")
            return False
        if decision.origin is None:
            if self._shared:
                request.responseHeaders.addRawHeader(b"Vary", b"Origin")
            return True
        headers = request.responseHeaders
        origin = decision.origin.encode("ascii")
        headers.setRawHeaders(b"Access-Control-Allow-Origin", [origin])
        headers.setRawHeaders(b"Access-Control-Allow-Credentials", [b"true"])
        headers.setRawHeaders(b"Access-Control-Expose-Headers", [b"x-request-id, content-length"])
        headers.addRawHeader(b"Vary", b"Origin")
        if request.method == b"OPTIONS" and _asksForMethod(request):
            self._preflights.inc()
            replyEmpty(request, headers=_preflight(request))
            return False
        return True


class RateGate:
    """
    The limit on requests a minute from one client address (gateway.md section 7.1).

    An IPv6 client is its /64, because one host has a whole one to pick addresses from.
    """

    def __init__(
        self,
        requestsPerMinute: float,
        metrics: Metrics,
        now: Callable[[], float],
        makeBuckets: MakeBuckets = localBuckets,
    ) -> None:
        """
        @param requestsPerMinute: Also how many may come at once; 0 is no limit.
        @param now: The current time in seconds.
        """
        self._limited = requestsPerMinute > 0
        self._buckets = makeBuckets("requests", requestsPerMinute / 60, requestsPerMinute)
        self._refused = metrics.counter(sessions.GATE_REFUSALS, "rate")
        self._now = now

    def admits(self, request: AeroRequest) -> bool:
        """
        See L{Gate.admits}.
        """
        if not self._limited or request.method == b"OPTIONS":
            return True
        if request.route.endswith(_UNLIMITED):
            return True
        wait = self._buckets.take(addressKey(request.client.ip), self._now())
        if not wait:
            return True
        self._refused.inc()
        headers = retryAfter(wait)
        if request.route.endswith("/dns-query"):
            headers.append((b"Cache-Control", b"no-store"))
            reply(request, 429, _SERVFAIL, b"application/dns-message", headers=headers)
        else:
            replyError(request, 429, "Rate limit exceeded", headers=headers)
        return False


def _asksForMethod(request: AeroRequest) -> bool:
    lines = request.requestHeaders.getRawHeaders(b"Access-Control-Request-Method", ())
    return any(line.strip() for line in lines)


def _preflight(request: AeroRequest) -> list[Header]:
    asked = request.requestHeaders.getRawHeaders(b"Access-Control-Request-Headers", ())
    return [
        (b"Access-Control-Allow-Methods", ALLOWED_METHODS),
        (b"Access-Control-Allow-Headers", _allowedHeaders(asked)),
        (b"Access-Control-Max-Age", PREFLIGHT_MAX_AGE),
    ]


def requestedNames(lines: Sequence[bytes]) -> bytes:
    """
    The header names that a preflight asks for, as it wrote them.

    @param lines: The lines of C{Access-Control-Request-Headers}.
    @return: Empty where there are several lines, which no browser sends, too many bytes, or
        something that is no name.
    """
    asked = lines[0].strip(b" \t") if len(lines) == 1 else b""
    if len(asked) > _MAX_REQUEST_HEADERS or not all(map(_TOKEN.fullmatch, elements([asked]))):
        return b""
    return asked


def _allowedHeaders(lines: Sequence[bytes]) -> bytes:
    """
    The request headers a preflight is granted: those it asks for, and always
    C{Content-Type}. Anything odd is not repeated.
    """
    asked = requestedNames(lines)
    names = {name.lower() for name in elements([asked])}
    if not names:
        return b"Content-Type"
    return asked if b"content-type" in names else b"Content-Type, " + asked
