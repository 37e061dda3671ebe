"""
Tests for L{aero.wire.dhcpv4}.
"""

from __future__ import annotations

import struct
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.testing.properties import given, strategies
from aero.wire import dhcpv4 as dhcp

MAC = bytes.fromhex("02aabbccddee")

#: The messages of the reference's transcript (l2.md section 16.4), from the UDP payload on.
DISCOVER = (
    bytes.fromhex("0101060010203040000080000000000000000000000000000000000002aabbccddee")
    + bytes(202)
    + bytes.fromhex("63825363350101ff")
)
REQUEST = DISCOVER[:240] + bytes.fromhex("35010332040a00020f36040a000202ff")
OFFER_OPTIONS = bytes.fromhex(
    "63825363350102 36040a000202 0104ffffff00 03040a000202 06040a000202"
    "330400015180 3a040000a8c0 3b0400012750 ff"
)


def message(options: dict[int, bytes], **fields: int) -> dhcp.Message:
    """
    A message with some options.
    """
    plain: dict[str, Any] = {"op": 2, "xid": 7, "secs": 0, "flags": 0, "ciaddr": 0, "yiaddr": 0}
    plain |= {"siaddr": 0, "giaddr": 0} | fields
    return dhcp.Message(**plain, hardwareAddress=MAC, options=options)


def withOptions(options: bytes, sname: bytes = b"", file: bytes = b"") -> bytes:
    """
    The DISCOVER with other options.
    """
    head = DISCOVER[:44] + sname.ljust(64, b"\0") + file.ljust(128, b"\0")
    return head + DISCOVER[236:240] + options


