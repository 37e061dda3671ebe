# -*- test-case-name: aero.web.test.test_credentials -*-
"""
What a request shows of who sent it: the session of its cookie, and the page's origin.
"""

from __future__ import annotations

from twisted.web.server import Request

from aero.auth.sessions import Session, Sessions
from aero.errors import Refused
from aero.policy.origin import normalizeOrigin


def sessionOf(request: Request, sessions: Sessions, now: float) -> Session | None:
    """
    The session of a request, if its cookie is valid. The C{Cookie} lines are read as they
    came, never merged (gateway.md section 4.3).

    @param now: Seconds since 1970.
    """
    lines = request.requestHeaders.getRawHeaders(b"Cookie", [])
    return sessions.fromCookies(lines, now)


def requireSession(
    request: Request,
    sessions: Sessions,
    now: float,
    message: str = "Missing or expired session",
) -> Session:
    """
    The session of a request that is not answered without one.

    @param message: What the refusal says.
    @raise Refused: 401, with the reason C{session}.
    """
    session = sessionOf(request, sessions, now)
    if session is None:
        raise Refused(401, "unauthorized", message, reason="session")
    return session


def originOf(request: Request) -> str | None:
    """
    The normalised origin of a request. The gates have already refused a foreign one.

    @return: C{None} where there is none, or none that can be read.
    """
    lines = request.requestHeaders.getRawHeaders(b"Origin", [])
    return normalizeOrigin(lines[0].decode("latin-1")) if len(lines) == 1 else None


def requireOrigin(request: Request) -> str:
    """
    The normalised origin of a request that only browsers may send.

    @raise Refused: 403, with the reason C{origin}.
    """
    lines = request.requestHeaders.getRawHeaders(b"Origin", [])
    if not any(line.strip() for line in lines):
        raise Refused(403, "forbidden", "Origin header required", reason="origin")
    origin = originOf(request)
    if origin is None:
        raise Refused(403, "forbidden", "Origin not allowed", reason="origin")
    return origin
