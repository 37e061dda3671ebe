"""
Tests for L{aero.auth.sessions}.
"""

from __future__ import annotations

import uuid

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.cookies import sessionCookie
from aero.auth.revocations import Revocations
from aero.auth.sessions import Session, Sessions
from aero.auth.tokens import mintToken, verifyToken

_NOW = 1_700_000_000.0
_TTL = 3_600


def makeSessions(
    *secrets: str, revoked: Revocations | None = None, sameSite: str = "Lax"
) -> Sessions:
    """
    Make sessions of one hour.
    """
    return Sessions(secrets or ("secret",), _TTL, sameSite, revoked)


def cookieLine(setCookie: bytes) -> bytes:
    """
    What a browser sends back for a C{Set-Cookie} value.
    """
    return setCookie.partition(b";")[0]


class SessionsTests(SynchronousTestCase):
    """
    L{Sessions}.
    """

    def test_new(self) -> None:
        """
        A new session has a random name, a signed cookie, and lives for its whole time.
        """
        sessions = makeSessions()
        session, cookie = sessions.renew(None, _NOW, False)
        self.assertEqual(uuid.UUID(session.sid).version, 4)
        self.assertEqual(str(uuid.UUID(session.sid)), session.sid)
        self.assertEqual(session.expires, _NOW + _TTL)
        token = mintToken("secret", session.sid, int(_NOW) + _TTL).encode("ascii")
        self.assertEqual(
            cookie,
            b"aero_session=" + token + b"; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax",
        )
        other, _ = sessions.renew(None, _NOW, False)
        self.assertNotEqual(other.sid, session.sid)

    def test_secure(self) -> None:
        """
        Over TLS the cookie stays on TLS, and the operator says which sites send it.
        """
        _, cookie = makeSessions(sameSite="Strict").renew(None, _NOW, True)
        self.assertTrue(cookie.endswith(b"; SameSite=Strict; Secure"), cookie)

    def test_return(self) -> None:
        """
        A browser that comes back is known until its session ends.
        """
        sessions = makeSessions()
        session, cookie = sessions.renew(None, _NOW, True)
        lines = [b"x=y", cookieLine(cookie)]
        self.assertEqual(sessions.fromCookies(lines, _NOW), session)
        self.assertEqual(sessions.fromCookies(lines, _NOW + _TTL - 0.001), session)
        self.assertIsNone(sessions.fromCookies(lines, _NOW + _TTL))

    def test_renewed(self) -> None:
        """
        A renewed session keeps its name and lives on.
        """
        sessions = makeSessions()
        first, _ = sessions.renew(None, _NOW, True)
        second, cookie = sessions.renew(first, _NOW + 1_000, True)
        self.assertEqual(second, Session(first.sid, first.expires + 1_000))
        self.assertEqual(sessions.fromCookies([cookieLine(cookie)], first.expires + 500), second)

    def test_wholeSeconds(self) -> None:
        """
        The cookie ends with the last whole second of the session, never after it.
        """
        sessions = makeSessions()
        session, cookie = sessions.renew(None, _NOW + 0.75, True)
        self.assertEqual(session.expires, _NOW + 0.75 + _TTL)
        known = sessions.fromCookies([cookieLine(cookie)], _NOW + 1)
        self.assertEqual(known, Session(session.sid, _NOW + _TTL))

    def test_strangers(self) -> None:
        """
        No cookie, another cookie, and a cookie of another server are no session.
        """
        _, cookie = makeSessions("other").renew(None, _NOW, True)
        for lines in (
            [],
            [b"x=y"],
            [b"aero_session="],
            [b"aero_session=a.b"],
            [cookieLine(cookie)],
        ):
            self.assertIsNone(makeSessions().fromCookies(lines, _NOW), lines)

    def test_firstCookieCounts(self) -> None:
        """
        A valid cookie behind another one of the name is not tried.
        """
        sessions = makeSessions()
        _, cookie = sessions.renew(None, _NOW, True)
        lines = [b"aero_session=forged", cookieLine(cookie)]
        self.assertIsNone(sessions.fromCookies(lines, _NOW))

    def test_rotation(self) -> None:
        """
        With a new secret in front old sessions live on, and are signed with the new one.
        """
        session, cookie = makeSessions("old").renew(None, _NOW, True)
        rotated = makeSessions("new", "old")
        known = rotated.fromCookies([cookieLine(cookie)], _NOW)
        self.assertEqual(known, session)
        _, renewed = rotated.renew(known, _NOW, True)
        token = sessionCookie([cookieLine(renewed)])
        assert token is not None
        self.assertIsNotNone(verifyToken(["new"], token, _NOW))
        self.assertIsNone(verifyToken(["old"], token, _NOW))

    def test_noSecret(self) -> None:
        """
        Sessions that anybody could sign are an error at the start.
        """
        for secrets in ((), ("",), ("", "")):
            self.assertRaises(ValueError, Sessions, secrets, _TTL, "Lax")

    def test_names(self) -> None:
        """
        The name of a new session may come from elsewhere.
        """
        sessions = Sessions(["secret"], _TTL, "Lax", newSid=lambda: "sid-1")
        session, cookie = sessions.renew(None, _NOW, True)
        self.assertEqual(session.sid, "sid-1")
        self.assertEqual(sessions.fromCookies([cookieLine(cookie)], _NOW), session)

    def test_revoked(self) -> None:
        """
        A session that was ended is not known any more, in none of its cookies.
        """
        revoked = Revocations()
        sessions = makeSessions(revoked=revoked)
        session, first = sessions.renew(None, _NOW, True)
        session, second = sessions.renew(session, _NOW + 100, True)
        other, third = sessions.renew(None, _NOW, True)
        revoked.revoke(session.sid, session.expires, _NOW + 200)
        for cookie in (first, second):
            self.assertIsNone(sessions.fromCookies([cookieLine(cookie)], _NOW + 200))
        self.assertEqual(sessions.fromCookies([cookieLine(third)], _NOW + 200), other)

    def test_ended(self) -> None:
        """
        A session that is ended is not known any more, though its cookie was shown before, for
        as long as any cookie of it may live; whoever listens is told.
        """
        revoked, told = Revocations(), list[str]()
        revoked.onRevoked(told.append)
        sessions = makeSessions(revoked=revoked)
        session, cookie = sessions.renew(None, _NOW, True)
        lines = [cookieLine(cookie)]
        self.assertEqual(sessions.fromCookies(lines, _NOW), session)
        sessions.end(session.sid, _NOW)
        self.assertIsNone(sessions.fromCookies(lines, _NOW))
        self.assertTrue(revoked.isRevoked(session.sid, _NOW + _TTL))
        self.assertEqual(told, [session.sid])

    def test_cannotEnd(self) -> None:
        """
        Where no list is kept, to end a session is a mistake that is not passed over.
        """
        self.assertRaises(ValueError, makeSessions().end, "sid", _NOW)

    def test_forgetting(self) -> None:
        """
        A browser forgets a cookie that is empty and at its end.
        """
        self.assertEqual(
            makeSessions().forgetting(False),
            b"aero_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
        )
