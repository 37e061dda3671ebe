"""
Tests for L{aero.http.forwarding}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from aero.http.forwarding import requestHeaders, responseHeaders


class RequestHeadersTests(SynchronousTestCase):
    """
    What a development server sees of a request.
    """

    def forwarded(self, *lines: tuple[str, str]) -> dict[bytes, list[bytes]]:
        """
        The headers that come out for those that go in.
        """
        received = Headers()
        for name, value in lines:
            received.addRawHeader(name, value)
        found = requestHeaders(received, address="192.0.2.7", secure=True)
        return {name.lower(): list(values) for name, values in found.getAllRawHeaders()}

    def test_kept(self) -> None:
        """
        What is meant for the server gets there, repeated lines unmerged.
        """
        found = self.forwarded(("Cookie", "a=1"), ("Cookie", "b=2"), ("Origin", "https://x"))
        self.assertEqual(found[b"cookie"], [b"a=1", b"b=2"])
        self.assertEqual(found[b"origin"], [b"https://x"])

    def test_hopByHop(self) -> None:
        """
        What is meant for the connection ends here, also what C{Connection} names.
        """
        found = self.forwarded(
            ("Connection", ",keep-alive,, X-Private,"),
            ("X-Private", "1"),
            ("Keep-Alive", "5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Proxy-Authorization", "x"),
            ("Expect", "100-continue"),
            ("Content-Length", "5"),
        )
        self.assertEqual(set(found), {b"x-forwarded-for", b"x-forwarded-proto"})

    def test_client(self) -> None:
        """
        Who the client is, is what we know and not what it claims.
        """
        found = self.forwarded(
            ("Host", "example.com:8443"),
            ("X-Forwarded-For", "203.0.113.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil"),
            ("Forwarded", "for=203.0.113.1"),
            ("X-Real-IP", "203.0.113.1"),
        )
        self.assertEqual(
            found,
            {
                b"x-forwarded-for": [b"192.0.2.7"],
                b"x-forwarded-proto": [b"https"],
                b"x-forwarded-host": [b"example.com:8443"],
            },
        )


class ResponseHeadersTests(SynchronousTestCase):
    """
    What a client sees of the answer.
    """

    def test_filtered(self) -> None:
        """
        The answer's own headers get through, those of its connection do not.
        """
        received = Headers(
            {
                "Content-Type": ["text/css"],
                "Set-Cookie": ["a", "b"],
                "Connection": ["close, X-Hop"],
                "X-Hop": ["1"],
                "Content-Length": ["3"],
                "Transfer-Encoding": ["chunked"],
            }
        )
        found = dict(responseHeaders(received).getAllRawHeaders())
        self.assertEqual(found, {b"Content-Type": [b"text/css"], b"Set-Cookie": [b"a", b"b"]})
