"""
Tests for L{aero.auth.strictjson}.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from aero.auth import strictjson
from aero.errors import DecodeError
from aero.testing.properties import given, strategies

_VALUES = strategies.recursive(
    strategies.one_of(
        strategies.none(),
        strategies.booleans(),
        strategies.integers(),
        strategies.floats(allow_nan=False, allow_infinity=False),
        strategies.text(),
    ),
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=3),
        strategies.dictionaries(strategies.text(), inner, max_size=3),
    ),
    max_leaves=8,
)


class ParseObjectTests(SynchronousTestCase):
    """
    L{strictjson.parseObject}.
    """

    def test_accepted(self) -> None:
        """
        An object is read; white space around it and unknown members are fine.
        """
        for data, expected in (
            (b"{}", {}),
            (b' \r\n\t{"a":1}\n', {"a": 1}),
            (b'{"a":1,"a":2}', {"a": 2}),
            (b'{"\xc3\xa4":"\\u00e4"}', {"\xe4": "\xe4"}),
            (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ):
            self.assertEqual(strictjson.parseObject(data), expected)

    def test_refused(self) -> None:
        """
        What another language reads otherwise, or not at all, is an error.
        """
        for data in (
            b"",
            b"null",
            b"[]",
            b'"{}"',
            b"1",
            b"{} {}",
            b"{}x",
            b"{}\x00",
            b'{"a":1,}',
            b"{a:1}",
            b"{'a':1}",
            b'{"a":NaN}',
            b'{"a":Infinity}',
            b'{"a":-Infinity}',
            b'{"a":01}',
            b'{"a":+1}',
            b'{"a":"\n"}',
            b'{"a":"\xff"}',
            b'{"a":"\xed\xa0\x80"}',
            b"\xef\xbb\xbf{}",
            "{}".encode("utf-16"),
            b"\xc2\xa0{}",
            b'{"a":' + b"9" * 5_000 + b"}",
            b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"a":' * 100_000,
        ):
            self.assertRaises(DecodeError, strictjson.parseObject, data)

    @given(strategies.binary(max_size=50))
    def test_anything(self, data: bytes) -> None:
        """
        Any bytes are an object or an error.
        """
        for candidate in (data, b'{"a":' + data + b"}"):
            try:
                value = strictjson.parseObject(candidate)
            except DecodeError:
                continue
            self.assertEqual(value, json.loads(candidate.decode("utf-8")))


class DumpTests(SynchronousTestCase):
    """
    L{strictjson.dump}.
    """

    def test_bytes(self) -> None:
        """
        The text is compact, keeps the order of keys, and writes characters as themselves.
        """
        self.assertEqual(
            strictjson.dump({"b": 1, "a": "\xe4\u2028/\x01", "c": [None, True]}),
            b'{"b":1,"a":"\xc3\xa4\xe2\x80\xa8/\\u0001","c":[null,true]}',
        )

    def test_refused(self) -> None:
        """
        What JSON or UTF-8 cannot hold is an error and never a text that nobody can read.
        """
        for value in (float("nan"), float("inf"), "\ud800"):
            self.assertRaises(ValueError, strictjson.dump, {"a": value})

    @given(strategies.dictionaries(strategies.text(), _VALUES, max_size=4))
    def test_roundTrip(self, value: dict[str, object]) -> None:
        """
        What is written is read back.
        """
        self.assertEqual(strictjson.parseObject(strictjson.dump(value)), value)


class IsTextTests(SynchronousTestCase):
    """
    L{strictjson.isText}.
    """

    def test_text(self) -> None:
        """
        Strings of whole characters are text, and nothing else is.
        """
        for text in ("", "a", "\U0001f600", "\ufffd", "\x00"):
            self.assertTrue(strictjson.isText(text))
        for value in (None, 1, True, b"a", ["a"], "\ud800", "a\udfff"):
            self.assertFalse(strictjson.isText(value), ascii(value))
