"""
Tests for L{aero.wire.arp}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.wire.arp import REPLY, REQUEST, ARPPacket, parse

#: l2.md section 16.3: a request for the gateway, and the reference's reply.
ASKED = bytes.fromhex(
    "ffffffffffff02aabbccddee0806000108000604000102aabbccddee0a00020f0000000000000a000202"
)
ANSWERED = bytes.fromhex(
    "02aabbccddee020000000001080600010800060400020200000000010a00020202aabbccddee0a00020f"
)
GUEST, GATEWAY = 0x0A00020F, 0x0A000202


class ARPTests(SynchronousTestCase):
    """
    L{ARPPacket}.
    """

    def test_request(self) -> None:
        """
        The request of the transcript is read as one, with padding behind it as well.
        """
        expected = ARPPacket(REQUEST, ASKED[6:12], GUEST, bytes(6), GATEWAY)
        self.assertEqual(parse(ASKED, 14), expected)
        self.assertEqual(parse(ASKED + bytes(18), 14), expected)

    def test_reply(self) -> None:
        """
        The reply of the transcript is made byte for byte.
        """
        reply = ARPPacket(REPLY, bytes.fromhex("020000000001"), GATEWAY, ASKED[6:12], GUEST)
        self.assertEqual(reply.encode(), ANSWERED[14:])

    def test_truncated(self) -> None:
        """
        A packet cut anywhere is none.
        """
        for length in range(14, len(ASKED)):
            self.assertIsNone(parse(ASKED[:length], 14))

    def test_otherKinds(self) -> None:
        """
        Other hardware, protocols and sizes are not for this network.
        """
        for index in range(14, 20):
            changed = bytearray(ASKED)
            changed[index] ^= 1
            self.assertIsNone(parse(bytes(changed), 14))
