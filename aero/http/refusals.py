# -*- test-case-name: aero.http.test.test_channel -*-
"""
What a refusal of the door looks like on the wire.

The door refuses requests that never become an L{AeroRequest<aero.http.request.AeroRequest>}
(garbage, oversized headers) as well as those that do. Both get the application's error shape
of gateway.md section 3.7.
"""

from __future__ import annotations

from collections.abc import Sequence

# Each look at an attribute of that module costs a microsecond: it is one with deprecated names.
from twisted.web.http import RESPONSES

from aero.errors import Refused

from .replies import JSON, encodeJSON

#: The reason of a refusal because the body has too many bytes.
BODY_BYTES = "body-bytes"

#: Phrases of RFC 9110 and 6585 where Twisted's table is older or has none.
_PHRASES = {
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
}


def phrase(status: int) -> bytes:
    """
    The reason phrase of a status code.
    """
    found: bytes = _PHRASES.get(status) or RESPONSES.get(status, b"Unknown Status")
    return found


def refusalBody(refused: Refused) -> bytes:
    """
    The body of a refusal: C{{"error": code, "message": sentence}}.
    """
    return encodeJSON({"error": refused.code, "message": refused.message})


def refusalHeaders(
    refused: Refused, body: bytes, pairs: Sequence[tuple[bytes, bytes]], requestId: str
) -> list[tuple[bytes, bytes]]:
    """
    The header lines of a refusal that is not written through a request.

    @param pairs: The header set of the site.
    """
    headers = [
        (b"Content-Type", JSON),
        (b"Content-Length", b"%d" % len(body)),
        (b"Cache-Control", b"no-store"),
        (b"X-Request-Id", requestId.encode("ascii")),
    ]
    headers.extend(pairs)
    return headers


def refusalMessage(
    refused: Refused, pairs: Sequence[tuple[bytes, bytes]], requestId: str, date: bytes
) -> bytes:
    """
    A whole HTTP/1.1 response after which the connection is closed.
    """
    body = refusalBody(refused)
    lines = [b"HTTP/1.1 %d %b\r\nDate: %b\r\n" % (refused.status, phrase(refused.status), date)]
    for name, value in refusalHeaders(refused, body, pairs, requestId):
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"Connection: close\r\n\r\n")
    lines.append(body)
    return b"".join(lines)
