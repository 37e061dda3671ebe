"""
Tests for L{aero.wire.checksum}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire.checksum import checksum, onesSum, pseudoHeader


def wordByWord(data: bytes, initial: int = 0) -> int:
    """
    RFC 1071 section 4.1 to the letter.
    """
    total = initial
    padded = data + b"\0" * (len(data) % 2)
    for index in range(0, len(padded), 2):
        total += padded[index] << 8 | padded[index + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class ChecksumTests(SynchronousTestCase):
    """
    Sums and checksums.
    """

    def test_rfc1071(self) -> None:
        """
        The example of RFC 1071 section 3.
        """
        self.assertEqual(onesSum(bytes.fromhex("0001f203f4f5f6f7")), 0xDDF2)

    def test_ipv4Header(self) -> None:
        """
        The header of an OFFER of the reference (l2.md section 16.4) is right, and any bit
        changed makes it wrong.
        """
        header = bytes.fromhex("4500013a0001400040112db10a000202ffffffff")
        self.assertEqual(checksum(header), 0)
        for bit in range(len(header) * 8):
            changed = bytearray(header)
            changed[bit // 8] ^= 1 << bit % 8
            self.assertNotEqual(checksum(changed), 0)

    def test_zeros(self) -> None:
        """
        Only nothing but zeros sums to 0.
        """
        self.assertEqual(onesSum(b""), 0)
        self.assertEqual(onesSum(bytes(40)), 0)
        self.assertEqual(onesSum(b"\xff\xff"), 0xFFFF)
        self.assertEqual(onesSum(b"\xff\xfe\x00\x01"), 0xFFFF)
        self.assertEqual(checksum(b"\xff\xff"), 0)

    @given(st.binary(max_size=200), st.integers(0, 0x3FFFF))
    def test_asWordByWord(self, data: bytes, initial: int) -> None:
        """
        The fast way gives what the RFC's way gives, for odd lengths and views as well.
        """
        expected = wordByWord(data, initial)
        self.assertEqual(onesSum(data, initial), expected)
        self.assertEqual(onesSum(memoryview(data), initial), expected)

    def test_large(self) -> None:
        """
        Large buffers of every kind of length, the largest packet and more among them.
        """
        for size in (1024, 1025, 1480, 8191, 8192, 8193, 32_769, 65_515, 65_535, 200_001):
            for data in (bytes(size), b"\xff" * size, bytes(at * 7 & 0xFF for at in range(size))):
                self.assertEqual(onesSum(data, 0x1234), wordByWord(data, 0x1234))
                self.assertEqual(onesSum(data), wordByWord(data))

    @given(st.binary(max_size=100).map(lambda data: data + data), st.binary(max_size=60))
    def test_partsAdd(self, first: bytes, second: bytes) -> None:
        """
        The sum over two parts is the sum of the second begun with that of the first.
        """
        self.assertEqual(onesSum(second, onesSum(first)), onesSum(first + second))

    def test_pseudoHeader(self) -> None:
        """
        It is the sum over the twelve bytes that RFC 768 draws.
        """
        drawn = bytes.fromhex("0a00020fcb00710a00060014")
        self.assertEqual(
            onesSum(b"", pseudoHeader(0x0A00020F, 0xCB00710A, 6, 20)), wordByWord(drawn)
        )
