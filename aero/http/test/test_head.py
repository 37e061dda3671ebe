"""
Tests for L{aero.http.head}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused

from ..head import parseHead


def block(*lines: str) -> bytes:
    """
    A head of these lines.
    """
    return "\r\n".join(lines).encode("latin-1")


class ParseHeadTests(SynchronousTestCase):
    """
    L{parseHead} reads what is well-formed and refuses what could be read in two ways.
    """

    def test_anyHost(self) -> None:
        """
        A site that takes any host takes a malformed one and none, but never two.
        """
        for lines in ([], ["Host: a:b"], ["Host:"]):
            data = block("GET / HTTP/1.1", *lines)
            self.assertRaises(Refused, parseHead, data, 10)
            self.assertEqual(parseHead(data, 10, anyHost=True).target, b"/")
        twice = block("GET / HTTP/1.1", "Host: a", "Host: a")
        self.assertRaises(Refused, parseHead, twice, 10, anyHost=True)

    def test_simple(self) -> None:
        """
        Request line and headers are read, values without the white space around them.
        """
        head = parseHead(block("GET /a?b HTTP/1.1", "Host: h", "X-A: \t v w \t", "x-a:2"), 200)
        self.assertEqual((head.method, head.target, head.version), (b"GET", b"/a?b", b"HTTP/1.1"))
        self.assertEqual(head.headers, [(b"Host", b"h"), (b"X-A", b"v w"), (b"x-a", b"2")])
        self.assertEqual((head.length, head.persistent, head.expectsContinue), (0, True, False))

    def test_lengths(self) -> None:
        """
        A body has a length, or comes in chunks, or is not there.
        """
        for line, length in (("Content-Length: 7", 7), ("Transfer-Encoding: Chunked", None)):
            self.assertEqual(parseHead(block("POST / HTTP/1.1", "Host: h", line), 9).length, length)

    def test_persistence(self) -> None:
        """
        A connection is kept unless the client says close in any line, or speaks HTTP/1.0.
        """
        for last in ("keep-alive, CLOSE", ",close", "x,, close ,", "\tclose,"):
            lines = ["Connection: x", f"Connection: {last}"]
            self.assertFalse(parseHead(block("GET / HTTP/1.1", "Host: h", *lines), 9).persistent)
        self.assertFalse(parseHead(block("GET / HTTP/1.0", "Connection: keep-alive"), 9).persistent)

    def test_absoluteForm(self) -> None:
        """
        A target with scheme and host becomes the path on that host, if Host agrees.
        """
        head = parseHead(block("GET http://H:8/x?y HTTP/1.1", "Host: h:8"), 9)
        self.assertEqual(head.target, b"/x?y")
        self.assertEqual(parseHead(block("GET https://h HTTP/1.1", "Host: h"), 9).target, b"/")
        self.assertEqual(parseHead(block("GET https://h?q HTTP/1.1", "Host: h"), 9).target, b"/?q")

    def test_asterisk(self) -> None:
        """
        C{*} is a target of OPTIONS only.
        """
        self.assertEqual(parseHead(block("OPTIONS * HTTP/1.1", "Host: h"), 9).target, b"*")
        self.assertRaises(Refused, parseHead, block("GET * HTTP/1.1", "Host: h"), 9)

    def test_refused(self) -> None:
        """
        Everything that smuggles, is malformed or is not spoken is refused with its status.
        """
        ok = ("GET / HTTP/1.1", "Host: h")
        cases: list[tuple[int, bytes]] = [
            (400, block("GET  / HTTP/1.1", "Host: h")),
            (400, block("GET / HTTP/1.1 ", "Host: h")),
            (400, block("GET /", "Host: h")),
            (400, block("G@T / HTTP/1.1", "Host: h")),
            (400, block("GET /\u00e9 HTTP/1.1", "Host: h")),
            (400, block("GET /a#b HTTP/1.1", "Host: h")),
            (400, block("GET evil HTTP/1.1", "Host: h")),
            (400, block("GET \\evil HTTP/1.1", "Host: h")),
            (400, block("GET ftp://h/ HTTP/1.1", "Host: h")),
            (400, block("GET http://other/ HTTP/1.1", "Host: h")),
            (400, block("GET http://u@h/ HTTP/1.1", "Host: h")),
            (505, block("GET / HTTP/2.0", "Host: h")),
            (505, block("GET / HTTP/1.2", "Host: h")),
            (505, block("GET / HTTP/0.9", "Host: h")),
            (405, block("CONNECT h:443 HTTP/1.1", "Host: h")),
            (400, block("GET / HTTP/1.1")),
            (400, block("GET / HTTP/1.1", "Host:")),
            (400, block(*ok, "Host: h")),
            (400, block("GET / HTTP/1.0", "Host: h", "host: i")),
            (400, block("GET / HTTP/1.1", "Host: a/b")),
            (400, block("GET / HTTP/1.1", "Host: a b")),
            (400, block("GET / HTTP/1.1", "Host: a@b")),
            (400, block(*ok, " folded: x")),
            (400, block(*ok, "A: b", "\tc")),
            (400, block(*ok, "A : b")),
            (400, block(*ok, ": b")),
            (400, block(*ok, "nocolon")),
            (400, block(*ok, "A\u00e9: b")),
            (400, block(*ok, "A: b\x00c")),
            (400, block(*ok, "A: b\x7f")),
            (400, block(*ok) + b"\r\nA: b\nB: c"),
            (400, block(*ok) + b"\r\nA: b\rB: c"),
            (400, block(*ok) + b"\r\nA: b\r"),
            (400, block(*ok, "Content-Length: 1", "Content-Length: 1")),
            (400, block(*ok, "Content-Length: 1", "content-length: 2")),
            (400, block(*ok, "Content-Length: 1, 1")),
            (400, block(*ok, "Content-Length: +1")),
            (400, block(*ok, "Content-Length: -1")),
            (400, block(*ok, "Content-Length: 0x1")),
            (400, block(*ok, "Content-Length: 1_0")),
            (400, block(*ok, "Content-Length:")),
            (400, block(*ok, "Content-Length: " + "9" * 19)),
            (400, block(*ok, "Content-Length: \u00b2")),
            (400, block(*ok, "Content-Length: 1", "Transfer-Encoding: chunked")),
            (400, block("GET / HTTP/1.0", "Transfer-Encoding: chunked")),
            (501, block(*ok, "Transfer-Encoding: gzip, chunked")),
            (501, block(*ok, "Transfer-Encoding: identity")),
            (501, block(*ok, "Transfer-Encoding: xchunked")),
            (501, block(*ok, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
            (501, block(*ok, "Transfer-Encoding: chunked, chunked")),
            (417, block(*ok, "Expect: tea")),
            (431, block(*ok, *["A: b"] * 10)),
        ]
        for status, data in cases:
            error = self.assertRaises(Refused, parseHead, data, 10)
            self.assertEqual(error.status, status, repr(data))
