"""
Tests for L{aero.stack.tcp.sender}: the probe for a lost tail (RFC 8985 section 7).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import SendTCP

from .guest import SACK_PERMITTED, ScriptedGuest, mss, sacks
from .test_sender import acknowledge, established, places


class ProbeTests(SynchronousTestCase):
    """
    What a probe tells, and what it does not.
    """

    def begin(self, segments: int) -> ScriptedGuest:
        """
        A guest that selective acknowledgments were agreed with and so many segments left to; the
        round trip is 10 ms.
        """
        guest = established(mss(1000) + SACK_PERMITTED, keepaliveIdle=0.0)
        guest.apply(SendTCP(1, bytes(segments * 1000)))
        self.assertEqual(len(guest.receive()), segments)
        return guest

    def flightOf(self, guest: ScriptedGuest) -> tuple[int, int]:
        """
        Bytes believed to be on their way, and the congestion window.
        """
        sender = guest.table._byNumber[1].sender
        return sender.flight.pipe(), sender.cwnd.window

    def test_needlessSoon(self) -> None:
        """
        A probe that could not leave in time is not sent once the guest has said that it has the
        last segment: nothing stays counted as on its way, however often that happens.
        """
        guest = self.begin(0)
        for _ in range(5):
            guest.apply(SendTCP(1, bytes(2000)))
            guest.receive()
            guest.now += 0.02
            guest.table.handleTimeout(guest.now)
            end = guest.acknowledgment + 2000
            guest.send("A", options=sacks((end - 1000, end)))
            again = guest.receive() + [segment for _, segment in guest.advance(0.02)]
            self.assertEqual(places(guest, again), [0])
            acknowledge(guest, 2000)
            self.assertEqual(self.flightOf(guest)[0], 0)

    def test_oneSegment(self) -> None:
        """
        Where the probe would come later than the retransmission it takes its place, so that a
        single lost segment does not cost the congestion window.
        """
        guest = self.begin(1)
        window = self.flightOf(guest)[1]
        again = guest.advance(0.25)
        self.assertEqual([len(segment.data) for _, segment in again], [1000])
        self.assertEqual(self.flightOf(guest)[1], window)
        # Where that is lost as well, the timeout follows.
        later = guest.advance(0.5)
        self.assertEqual([len(segment.data) for _, segment in later], [1000])
        self.assertLess(self.flightOf(guest)[1], window)

    def test_spurious(self) -> None:
        """
        A guest that was only late acknowledges what was sent before the probe, and then that it
        has the last segment twice: nothing was lost, and the window stays.
        """
        guest = self.begin(8)
        window = self.flightOf(guest)[1]
        [(_, probe)] = guest.advance(0.05)
        self.assertEqual(places(guest, [probe]), [7000])
        acknowledge(guest, 8000)
        self.assertGreaterEqual(self.flightOf(guest)[1], window)
        guest.send("A", options=sacks((guest.acknowledgment - 1000, guest.acknowledgment)))
        guest.apply(SendTCP(1, bytes(1000)))
        guest.receive()
        acknowledge(guest, 1000)
        self.assertGreaterEqual(self.flightOf(guest)[1], window)

    def test_spuriousWithoutBlocks(self) -> None:
        """
        A guest that tells of no duplicates says the same again, which is as good.
        """
        guest = self.begin(8)
        window = self.flightOf(guest)[1]
        guest.advance(0.05)
        acknowledge(guest, 8000)
        acknowledge(guest, 0)
        guest.apply(SendTCP(1, bytes(1000)))
        guest.receive()
        acknowledge(guest, 1000)
        self.assertGreaterEqual(self.flightOf(guest)[1], window)

    def test_repaired(self) -> None:
        """
        A guest that never had the last segment twice goes on as if nothing had happened, and then
        the probe has repaired a loss, which costs the window what every loss costs.
        """
        guest = self.begin(8)
        window = self.flightOf(guest)[1]
        guest.advance(0.05)
        acknowledge(guest, 8000)
        guest.apply(SendTCP(1, bytes(4000)))
        guest.receive()
        acknowledge(guest, 4000)
        self.assertLess(guest.table._byNumber[1].sender.cwnd.threshold, 2 * window)
