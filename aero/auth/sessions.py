# -*- test-case-name: aero.auth.test.test_sessions -*-
"""
Sessions: a signed cookie and nothing else, so that any number of processes with the same
secret serve them (gateway.md sections 4 and 5.5).

The one thing that such a cookie cannot do is end early. L{Revocations} does it, for as long
as the cookie would have lived.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import uuid
from typing import Callable, Sequence

from .cookies import sessionCookie, setCookie
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


class Revocations:
    """
    Sessions that ended before their cookies did.

    @param maxEntries: The most that are remembered. Beyond that, those whose cookies end
        first are forgotten first.
    """

    def __init__(self, maxEntries: int = 100_000) -> None:
        self._maxEntries = maxEntries
        self._until: dict[str, float] = {}
        self._byEnd: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._until)

    def revoke(self, sid: str, until: float, now: float) -> None:
        """
        End a session.

        @param until: When the last cookie of the session ends by itself. Who cannot know takes
            the time to live of sessions from now on.
        """
        if until <= max(now, self._until.get(sid, now)):
            return
        self._until[sid] = until
        heapq.heappush(self._byEnd, (until, sid))
        while self._byEnd and (self._byEnd[0][0] <= now or len(self._until) > self._maxEntries):
            self._forgetFirst()
        if len(self._byEnd) > 2 * self._maxEntries:
            self._byEnd = [(end, name) for name, end in self._until.items()]
            heapq.heapify(self._byEnd)

    def isRevoked(self, sid: str, now: float) -> bool:
        """
        Whether a session ended early.
        """
        return now < self._until.get(sid, now)

    def _forgetFirst(self) -> None:
        end, sid = heapq.heappop(self._byEnd)
        if self._until.get(sid) == end:
            del self._until[sid]


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
        revoked: Revocations | None = None,
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
        if self._revoked is not None and self._revoked.isRevoked(token.sid, now):
            return None
        return Session(token.sid, token.expires)

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
