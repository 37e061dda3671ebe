# -*- test-case-name: aero.http.test.test_credentials -*-
"""
What a request shows of who sent it: the session of its cookie, the page's origin, and the
token of an operator.
"""

from __future__ import annotations

import hmac

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


def hasBearer(request: Request, token: str) -> bool:
    """
    Whether a request has a bearer token (RFC 6750 section 2.1), found in constant time.

    @param token: The token; with an empty one nobody has it.
    """
    lines = request.requestHeaders.getRawHeaders(b"Authorization", [])
    scheme, _, given = (lines[0] if len(lines) == 1 else b"").partition(b" ")
    matches = hmac.compare_digest(given.strip(), token.encode("utf-8"))
    return matches and bool(token) and scheme.lower() == b"bearer"


def requireBearer(request: Request, token: str, realm: str) -> None:
    """
    Let nobody on without a bearer token.

    @param realm: What the token is for, as the client is told.
    @raise Refused: 401, with the reason C{token}.
    """
    if not hasBearer(request, token):
        request.setHeader(b"WWW-Authenticate", f'Bearer realm="{realm}"'.encode("ascii"))
        raise Refused(401, "unauthorized", "A bearer token is required", reason="token")
