# -*- test-case-name: aero.files.test.test_images -*-
"""
Which pages may read disk images: the site's own, and those of listed origins.

The gate of the rest of the site refuses every foreign origin. Images are meant to be shared where
an operator says so, and a page that streams them sends headers that need a preflight
(edge.md section 18).
"""

from __future__ import annotations

from typing import Sequence

from aero.http.gates import requestedNames
from aero.http.headerset import HeaderSet
from aero.http.replies import replyEmpty, replyError
from aero.http.request import AeroRequest
from aero.metrics import Metrics
from aero.metrics import images as rows
from aero.policy.headers import ResponseHeaders
from aero.policy.origin import Origins
from aero.wire.fieldlist import elements

#: What a streaming client wants to know of a response.
_EXPOSED = b"Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Last-Modified"

#: What it may always send, beyond what needs no permission.
_ACCEPTED = (b"Range", b"If-Range", b"If-None-Match", b"If-Modified-Since", b"Authorization")

METHODS = b"GET, HEAD, OPTIONS"

#: Seconds that a browser may remember the answer to a preflight.
_PREFLIGHT_AGE = b"86400"


class ImageGate:
    """
    Decides about the origin of a request, gives the response its header set, and answers
    C{OPTIONS}.

    @see: L{aero.http.gates.Gate}
    """

    def __init__(
        self,
        headers: ResponseHeaders,
        *,
        own: Sequence[str],
        listed: Sequence[str],
        resourcePolicy: str,
        metrics: Metrics,
    ) -> None:
        """
        @param headers: The site's header set.
        @param own: The origins that may use the site.
        @param listed: More origins, for images; C{*} is any, without credentials.
        @param resourcePolicy: The C{Cross-Origin-Resource-Policy}.
        """
        self._any = "*" in listed
        self._listed = bool(listed)
        self._origins = Origins(tuple(own) + tuple(each for each in listed if each != "*"))
        self._headerSet = HeaderSet(
            headers.replacing(b"Cross-Origin-Resource-Policy", resourcePolicy.encode("ascii"))
        )
        self._refused = metrics.counter(rows.REFUSALS, "origin")

    def admits(self, request: AeroRequest) -> bool:
        """
        See L{Gate.admits<aero.http.gates.Gate.admits>}.
        """
        request.headerSet = self._headerSet
        lines = request.requestHeaders.getRawHeaders(b"Origin", ())
        decision = self._origins.allow(
            lines,
            request.requestHeaders.getRawHeaders(b"Host", ()) if lines else (),
            "https" if request.client.secure else "http",
        )
        headers = request.responseHeaders
        if self._listed and not self._any:
            headers.addRawHeader(b"Vary", b"Origin")
        if not decision.allowed and not self._any:
            self._refused.inc()
            replyError(request, 403, "Origin not allowed")
            return False
        if self._any:
            headers.setRawHeaders(b"Access-Control-Allow-Origin", [b"*"])
        elif decision.origin is not None:
            origin = decision.origin.encode("ascii")
            headers.setRawHeaders(b"Access-Control-Allow-Origin", [origin])
            headers.setRawHeaders(b"Access-Control-Allow-Credentials", [b"true"])
        if self._any or decision.origin is not None:
            headers.setRawHeaders(b"Access-Control-Expose-Headers", [_EXPOSED])
        if request.method != b"OPTIONS":
            return True
        replyEmpty(
            request,
            headers=[
                (b"Allow", METHODS),
                (b"Access-Control-Allow-Methods", METHODS),
                (b"Access-Control-Allow-Headers", self._granted(request)),
                (b"Access-Control-Max-Age", _PREFLIGHT_AGE),
            ],
        )
        return False

    def _granted(self, request: AeroRequest) -> bytes:
        """
        The request headers that a page may send: the usual ones and those that it asks for, as v86
        asks for C{X-Accept-Encoding}. Any site, without credentials, gets all but C{Authorization}.
        """
        asked = requestedNames(
            request.requestHeaders.getRawHeaders(b"Access-Control-Request-Headers", ())
        )
        names = {name.lower(): name for name in (*elements([asked]), *_ACCEPTED)}
        if self._any:
            names.pop(b"authorization")
        return b", ".join(names.values())
