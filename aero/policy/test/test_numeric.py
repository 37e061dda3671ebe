"""
Tests for L{aero.policy.numeric}.
"""

from __future__ import annotations

import ipaddress
import socket

from twisted.trial.unittest import SynchronousTestCase

from aero.policy import numeric
from aero.testing.properties import given, strategies

_FOURS = strategies.integers(0, 2**32 - 1)
_SIXES = strategies.one_of(
    strategies.integers(0, 2**128 - 1),
    strategies.lists(strategies.sampled_from([0, 0, 1, 0xFFFF]), min_size=8, max_size=8).map(
        lambda groups: int("".join(f"{group:04x}" for group in groups), 16)
    ),
)


class ParserTests(SynchronousTestCase):
    """
    L{numeric.parseIPv4} and L{numeric.parseIPv6}.
    """

    def test_IPv4(self) -> None:
        """
        Only four decimal parts without leading zeros are a literal.
        """
        self.assertEqual(numeric.parseIPv4("1.2.3.4"), 0x01020304)
        for text in ("", "1.2.3", "1.2.3.4.", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", "1.2.3.\u0664"):
            self.assertIsNone(numeric.parseIPv4(text), ascii(text))

    def test_IPv6(self) -> None:
        """
        All forms of RFC 4291 are read.
        """
        for text, expected in {
            "::": 0,
            "::1": 1,
            "1::": 1 << 112,
            "1:2:3:4:5:6:7:8": 0x00010002000300040005000600070008,
            "1:2:3:4:5:6:7::": 0x00010002000300040005000600070000,
            "::ffff:1.2.3.4": 0xFFFF01020304,
            "ABCD::": 0xABCD << 112,
        }.items():
            self.assertEqual(numeric.parseIPv6(text), expected, text)

    def test_IPv6Refused(self) -> None:
        """
        Stray colons, too many groups, zones and sloppy IPv4 tails are no address.
        """
        for text in (
            "",
            ":",
            ":::",
            "1:::2",
            "1::2::3",
            ":1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:",
            ":1::",
            "::1:",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8",
            "12345::",
            "g::",
            "[::1]",
            "::1%eth0",
            "fe80::1%",
            "::ffff:01.2.3.4",
            "::ffff:1.2.3",
            "::ffff:1.2.3.256",
            "::1.2.3.4:5",
            "1.2.3.4",
            "::1 ",
            "0" * 200 + "::1",
        ):
            self.assertIsNone(numeric.parseIPv6(text), text)

    @given(_FOURS)
    def test_IPv4Text(self, address: int) -> None:
        """
        An IPv4 address is written as the C library does, and read back.
        """
        text = numeric.ipv4Text(address)
        self.assertEqual(text, socket.inet_ntoa(address.to_bytes(4, "big")))
        self.assertEqual(numeric.parseIPv4(text), address)

    @given(_SIXES)
    def test_IPv6Text(self, address: int) -> None:
        """
        Both forms of an IPv6 address are read back, and the short one is canonical.
        """
        short, full = numeric.ipv6Text(address), numeric.ipv6FullText(address)
        self.assertEqual(numeric.parseIPv6(short), address)
        self.assertEqual(numeric.parseIPv6(full), address)
        self.assertEqual(full, ipaddress.IPv6Address(address).exploded)
        if address >> 32 != 0xFFFF:
            self.assertEqual(short, ipaddress.IPv6Address(address).compressed)

    def test_mappedText(self) -> None:
        """
        IPv4-mapped addresses are written in hexadecimal, as browsers do.
        """
        self.assertEqual(numeric.ipv6Text(0xFFFFC0000201), "::ffff:c000:201")


class NumberTests(SynchronousTestCase):
    """
    L{numeric.parseNumber} and L{numeric.joinParts}.
    """

    def test_numbers(self) -> None:
        """
        The prefix says the base.
        """
        for text, expected in {
            "0": 0,
            "00": 0,
            "0x": 0,
            "0X1f": 31,
            "017": 15,
            "17": 17,
            "08": None,
            "0xg": None,
            "": None,
            "+1": None,
            "1_0": None,
            " 1": None,
            "\u0661": None,
        }.items():
            self.assertEqual(numeric.parseNumber(text), expected, ascii(text))

    def test_join(self) -> None:
        """
        The last part fills what the others leave, and no more.
        """
        for parts, expected in (
            ([], None),
            ([2**32 - 1], 2**32 - 1),
            ([2**32], None),
            ([127, 1], 0x7F000001),
            ([1, 2**24 - 1], 0x01FFFFFF),
            ([1, 2**24], None),
            ([1, 2, 2**16 - 1], 0x0102FFFF),
            ([1, 2, 2**16], None),
            ([1, 2, 3, 255], 0x010203FF),
            ([1, 2, 3, 256], None),
            ([256, 1], None),
            ([1, None], None),
            ([None, 1], None),
            ([1, 2, 3, 4, 5], None),
        ):
            self.assertEqual(numeric.joinParts(list(parts)), expected, parts)

    @given(
        strategies.lists(
            strategies.tuples(strategies.integers(0, 300), strategies.sampled_from("dxo")),
            min_size=1,
            max_size=5,
        )
    )
    def test_systemLibrary(self, parts: list[tuple[int, str]]) -> None:
        """
        The C library, which would be asked to connect, reads every spelling alike.
        """
        write = {"d": "{:d}", "x": "0x{:x}", "o": "0{:o}"}
        text = ".".join(write[base].format(number) for number, base in parts)
        try:
            expected: int | None = int.from_bytes(socket.inet_aton(text), "big")
        except OSError:
            expected = None
        found = numeric.joinParts([numeric.parseNumber(part) for part in text.split(".")])
        self.assertEqual(found, expected, text)
