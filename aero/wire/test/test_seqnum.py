"""
Tests for L{aero.wire.seqnum}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire.seqnum import MASK, after, before, distance, within

NUMBERS = st.integers(0, MASK)


class SequenceTests(SynchronousTestCase):
    """
    Comparisons of numbers that wrap.
    """

    @given(NUMBERS, st.integers(1, 2**31 - 1))
    def test_order(self, start: int, ahead: int) -> None:
        """
        A number ahead comes after, wherever the wrap is.
        """
        end = (start + ahead) & MASK
        self.assertEqual(distance(start, end), ahead)
        self.assertEqual(distance(end, start), -ahead)
        self.assertTrue(before(start, end) and after(end, start))
        self.assertFalse(before(end, start) or after(start, end))

    @given(NUMBERS)
    def test_same(self, number: int) -> None:
        """
        A number is neither before nor after itself.
        """
        self.assertFalse(before(number, number) or after(number, number))
        self.assertEqual(distance(number, number), 0)

    @given(NUMBERS, st.integers(0, 70_000), st.integers(0, 70_000))
    def test_within(self, start: int, offset: int, length: int) -> None:
        """
        A range holds its first number and not the one behind its last, across the wrap.
        """
        self.assertEqual(within(start, (start + offset) & MASK, length), offset < length)
