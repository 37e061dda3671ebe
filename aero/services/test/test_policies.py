"""
Tests for L{aero.services.policies}.
"""

from __future__ import annotations

import resource

from twisted.trial.unittest import SynchronousTestCase

from aero.services.policies import withinDescriptors
from aero.settings.shares import ShareSettings


class DescriptorTests(SynchronousTestCase):
    """
    Sockets and the descriptors that there are.
    """

    def test_few(self) -> None:
        """
        With few descriptors, half of them are for sockets to the outside.
        """
        found = withinDescriptors(ShareSettings(maxSockets=8_192, maxSocketsPerIP=7), 1_024)
        self.assertEqual((found.maxSockets, found.maxSocketsPerIP), (512, 7))

    def test_enough(self) -> None:
        """
        With enough, with any number, and without a limit, the settings hold.
        """
        wanted = ShareSettings(maxSockets=8_192)
        self.assertIs(withinDescriptors(wanted, 65_536), wanted)
        self.assertIs(withinDescriptors(wanted, resource.RLIM_INFINITY), wanted)
        none = ShareSettings()
        self.assertIs(withinDescriptors(none, 1_024), none)
