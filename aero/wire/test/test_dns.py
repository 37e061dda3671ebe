"""
Tests for L{aero.wire.dns}.
"""

from __future__ import annotations

import contextlib

import dns.name
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing.properties import given, strategies
from aero.wire.dns import (
    FORMERR,
    SERVFAIL,
    encodeName,
    identify,
    labelsOf,
    nameText,
    plainNameEnd,
    readName,
    shortAnswer,
)

HEADER = bytes(12)

labels = strategies.lists(strategies.binary(min_size=1, max_size=63), max_size=6).filter(
    lambda found: sum(len(label) + 1 for label in found) < 255
)


class NameTests(SynchronousTestCase):
    """
    Tests for names on the wire.
    """

    @given(labels)
    def test_roundTrip(self, found: list[bytes]) -> None:
        """
        A name of any labels is read as it was written, and dnspython agrees on its bytes.
        """
        name = encodeName(found)
        self.assertEqual(name, dns.name.Name([*found, b""]).to_wire())
        self.assertEqual(readName(HEADER + name + b"more", 12), (name, 12 + len(name)))
        self.assertEqual(plainNameEnd(HEADER + name + b"more", 12), 12 + len(name))
        self.assertEqual(labelsOf(name), found)

    @given(labels)
    def test_cutAnywhere(self, found: list[bytes]) -> None:
        """
        A name that is cut off anywhere is refused.
        """
        message = HEADER + encodeName(found)
        for size in range(12, len(message)):
            self.assertRaises(DecodeError, readName, message[:size], 12)
            self.assertRaises(DecodeError, plainNameEnd, message[:size], 12)

    def test_tooLong(self) -> None:
        """
        A name of 257 bytes is refused when it is read and when it is written (A180).
        """
        found = [b"a" * 63] * 4
        raw = b"".join(b"\x3f" + label for label in found) + b"\0"
        self.assertEqual(len(raw), 257)
        self.assertRaises(DecodeError, readName, HEADER + raw, 12)
        self.assertRaises(DecodeError, plainNameEnd, HEADER + raw, 12)
        self.assertRaises(DecodeError, encodeName, found)

    def test_longest(self) -> None:
        """
        A name of 255 bytes is fine.
        """
        name = encodeName([b"a" * 63] * 3 + [b"b" * 61])
        self.assertEqual(len(name), 255)
        self.assertEqual(readName(HEADER + name, 12)[0], name)

    def test_badLabels(self) -> None:
        """
        Empty labels and labels of more than 63 bytes cannot be written.
        """
        self.assertRaises(DecodeError, encodeName, [b""])
        self.assertRaises(DecodeError, encodeName, [b"a" * 64])

    def test_unknownKinds(self) -> None:
        """
        The two kinds of labels that were never given a meaning are refused.
        """
        for first in (0x40, 0x7F, 0x80, 0xBF):
            self.assertRaises(DecodeError, readName, HEADER + bytes([first, 0, 0]), 12)
            self.assertRaises(DecodeError, plainNameEnd, HEADER + bytes([first, 0, 0]), 12)

    def test_pointer(self) -> None:
        """
        A pointer is followed, and what comes after it is found.
        """
        message = HEADER + b"\1b\0" + b"\1a\xc0\x0c" + b"rest"
        self.assertEqual(readName(message, 15), (b"\1a\1b\0", 19))

    def test_pointerInPlainName(self) -> None:
        """
        A name that may have no pointer is refused with one.
        """
        self.assertRaises(DecodeError, plainNameEnd, HEADER + b"\1b\0\xc0\x0c", 15)

    def test_pointerLoops(self) -> None:
        """
        Pointers to themselves, forward, in circles or into the header are refused (A180).
        """
        for raw in (b"\xc0\x0c", b"\xc0\x0e\0", b"\1a\xc0\x0c", b"\xc0\x04", b"\xc0\x00", b"\xc0"):
            self.assertRaises(DecodeError, readName, HEADER + raw, 12)
        self.assertRaises(DecodeError, readName, HEADER + b"\xc0\x0e\xc0\x0c", 14)

    def test_pointerBeforeItself(self) -> None:
        """
        What a pointer leads to ends before the name that has it: a label that swallows the pointer
        was never a name.
        """
        self.assertRaises(DecodeError, readName, HEADER + b"\1\xc0\x0c" + b"a" * 12 + b"\0", 13)

    def test_manyHops(self) -> None:
        """
        A chain of 64 pointers is followed, one of 65 is refused (A180).
        """
        message = (
            HEADER
            + b"\0"
            + b"".join(
                (0xC000 | (12 if index == 0 else 11 + 2 * index)).to_bytes(2, "big")
                for index in range(65)
            )
        )
        self.assertEqual(readName(message, 13 + 2 * 63)[0], b"\0")
        self.assertRaises(DecodeError, readName, message, 13 + 2 * 64)

    @given(strategies.binary(max_size=300), strategies.integers(0, 300))
    def test_anyBytes(self, message: bytes, offset: int) -> None:
        """
        Whatever the bytes are, the name is valid or refused.
        """
        for read in (readName, plainNameEnd):
            with contextlib.suppress(DecodeError):
                read(message, offset)

    def test_text(self) -> None:
        """
        Names read as people write them, in lower case.
        """
        self.assertEqual(nameText(encodeName([b"WWW", b"Example", b"com"])), "www.example.com")
        self.assertEqual(nameText(b"\0"), "")
        self.assertEqual(nameText(encodeName(["\u00c4".encode(), b"de"])), "\u00e4.de")

    def test_textOfOddLabels(self) -> None:
        """
        A dot inside a label never looks like the dot between two.
        """
        self.assertEqual(nameText(encodeName([b"a.b"])), "a\\.b")
        self.assertEqual(nameText(encodeName([b"\xff\x00 c\\"])), "\\255\\000\\032c\\\\")

    @given(labels, labels)
    def test_textIsUnique(self, one: list[bytes], other: list[bytes]) -> None:
        """
        Names that differ in more than the case of letters never read the same.
        """
        first, second = encodeName(one), encodeName(other)
        if nameText(first) == nameText(second) and all(label.isascii() for label in one + other):
            self.assertEqual(first.lower(), second.lower())


