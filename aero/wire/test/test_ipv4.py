"""
Tests for L{aero.wire.ipv4}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire import ipv4

#: An echo reply of the reference (l2.md section 16.5), from its IPv4 header on.
REPLY = bytes.fromhex("45000020000a4000400122c30a0002020a00020f00000efa1234000170696e67")

#: Made by scapy: a header with a router alert option (RFC 2113) in front of four bytes.
WITH_OPTION = bytes.fromhex("4600001c0001400040028dca0a00020f0a0002029404000061626364")


class VerifyTests(SynchronousTestCase):
    """
    L{ipv4.verify}.
    """

    def test_right(self) -> None:
        """
        A packet of the transcript is right, with padding behind it too.
        """
        self.assertEqual(ipv4.verify(REPLY, 0), "")
        self.assertEqual(ipv4.verify(bytes(14) + REPLY + bytes(14), 14), "")

    def test_options(self) -> None:
        """
        Options are part of the header and of its checksum.
        """
        self.assertEqual(ipv4.verify(WITH_OPTION, 0), "")
        header = bytearray(WITH_OPTION)
        header[21] ^= 1
        self.assertEqual(ipv4.verify(bytes(header), 0), "checksum")

    def test_truncated(self) -> None:
        """
        A packet cut anywhere is refused with the reason.
        """
        for length in range(len(REPLY)):
            expected = "short" if length < 20 else "length"
            self.assertEqual(ipv4.verify(REPLY[:length], 0), expected)

    def test_badFields(self) -> None:
        """
        Another version, a header shorter than 20 bytes, and a total length inside of the
        header are refused.
        """
        for index, value, expected in (
            (0, 0x65, "version"),
            (0, 0x44, "length"),
            (0, 0x4F, "length"),
            (3, 19, "length"),
            (8, 63, "checksum"),
        ):
            changed = bytearray(REPLY)
            changed[index] = value
            self.assertEqual(ipv4.verify(bytes(changed), 0), expected)

    @given(st.binary(max_size=80), st.integers(0, 20))
    def test_garbage(self, packet: bytes, offset: int) -> None:
        """
        Any bytes get an answer.
        """
        self.assertIn(ipv4.verify(packet, offset), ("", "short", "version", "length", "checksum"))


class RoutesItselfTests(SynchronousTestCase):
    """
    L{ipv4.routesItself}.
    """

    def _routes(self, options: str) -> bool:
        raw = bytes.fromhex(options)
        return ipv4.routesItself(bytes([0x45 + len(raw) // 4]) + bytes(19) + raw + b"\x83" * 8)

    def test_harmless(self) -> None:
        """
        No options, a router alert, a timestamp between paddings, and what follows the end of the
        options are fine.
        """
        for options in ("", "94040000", "0144080500000000000000" + "00", "00838383"):
            self.assertFalse(self._routes(options), options)

    def test_routes(self) -> None:
        """
        Loose and strict source routes are found, behind another option too.
        """
        for options in ("83070408080808" + "00", "89070408080808" + "00", "9404000083030400"):
            self.assertTrue(self._routes(options), options)

    def test_nonsense(self) -> None:
        """
        An option without a length, of less than its own two bytes, and beyond the header count
        as one.
        """
        for options in ("01010194", "94010000", "94000000", "94050000"):
            self.assertTrue(self._routes(options), options)


class HeaderTests(SynchronousTestCase):
    """
    L{ipv4.buildHeader}.
    """

    def test_golden(self) -> None:
        """
        The header of the transcript is made byte for byte.
        """
        made = ipv4.buildHeader(0x0A000202, 0x0A00020F, ipv4.ICMP, 12, 10)
        self.assertEqual(made, REPLY[:20])

    @given(
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 255),
        st.integers(0, 65_515),
        st.integers(0, 0xFFFF),
        st.integers(0, 0x3FFF),
    )
    def test_checksum(
        self, source: int, destination: int, protocol: int, length: int, number: int, flags: int
    ) -> None:
        """
        Whatever is in it, its checksum is right.
        """
        made = ipv4.buildHeader(source, destination, protocol, length, number, flags)
        self.assertEqual(ipv4.verify(made + bytes(length), 0), "")


class AddressTests(SynchronousTestCase):
    """
    Addresses as text and numbers.
    """

    def test_bothWays(self) -> None:
        """
        Text and number stand for each other.
        """
        for text, number in (("10.0.2.15", 0x0A00020F), ("255.255.255.255", 0xFFFFFFFF)):
            self.assertEqual(ipv4.addressText(number), text)
            self.assertEqual(ipv4.addressNumber(text), number)

    def test_refused(self) -> None:
        """
        Anything else is refused in words.
        """
        for text in ("10.0.2", "10.0.2.256", "a.b.c.d", "1.2.3.4.5", "::1", "1..2.3"):
            error = self.assertRaises(ValueError, ipv4.addressNumber, text)
            self.assertIn("is not an IPv4 address", str(error))
