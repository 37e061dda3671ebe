"""
Tests for L{aero.wire.ethernet}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.wire import ethernet

GUEST = bytes.fromhex("02aabbccddee")


class EthernetTests(SynchronousTestCase):
    """
    Headers and addresses.
    """

    def test_header(self) -> None:
        """
        Destination, source and type stand in this order, as in the reference's ARP reply
        (l2.md section 16.3).
        """
        made = ethernet.header(GUEST, bytes.fromhex("020000000001"), ethernet.ARP)
        self.assertEqual(made.hex(), "02aabbccddee0200000000010806")
        self.assertEqual(len(made), ethernet.HEADER)

    def test_group(self) -> None:
        """
        Broadcast and multicast addresses are for groups, a station's own is not.
        """
        self.assertTrue(ethernet.isGroup(ethernet.BROADCAST))
        self.assertTrue(ethernet.isGroup(bytes.fromhex("01005e000001")))
        self.assertFalse(ethernet.isGroup(GUEST))

    def test_text(self) -> None:
        """
        Addresses are written with colons.
        """
        self.assertEqual(ethernet.macText(GUEST), "02:aa:bb:cc:dd:ee")
