# -*- test-case-name: aero.http.test.test_bodies -*-
"""
Request bodies, read strictly (gateway.md section 3.7).

Three content types are known: JSON, plain text and DNS messages. A request without a
content type has no body, or is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, cast

from twisted.web.server import Request

from aero.errors import Refused

#: Bytes of a body, unless a resource says otherwise.
MAX_BODY_BYTES = 1_048_576

#: Bytes of a body that means nothing to its resource. Parsing a megabyte of JSON keeps the
#: process busy for a tenth of a second, and strangers need no session to send one.
MAX_IGNORED_BODY_BYTES = 65_536

JSON = b"application/json"
TEXT = b"text/plain"
DNS = b"application/dns-message"

#: Keys by which code in a browser can be made to write into what all objects share.
_PROTOTYPE = "__proto__"


@dataclass(frozen=True, slots=True)
class Body:
    """
    A request body.

    @ivar type: L{JSON}, L{TEXT} or L{DNS}; C{None} where the request has no body.
    @ivar value: What the JSON says, the text, or the bytes of the DNS message; C{None} where
        the request has no body.
    """

    type: bytes | None
    value: Any


_ABSENT = Body(None, None)


def readBody(request: Request, limit: int = MAX_BODY_BYTES) -> Body:
    """
    Read the body of a request.

    @param limit: The most bytes it may have.
    @raise Refused: 400, 413 or 415, with the reason C{body}.
    """
    raw = _bytesOf(request, limit)
    mediaType = contentType(request)
    if mediaType is None:
        if raw:
            raise _refused(415, "unsupported_media_type", "The body has no Content-Type")
        return _ABSENT
    if mediaType == JSON:
        return Body(JSON, parseJSON(raw))
    if mediaType == TEXT:
        return Body(TEXT, raw.decode("utf-8", "replace"))
    if mediaType == DNS:
        return Body(DNS, raw)
    if not raw:
        return _ABSENT
    raise _refused(415, "unsupported_media_type", "The Content-Type is not supported")


def contentType(request: Request) -> bytes | None:
    """
    The media type of a body in lower case, without its parameters.

    @return: C{None} where there is no C{Content-Type}.
    @raise Refused: It is repeated, so that readers could differ about it.
    """
    lines = request.requestHeaders.getRawHeaders(b"Content-Type", ())
    if len(lines) > 1:
        raise _refused(400, "bad_request", "Content-Type is repeated")
    if not lines:
        return None
    return lines[0].partition(b";")[0].strip().lower() or None


def parseJSON(raw: bytes) -> Any:
    """
    Read one JSON document: UTF-8, no C{NaN} or C{Infinity}, no C{__proto__} key at any
    depth. Of repeated keys the last one counts.

    @raise Refused: 400, the document is not like that.
    """
    if not raw:
        raise _refused(400, "bad_request", "The JSON body is empty")
    # Looking at every object costs three times the parsing, so it is done only where such a
    # key may be: spelled out, or with an escape in it.
    suspicious = b"__proto__" in raw or b"\\u" in raw
    try:
        return json.loads(
            raw.decode("utf-8-sig"),
            parse_constant=_refuseConstant,
            object_pairs_hook=_object if suspicious else None,
        )
    except (ValueError, RecursionError):
        # A RecursionError is a document that is nested deeper than this process can follow.
        raise _refused(400, "bad_request", "The body is not valid JSON") from None


def _bytesOf(request: Request, limit: int) -> bytes:
    content = cast(BinaryIO, request.content)
    content.seek(0)
    raw = content.read(limit + 1)
    if len(raw) > limit:
        raise _refused(413, "payload_too_large", "Request body is too large")
    return raw


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if _PROTOTYPE in value:
        raise _refused(400, "bad_request", "Object contains forbidden prototype property")
    return value


def _refuseConstant(name: str) -> NoReturn:
    raise ValueError(name)


def _refused(status: int, code: str, message: str) -> Refused:
    return Refused(status, code, message, reason="body")
