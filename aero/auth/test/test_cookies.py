"""
Tests for L{aero.auth.cookies}.
"""

from __future__ import annotations

from typing import Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.cookies import sessionCookie, setCookie
from aero.testing.properties import given, strategies


class SessionCookieTests(SynchronousTestCase):
    """
    L{sessionCookie} (gateway.md section 4.3).
    """

    def assertFound(self, expected: str | None, *lines: bytes) -> None:
        """
        Check what is found in header lines.
        """
        self.assertEqual(sessionCookie(lines), expected, lines)

    def test_found(self) -> None:
        """
        The cookie is found among others, with blanks around everything.
        """
        self.assertFound("a.b", b"aero_session=a.b")
        self.assertFound("a.b", b"x=1; aero_session=a.b; y=2")
        self.assertFound("a.b", b"x=1;aero_session=a.b;y=2")
        self.assertFound("a.b", b"\t aero_session \t=\x01 a.b \t;")
        self.assertFound("a=b=", b"aero_session=a=b=")
        self.assertFound('"a"', b'aero_session="a"')
        self.assertFound("!a!", b"aero_session=!a!")
        self.assertFound("a", b"x=1", b"", b"aero_session=a")

    def test_absent(self) -> None:
        """
        Other names, other capitals, and parts without a value are not the cookie.
        """
        self.assertFound(None)
        self.assertFound(None, b"")
        self.assertFound(None, b"aero_session")
        self.assertFound(None, b"Aero_Session=a")
        self.assertFound(None, b"xaero_session=a; aero_sessionx=b; aero_session2=c")
        self.assertFound(None, b"x=aero_session=a")
        self.assertFound(None, b"=aero_session")
        self.assertFound("a", b"aero_session; aero_session=a")

    def test_first(self) -> None:
        """
        The first cookie counts, even an empty one; what comes after it is never tried.
        """
        self.assertFound("a", b"aero_session=a; aero_session=b")
        self.assertFound("a", b"aero_session=a", b"aero_session=b")
        self.assertFound(None, b"aero_session=; aero_session=b")
        self.assertFound(None, b"aero_session= \t", b"aero_session=b")
        self.assertFound("%zz", b"aero_session=%zz", b"aero_session=b")

    def test_decoded(self) -> None:
        """
        Percent encoding is undone where it is whole and UTF-8.
        """
        self.assertFound("a.b", b"aero_session=a%2Eb")
        self.assertFound("a.b", b"aero_session=%61%2e%62")
        self.assertFound("\xe4", b"aero_session=%C3%A4")
        self.assertFound("a+b", b"aero_session=a+b")
        for raw in (b"a%", b"a%2", b"a%2gb", b"%41%zz", b"%FF", b"%ED%A0%80", b"%C3"):
            self.assertFound(raw.decode("ascii"), b"aero_session=" + raw)

    def test_longValue(self) -> None:
        """
        A value is cut to 4096 characters before it is decoded.
        """
        value = b"a" * 4_096
        self.assertFound(value.decode("ascii"), b"aero_session=" + value + b"b")
        cut = b"a" * 4_094
        self.assertFound(cut.decode("ascii") + "%4", b"aero_session=" + cut + b"%41")

    def test_longLine(self) -> None:
        """
        A line that is too long ends the search, whatever it or a later one holds.
        """
        longest = b"x=" + b"a" * 16_382
        self.assertFound("b", longest, b"aero_session=b")
        self.assertFound(None, longest + b"a", b"aero_session=b")
        self.assertFound(None, b"aero_session=b; x=" + b"a" * 20_000)
        self.assertFound("b", b"aero_session=b", longest + b"a")

    @given(strategies.lists(strategies.binary(max_size=60), max_size=4))
    def test_anything(self, lines: list[bytes]) -> None:
        """
        Any lines give text or nothing.
        """
        for candidates in (lines, [b"aero_session=" + line for line in lines]):
            found = sessionCookie(candidates)
            self.assertTrue(found is None or 0 < len(found) <= 4_096)


class SetCookieTests(SynchronousTestCase):
    """
    L{setCookie} (gateway.md section 4.4).
    """

    def test_bytes(self) -> None:
        """
        The attributes come in their fixed order, C{Secure} only over TLS.
        """
        self.assertEqual(
            setCookie("a-_.b", maxAge=86_400, sameSite="Lax", secure=False),
            b"aero_session=a-_.b; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax",
        )
        self.assertEqual(
            setCookie("a", maxAge=0, sameSite="None", secure=True),
            b"aero_session=a; Max-Age=0; Path=/; HttpOnly; SameSite=None; Secure",
        )

    def test_encoded(self) -> None:
        """
        Nothing in a token can add an attribute.
        """
        written = setCookie("a; b,=\r\n/\xe4", maxAge=1, sameSite="Lax", secure=False)
        self.assertTrue(
            written.startswith(b"aero_session=a%3B%20b%2C%3D%0D%0A%2F%C3%A4; Max-Age=1;")
        )

    @given(strategies.text(min_size=1, max_size=100))
    def test_roundTrip(self, token: str) -> None:
        """
        What was written is found again.
        """
        lines: Sequence[bytes] = [setCookie(token, maxAge=1, sameSite="Lax", secure=True)]
        self.assertEqual(sessionCookie(lines), token)