class ParseTests(SynchronousTestCase):
    """
    Reading.
    """

    def test_transcript(self) -> None:
        """
        The messages of the transcript are read.
        """
        found = dhcp.parse(DISCOVER)
        self.assertEqual((found.op, found.xid, found.flags), (1, 0x10203040, dhcp.BROADCAST))
        self.assertEqual((found.hardwareAddress, found.kind), (MAC, dhcp.DISCOVER))
        asked = dhcp.parse(REQUEST)
        self.assertEqual(asked.kind, dhcp.REQUEST)
        self.assertEqual(asked.address(dhcp.REQUESTED_ADDRESS), 0x0A00020F)
        self.assertEqual(asked.address(dhcp.SERVER_IDENTIFIER), 0x0A000202)
        self.assertIsNone(asked.address(dhcp.ROUTER))

    def test_scapy(self) -> None:
        """
        What scapy makes is read, with padding between options and behind them.
        """
        made = BOOTP(chaddr=MAC, xid=9, ciaddr="10.0.2.15", secs=3) / DHCP(
            options=[
                ("message-type", "inform"),
                "pad",
                ("hostname", b"emulator"),
                ("max_dhcp_size", 1400),
                ("param_req_list", [1, 3, 6, 121]),
                "end",
                "pad",
            ]
        )
        found = dhcp.parse(bytes(made))
        self.assertEqual((found.kind, found.xid, found.secs), (dhcp.INFORM, 9, 3))
        self.assertEqual(found.ciaddr, 0x0A00020F)
        self.assertEqual(found.options[dhcp.HOST_NAME], b"emulator")
        self.assertEqual(found.number(dhcp.MAX_MESSAGE_SIZE), 1_400)
        self.assertEqual(found.options[dhcp.PARAMETER_LIST], bytes((1, 3, 6, 121)))

    def test_truncated(self) -> None:
        """
        A message cut anywhere within its options is refused; behind the end option anything
        may follow. Options need no end option.
        """
        for length in range(len(REQUEST) - 1):
            cut = REQUEST[:length]
            if length in (243, 249, 255):
                self.assertEqual(dhcp.parse(cut).kind, dhcp.REQUEST)
            else:
                self.assertRaises(DecodeError, dhcp.parse, cut)
        self.assertEqual(dhcp.parse(REQUEST + b"\x35\x09"), dhcp.parse(REQUEST))

    def test_refused(self) -> None:
        """
        Neither request nor reply, another kind of network, no message type in a message that is
        shorter than those of BOOTP, or one that does not exist: refused.
        """
        for offset, byte in ((0, 3), (1, 6), (2, 8), (236, 0), (242, 0), (242, 9), (241, 0)):
            wrong = bytearray(DISCOVER)
            wrong[offset] = byte
            self.assertRaises(DecodeError, dhcp.parse, bytes(wrong))
        self.assertRaises(DecodeError, dhcp.parse, withOptions(b"\xff"))
        self.assertRaises(DecodeError, dhcp.parse, withOptions(b"\x35\x02\x01\x01\xff"))

    def test_bootp(self) -> None:
        """
        A message of BOOTP has no type, and options only with the cookie (RFC 1534 section 2);
        another cookie is none. It has 300 bytes at least.
        """
        hostName = b"\x0c\x03old\xff"
        for vendor, cookie, options in (
            (b"", False, {}),
            (b"STAN" + hostName, False, {}),
            (DISCOVER[236:240] + hostName, True, {dhcp.HOST_NAME: b"old"}),
            (DISCOVER[236:240], True, {}),
        ):
            whole = DISCOVER[:44] + b"server\0x".ljust(192, b"\0") + vendor.ljust(64, b"\0")
            for data in (whole, whole + bytes(7)):
                found = dhcp.parse(data)
                self.assertEqual((found.kind, found.cookie), (dhcp.BOOTP, cookie))
                self.assertEqual((found.options, found.serverName), (options, b"server"))
            for length in range(300):
                self.assertRaises(DecodeError, dhcp.parse, whole[:length])
        self.assertRaises(DecodeError, dhcp.parse, withOptions(b"\x0c\x40".ljust(60, b"\0")))

    def test_overload(self) -> None:
        """
        Options go on in the boot file's field and then in the server name's, as the overload
        option says, and parts of one option belong together across them.
        """
        options = b"\x35\x01\x01\x34\x01\x03\x0c\x02ab\xff"
        found = dhcp.parse(withOptions(options, b"\x0c\x02ef\xff", b"\x0c\x02cd\x0f\x01x\xff"))
        self.assertEqual(found.options[dhcp.HOST_NAME], b"abcdef")
        self.assertEqual(found.options[dhcp.DOMAIN_NAME], b"x")
        self.assertNotIn(dhcp.OVERLOAD, found.options)
        onlyFile = options.replace(b"\x34\x01\x03", b"\x34\x01\x01")
        found = dhcp.parse(withOptions(onlyFile, b"\x0c\x02ef\xff", b"\x0c\x02cd\xff"))
        self.assertEqual(found.options[dhcp.HOST_NAME], b"abcd")
        notSaid = options.replace(b"\x34\x01\x03", b"")
        found = dhcp.parse(withOptions(notSaid, b"\x0c\x02ef\xff", b"\x0c\x02cd\xff"))
        self.assertEqual(found.options[dhcp.HOST_NAME], b"ab")

    def test_badOverload(self) -> None:
        """
        An overload option that makes no sense, or options that run off the field they are in,
        are refused.
        """
        for overload in (b"\x34\x01\x00", b"\x34\x01\x04", b"\x34\x02\x01\x01"):
            self.assertRaises(
                DecodeError, dhcp.parse, withOptions(b"\x35\x01\x01" + overload + b"\xff")
            )
        run = withOptions(b"\x35\x01\x01\x34\x01\x01\xff", file=bytes(126) + b"\x0c\x09")
        self.assertRaises(DecodeError, dhcp.parse, run)

    @given(strategies.binary(max_size=700))
    def test_anything(self, options: bytes) -> None:
        """
        Any options are read or refused.
        """
        for data in (withOptions(options), options):
            try:
                found = dhcp.parse(data)
            except DecodeError:
                continue
            self.assertIn(found.kind, dhcp.NAMES)


