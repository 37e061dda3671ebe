"""
Tests for L{aero.tunnel.ethernet.quota}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import l2 as rows
from aero.tunnel.ethernet.quota import MessageQuota


class QuotaTests(SynchronousTestCase):
    """
    L{MessageQuota}; what a tunnel makes of it is in C{test_tunnel}.
    """

    def test_unlimited(self) -> None:
        """
        Without limits everything passes, and nothing has to be asked.
        """
        quota = MessageQuota(0, 0, 0.0)
        self.assertFalse(quota.isMetered)
        self.assertIsNone(quota.received(10**9, 0.0))
        self.assertIsNone(quota.sent(10**9))
        self.assertEqual(quota.sentFrames([b"x"] * 3), 3)

    def test_frames(self) -> None:
        """
        Frames count with the four bytes in front of them.
        """
        self.assertEqual(MessageQuota(20, 0, 0.0).sentFrames([bytes(6)] * 3), 2)
        self.assertEqual(MessageQuota(19, 0, 0.0).sentFrames([bytes(6)] * 3), 1)

    def test_window(self) -> None:
        """
        A window is a second from its first message; one that was never full does not help.
        """
        quota = MessageQuota(0, 1, 0.0)
        self.assertIsNone(quota.received(0, 5.5))
        self.assertIs(quota.received(0, 6.4), rows.CLOSED_QUOTA_FPS)
        self.assertIsNone(quota.received(0, 6.5))
