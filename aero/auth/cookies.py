# -*- test-case-name: aero.auth.test.test_cookies -*-
"""
The session cookie, found in a request and written into a response (gateway.md sections 4.3
and 4.4).
"""

from __future__ import annotations

import re
from typing import Sequence
from urllib.parse import quote, unquote_to_bytes

#: The cookie that carries the session token.
SESSION_COOKIE = "aero_session"

MAX_LINE_BYTES = 16_384
MAX_VALUE_CHARACTERS = 4_096

_ASCII_SPACE = bytes(range(0x21))
_NAME = SESSION_COOKIE.encode("ascii")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def sessionCookie(lines: Sequence[bytes]) -> str | None:
    """
    Find the value of the session cookie.

    The first one counts, even if it is empty or useless, because a cookie that somebody else
    set for the domain must not be tried out after it.

    @param lines: Every C{Cookie} header line. One that is too long ends the search.
    @return: C{None} where there is none, or an empty one.
    """
    for line in lines:
        if len(line) > MAX_LINE_BYTES:
            return None
        if _NAME not in line:
            continue
        for part in line.split(b";"):
            name, equals, value = part.partition(b"=")
            if equals and name.strip(_ASCII_SPACE) == _NAME:
                return _decoded(value.strip(_ASCII_SPACE).decode("latin-1")) or None
    return None


def setCookie(token: str, *, maxAge: int, sameSite: str, secure: bool) -> bytes:
    """
    Write the value of C{Set-Cookie}.

    @param maxAge: Seconds that the browser keeps it.
    @param sameSite: C{Lax}, C{Strict} or C{None}.
    @param secure: Whether the browser may send it over TLS only.
    """
    text = (
        f"{SESSION_COOKIE}={quote(token, safe='')}; Max-Age={maxAge}; Path=/; HttpOnly;"
        f" SameSite={sameSite}"
    )
    return (text + "; Secure" if secure else text).encode("ascii")


def _decoded(value: str) -> str:
    """
    Undo percent encoding; a value that was never encoded stays what it is.
    """
    cut = value[:MAX_VALUE_CHARACTERS]
    if "%" not in cut or _BROKEN_ESCAPE.search(cut):
        return cut
    try:
        return unquote_to_bytes(cut).decode("utf-8")
    except UnicodeDecodeError:
        return cut
