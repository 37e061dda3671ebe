"""
Tests for L{aero.policy.forwarded}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.forwarded import forwardedFirst, forwardedFor
from aero.testing.properties import given
from aero.testing.properties import strategies as st


class ForwardedTests(SynchronousTestCase):
    """
    RFC 7239, as far as it is used.
    """

    def test_for(self) -> None:
        """
        There is one address for each element that names one, whatever its case and quotes.
        """
        for lines, expected in (
            ([], []),
            ([b"for=192.0.2.1"], [b"192.0.2.1"]),
            ([b'For="[2001:db8::1]:4711"'], [b"[2001:db8::1]:4711"]),
            ([b"by=a;for=192.0.2.1;proto=https, for=unknown"], [b"192.0.2.1", b"unknown"]),
            ([b"for=a", b"for=b,for=c"], [b"a", b"b", b"c"]),
            ([b"host=a;proto=http"], []),
            ([b'host="a,for=evil;for=evil";for=b'], [b"b"]),
            ([b'for="a\\"b"'], [b'a"b']),
            ([b" for = a "], [b"a"]),
        ):
            self.assertEqual(forwardedFor(lines), expected, lines)

    def test_first(self) -> None:
        """
        Host and scheme are those of the first element of the first line; what is no parameter
        ends the search.
        """
        example = b'for=203.0.113.1;host="allowed.test:443";proto="https", host=b'
        self.assertEqual(forwardedFirst([example], b"host"), b"allowed.test:443")
        self.assertEqual(forwardedFirst([example], b"proto"), b"https")
        self.assertEqual(forwardedFirst([b"HOST=a", b"host=b"], b"host"), b"a")
        self.assertEqual(forwardedFirst([b", ,host=a,"], b"host"), b"a")
        self.assertIsNone(forwardedFirst([b",", b"host=a"], b"host"))
        self.assertIsNone(forwardedFirst([], b"host"))
        self.assertIsNone(forwardedFirst([b"for=a, host=b"], b"host"))
        self.assertIsNone(forwardedFirst([b"nonsense;host=b"], b"host"))
        self.assertEqual(forwardedFirst([b"host=b;nonsense"], b"host"), b"b")

    @given(st.binary(max_size=60))
    def test_total(self, line: bytes) -> None:
        """
        Any line has a reading.
        """
        forwardedFor([line])
        forwardedFirst([line], b"host")

    def test_long(self) -> None:
        """
        Reading a line takes time in proportion to its length, and no more than some of it.
        """
        for line in (b'"' * 100_000, b'"a' * 50_000, b'for="\\' * 20_000, b"," * 100_000):
            self.assertLess(len(forwardedFor([line])), 10_000)
