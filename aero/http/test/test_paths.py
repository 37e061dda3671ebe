"""
Tests for L{aero.http.paths}.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from twisted.trial.unittest import SynchronousTestCase

from aero.http.paths import decodePath, isAmbiguous, upgradePath
from aero.testing.properties import given, strategies


class DecodePathTests(SynchronousTestCase):
    """
    Tests for L{decodePath}.
    """

    def test_segments(self) -> None:
        """
        A path is cut at its slashes and then decoded.
        """
        for path, segments in (
            (b"/", [b""]),
            (b"/a", [b"a"]),
            (b"/a/", [b"a", b""]),
            (b"//a", [b"", b"a"]),
            (b"/a%20b/c%2Fd", [b"a b", b"c/d"]),
            (b"/%c3%a4", ["ä".encode()]),
            (b"/%25zz", [b"%zz"]),
            (b"/a+b", [b"a+b"]),
            ("/ä".encode(), ["ä".encode()]),
        ):
            with self.subTest(path):
                self.assertEqual(decodePath(path), segments)

    def test_unreadable(self) -> None:
        """
        A path with a bad escape, without its first slash, or that is not UTF-8 is none.
        """
        for path in (b"", b"*", b"a", b"/%", b"/%4", b"/%zz", b"/%ff", b"/\xff", b"/a%c3/%a4"):
            with self.subTest(path):
                self.assertIsNone(decodePath(path))

    @given(strategies.lists(strategies.text(strategies.characters(codec="utf-8")), min_size=1))
    def test_roundTrip(self, segments: list[str]) -> None:
        """
        Any segments can be spelled, and are read back.
        """
        raw = [segment.encode("utf-8") for segment in segments]
        path = "/" + "/".join(quote_from_bytes(segment, safe="") for segment in raw)
        self.assertEqual(decodePath(path.encode("ascii")), raw)


class IsAmbiguousTests(SynchronousTestCase):
    """
    Tests for L{isAmbiguous}.
    """

    def test_ambiguous(self) -> None:
        """
        Dot segments, a second slash in front and a NUL are, however they were encoded.
        """
        for segments in (
            [b".."],
            [b"a", b"."],
            [b"", b"a"],
            [b"/a"],
            [b"\\a"],
            [b"a", b"b/../c"],
            [b"a", b"..\\c"],
            [b"a\0"],
        ):
            with self.subTest(segments):
                self.assertTrue(isAmbiguous(segments))

    def test_plain(self) -> None:
        """
        Everything else is a name.
        """
        for segments in ([b""], [b"a"], [b"a", b""], [b"...", b"a.b", b".c"], [b"a/b"]):
            with self.subTest(segments):
                self.assertFalse(isAmbiguous(segments))


class UpgradePathTests(SynchronousTestCase):
    """
    Tests for L{upgradePath}.
    """

    def test_paths(self) -> None:
        """
        Authorities are dropped and dot segments resolved, but nothing else is decoded.
        """
        for target, path in (
            (b"/tcp", b"/tcp"),
            (b"/tcp?v=1&target=a/../b", b"/tcp"),
            (b"/tcp#x?y", b"/tcp"),
            (b"/%74cp", b"/%74cp"),
            (b"/a/../tcp", b"/tcp"),
            (b"/../../tcp", b"/tcp"),
            (b"/./tcp", b"/tcp"),
            (b"/a/%2E%2e/tcp", b"/tcp"),
            (b"/tcp/", b"/tcp/"),
            (b"//example.com/tcp", b"/tcp"),
            (b"//example.com:8443/tcp", b"/tcp"),
            (b"//user:pw@example.com/tcp", b"/tcp"),
            (b"http://localhost/tcp?x", b"/tcp"),
            (b"WSS://localhost/tcp", b"/tcp"),
            (b"http://[::1]:80/tcp", b"/tcp"),
            (b"http://localhost", b"/"),
            (b"/a\\..\\tcp", b"/tcp"),
        ):
            with self.subTest(target):
                self.assertEqual(upgradePath(target), path)

    def test_noURL(self) -> None:
        """
        A target whose authority is none is no URL.
        """
        for target in (b"http://[::1", b"//", b"http://a:99999/tcp", b"//a b/tcp", b"http:///"):
            with self.subTest(target):
                self.assertIsNone(upgradePath(target))

    @given(strategies.binary(max_size=40))
    def test_anyTarget(self, target: bytes) -> None:
        """
        Whatever the target, it is a path without dot segments, or none.
        """
        path = upgradePath(target)
        if path is not None:
            self.assertTrue(path.startswith(b"/"))
            self.assertNotIn(b"..", path.split(b"/"))
