# -*- test-case-name: aero.auth.test.test_sessions -*-
"""
Sessions: a signed cookie and nothing else, so that any number of processes with the same
secret serve them (gateway.md sections 4 and 5.5).

What such a cookie cannot do is end early; see L{aero.auth.revocations}.
"""

from __future__ import annotations

import dataclasses
import math
import uuid
from typing import Callable, Sequence

from .cookies import sessionCookie, setCookie
from .revocations import RevocationStore
from .tokens import mintToken
from .verified import VerifiedTokens


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """
    One browser.

    @ivar sid: Its name, which stays the same while it is renewed.
    @ivar expires: When it ends, in seconds since 1970.
    """

    sid: str
    expires: float


def _randomSid() -> str:
    return str(uuid.uuid4())


class Sessions:
    """
    Reads and writes session cookies.

    @param secrets: The keys. The first one signs; all of them are believed, so that a key can
        be replaced without ending any session.
    @param ttl: Seconds that a session lives after it was last renewed.
    @param sameSite: The C{SameSite} attribute of the cookie.
    @param revoked: Sessions that ended early, or C{None} where none ever does.
    @param newSid: Makes the name of a new session: not to be guessed, never the same again.
    @raise ValueError: There is no key to sign with.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        ttl: int,
        sameSite: str,
        revoked: RevocationStore | None = None,
        newSid: Callable[[], str] = _randomSid,
    ) -> None:
        self._secrets = tuple(secret for secret in secrets if secret)
        if not self._secrets:
            raise ValueError("expected a secret that signs session cookies")
        self._tokens = VerifiedTokens(self._secrets)
        self._ttl = ttl
        self._sameSite = sameSite
        self._revoked = revoked
        self._newSid = newSid

    def fromCookies(self, cookieLines: Sequence[bytes], now: float) -> Session | None:
        """
        The session of a request, if its cookie is valid.

        @param cookieLines: Every C{Cookie} header line, in the order they came.
        @param now: Seconds since 1970.
        """
        value = sessionCookie(cookieLines)
        token = None if value is None else self._tokens.verify(value, now)
        if token is None:
            return None
        session = Session(token.sid, token.expires)
        return session if self.isAlive(session, now) else None

    def isAlive(self, session: Session, now: float) -> bool:
        """
        Whether a session that was read from a cookie has not ended since.
        """
        if self._revoked is not None and self._revoked.isRevoked(session.sid, now):
            return False
        return session.expires > now

    def renew(self, session: Session | None, now: float, secure: bool) -> tuple[Session, bytes]:
        """
        Let a session live for its whole time from now on, or begin one.

        @param session: The session of the request, or C{None} for a new one.
        @param now: Seconds since 1970.
        @param secure: Whether the request came over TLS.
        @return: The session, which ends at C{now} plus its time to live to the millisecond
            while its cookie counts whole seconds, and the value of C{Set-Cookie}.
        """
        sid = self._newSid() if session is None else session.sid
        token = mintToken(self._secrets[0], sid, math.floor(now + self._ttl))
        cookie = setCookie(token, maxAge=self._ttl, sameSite=self._sameSite, secure=secure)
        return Session(sid, now + self._ttl), cookie

    def end(self, sid: str, now: float, *, byOperator: bool = False) -> None:
        """
        End a session now: none of its cookies is valid any more, and its tunnels are closed.

        @param now: Seconds since 1970.
        @param byOperator: See L{RevocationStore.revoke}.
        @raise ValueError: There are no sessions that end early here.
        """
        if self._revoked is None:
            raise ValueError("expected a list of the sessions that ended early")
        # A cookie of it may have been renewed just now, maybe by another process.
        self._revoked.revoke(sid, now + self._ttl + 1, now, byOperator=byOperator)

    def forgetting(self, secure: bool) -> bytes:
        """
        The value of C{Set-Cookie} that makes a browser forget its session.

        @param secure: Whether the request came over TLS.
        """
        return setCookie("", maxAge=0, sameSite=self._sameSite, secure=secure)
