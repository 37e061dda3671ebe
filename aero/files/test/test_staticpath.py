"""
Tests for L{aero.files.staticpath}.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from twisted.trial.unittest import SynchronousTestCase

from aero.files.staticpath import StaticPath, parsePath, splitTarget
from aero.testing.properties import given, strategies


class ParsePathTests(SynchronousTestCase):
    """
    A path names a file, or is refused.
    """

    def test_names(self) -> None:
        """
        Segments are decoded once.
        """
        self.assertEqual(parsePath(b"/"), StaticPath((), True))
        self.assertEqual(parsePath(b"/a/b%20c.js"), StaticPath((b"a", b"b c.js"), False))
        self.assertEqual(parsePath(b"/a/"), StaticPath((b"a",), True))
        self.assertEqual(parsePath(b"/%2541"), StaticPath((b"%41",), False))
        self.assertEqual(parsePath(b"/\xc3\xa4"), StaticPath((b"\xc3\xa4",), False))

    def test_refused(self) -> None:
        """
        Ways out, hidden separators, control characters and broken escapes are refused.
        """
        for raw in (
            b"",
            b"a",
            b"*",
            b"//",
            b"//evil.com/..",
            b"/a//b",
            b"/..",
            b"/../etc/passwd",
            b"/a/../b",
            b"/./a",
            b"/%2e%2e/x",
            b"/.%2E/x",
            b"/..%2f..%2fetc/passwd",
            b"/assets/..%5c..",
            b"/a\\b",
            b"/%00",
            b"/a%0ab",
            b"/a\x7f",
            b"/a%7f",
            b"/%",
            b"/%4",
            b"/%zz",
        ):
            self.assertIsNone(parsePath(raw), raw)

    def test_hidden(self) -> None:
        """
        A name that begins with a dot hides everything below it; C{/.well-known} does not.
        """
        for raw, hidden in {
            b"/.git/config": True,
            b"/a/.env": True,
            b"/%2egit": True,
            b"/...": True,
            b"/.well-known/acme": False,
            b"/.well-known/.x": True,
            b"/a/.well-known/x": True,
            b"/a.b": False,
        }.items():
            path = parsePath(raw)
            assert path is not None
            self.assertEqual(path.hidden, hidden, raw)

    def test_isBelow(self) -> None:
        """
        A directory is below itself with its slash, not without.
        """
        for raw, below in {
            b"/assets": False,
            b"/assets/": True,
            b"/assets/x": True,
            b"/assetsx/y": False,
            b"/a/assets/x": False,
        }.items():
            path = parsePath(raw)
            assert path is not None
            self.assertEqual(path.isBelow(b"assets"), below, raw)

    @given(strategies.binary(max_size=40))
    def test_anything(self, raw: bytes) -> None:
        """
        What comes out are plain names, and a redirect to it names the same file on this host.
        """
        path = parsePath(b"/" + raw)
        if path is None:
            return
        for name in path.segments:
            self.assertNotIn(name, (b"", b".", b".."))
            self.assertFalse(set(name) & set(b"/\\\x00\r\n"))
        location = path.location(b"", slash=path.slash)
        self.assertTrue(location.isascii() and location.startswith(b"/"))
        self.assertFalse(location.startswith(b"//"))
        self.assertEqual(unquote_to_bytes(location), unquote_to_bytes(b"/" + raw))
        self.assertEqual(parsePath(location), path)


class LocationTests(SynchronousTestCase):
    """
    Redirects.
    """

    def test_query(self) -> None:
        """
        The query is kept as it came, and nothing in it can end the header.
        """
        path = StaticPath((b"sub",), False)
        self.assertEqual(path.location(b"x=1&y=%20/?", slash=True), b"/sub/?x=1&y=%20/?")
        self.assertEqual(
            path.location(b"\r\nSet-Cookie: a", slash=True), b"/sub/?%0D%0ASet-Cookie:%20a"
        )


class SplitTargetTests(SynchronousTestCase):
    """
    Forms of the request target.
    """

    def test_forms(self) -> None:
        """
        The query is taken off, and so is the authority of the absolute form.
        """
        self.assertEqual(splitTarget(b"/a?b?c"), (b"/a", b"b?c"))
        self.assertEqual(splitTarget(b"/a"), (b"/a", b""))
        self.assertEqual(splitTarget(b"HTTPS://h:1/a?b"), (b"/a", b"b"))
        self.assertEqual(splitTarget(b"http://h?b"), (b"/", b"b"))
        self.assertEqual(splitTarget(b"ftp://h/a"), (b"ftp://h/a", b""))
