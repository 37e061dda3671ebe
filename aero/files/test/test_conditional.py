"""
Tests for L{aero.files.conditional}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.files.conditional import MAX_TAGS, Verdict, evaluate, httpDate, rangeApplies
from aero.testing.properties import given, strategies

TAG = b'"abc-1"'
WHEN = 1_700_000_000
EARLIER, NOW, LATER = (httpDate(WHEN + step) for step in (-1, 0, 1))


def verdict(**conditions: Any) -> Verdict:
    asked: dict[str, Any] = dict.fromkeys(
        ("ifMatch", "ifUnmodifiedSince", "ifNoneMatch", "ifModifiedSince")
    )
    return evaluate(**{**asked, **conditions}, etag=TAG, modified=WHEN)


class EvaluateTests(SynchronousTestCase):
    """
    A client that has a file already is told so.
    """

    def test_none(self) -> None:
        """
        Without conditions the file is sent.
        """
        self.assertIs(verdict(), Verdict.PROCEED)

    def test_noneMatch(self) -> None:
        """
        The tag among those the client has, weak or not, or a star, means not modified.
        """
        for lines in ([TAG], [b"W/" + TAG], [b'"x", ' + TAG + b' , "y"'], [b'"x"', TAG], [b" * "]):
            self.assertIs(verdict(ifNoneMatch=lines), Verdict.NOT_MODIFIED, lines)
        for lines in ([b'"x"'], [b"abc-1"], [b'"abc-1'], [b""], [b'w/"abc-1"'], [b"*, *"]):
            self.assertIs(verdict(ifNoneMatch=lines), Verdict.PROCEED, lines)

    def test_tagWithComma(self) -> None:
        """
        A comma inside a tag does not end it.
        """
        self.assertIs(verdict(ifNoneMatch=[b'"a,' + TAG[1:]]), Verdict.PROCEED)

    def test_emptyElements(self) -> None:
        """
        Empty elements of a list of tags mean nothing (RFC 9110 section 5.6.1.2).
        """
        for value in (b"," + TAG, b'"a",,' + TAG, b'"a" , ,\t' + TAG + b",", TAG + b",,"):
            self.assertIs(verdict(ifNoneMatch=[value]), Verdict.NOT_MODIFIED, value)
            self.assertIs(verdict(ifMatch=[value]), Verdict.PROCEED, value)
        for value in (b",", b" , ,", b""):
            self.assertIs(verdict(ifNoneMatch=[value]), Verdict.PROCEED, value)

    def test_modifiedSince(self) -> None:
        """
        The date decides to the second, unless a tag was given or the date is none.
        """
        self.assertIs(verdict(ifModifiedSince=NOW), Verdict.NOT_MODIFIED)
        self.assertIs(verdict(ifModifiedSince=LATER), Verdict.NOT_MODIFIED)
        self.assertIs(verdict(ifModifiedSince=EARLIER), Verdict.PROCEED)
        self.assertIs(verdict(ifModifiedSince=b"yesterday"), Verdict.PROCEED)
        self.assertIs(verdict(ifModifiedSince=LATER, ifNoneMatch=[b'"x"']), Verdict.PROCEED)

    def test_match(self) -> None:
        """
        A client that insists on a version gets that or a failure; the tag must be strong.
        """
        self.assertIs(verdict(ifMatch=[b'"x", ' + TAG]), Verdict.PROCEED)
        self.assertIs(verdict(ifMatch=[b"*"]), Verdict.PROCEED)
        self.assertIs(verdict(ifMatch=[b"W/" + TAG]), Verdict.FAILED)
        self.assertIs(verdict(ifMatch=[b'"x"'], ifNoneMatch=[TAG]), Verdict.FAILED)

    def test_unmodifiedSince(self) -> None:
        """
        The same by date, where no tag was given.
        """
        self.assertIs(verdict(ifUnmodifiedSince=EARLIER), Verdict.FAILED)
        self.assertIs(verdict(ifUnmodifiedSince=NOW), Verdict.PROCEED)
        self.assertIs(verdict(ifUnmodifiedSince=b"?"), Verdict.PROCEED)
        self.assertIs(verdict(ifUnmodifiedSince=EARLIER, ifMatch=[TAG]), Verdict.PROCEED)

    def test_manyTags(self) -> None:
        """
        A list of tags is read to a bound and no further.
        """
        others = b",".join([b'"x"'] * (MAX_TAGS - 1)) + b","
        self.assertIs(verdict(ifNoneMatch=[others + TAG]), Verdict.NOT_MODIFIED)
        self.assertIs(verdict(ifNoneMatch=[b'"x",' + others + TAG]), Verdict.PROCEED)

    @given(strategies.binary(max_size=60), strategies.binary(max_size=60))
    def test_anything(self, tags: bytes, date: bytes) -> None:
        """
        Whatever a client sends has an outcome.
        """
        for name, value in {
            "ifMatch": [tags],
            "ifNoneMatch": [tags],
            "ifModifiedSince": date,
            "ifUnmodifiedSince": date,
        }.items():
            self.assertIsInstance(verdict(**{name: value}), Verdict)


class RangeAppliesTests(SynchronousTestCase):
    """
    A download is only resumed from the version it began with.
    """

    def test_conditions(self) -> None:
        """
        A strong tag or the exact date lets the range stand, nothing else does.
        """
        for value in (None, TAG, b" " + TAG, NOW):
            self.assertTrue(rangeApplies(value, TAG, WHEN), value)
        for other in (b"W/" + TAG, b'"x"', EARLIER, LATER, b"", b"*", b"abc-1"):
            self.assertFalse(rangeApplies(other, TAG, WHEN), other)


class HTTPDateTests(SynchronousTestCase):
    """
    Dates on the wire.
    """

    def test_format(self) -> None:
        """
        The example of RFC 9110 section 5.6.7 comes out as it stands there.
        """
        self.assertEqual(httpDate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT")
