"""
Tests for L{aero.files.ranges}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.files.ranges import (
    MAX_RANGES,
    ByteRange,
    Unsatisfiable,
    asksForSeveral,
    multipart,
    parseRange,
)
from aero.testing.properties import given, strategies


class ParseRangeTests(SynchronousTestCase):
    """
    A client asks for a part of a file.
    """

    def test_single(self) -> None:
        """
        A range has both ends, the first, or the length of the tail; it ends with the file.
        """
        for value, expected in {
            b"bytes=0-9": (0, 10),
            b"Bytes = 5-5 ": (5, 6),
            b"bytes=90-": (90, 100),
            b"bytes=-10": (90, 100),
            b"bytes=-1000": (0, 100),
            b"bytes=99-1000": (99, 100),
        }.items():
            self.assertEqual(parseRange(value, 100), [ByteRange(*expected)], value)

    def test_emptyElements(self) -> None:
        """
        Empty elements of the list mean nothing (RFC 9110 section 5.6.1.2); a list of nothing else
        is no range.
        """
        many = b"bytes=" + b"," * 99 + b"0-5"
        for value in (b"bytes=0-5,", b"bytes=,0-5", b"bytes= , 0-5 ,,\t", many):
            self.assertEqual(parseRange(value, 100), [ByteRange(0, 6)], value)
            self.assertFalse(asksForSeveral(value), value)
        self.assertEqual(parseRange(b"bytes=0-5,,9-9", 100), [ByteRange(0, 6), ByteRange(9, 10)])
        self.assertTrue(asksForSeveral(b"bytes=0-5,,9-9"))
        for value in (b"bytes=,", b"bytes= , ,", b"bytes=,-"):
            self.assertIsNone(parseRange(value, 100), value)

    def test_ignored(self) -> None:
        """
        What is no range of bytes is as if it were not there.
        """
        for value in (
            b"bytes=",
            b"bytes=-",
            b"bytes=9-0",
            b"bytes=a-b",
            b"bytes=0x1-2",
            b"bytes=1-2-3",
            b"bytes=+1-2",
            b"bytes=0-9,x",
            b"lines=0-9",
            b"0-9",
            b"bytes=" + b"1" * 30 + b"-",
        ):
            self.assertIsNone(parseRange(value, 100), value)

    def test_unsatisfiable(self) -> None:
        """
        A range beyond the end cannot be had, nor can one of nothing.
        """
        for value, size in ((b"bytes=100-", 100), (b"bytes=-0", 100), (b"bytes=0-", 0)):
            self.assertRaises(Unsatisfiable, parseRange, value, size)

    def test_several(self) -> None:
        """
        Several ranges keep their order, and those beyond the end are left out.
        """
        self.assertEqual(
            parseRange(b"bytes=50-59, 0-9,200-", 100), [ByteRange(50, 60), ByteRange(0, 10)]
        )

    def test_abuse(self) -> None:
        """
        Asking for too many parts, or for more than the file by overlaps, gets the whole file.
        """
        many = b"bytes=" + b",".join(b"%d-%d" % (at, at) for at in range(MAX_RANGES + 1))
        self.assertIsNone(parseRange(many, 100))
        self.assertIsNone(parseRange(b"bytes=0-,0-,0-", 100))
        enough = b"bytes=" + b",".join(b"%d-%d" % (at, at) for at in range(MAX_RANGES))
        self.assertEqual(len(parseRange(enough, 100) or ()), MAX_RANGES)

    @given(strategies.binary(max_size=80), strategies.integers(0, 200))
    def test_anything(self, value: bytes, size: int) -> None:
        """
        Whatever is asked for, what comes out lies in the file and is no more than the file.
        """
        for asked in (value, b"bytes=" + value):
            try:
                found = parseRange(asked, size)
            except Unsatisfiable:
                continue
            for start, stop in found or ():
                self.assertTrue(0 <= start < stop <= size)
            self.assertLessEqual(sum(stop - start for start, stop in found or ()), size)


class MultipartTests(SynchronousTestCase):
    """
    Several parts in one body.
    """

    def test_layout(self) -> None:
        """
        Every part says what it is and where it lies, and the length is exact.
        """
        data = bytes(range(100))
        pieces, length = multipart([ByteRange(0, 2), ByteRange(98, 100)], 100, b"text/plain", b"XX")
        body = b"".join(
            piece if isinstance(piece, bytes) else data[piece.start : piece.stop]
            for piece in pieces
        )
        self.assertEqual(
            body,
            b"--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/100\r\n\r\n\x00\x01"
            b"\r\n--XX\r\nContent-Type: text/plain\r\nContent-Range: bytes 98-99/100\r\n\r\n\x62\x63"
            b"\r\n--XX--\r\n",
        )
        self.assertEqual(len(body), length)
