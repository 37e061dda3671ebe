# -*- test-case-name: aero.web.test.test_metricspage -*-
"""
C{/metrics} in Prometheus' text format, and who may read it.

What a process measures tells strangers how busy it is and what fails, so on a public
domain the page is for this machine and for who has the token.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Callable

from twisted.internet.defer import Deferred

from aero.errors import Refused
from aero.http.credentials import hasBearer
from aero.http.endpoint import Endpoint, Rendered
from aero.http.replies import reply, replyError
from aero.http.request import AeroRequest
from aero.metrics import Metrics, sessions

#: Prometheus' text format (gateway.md section 5.4).
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

#: Any of these means that a proxy speaks for somebody else.
_FORWARDING = (b"Forwarded", b"Via", b"X-Forwarded-For", b"X-Real-IP")


class MetricsEndpoint(Endpoint):
    """
    C{GET /metrics}.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        token: str = "",
        public: bool = False,
        gather: Callable[[], Deferred[bytes]] | None = None,
    ) -> None:
        """
        @param token: The bearer token that opens the page; empty for none. Once there is one
            the page is open to nobody else but this machine.
        @param public: Whether the page can be reached by strangers, and so is closed to
            them even without a token.
        @param gather: Gives the page where this process measures only a part of the server.
        """
        super().__init__()
        self._metrics = metrics
        self._token = token
        self._public = public
        self._gather = gather

    def render_GET(self, request: AeroRequest) -> Rendered:
        """
        Answer with all metrics.

        @raise Refused: 403 where only this machine may read the page.
        """
        if self._token and not hasBearer(request, self._token) and not _isLocal(request):
            self._metrics.counter(sessions.METRICS_REFUSED, "token").inc()
            return replyError(
                request,
                401,
                "The metrics need a bearer token",
                headers=[(b"WWW-Authenticate", b'Bearer realm="metrics"')],
            )
        if self._public and not self._token and not _isLocal(request):
            self._metrics.counter(sessions.METRICS_REFUSED, "address").inc()
            raise Refused(403, "forbidden", "The metrics are not public", reason="address")
        if self._gather is None:
            return _replyPage(request, self._metrics.exposition())
        return self._gather().addCallback(lambda page: _replyPage(request, page))


def _replyPage(request: AeroRequest, page: bytes) -> int:
    return reply(request, 200, page, CONTENT_TYPE, headers=[(b"Cache-Control", b"no-store")])


def _isLocal(request: AeroRequest) -> bool:
    """
    Whether a request comes from this machine itself. A proxy on this machine speaks for
    others, so what it forwards does not count.
    """
    if any(request.requestHeaders.hasHeader(name) for name in _FORWARDING):
        return False
    try:
        address = ip_address(request.client.ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
