"""
Guests whose NIC loses frames, because of a bad link or of a ring that is full: what they transfer
arrives whole. How fast is in C{docs/performance.md}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.guest import KernelGuest
from tests.support.guestprograms import HALF_CLOSE
from tests.support.guestrig import FULL, MIB, REMOTE, blockDigest, server, settle
from tests.support.tools import require


class LossTests(SynchronousTestCase):
    """
    Downloads over links that lose.
    """

    def _download(self, size: int, *, frames: int = 0, **link: Any) -> None:
        """
        Download, with losses on the way that are known to have happened.

        @param frames: The least number of frames that must have been lost.
        """
        require("nsenter")
        aero = server()
        with KernelGuest(aero, **link) as guest:
            guest.configure()
            pipe = f"curl -sS -m 300 http://{REMOTE}/{size} | sha256sum"
            shown = guest.run("sh", "-c", pipe, timeout=320)
            self.assertEqual(shown.split()[0], blockDigest(size))
            self.assertGreaterEqual(guest.order("stats")["lost"], frames)
            # What goes the other way depends on acknowledgments that are lost.
            shown = guest.python(HALF_CLOSE, REMOTE, "9", str(MIB))
            self.assertEqual(shown.split(), [str(MIB), blockDigest(MIB)])
        settle(aero)

    def test_onePercent(self) -> None:
        """
        One frame of a hundred is lost.
        """
        self._download((256 if FULL else 16) * MIB, frames=50, loss=0.01, seed=1)

    def test_fivePercent(self) -> None:
        """
        One frame of twenty is lost.
        """
        self._download((128 if FULL else 8) * MIB, frames=100, loss=0.05, seed=2)

    def test_ringOfEight(self) -> None:
        """
        The ring holds eight frames, as that of an NE2000, and the guest takes four in a
        millisecond.
        """
        self._download((64 if FULL else 8) * MIB, frames=1, ring=8, drain=4_000)

    def test_slowRingOfEight(self) -> None:
        """
        The same with a guest that takes one in a millisecond.
        """
        self._download((16 if FULL else 4) * MIB, frames=1, ring=8, drain=1_000)

    def test_all(self) -> None:
        """
        A small ring, and a link that loses one of fifty.
        """
        self._download((8 if FULL else 2) * MIB, frames=10, ring=8, drain=4_000, loss=0.02, seed=3)
