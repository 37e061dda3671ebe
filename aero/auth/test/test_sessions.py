"""
Tests for L{aero.auth.sessions}.
"""

from __future__ import annotations

import uuid

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.cookies import sessionCookie
from aero.auth.sessions import Revocations, Session, Sessions
from aero.auth.tokens import mintToken, verifyToken
from aero.testing.properties import given, strategies

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


class RevocationsTests(SynchronousTestCase):
    """
    L{Revocations}.
    """

    def test_until(self) -> None:
        """
        A session is ended until its cookie ends by itself.
        """
        revoked = Revocations()
        revoked.revoke("a", 100.0, 0.0)
        self.assertTrue(revoked.isRevoked("a", 99.9))
        self.assertFalse(revoked.isRevoked("a", 100.0))
        self.assertFalse(revoked.isRevoked("b", 0.0))

    def test_longer(self) -> None:
        """
        Ending a session again makes it longer and never shorter.
        """
        revoked = Revocations()
        for until in (100.0, 300.0, 200.0):
            revoked.revoke("a", until, 0.0)
        self.assertTrue(revoked.isRevoked("a", 299.0))
        revoked.revoke("b", 400.0, 150.0)
        self.assertTrue(revoked.isRevoked("a", 299.0))
        self.assertEqual(len(revoked), 2)

    def test_past(self) -> None:
        """
        What ended by itself is not remembered, and forgotten when something else is.
        """
        revoked = Revocations()
        revoked.revoke("a", 10.0, 10.0)
        self.assertEqual(len(revoked), 0)
        revoked.revoke("a", 20.0, 10.0)
        revoked.revoke("b", 40.0, 30.0)
        self.assertEqual(len(revoked), 1)
        self.assertTrue(revoked.isRevoked("b", 30.0))

    def test_bounded(self) -> None:
        """
        Beyond the bound those that end first are forgotten first.
        """
        revoked = Revocations(maxEntries=3)
        for number in (5, 1, 4, 2, 3):
            revoked.revoke(str(number), 100.0 + number, 0.0)
        self.assertEqual(
            [number for number in range(1, 6) if revoked.isRevoked(str(number), 0.0)], [3, 4, 5]
        )

    @given(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from("abcdef"),
                strategies.integers(0, 60),
                strategies.integers(0, 3),
            ),
            max_size=60,
        )
    )
    def test_model(self, steps: list[tuple[str, int, int]]) -> None:
        """
        With room enough exactly those are ended whose time has not come, however often they
        are ended again.
        """
        revoked, model, now = Revocations(maxEntries=6), dict.fromkeys("abcdef", 0), 0
        for sid, until, step in steps:
            now += step
            revoked.revoke(sid, until, now)
            model[sid] = max(model[sid], until)
            for name, end in model.items():
                self.assertIs(revoked.isRevoked(name, now), now < end)
            self.assertLessEqual(len(revoked), 6)
