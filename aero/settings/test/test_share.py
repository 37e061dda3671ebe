"""
Tests for the settings of one worker of several.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.settings import load
from aero.settings._share import shareOf


class ShareTests(SynchronousTestCase):
    """
    L{shareOf}.
    """

    def ports(self, count: int, low: str, high: str) -> list[tuple[int, int]]:
        environ = {"WEBRTC_UDP_PORT_MIN": low, "WEBRTC_UDP_PORT_MAX": high}
        settings = load({}, environ)
        shares = [shareOf(settings, number, count).webrtc for number in range(count)]
        return [(share.portMin, share.portMax) for share in shares]

    def test_split(self) -> None:
        """
        Each worker has ports that no other has, and none is left over.
        """
        self.assertEqual(
            self.ports(3, "50000", "50100"), [(50000, 50032), (50033, 50065), (50066, 50100)]
        )

    def test_alone(self) -> None:
        """
        One worker has them all.
        """
        self.assertEqual(self.ports(1, "50000", "50100"), [(50000, 50100)])

    def test_tooFew(self) -> None:
        """
        A worker without a port would answer offers that nobody can use.
        """
        error = self.assertRaises(ConfigurationError, self.ports, 8, "50000", "50003")
        self.assertIn("WEBRTC_UDP_PORT_MAX", str(error))