class BuildTests(SynchronousTestCase):
    """
    Writing.
    """

    def test_transcript(self) -> None:
        """
        The OFFER of the transcript is made byte for byte, but for the padding that brings it
        to the least length of BOOTP.
        """
        options = {
            dhcp.MESSAGE_TYPE: b"\x02",
            dhcp.SERVER_IDENTIFIER: bytes.fromhex("0a000202"),
            dhcp.SUBNET_MASK: bytes.fromhex("ffffff00"),
            dhcp.ROUTER: bytes.fromhex("0a000202"),
            dhcp.DNS_SERVERS: bytes.fromhex("0a000202"),
            dhcp.LEASE_TIME: (86_400).to_bytes(4, "big"),
            dhcp.RENEWAL_TIME: (43_200).to_bytes(4, "big"),
            dhcp.REBINDING_TIME: (75_600).to_bytes(4, "big"),
        }
        made = dhcp.build(
            message(options, xid=0x10203040, flags=0x8000, yiaddr=0x0A00020F, siaddr=0x0A000202)
        )
        head = bytes.fromhex("02010600102030400000800000000000 0a00020f0a00020200000000")
        expected = head + MAC + bytes(202) + OFFER_OPTIONS
        self.assertEqual(made, expected + bytes(300 - len(expected)))

    def test_long(self) -> None:
        """
        An option of more than 255 bytes is written in parts, which scapy reads as such.
        """
        value = bytes(range(256)) + b"more"
        made = dhcp.build(message({53: b"\x02", 119: value}), 1_000)
        at = made.index(b"\x77\xff")
        self.assertEqual(made[at : at + 2 + 255], b"\x77\xff" + value[:255])
        self.assertEqual(made[at + 257 : at + 257 + 7], b"\x77\x05\xffmore")
        self.assertEqual(dhcp.parse(made).options[119], value)

    def test_overload(self) -> None:
        """
        What does not fit goes to the fields for the boot file and the server's name; what fits
        nowhere is left out, and the message is never longer than it may be.
        """
        options = {53: b"\x02", 119: b"a" * 250, 121: b"b" * 100, 15: b"c" * 50, 12: b"d" * 20}
        made = dhcp.build(message(options))
        self.assertLessEqual(len(made), dhcp.DEFAULT_SIZE)
        self.assertEqual(made[108:110], b"\x79\x64")
        self.assertEqual(dict(dhcp.parse(made).options), options)
        crowded = {53: b"\x02", 119: b"a" * 250, 121: b"b" * 120, 15: b"c" * 60, 12: b"d" * 90}
        self.assertNotIn(12, dhcp.parse(dhcp.build(message(crowded))).options)

    def test_scapy(self) -> None:
        """
        scapy reads what is written.
        """
        options = {53: b"\x05", 3: bytes((10, 0, 2, 2)), 26: (1_500).to_bytes(2, "big")}
        found = BOOTP(dhcp.build(message(options, yiaddr=0x0A00020F)))
        self.assertEqual(found.yiaddr, "10.0.2.15")
        self.assertIn(("message-type", 5), found[DHCP].options)
        self.assertIn(("router", "10.0.2.2"), found[DHCP].options)
        self.assertIn(("interface-mtu", 1_500), found[DHCP].options)

    @given(
        strategies.dictionaries(
            strategies.integers(1, 254).filter(lambda code: code not in (52, 53)),
            strategies.binary(min_size=1, max_size=40),
            max_size=5,
        )
    )
    def test_roundTrip(self, options: dict[int, bytes]) -> None:
        """
        What is written is read again.
        """
        whole = {53: b"\x02", **options}
        self.assertEqual(dict(dhcp.parse(dhcp.build(message(whole))).options), whole)


class BuildBOOTPTests(SynchronousTestCase):
    """
    Writing messages of BOOTP.
    """

    def test_sizes(self) -> None:
        """
        They have 300 bytes with whatever options, of which those come that have room; without
        the cookie there are none.
        """
        options = {1: bytes(4), 12: bytes(50), 15: b"lab", 3: bytes(4)}
        made = dhcp.Message(2, 7, 0, 0, 0, 9, 8, 0, MAC, options)
        data = dhcp.buildBOOTP(made)
        found = dhcp.parse(data)
        self.assertEqual((len(data), found.kind), (300, dhcp.BOOTP))
        self.assertEqual(found.options, {1: bytes(4), 12: bytes(50)})
        self.assertEqual((found.yiaddr, found.hardwareAddress), (9, MAC))
        bare = dhcp.buildBOOTP(made._replace(cookie=False))
        self.assertEqual((len(bare), bare[44:]), (300, bytes(256)))
        self.assertEqual(bare[:44], data[:44])


class ValueTests(SynchronousTestCase):
    """
    Values of options.
    """

    def test_routes(self) -> None:
        """
        The examples of RFC 3442: only the bytes of a network that matter are written.
        """
        router = 0x0A000202
        examples = {
            ("0.0.0.0", 0): "00",
            ("10.0.0.0", 8): "080a",
            ("10.0.0.0", 24): "180a0000",
            ("10.17.0.0", 16): "100a11",
            ("10.27.129.0", 24): "180a1b81",
            ("10.229.0.128", 25): "190a e500 80",
            ("10.198.122.47", 32): "200ac67a2f",
        }
        for (network, prefix), expected in examples.items():
            number = struct.unpack("!I", bytes(map(int, network.split("."))))[0]
            self.assertEqual(
                dhcp.routes([(number, prefix, router)]),
                bytes.fromhex(expected) + bytes.fromhex("0a000202"),
            )

    def test_searchList(self) -> None:
        """
        The example of RFC 3397 section 2: the end that two names share is written once.
        """
        self.assertEqual(
            dhcp.searchList(["eng.apple.com", "marketing.apple.com"]),
            b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04",
        )

    def test_badName(self) -> None:
        """
        What is no name is refused.
        """
        self.assertRaises(DecodeError, dhcp.searchList, ["a" * 64])
        self.assertRaises(DecodeError, dhcp.searchList, ["a..b"])
