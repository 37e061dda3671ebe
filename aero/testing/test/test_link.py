"""
Tests for L{aero.testing.link}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.link import LossyLink

FRAMES = [bytes((number,)) for number in range(200)]


class LossyLinkTests(SynchronousTestCase):
    """
    One direction of a link.
    """

    def run_(self, link: LossyLink, frames: list[bytes] = FRAMES) -> list[bytes]:
        """
        Send all at once, and wait for what arrives.
        """
        for frame in frames:
            link.send(frame, 0.0)
        arrived = []
        while (at := link.nextTimeout()) is not None:
            arrived += link.receive(at)
        return arrived

    def test_perfect(self) -> None:
        """
        Without faults everything arrives, in order and after the delay.
        """
        link = LossyLink(delay=0.5)
        link.send(b"frame", 1.0)
        self.assertEqual(link.receive(1.49), [])
        self.assertEqual(link.nextTimeout(), 1.5)
        self.assertEqual(link.receive(1.5), [b"frame"])
        self.assertIsNone(link.nextTimeout())
        self.assertEqual(self.run_(LossyLink()), FRAMES)

    def test_loss(self) -> None:
        """
        About as many are lost as was asked for, and counted.
        """
        link = LossyLink(1, loss=0.5)
        arrived = self.run_(link)
        self.assertEqual((link.sent, link.lost), (200, 200 - len(arrived)))
        self.assertTrue(60 < len(arrived) < 140)
        self.assertEqual(arrived, sorted(arrived))

    def test_duplicate(self) -> None:
        """
        Some arrive twice.
        """
        arrived = self.run_(LossyLink(1, duplicate=0.3))
        self.assertEqual(sorted(set(arrived)), FRAMES)
        self.assertGreater(len(arrived), 220)

    def test_reorder(self) -> None:
        """
        Some are overtaken, and none is lost.
        """
        arrived = self.run_(LossyLink(1, reorder=0.3))
        self.assertNotEqual(arrived, FRAMES)
        self.assertEqual(sorted(arrived), FRAMES)

    def test_repeatable(self) -> None:
        """
        The same seed gives the same run; another gives another.
        """
        runs = [
            self.run_(LossyLink(seed, loss=0.2, duplicate=0.2, reorder=0.2)) for seed in (7, 7, 8)
        ]
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_ring(self) -> None:
        """
        What comes faster than the guest deals with it finds the ring full.
        """
        link = LossyLink(ring=8, service=0.001)
        self.assertEqual(self.run_(link), FRAMES[:8])
        self.assertEqual((link.overrun, link.lost), (192, 192))
        slow = LossyLink(ring=8, service=0.001)
        arrived = []
        for number, frame in enumerate(FRAMES):
            slow.send(frame, number * 0.001)
            arrived += slow.receive(number * 0.001)
        arrived += self.run_(slow, [])
        self.assertEqual(arrived, FRAMES)

    def test_service(self) -> None:
        """
        Frames that come together are dealt with one after the other.
        """
        link = LossyLink(delay=1.0, service=0.25)
        for frame in (b"a", b"b"):
            link.send(frame, 0.0)
        self.assertEqual(link.receive(1.0), [])
        self.assertEqual(link.receive(1.25), [b"a"])
        self.assertEqual(link.nextTimeout(), 1.5)
        self.assertEqual(link.receive(1.5), [b"b"])