class ShortAnswerTests(SynchronousTestCase):
    """
    Tests for L{shortAnswer} and L{identify}.
    """

    def test_withQuestion(self) -> None:
        """
        SERVFAIL with the question repeats id and RD (section 14.3).
        """
        question = b"\1a\0\0\1\0\1"
        self.assertEqual(
            shortAnswer(0x1234, 0x0100, SERVFAIL, question),
            bytes.fromhex("123481820001000000000000") + question,
        )

    def test_nothingKnown(self) -> None:
        """
        FORMERR to nothing readable is twelve bytes (section 14.3).
        """
        self.assertEqual(shortAnswer(0, 0, FORMERR), bytes.fromhex("000080810000000000000000"))

    @given(
        strategies.integers(0, 0xFFFF), strategies.integers(0, 0xFFFF), strategies.integers(0, 5)
    )
    def test_flags(self, ident: int, flags: int, rcode: int) -> None:
        """
        Of a query's flags only opcode, RD and CD come back.
        """
        got = identify(shortAnswer(ident, flags, rcode))
        self.assertEqual(got, (ident, 0x8080 | flags & 0x7910 | rcode))

    def test_identifyShort(self) -> None:
        """
        Of a cut header as much is used as there is.
        """
        whole = b"\x12\x34\x01\x00"
        found = [identify(whole[:size]) for size in range(5)]
        self.assertEqual(found, [(0, 0), (0, 0), (0x1234, 0), (0x1234, 0), (0x1234, 0x100)])
