"""
Tests for L{aero.net.memory}.
"""

from __future__ import annotations

import ctypes

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ..memory import RELEASE_DELAY, ReleaseAfterPeak, returnFreedMemory


class ReleaseAfterPeakTests(SynchronousTestCase):
    """
    L{ReleaseAfterPeak}, with a fall of 100.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.released: list[float] = []
        self.memory = ReleaseAfterPeak(
            self.clock, 100, lambda: self.released.append(self.clock.seconds())
        )

    def test_fall(self) -> None:
        """
        Memory is returned once, some time after a fall from the peak.
        """
        for level in (50, 150, 120, 50, 10, 0):
            self.memory.changed(level)
        self.assertEqual(self.released, [])
        self.clock.advance(RELEASE_DELAY)
        self.assertEqual(self.released, [RELEASE_DELAY])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_steady(self) -> None:
        """
        A load that goes up and down a little leads to nothing.
        """
        for _ in range(50):
            for level in (1_000, 950, 901):
                self.memory.changed(level)
                self.clock.advance(1.0)
        self.assertEqual(self.released, [])

    def test_again(self) -> None:
        """
        The next peak counts from the level after the last one.
        """
        for level in (200, 50):
            self.memory.changed(level)
        self.clock.advance(RELEASE_DELAY)
        self.memory.changed(0)
        self.clock.advance(60.0)
        self.assertEqual(len(self.released), 1)
        for level in (120, 10):
            self.memory.changed(level)
        self.clock.advance(RELEASE_DELAY)
        self.assertEqual(len(self.released), 2)


class ReturnTests(SynchronousTestCase):
    """
    L{returnFreedMemory}.
    """

    def test_returns(self) -> None:
        """
        It works where the C library can, and says so.
        """
        self.assertIs(returnFreedMemory(), hasattr(ctypes.CDLL(None), "malloc_trim"))
