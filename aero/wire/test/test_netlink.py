"""
Tests for L{aero.wire.netlink}.
"""

from __future__ import annotations

import ipaddress
import struct

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import DecodeError
from aero.wire.netlink import addressRequest, parseAddresses


def attribute(kind: int, value: bytes) -> bytes:
    """
    One attribute, padded.
    """
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, body: bytes, flags: int = 2) -> bytes:
    """
    One message, padded.
    """
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 7, 0) + body + bytes(-len(body) % 4)


def address(text: str, *, peer: str = "", flags: int = 2) -> bytes:
    """
    RTM_NEWADDR for one address.
    """
    packed = ipaddress.ip_address(text).packed
    body = bytes(8)
    if peer:
        body += attribute(1, ipaddress.ip_address(peer).packed) + attribute(2, packed)
    else:
        body += attribute(1, packed)
    return message(20, body + attribute(3, b"eth0\0"), flags)


DONE = message(3, bytes(4))


class ParseTests(SynchronousTestCase):
    """
    L{parseAddresses}.
    """

    def test_addresses(self) -> None:
        """
        Every address is given, IPv4 and IPv6. Of a point-to-point link it is this end.
        """
        data = address("192.0.2.1") + address("2001:db8::1") + address("10.0.0.1", peer="10.0.0.2")
        found = parseAddresses(data)
        self.assertEqual(found, (("192.0.2.1", "2001:db8::1", "10.0.0.1"), False, False))

    def test_end(self) -> None:
        """
        The last message ends the answer; nothing behind it counts.
        """
        self.assertEqual(parseAddresses(DONE), ((), True, False))
        whole = address("192.0.2.1") + DONE + b"trailing"
        self.assertEqual(parseAddresses(whole), (("192.0.2.1",), True, False))

    def test_interrupted(self) -> None:
        """
        An answer that the kernel calls inconsistent says so.
        """
        self.assertTrue(parseAddresses(address("192.0.2.1", flags=0x12)).isInterrupted)

    def test_others(self) -> None:
        """
        Messages of other kinds, and addresses of other families, are passed over.
        """
        odd = message(20, bytes(8) + attribute(1, b"123"))
        self.assertEqual(parseAddresses(message(16, bytes(16)) + odd + DONE).addresses, ())

    def test_refused(self) -> None:
        """
        An error of the kernel is an error.
        """
        self.assertRaises(DecodeError, parseAddresses, message(2, struct.pack("=i", -1)))

    def test_malformed(self) -> None:
        """
        Each part of a message is read, or is a DecodeError.
        """
        whole = address("192.0.2.1")
        for size in range(1, len(whole)):
            self.assertRaises(DecodeError, parseAddresses, whole[:size])
        self.assertRaises(DecodeError, parseAddresses, bytes(16))
        short = struct.pack("=HH", 2, 1)
        self.assertRaises(DecodeError, parseAddresses, message(20, bytes(8) + short))
        long = struct.pack("=HH", 200, 1)
        self.assertRaises(DecodeError, parseAddresses, message(20, bytes(8) + long))

    def test_request(self) -> None:
        """
        The request is a dump of addresses of every family.
        """
        self.assertEqual(addressRequest(7), struct.pack("=IHHIIB3x", 17, 22, 0x301, 7, 0, 0))
