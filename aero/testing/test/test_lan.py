"""
Tests for L{aero.testing.lan}.
"""

from __future__ import annotations

from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo
from twisted.trial.unittest import SynchronousTestCase

from aero.net.resolver import LookupFailed
from aero.testing.lan import LANRig, MemoryNames


class LANRigTests(SynchronousTestCase):
    """
    A LAN without a network.
    """

    def test_anyProtocol(self) -> None:
        """
        Any protocol of Twisted's runs in it, as the documentation says.
        """
        rig = LANRig()
        factory = Factory.forProtocol(Echo)
        factory.noisy = False
        rig.lan.listenTCP(7, factory)
        connection = rig.guest.connect("10.0.2.2", 7)
        connection.write(b"hello")
        rig.settle()
        self.assertEqual(connection.received, b"hello")

    def test_faults(self) -> None:
        """
        What the guest was sent and must not be is found when things settle.
        """
        rig = LANRig()
        self.assertRaises(AssertionError, rig.guest.sendFrames, [b"nonsense"])
        self.assertRaises(AssertionError, rig.settle)

    def test_names(self) -> None:
        """
        Names are what the test says.
        """
        names = MemoryNames({"a": ["192.0.2.1"]})
        self.assertEqual(self.successResultOf(names.resolve("a")), ["192.0.2.1"])
        self.failureResultOf(names.resolve("b"), LookupFailed)
