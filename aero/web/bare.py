# -*- test-case-name: aero.services.test.test_l2 -*-
"""
The operational pages of services that run alone, as their references have them: no bodies where
the status says it all (l2.md section 4).
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.web.server import Request

from aero.errors import Refused
from aero.http.endpoint import Endpoint, Rendered
from aero.http.replies import replyEmpty, replyJSON, replyText
from aero.policy.l2upgrade import checkHandshake

from .health import Readiness

_ALLOWED = (b"Allow", b"GET,HEAD")
_JSON = b"application/json"


class BareEndpoint(Endpoint):
    """
    Answers C{GET} and C{HEAD}; anything else is a 405 without a body.
    """

    def __init__(self, answer: Callable[[Any], Rendered]) -> None:
        """
        @param answer: Answers a C{GET}.
        """
        super().__init__()
        self._answer = answer

    def render(self, request: Request) -> Rendered:
        """
        Answer, whatever the method.
        """
        if request.method not in (b"GET", b"HEAD"):
            return replyEmpty(request, 405, headers=[_ALLOWED])
        return self._answer(request)


def healthy() -> BareEndpoint:
    """
    C{/healthz}: 200, always.
    """
    return BareEndpoint(lambda request: replyEmpty(request, 200))


def ready(readiness: Readiness) -> BareEndpoint:
    """
    C{/readyz}: 200, or 503 once the process is to stop.
    """
    return BareEndpoint(lambda request: replyEmpty(request, 200 if readiness.ready else 503))


def version(version: str, gitSha: str, builtAt: str) -> BareEndpoint:
    """
    C{/version}: three strings, in one line of JSON.
    """
    value = {"version": version, "gitSha": gitSha, "builtAt": builtAt}
    return BareEndpoint(lambda request: replyJSON(request, 200, value, contentType=_JSON))


class L2HandshakeEndpoint(Endpoint):
    """
    The paths of the Ethernet tunnel, for requests that do not ask for a WebSocket in a way that
    HTTP knows: they are told what is missing (l2.md section 5, rows 1 to 6).
    """

    def render(self, request: Request) -> int:
        """
        Refuse.
        """
        try:
            checkHandshake(
                request.method,
                # Whatever its version, this connection is not handed over.
                b"",
                lambda name: request.requestHeaders.getRawHeaders(name) or (),
            )
        except Refused as refused:
            headers = [_ALLOWED] if refused.status == 405 else []
            return replyText(request, refused.status, refused.message, headers=headers)
        raise AssertionError("a request without a version was taken for a handshake")
