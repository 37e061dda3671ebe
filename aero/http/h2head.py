# -*- test-case-name: aero.http.test.test_http2 -*-
"""
The head of an HTTP/2 request, checked (RFC 9113 section 8).

A malformed head is the error of its stream, which is reset, and the other requests of the
connection go on. A head that is well-formed and refused gets an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aero.errors import Refused
from aero.wire.fieldlist import elements

from .head import Head, bad, validHost, validName, validTarget, validValue

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
#: What says how HTTP/1 connections are used means nothing here (RFC 9113 section 8.2.2).
_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)

#: What each field adds to the size of a header list (RFC 9113 section 6.5.2).
_FIELD_OVERHEAD = 32


class Malformed(Exception):
    """
    This is no request (RFC 9113 section 8.1.1).

    @ivar reason: The label in metrics.
    """

    def __init__(self, message: str, reason: str = "syntax") -> None:
        super().__init__(message)
        self.reason = reason


def validTrailers(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """
    Whether the fields behind a body are well-formed (RFC 9113 sections 8.1 and 8.2).
    """
    return all(_validField(name, value) and name not in _CONNECTION for name, value in fields)


def listSize(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """
    The size of a header list (RFC 9113 section 6.5.2).
    """
    return sum(len(name) + len(value) for name, value in headers) + _FIELD_OVERHEAD * len(headers)


def methodOf(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """
    The method, for whoever must answer a head that is malformed.
    """
    for name, value in headers:
        if name == b":method" and _METHOD.fullmatch(value):
            return bytes(value)
    return b"GET"


def readHead(headers: Sequence[tuple[bytes, bytes]], maxBytes: int, maxHeaders: int) -> Head:
    """
    Read a header list.

    @return: Its length is C{None} where the client did not give one.
    @raise Malformed: It is that.
    @raise Refused: It is too large, or asks for what is not to be had.
    """
    if listSize(headers) > maxBytes:
        raise Refused(
            431, "headers_too_large", "Request header fields too large", reason="header-bytes"
        )
    if len(headers) > maxHeaders:
        raise Refused(431, "headers_too_large", "Too many header fields", reason="header-count")
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    single: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(b":"):
            if fields or cookies or single or name in pseudo or name not in _PSEUDO:
                raise Malformed("Malformed pseudo-header fields")
            if not _validValue(value):
                raise Malformed("Malformed pseudo-header value")
            pseudo[name] = value
        elif not _validField(name, value):
            raise Malformed("Malformed header field")
        elif name in _CONNECTION or (name == b"te" and not _isTrailers(value)):
            raise Malformed("Connection-specific header fields are not allowed")
        elif name == b"cookie":
            # Clients may split cookies for better compression (RFC 9113 section 8.2.3).
            cookies.append(value)
        else:
            if name in (b"host", b"content-length", b"expect"):
                if name in single:
                    raise Malformed("Repeated header field", "framing")
                single[name] = value
                if name == b"host":
                    continue
            fields.append((name, value))
    if cookies:
        fields.append((b"cookie", b"; ".join(cookies)))
    method, target, host = _requestTarget(pseudo, single.get(b"host"))
    fields.append((b"host", host))
    length = single.get(b"content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise Malformed("Malformed Content-Length", "framing")
    expected = single.get(b"expect")
    if expected is not None and expected.lower() != b"100-continue":
        raise Refused(
            417, "expectation_failed", "Only 100-continue can be expected", reason="expect"
        )
    return Head(
        method,
        target,
        b"HTTP/2",
        fields,
        None if length is None else int(length),
        True,
        expected is not None,
    )


def _requestTarget(pseudo: dict[bytes, bytes], host: bytes | None) -> tuple[bytes, bytes, bytes]:
    method = pseudo.get(b":method", b"")
    if not _METHOD.fullmatch(method):
        raise Malformed("Malformed method")
    if method == b"CONNECT":
        raise Refused(405, "method_not_allowed", "This server is no proxy", reason="method")
    if pseudo.get(b":scheme") not in (b"https", b"http"):
        raise Malformed("Malformed scheme")
    target = pseudo.get(b":path", b"")
    asterisk = target == b"*" and method == b"OPTIONS"
    if not validTarget(target) or not (target.startswith(b"/") or asterisk):
        raise Malformed("Malformed request target")
    authority = pseudo.get(b":authority", host)
    if authority is None or not validHost(authority):
        raise bad("Exactly one authority is required", "host")
    if host is not None and host.lower() != authority.lower():
        raise Malformed("The Host header and the authority disagree", "host")
    return method, target, authority


def _isTrailers(value: bytes) -> bool:
    """
    Tell whether a C{TE} names C{trailers} and nothing else (RFC 9113 section 8.2.2).
    """
    return {element.lower() for element in elements([value])} == {b"trailers"}


def _validField(name: bytes, value: bytes) -> bool:
    return validName(name) and name == name.lower() and _validValue(value)


def _validValue(value: bytes) -> bool:
    return validValue(value) and value == value.strip(b" \t")
