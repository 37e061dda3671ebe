# -*- test-case-name: aero.http.test.test_replies -*-
"""
Whole responses in one call.

Every error of every service has one shape, C{{"error": code, "message": text}}
(gateway.md section 3.7), whichever layer found it. A reply to a client that has already
gone is dropped, and a reply to C{HEAD} has the headers of the C{GET} and no body.

Each function gives C{NOT_DONE_YET}, what C{render} methods return once they have answered
themselves, so that a resource can end in C{return replyJSON(request, 200, value)}.
"""

from __future__ import annotations

import json
import math
from typing import Any, Iterable

from twisted.web.server import NOT_DONE_YET, Request

from aero.errors import Refused

Header = tuple[bytes, bytes]

JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"

#: The code of gateway.md section 3.7 that goes with a status, for errors of the framework.
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    414: "url_too_long",
    415: "unsupported_media_type",
    421: "misdirected_request",
    426: "upgrade_required",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    502: "bad_gateway",
    503: "unavailable",
}


def isOver(request: Request) -> bool:
    """
    Whether nothing can be answered any more: the client left or was answered in full.
    """
    return bool(request.finished or request._disconnected)


def reply(
    request: Request,
    status: int,
    body: bytes,
    contentType: bytes | None,
    *,
    headers: Iterable[Header] = (),
) -> int:
    """
    Send a whole response.

    @param contentType: C{None} where there is no body to describe.
    @param headers: More response headers. C{Vary} adds to what is set, others replace it.
    """
    if isOver(request):
        return NOT_DONE_YET
    request.setResponseCode(status)
    if contentType is None:
        request.defaultContentType = None
    else:
        request.setHeader(b"Content-Type", contentType)
    for name, value in headers:
        if name.lower() == b"vary":
            request.responseHeaders.addRawHeader(name, value)
        else:
            request.setHeader(name, value)
    if status != 204:
        request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()
    return NOT_DONE_YET


def replyEmpty(request: Request, status: int = 204, *, headers: Iterable[Header] = ()) -> int:
    """
    Send a response without a body.
    """
    return reply(request, status, b"", None, headers=headers)


def replyJSON(
    request: Request,
    status: int,
    value: object,
    *,
    headers: Iterable[Header] = (),
    contentType: bytes = JSON,
) -> int:
    """
    Send a value as compact JSON, its keys in the order they have.
    """
    return reply(request, status, encodeJSON(value), contentType, headers=headers)


def replyText(
    request: Request,
    status: int,
    text: str,
    *,
    headers: Iterable[Header] = (),
    contentType: bytes = TEXT,
) -> int:
    """
    Send text as UTF-8.
    """
    return reply(request, status, text.encode("utf-8"), contentType, headers=headers)


def replyError(
    request: Request,
    status: int,
    message: str,
    *,
    code: str | None = None,
    headers: Iterable[Header] = (),
) -> int:
    """
    Send an error in the one shape. No cache may keep it.

    @param code: The stable code; the usual one of the status by default.
    """
    named = CODES.get(status, "error") if code is None else code
    value = {"error": named, "message": message}
    return replyJSON(request, status, value, headers=[(b"Cache-Control", b"no-store"), *headers])


def replyRefused(request: Request, refused: Refused, *, headers: Iterable[Header] = ()) -> int:
    """
    Send what a L{Refused} says, with C{Retry-After} where it says when.
    """
    return replyError(
        request,
        refused.status,
        refused.message,
        code=refused.code,
        headers=[*headers, *retryAfter(refused.retryAfter)],
    )


def replyUpgradeRefused(request: Request, status: int, message: str) -> int:
    """
    Refuse a WebSocket handshake that belongs to no endpoint: plain text, and the connection
    ends (gateway.md section 9.1).

    @param message: One line of ASCII.
    """
    return replyText(
        request,
        status,
        message + "\n",
        headers=[(b"Cache-Control", b"no-store"), (b"Connection", b"close")],
    )


def retryAfter(seconds: float | None) -> list[Header]:
    """
    The C{Retry-After} header for a wait in seconds, rounded up to whole ones
    (RFC 9110 section 10.2.3); none where there is nothing to wait for.
    """
    if seconds is None:
        return []
    return [(b"Retry-After", b"%d" % max(1, math.ceil(seconds)))]


def encodeJSON(value: object) -> bytes:
    """
    Compact UTF-8 JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # UTF-8 cannot carry a lone surrogate, but JSON has an escape for it of the same spelling.
    return text.encode("utf-8", "backslashreplace")


def abort(request: Request) -> None:
    """
    Break a response off so that the client cannot take it for complete: a reset of the
    stream, or of the connection where there are no streams.
    """
    channel: Any = request.channel
    if channel is None:
        return
    # Twisted's own HTTP/1 channel, unlike its streams, has only the transport to do it with.
    breaking = channel if hasattr(channel, "abortConnection") else channel.transport
    breaking.abortConnection()
