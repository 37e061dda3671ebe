"""
Tests for L{aero.wire.icmpv4}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.wire import icmpv4

#: An echo and its reply (l2.md section 16.5), from the ICMP header on.
ASKED = bytes.fromhex("080006fa1234000170696e67")
ANSWERED = bytes.fromhex("00000efa1234000170696e67")


class ICMPTests(SynchronousTestCase):
    """
    Messages.
    """

    def test_build(self) -> None:
        """
        The reply of the transcript is made byte for byte.
        """
        self.assertEqual(icmpv4.build(icmpv4.ECHO_REPLY, 0, 0x12340001, b"ping"), ANSWERED)

    def test_verify(self) -> None:
        """
        The request of the transcript is right; with any bit changed it is not.
        """
        self.assertEqual(icmpv4.verify(ASKED, 0, len(ASKED)), "")
        for bit in range(len(ASKED) * 8):
            changed = bytearray(ASKED)
            changed[bit // 8] ^= 1 << bit % 8
            self.assertEqual(icmpv4.verify(bytes(changed), 0, len(ASKED)), "checksum")

    def test_truncated(self) -> None:
        """
        Less than a header is refused as such.
        """
        for length in range(8):
            self.assertEqual(icmpv4.verify(ASKED, 0, length), "short")

    def test_quote(self) -> None:
        """
        An error repeats what fits in 576 bytes with two headers, or what there is.
        """
        packet = bytes([0x46]) + bytes(2_000)
        self.assertEqual(icmpv4.quote(packet, 0, len(packet)), packet[:548])
        self.assertEqual(icmpv4.quote(packet, 4, 28), packet[4:28])
