"""
Tests for L{aero.auth.base64url}.
"""

from __future__ import annotations

import base64
import string

from twisted.trial.unittest import SynchronousTestCase

from aero.auth import base64url
from aero.errors import DecodeError
from aero.testing.properties import given, strategies

_ALPHABET = string.ascii_letters + string.digits + "-_"


class CodecTests(SynchronousTestCase):
    """
    L{base64url.encode} and L{base64url.decode}.
    """

    def test_known(self) -> None:
        """
        The examples of RFC 4648, with the URL alphabet and without padding.
        """
        for data, text in {
            b"": "",
            b"f": "Zg",
            b"fo": "Zm8",
            b"foo": "Zm9v",
            b"foob": "Zm9vYg",
            b"fooba": "Zm9vYmE",
            b"foobar": "Zm9vYmFy",
            b"\xfb\xff": "-_8",
        }.items():
            self.assertEqual(base64url.encode(data), text)
            self.assertEqual(base64url.decode(text), data)

    def test_refused(self) -> None:
        """
        Other characters, padding and lengths that no bytes have are errors.
        """
        for text in ("Zg==", "Zm9v=", "Z", "Zm9vY", "Zm 9", "Zm9v\n", "+/8", "Zm9\xe9", "\uff21A"):
            self.assertRaises(DecodeError, base64url.decode, text)
            self.assertRaises(DecodeError, base64url.decode, text, canonical=False)

    def test_canonical(self) -> None:
        """
        Bits that stand for nothing have to be zero, unless that is not asked for.
        """
        for text, data in {"AB": b"\0", "AAB": b"\0\0", "_x": b"\xff"}.items():
            self.assertRaises(DecodeError, base64url.decode, text)
            self.assertEqual(base64url.decode(text, canonical=False), data)

    @given(strategies.binary(max_size=100))
    def test_roundTrip(self, data: bytes) -> None:
        """
        Any bytes come back, and the text is that of the standard library.
        """
        text = base64url.encode(data)
        self.assertEqual(text + "=" * (-len(text) % 4), base64.urlsafe_b64encode(data).decode())
        self.assertEqual(base64url.decode(text), data)

    @given(strategies.one_of(strategies.text(max_size=20), strategies.text(_ALPHABET, max_size=20)))
    def test_oneSpelling(self, text: str) -> None:
        """
        A text is refused or the only one for its bytes.
        """
        try:
            data = base64url.decode(text)
        except DecodeError:
            return
        self.assertEqual(base64url.encode(data), text)


class LengthTests(SynchronousTestCase):
    """
    L{base64url.encodedLength}.
    """

    def test_length(self) -> None:
        """
        The length is that of real texts; less than no bytes have none.
        """
        for octets in range(258):
            self.assertEqual(
                base64url.encodedLength(octets), len(base64url.encode(b"\xff" * octets))
            )
        self.assertEqual(base64url.encodedLength(-1), 0)
        self.assertEqual(base64url.encodedLength(3 * 10**30), 4 * 10**30)


class PrefixTests(SynchronousTestCase):
    """
    L{base64url.decodePrefix}.
    """

    def test_prefix(self) -> None:
        """
        As much is decoded as there is before the fault, and no more than is wanted.
        """
        for text, octets, expected in (
            ("Zm9vYmFy", 4, b"foob"),
            ("Zm9vYmFy", 100, b"foobar"),
            ("Zm9v!mFy", 100, b"foo"),
            ("Zm9vY", 100, b"foo"),
            ("Zm9vYn", 100, b"foob"),
            ("!", 10, b""),
            ("", 10, b""),
            ("Zm9v", 0, b""),
        ):
            self.assertEqual(base64url.decodePrefix(text, octets), expected, (text, octets))

    @given(strategies.binary(max_size=40), strategies.integers(0, 50), strategies.text(max_size=9))
    def test_anyTail(self, data: bytes, octets: int, tail: str) -> None:
        """
        Whatever follows, the first whole groups are decoded.
        """
        text = base64url.encode(data) + tail
        found = base64url.decodePrefix(text, octets)
        self.assertLessEqual(len(found), octets)
        whole = min(len(data) // 3 * 3, octets)
        self.assertEqual(found[:whole], data[:whole])
