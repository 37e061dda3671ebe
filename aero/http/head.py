# -*- test-case-name: aero.http.test.test_head -*-
"""
The head of an HTTP/1 request: request line and header lines, checked to the letter.

Whatever two implementations could read differently is refused, because a difference between a
proxy and this server is how requests are smuggled (RFC 9112 section 11.2): lines that do not
end in CRLF, folded lines, white space before a colon, more than one length, coded bodies other
than C{chunked}.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aero.errors import Refused
from aero.wire.fieldlist import hasToken

_TOKEN_CHARACTERS = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: What may stand in a head: visible ASCII, space, tab, obs-text, and the line ends.
_HEAD_CHARACTERS = bytes((9, 10, 13, *range(32, 127), *range(128, 256)))
_TARGET_CHARACTERS = bytes(c for c in range(33, 127) if c != ord("#"))

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([^ ]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)
_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._~!$&'()*+,;=%\-]{1,255})(?::[0-9]{0,5})?"
)
_LENGTH = re.compile(rb"[0-9]{1,18}")

#: What ends a head.
END = b"\r\n\r\n"


@dataclass(slots=True)
class Head:
    """
    The head of one request.

    @ivar target: In origin form, or C{*}.
    @ivar headers: Names as sent and values without the white space around them, in order.
    @ivar length: Bytes of the body; C{None} where it comes in chunks.
    @ivar persistent: Whether the client wants to use the connection again.
    @ivar expectsContinue: Whether the client waits for 100 before it sends the body.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]
    length: int | None
    persistent: bool
    expectsContinue: bool


#: A line feed without its carriage return.
_BARE_LF = re.compile(rb"(?<!\r)\n")

#: What a request can begin with: a method, or an empty line that some clients send.
_FIRST_BYTES = frozenset(
    b"\r!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def bad(message: str, reason: str = "syntax") -> Refused:
    """
    The refusal of something that is not well-formed HTTP.
    """
    return Refused(400, "bad_request", message, reason=reason)


def headTooLarge(buffer: bytearray, limit: int) -> Refused:
    """
    The refusal of a head that is larger than it may be, by what makes it large.
    """
    if buffer.find(b"\r\n", 0, limit) < 0:
        return Refused(414, "url_too_long", "Request URL too long", reason="target")
    return Refused(
        431, "headers_too_large", "Request header fields too large", reason="header-bytes"
    )


def checkPartialHead(buffer: bytearray, searched: int) -> None:
    """
    Refuse what can never become a head.

    @param searched: Bytes that were looked at before.
    @raise Refused: It is that.
    """
    if buffer[0] not in _FIRST_BYTES or _BARE_LF.search(buffer, max(0, searched - 1)):
        raise bad("This is not HTTP/1.1")


def validHost(value: bytes) -> bool:
    """
    Whether a C{Host} or C{:authority} is a host with an optional port.
    """
    return _HOST.fullmatch(value) is not None


def validTarget(target: bytes) -> bool:
    """
    Whether a request target has only characters that a URL may have.
    """
    return bool(target) and not target.translate(None, _TARGET_CHARACTERS)


def validName(name: bytes) -> bool:
    """
    Whether a header name is a token.
    """
    return bool(name) and not name.translate(None, _TOKEN_CHARACTERS)


def validValue(value: bytes) -> bool:
    """
    Whether a header value has no control characters but tabs.
    """
    return not value.translate(None, _VALUE_CHARACTERS)


_VALUE_CHARACTERS = bytes((9, *range(32, 127), *range(128, 256)))


def parseHead(block: bytes, maxHeaders: int, *, anyHost: bool = False) -> Head:
    """
    Read a head.

    @param block: From the request line up to, and without, the C{CRLF CRLF} at the end.
    @param anyHost: Whether C{Host} may be malformed or missing.
    @raise Refused: It is not well-formed, not supported or has too many headers.
    """
    if block.translate(None, _HEAD_CHARACTERS):
        raise bad("The request has forbidden control characters")
    lines = block.split(b"\r\n")
    ends = len(lines) - 1
    if block.count(b"\n") != ends or block.count(b"\r") != ends:
        raise bad("Lines must end with CR LF")
    method, target, version = _requestLine(lines[0])
    if ends > maxHeaders:
        raise Refused(431, "headers_too_large", "Too many header fields", reason="header-count")
    headers: list[tuple[bytes, bytes]] = []
    # The few headers that decide how the message is framed, by lower-case name.
    framing: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, _TOKEN_CHARACTERS):
            raise bad("Malformed header line")
        value = value.strip(b" \t")
        headers.append((name, value))
        lower = name.lower()
        if lower in _FRAMING:
            framing.setdefault(lower, []).append(value)
    target = _originForm(method, target, _host(version, framing, anyHost), headers)
    return Head(
        method,
        target,
        version,
        headers,
        _bodyLength(version, framing),
        _persistent(version, framing),
        _expectsContinue(version, framing),
    )


_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"))


def _requestLine(line: bytes) -> tuple[bytes, bytes, bytes]:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise bad("Malformed request line")
    method, target, major, minor = found.groups()
    if major != b"1" or minor not in b"01":
        raise Refused(
            505, "version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are spoken", reason="version"
        )
    if not validTarget(target):
        raise bad("Malformed request target")
    return method, target, b"HTTP/1." + minor


def _host(version: bytes, framing: dict[bytes, list[bytes]], anyHost: bool) -> bytes | None:
    values = framing.get(b"host", [])
    if len(values) > 1 or not (values or anyHost or version != b"HTTP/1.1"):
        raise bad("Exactly one Host header is required", "host")
    if values and not anyHost and not validHost(values[0]):
        raise bad("Malformed Host header", "host")
    return values[0] if values else None


def _originForm(
    method: bytes, target: bytes, host: bytes | None, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """
    Turn an absolute target into origin form, its host into the Host header's equal.
    """
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    if method == b"CONNECT":
        raise Refused(405, "method_not_allowed", "This server is no proxy", reason="method")
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise bad("Malformed request target")
    authority, rest = found.groups()
    if not validHost(authority):
        raise bad("Malformed request target")
    if host is None:
        headers.append((b"Host", authority))
    elif host.lower() != authority.lower():
        raise bad("The Host header and the request target disagree", "host")
    return rest if rest.startswith(b"/") else b"/" + rest


def _bodyLength(version: bytes, framing: dict[bytes, list[bytes]]) -> int | None:
    lengths = framing.get(b"content-length")
    codings = framing.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None or version != b"HTTP/1.1":
            raise bad("Conflicting message lengths", "framing")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise Refused(
                501, "not_implemented", "Only the chunked coding is supported", reason="framing"
            )
        return None
    if lengths is None:
        return 0
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise bad("Malformed Content-Length", "framing")
    return int(lengths[0])


def _persistent(version: bytes, framing: dict[bytes, list[bytes]]) -> bool:
    if version != b"HTTP/1.1":
        return False
    return not hasToken(framing.get(b"connection", ()), b"close")


def _expectsContinue(version: bytes, framing: dict[bytes, list[bytes]]) -> bool:
    values = framing.get(b"expect")
    if values is None or version != b"HTTP/1.1":
        return False
    if len(values) != 1 or values[0].lower() != b"100-continue":
        raise Refused(
            417, "expectation_failed", "Only 100-continue can be expected", reason="expect"
        )
    return True
