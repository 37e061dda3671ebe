"""
Tests for L{aero.wire.fieldlist}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies
from aero.wire.fieldlist import elements, firstElement, hasToken


class ElementTests(SynchronousTestCase):
    """
    Reading lists.
    """

    def test_emptyElements(self) -> None:
        """
        Empty elements are ignored wherever they stand, and white space around the others.
        """
        for lines in (
            [b"a,b"],
            [b"a, b"],
            [b",a,b"],
            [b"a,,b,"],
            [b" ,\ta ,, ,b\t, "],
            [b"a", b"b"],
            [b"", b"a,", b",", b"b"],
        ):
            with self.subTest(lines):
                self.assertEqual(list(elements(lines)), [b"a", b"b"])
        for lines in ([], [b""], [b","], [b" , ,\t"]):
            with self.subTest(lines):
                self.assertEqual(list(elements(lines)), [])
                self.assertIsNone(firstElement(lines))

    def test_tokens(self) -> None:
        """
        A token is found in any case, in any place, and only whole.
        """
        for value in (b"Upgrade", b"keep-alive,, UPGRADE,", b", upgrade"):
            self.assertTrue(hasToken([value], b"upgrade"), value)
        for value in (b"upgrades", b"up grade", b"", b"upgrade;q=1"):
            self.assertFalse(hasToken([value], b"upgrade"), value)

    @given(strategies.lists(strategies.sampled_from([b"a", b"bc", b"", b" ", b"\t"]), max_size=9))
    def test_anyEmptyElements(self, pieces: list[bytes]) -> None:
        """
        A list stays the same however many empty elements are put into it.
        """
        wanted = [piece for piece in pieces if piece.strip()]
        self.assertEqual(list(elements([b",".join(pieces)])), wanted)
