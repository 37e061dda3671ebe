# -*- test-case-name: aero.auth.test.test_l2modes -*-
"""
Who may open an Ethernet tunnel: seven modes, three kinds of credential, four places to carry them
(l2.md section 6).

A mode looks at a fixed list of places in a fixed order. What a client is told of a failure, and
what operators are told, is a table of its own (section 6.4): clients learn that they failed,
metrics learn how.
"""

from __future__ import annotations

import dataclasses
import hmac
from typing import Callable, Sequence
from urllib.parse import unquote_to_bytes

from .cookies import sessionCookie
from .jwt import RelayToken, verifyRelayToken
from .sessions import Session, Sessions

#: What a subprotocol that carries a token begins with.
TOKEN_PREFIX = "aero-l2-token."  # noqa: S105 (no secret)

#: The reasons of section 6.4; values of a metric label.
MISSING = "missing_credentials"
BAD_KEY = "invalid_api_key"
BAD_COOKIE = "invalid_cookie"
BAD_JWT = "invalid_jwt"
WRONG_ORIGIN = "jwt_origin_mismatch"

#: Modes by what they look at: the cookie, the static token, a JSON Web Token.
_NEEDS_SESSIONS = {"session", "cookie_or_jwt", "session_or_token", "session_and_token"}
_NEEDS_KEY = {"token", "session_and_token"}
_NEEDS_JWT = {"jwt", "cookie_or_jwt"}

_NO_TOKEN = "invalid token"  # noqa: S105 (what a client is told)
_NO_SESSION = "missing or expired session"
_NO_JWT = "invalid jwt"
_NO_AUTH = "missing or invalid auth"


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """
    Where a request may carry something.

    @ivar cookies: Every C{Cookie} header line.
    @ivar query: The query string, not decoded.
    @ivar protocols: Every C{Sec-WebSocket-Protocol} line; only the first one counts.
    @ivar authorization: Every C{Authorization} line; only the first one counts.
    @ivar origins: Every C{Origin} line, for the claim of a token.
    """

    cookies: Sequence[bytes] = ()
    query: str = ""
    protocols: Sequence[bytes] = ()
    authorization: Sequence[bytes] = ()
    origins: Sequence[bytes] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Denied:
    """
    A failure.

    @ivar body: What the client is told.
    @ivar reason: What the metrics are told.
    @ivar why: A word more for the log, where there is one.
    """

    body: str
    reason: str
    why: str = ""


