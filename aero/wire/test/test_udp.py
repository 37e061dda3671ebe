"""
Tests for L{aero.wire.udp}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.wire import udp

#: A DNS query and its answer (l2.md section 16.7), from the UDP header on.
QUERY = bytes.fromhex("cf0800350024129d123401000001000000000000044563686f054c6f63616c0000010001")
ANSWER = bytes.fromhex(
    "0035cf08003495a1123481800001000100000000044563686f054c6f63616c0000010001"
    "c00c000100010000003c0004cb00710a"
)
GUEST, GATEWAY = 0x0A00020F, 0x0A000202


class UDPTests(SynchronousTestCase):
    """
    Datagrams.
    """

    def test_build(self) -> None:
        """
        The answer of the transcript is made byte for byte.
        """
        self.assertEqual(udp.build(GATEWAY, 53, GUEST, 53000, ANSWER[8:]), ANSWER)

    def test_verify(self) -> None:
        """
        The query of the transcript is right; with another sender or a changed byte it is not.
        """
        end = len(QUERY)
        self.assertEqual(udp.verify(QUERY, 0, end, GUEST, GATEWAY), "")
        self.assertEqual(udp.verify(QUERY, 0, end, GUEST + 1, GATEWAY), "checksum")
        changed = QUERY[:-1] + b"\x02"
        self.assertEqual(udp.verify(changed, 0, end, GUEST, GATEWAY), "checksum")

    def test_noChecksum(self) -> None:
        """
        A sender may leave the checksum out.
        """
        bare = QUERY[:6] + b"\0\0" + QUERY[8:]
        self.assertEqual(udp.verify(bare, 0, len(bare), GUEST, GATEWAY), "")

    def test_truncated(self) -> None:
        """
        A datagram cut anywhere is refused; padding behind it is not.
        """
        for length in range(len(QUERY)):
            expected = "short" if length < 8 else "length"
            self.assertEqual(udp.verify(QUERY, 0, length, GUEST, GATEWAY), expected)
        padded = QUERY + bytes(10)
        self.assertEqual(udp.verify(padded, 0, len(padded), GUEST, GATEWAY), "")

    def test_lengthBelowHeader(self) -> None:
        """
        A length field below 8 is refused.
        """
        changed = QUERY[:4] + b"\0\x07" + QUERY[6:]
        self.assertEqual(udp.verify(changed, 0, len(changed), GUEST, GATEWAY), "length")

    def test_zeroSum(self) -> None:
        """
        A checksum that comes out as 0 is sent as 0xFFFF, and is right.
        """
        for value in range(65_536):
            made = udp.build(GUEST, 1, GATEWAY, 2, value.to_bytes(2, "big"))
            self.assertNotEqual(made[6:8], b"\0\0")
            if made[6:8] == b"\xff\xff":
                self.assertEqual(udp.verify(made, 0, len(made), GUEST, GATEWAY), "")
                break
        else:
            self.fail("no payload gave the sum 0")
