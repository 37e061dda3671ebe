"""
Tests for L{aero.tls.acme.schedule}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import aero.testing.properties  # noqa: F401

from ..authority import KINDS, ACMEError, Window
from ..schedule import (
    LONGEST_BACKOFF,
    OTHER_KIND,
    Setback,
    renewalTime,
    windowInterval,
)
from .fixtures import DAY, EPOCH

_dice = st.floats(0, 1)


class RenewalTests(SynchronousTestCase):
    """
    Tests for L{renewalTime}.
    """

    def test_thirdOfLifeLeft(self) -> None:
        """
        Without a word of the authority a third of a certificate's life is left when it is renewed,
        or up to a thirtieth more.
        """
        end = EPOCH + 90 * DAY
        self.assertEqual(renewalTime(EPOCH, end, 0.0, None), EPOCH + 60 * DAY)
        self.assertEqual(renewalTime(EPOCH, end, 1.0, None), EPOCH + 57 * DAY)

    def test_window(self) -> None:
        """
        Inside of the authority's window chance decides.
        """
        window = Window(EPOCH + DAY, EPOCH + 3 * DAY)
        end = EPOCH + 90 * DAY
        self.assertEqual(renewalTime(EPOCH, end, 0.5, window), EPOCH + 2 * DAY)

    def test_absurdWindow(self) -> None:
        """
        A window behind the end of the certificate is not waited for.
        """
        window = Window(EPOCH + 200 * DAY, EPOCH + 300 * DAY)
        self.assertEqual(renewalTime(EPOCH, EPOCH + DAY, 0.0, window), EPOCH + DAY - 3_600)

    @given(st.floats(1, 400 * DAY), _dice, st.floats(0, 4e9), st.floats(0, 4e9))
    def test_beforeTheEnd(self, life: float, dice: float, begin: float, length: float) -> None:
        """
        Whatever the authority says, there is time left when a certificate is renewed.
        """
        for window in (None, Window(begin, begin + length)):
            when = renewalTime(EPOCH, EPOCH + life, dice, window)
            self.assertLess(when, EPOCH + life)


class WindowIntervalTests(SynchronousTestCase):
    """
    Tests for L{windowInterval}.
    """

    def test_bounds(self) -> None:
        """
        The authority's word counts between a minute and a day, six hours where there is none.
        """
        for said, expected in ((None, 21_600), (0, 60), (7_200, 7_200), (1e9, 86_400)):
            self.assertEqual(windowInterval(Window(0, 1, said)), expected)
        self.assertEqual(windowInterval(None), 21_600)


class SetbackTests(SynchronousTestCase):
    """
    Tests for L{Setback}.
    """

    def after(self, errors: list[ACMEError], dice: float = 0.0, kinds: int = 2) -> list[float]:
        """
        The waits after these failures, one right after the other.
        """
        waits, setback = [], Setback()
        for error in errors:
            setback = setback.after(error, EPOCH, dice, base=300, kinds=kinds)
            waits.append(setback.until - EPOCH)
        return waits

    def test_otherKindFirst(self) -> None:
        """
        A failed challenge is tried by the other kind soon, then the waits double to six hours.
        """
        waits = self.after([ACMEError("unauthorized", "")] * 10)
        self.assertEqual(waits[:4], [OTHER_KIND, 300, 600, 1_200])
        self.assertEqual(waits[-1], LONGEST_BACKOFF)

    def test_oneKind(self) -> None:
        """
        With one kind of challenge there is nothing to be quick about.
        """
        self.assertEqual(self.after([ACMEError("dns", "")] * 2, kinds=1), [300, 600])

    def test_unreachable(self) -> None:
        """
        Another kind of challenge does not help with an authority that is away.
        """
        self.assertEqual(self.after([ACMEError("unreachable", "")] * 3), [300, 300, 600])

    def test_fiveInAnHour(self) -> None:
        """
        A site that nobody can reach makes no more than five attempts in its first hour, which is
        what Let's Encrypt lets fail.
        """
        waits = self.after([ACMEError("connection", "")] * 8)
        begins = [sum(waits[:count]) for count in range(len(waits) + 1)]
        self.assertEqual(sum(begin < 3_600 for begin in begins), 5)

    def test_retryAfter(self) -> None:
        """
        The authority's own wait is kept and remembered as such; a shorter one than ours is not.
        """
        setback = Setback().after(
            ACMEError("rateLimited", "", 9_000.0), EPOCH, 0.0, base=300, kinds=2
        )
        self.assertEqual((setback.until, setback.told), (EPOCH + 9_000, True))
        setback = Setback().after(ACMEError("serverInternal", "", 1.0), EPOCH, 0.0, base=5, kinds=2)
        self.assertEqual((setback.until, setback.told), (EPOCH + 5, False))

    def test_kinds(self) -> None:
        """
        The kinds of challenges take turns.
        """
        self.assertEqual([Setback(count).kind(KINDS) for count in range(3)], [*KINDS, KINDS[0]])

    @given(st.integers(0, 10**9), _dice, st.floats(1, 86_400), st.none() | st.floats(0, 1e6))
    def test_patience(self, failures: int, dice: float, base: float, told: float | None) -> None:
        """
        No wait is shorter than the authority asks for, and none is endless.
        """
        error = ACMEError("rateLimited", "", told)
        wait = Setback(failures).after(error, 0.0, dice, base=base, kinds=2).until
        self.assertGreaterEqual(wait, told or 0)
        self.assertLessEqual(wait, max(1.2 * max(LONGEST_BACKOFF, base), 1.05 * (told or 0)))
