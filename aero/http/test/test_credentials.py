"""
Tests for L{aero.http.credentials}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from aero.auth.sessions import Sessions
from aero.errors import Refused
from aero.http.credentials import hasBearer, originOf, requireOrigin, requireSession, sessionOf

NOW = 1_700_000_000.0


class Asked:
    """
    As much of a request as shows who sent it.
    """

    def __init__(self, **lines: list[bytes]) -> None:
        self.requestHeaders = Headers({name.encode(): value for name, value in lines.items()})


def asked(**lines: list[bytes]) -> Any:
    """
    A request with these header lines.
    """
    return Asked(**lines)


class SessionTests(SynchronousTestCase):
    """
    Tests for L{sessionOf} and L{requireSession}.
    """

    def setUp(self) -> None:
        self.sessions = Sessions(["secret"], 60, "Lax")
        session, cookie = self.sessions.renew(None, NOW, True)
        self.sid, self.cookie = session.sid, cookie.partition(b";")[0]

    def test_valid(self) -> None:
        """
        The session of a valid cookie is found, on whichever line it is.
        """
        request = asked(Cookie=[b"a=b", self.cookie])
        found = sessionOf(request, self.sessions, NOW)
        assert found is not None
        self.assertEqual(found.sid, self.sid)
        self.assertEqual(requireSession(request, self.sessions, NOW).sid, self.sid)

    def test_first(self) -> None:
        """
        The first session cookie counts, even a bad one: lines are not merged or searched on.
        """
        request = asked(Cookie=[b"aero_session=", self.cookie])
        self.assertIsNone(sessionOf(request, self.sessions, NOW))

    def test_none(self) -> None:
        """
        Without a session, or after its end, there is none, and who requires one refuses.
        """
        for request, now in ((asked(), NOW), (asked(Cookie=[self.cookie]), NOW + 60)):
            self.assertIsNone(sessionOf(request, self.sessions, now))
            refused = self.assertRaises(Refused, requireSession, request, self.sessions, now)
            self.assertEqual((refused.status, refused.reason), (401, "session"))
            self.assertEqual(refused.message, "Missing or expired session")
        refused = self.assertRaises(Refused, requireSession, asked(), self.sessions, NOW, "Who?")
        self.assertEqual(refused.message, "Who?")


class OriginTests(SynchronousTestCase):
    """
    Tests for L{originOf} and L{requireOrigin}.
    """

    def test_normalised(self) -> None:
        """
        The origin has its one spelling.
        """
        request = asked(Origin=[b"HTTPS://Page.example:443/"])
        self.assertEqual(originOf(request), "https://page.example")
        self.assertEqual(requireOrigin(request), "https://page.example")
        self.assertEqual(requireOrigin(asked(Origin=[b"null"])), "null")

    def test_none(self) -> None:
        """
        None, an empty one, two, or nonsense is no origin, and who requires one says which.
        """
        for lines, message in (
            ([], "Origin header required"),
            ([b" "], "Origin header required"),
            ([b"nonsense"], "Origin not allowed"),
            ([b"https://a.example", b"https://a.example"], "Origin not allowed"),
        ):
            with self.subTest(lines):
                request = asked(Origin=lines) if lines else asked()
                self.assertIsNone(originOf(request))
                refused = self.assertRaises(Refused, requireOrigin, request)
                self.assertEqual(
                    (refused.status, refused.message, refused.reason), (403, message, "origin")
                )


class BearerTests(SynchronousTestCase):
    """
    Tests for L{hasBearer}.
    """

    def test_has(self) -> None:
        """
        The scheme is written in any case, the token exactly.
        """
        for line in (b"Bearer sesame", b"bearer  sesame ", b"BEARER sesame"):
            self.assertTrue(hasBearer(asked(Authorization=[line]), "sesame"), line)

    def test_hasNot(self) -> None:
        """
        Another token or scheme, several of them, or none, is not the token; and an empty token
        is nobody's.
        """
        for lines in (
            [],
            [b"Bearer"],
            [b"Bearer Sesame"],
            [b"Bearer sesame2"],
            [b"Basic sesame"],
            [b"sesame"],
            [b"Bearer sesame", b"Bearer sesame"],
        ):
            self.assertFalse(hasBearer(asked(Authorization=lines), "sesame"), lines)
        for line in (b"", b"Bearer", b"Bearer "):
            self.assertFalse(hasBearer(asked(Authorization=[line]), ""), line)
