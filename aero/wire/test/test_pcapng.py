"""
Tests for L{aero.wire.pcapng}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire.pcapng import (
    INBOUND,
    OUTBOUND,
    enhancedPacket,
    interfaceDescription,
    packetSize,
    sectionHeader,
)

# l2.md section 19, from the reference.
SECTION = (
    "0a0d0d0a340000004d3c2b1a01000000ffffffffffffffff04000d006165726f2d6c322d70726f7879000000"
    "0000000034000000"
)
INTERFACE = (
    "010000003000000001000000ffff0000020009006c322d74756e6e656c000000090001000900000000000000"
    "30000000"
)
PACKET = (
    "0600000034000000000000000000f017785634120600000006000000aaaaaaaaaaaa00000200040001000000"
    "0000000034000000"
)


class BlockTests(SynchronousTestCase):
    """
    The blocks, byte for byte.
    """

    def test_headers(self) -> None:
        """
        A file begins with the golden section header and interface description.
        """
        self.assertEqual(sectionHeader("aero-l2-proxy").hex(), SECTION)
        self.assertEqual(interfaceDescription("l2-tunnel").hex(), INTERFACE)

    def test_packet(self) -> None:
        """
        A frame becomes the golden block; the direction is in its flags.
        """
        frame = b"\xaa" * 6
        self.assertEqual(enhancedPacket(frame, 0x17F0000012345678, INBOUND).hex(), PACKET)
        outbound = PACKET.replace("0200040001000000", "0200040002000000")
        self.assertEqual(enhancedPacket(frame, 0x17F0000012345678, OUTBOUND).hex(), outbound)

    @given(st.binary(max_size=70), st.integers(0, 2**64 - 1))
    def test_sizes(self, frame: bytes, nanoseconds: int) -> None:
        """
        A block is as long as L{packetSize} says, says so at both ends, and is padded to four.
        """
        block = enhancedPacket(frame, nanoseconds, INBOUND)
        size = packetSize(len(frame))
        self.assertEqual((len(block), size % 4), (size, 0))
        self.assertEqual(block[4:8], size.to_bytes(4, "little"))
        self.assertEqual(block[-4:], block[4:8])
        self.assertEqual(block[28 : 28 + len(frame)], frame)