class L2Authenticator:
    """
    One mode with its keys.

    @ivar mode: The canonical name of the mode.
    """

    def __init__(
        self,
        mode: str,
        *,
        normalizeOrigin: Callable[[str], str | None],
        sessions: Sessions | None = None,
        apiKey: str = "",
        jwtSecret: str = "",
        audience: str = "",
        issuer: str = "",
        isOpen: bool = False,
    ) -> None:
        """
        @param normalizeOrigin: L{aero.policy.origin.comparedOrigin}.
        @param isOpen: Whether origins are not checked later, so that a token which names one
            has to find it here.
        @raise ValueError: The mode needs a key that is not given.
        """
        if mode in _NEEDS_SESSIONS and sessions is None:
            raise ValueError(f"{mode} needs a session secret")
        if mode in _NEEDS_KEY and not apiKey:
            raise ValueError(f"{mode} needs an API key")
        if mode in _NEEDS_JWT and not jwtSecret:
            raise ValueError(f"{mode} needs a JWT secret")
        self.mode = mode
        self._sessions = sessions
        self._apiKey = apiKey.encode("utf-8")
        self._jwtSecret = jwtSecret
        self._audience = audience
        self._issuer = issuer
        self._isOpen = isOpen
        self._normalizeOrigin = normalizeOrigin
        self._authenticate = getattr(self, f"_mode_{mode}")

    def authenticate(self, given: Credentials, now: float) -> Session | Denied | None:
        """
        Decide about a request.

        @param now: Seconds since 1970.
        @return: The session of the cookie or of the token; C{None} for a client that may come
            in and has none.
        """
        found: Session | Denied | None = self._authenticate(given, now)
        return found

    def _mode_none(self, given: Credentials, now: float) -> None:
        return None

    def _mode_session(self, given: Credentials, now: float) -> Session | Denied:
        return self._cookie(given, now) or Denied(_NO_SESSION, _cookieReason(given))

    def _mode_token(self, given: Credentials, now: float) -> Denied | None:
        token = staticToken(given)
        if token is None:
            return Denied(_NO_TOKEN, MISSING)
        return None if self._isKey(token) else Denied(_NO_TOKEN, BAD_KEY)

    def _mode_jwt(self, given: Credentials, now: float) -> Session | Denied:
        candidates = tokenCandidates(given)
        if not candidates:
            return Denied(_NO_JWT, MISSING)
        verified = (verifyRelayToken(self._jwtSecret, token, now) for token in candidates)
        token = next((token for token in verified if token is not None), None)
        if token is None:
            return Denied(_NO_JWT, BAD_JWT)
        return self._claims(token, given.origins) or Session(token.sid, token.expires)

    def _mode_cookie_or_jwt(self, given: Credentials, now: float) -> Session | Denied:
        session = self._cookie(given, now)
        if session is not None:
            return session
        if not tokenCandidates(given):
            return Denied(_NO_AUTH, _cookieReason(given))
        return self._mode_jwt(given, now)

    def _mode_session_or_token(self, given: Credentials, now: float) -> Session | Denied | None:
        session = self._cookie(given, now)
        if session is not None:
            return session
        token = staticToken(given)
        if token is None:
            return Denied(_NO_AUTH, _cookieReason(given))
        return None if self._isKey(token) else Denied(_NO_AUTH, BAD_KEY)

    def _mode_session_and_token(self, given: Credentials, now: float) -> Session | Denied:
        token = staticToken(given)
        if token is not None and not self._isKey(token):
            return Denied(_NO_AUTH, BAD_KEY)
        session = self._cookie(given, now)
        if session is None:
            return Denied(_NO_AUTH, _cookieReason(given))
        return Denied(_NO_AUTH, MISSING) if token is None else session

    def _cookie(self, given: Credentials, now: float) -> Session | None:
        assert self._sessions is not None
        return self._sessions.fromCookies(given.cookies, now)

    def _isKey(self, token: str) -> bool:
        """
        Compare in constant time. Without a key nothing is one.
        """
        given = token.encode("utf-8", "surrogateescape")
        return bool(self._apiKey) and hmac.compare_digest(given, self._apiKey)

    def _claims(self, token: RelayToken, origins: Sequence[bytes]) -> Denied | None:
        """
        Check what the winner says about who it is for.
        """
        if self._audience and not token.isFor(self._audience):
            return Denied(_NO_JWT, BAD_JWT, "audience")
        if self._issuer and token.issuer != self._issuer:
            return Denied(_NO_JWT, BAD_JWT, "issuer")
        if token.origin is None:
            return None
        expected = self._normalizeOrigin(token.origin)
        if expected is None:
            return Denied(_NO_JWT, BAD_JWT, "origin claim")
        actual = self._normalizeOrigin(origins[0].decode("latin-1")) if origins else None
        if actual == expected or (actual is None and not self._isOpen):
            # Where origins are checked, a missing one is refused by that check.
            return None
        return Denied(_NO_JWT, WRONG_ORIGIN)


def staticToken(given: Credentials) -> str | None:
    """
    The static token of a request: of the query, else of the subprotocols. There is no way from
    a wrong one to the next.
    """
    return queryToken(given.query) or protocolToken(given.protocols)


def tokenCandidates(given: Credentials) -> list[str]:
    """
    The JSON Web Tokens of a request, in the order in which they are tried.
    """
    found = (
        bearerToken(given.authorization),
        queryToken(given.query),
        protocolToken(given.protocols),
    )
    return [token for token in found if token is not None]


def queryToken(query: str) -> str | None:
    """
    The first C{token} of a query string, or the first C{apiKey} where that is empty or absent.
    Plus signs stay.
    """
    first: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in ("token", "apiKey"):
            first.setdefault(name, value)
    text = first.get("token") or first.get("apiKey")
    if text and "%" in text:
        text = unquote_to_bytes(text.encode("utf-8")).decode("utf-8", "replace")
    return text or None


def protocolToken(lines: Sequence[bytes]) -> str | None:
    """
    The token that the first line of subprotocols carries.
    """
    for entry in offeredProtocols(lines):
        if entry.startswith(TOKEN_PREFIX) and len(entry) > len(TOKEN_PREFIX):
            return entry[len(TOKEN_PREFIX) :]
    return None


def offeredProtocols(lines: Sequence[bytes]) -> list[str]:
    """
    The subprotocols that a client offers; only the first line counts (l2.md section 5).
    """
    if not lines:
        return []
    entries = (entry.strip(" \t") for entry in lines[0].decode("latin-1").split(","))
    return [entry for entry in entries if entry]


def bearerToken(lines: Sequence[bytes]) -> str | None:
    """
    The bearer token of the first C{Authorization} line.
    """
    words = lines[0].decode("latin-1").split() if lines else []
    if len(words) != 2 or words[0].lower() != "bearer":
        return None
    return words[1]


def _cookieReason(given: Credentials) -> str:
    """
    Whether there was a cookie that could have been good.
    """
    return MISSING if sessionCookie(given.cookies) is None else BAD_COOKIE
