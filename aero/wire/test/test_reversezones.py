"""
Tests for L{aero.wire.reversezones}.
"""

from __future__ import annotations

import dns.name
import dns.reversename
from twisted.trial.unittest import SynchronousTestCase

from aero.wire.reversezones import TTL, reverseName, reverseZone, soaRecord, tails


def wire(name: str) -> bytes:
    """
    A name in lower case.
    """
    return dns.name.from_text(name).to_wire() or b""


class ReverseZoneTests(SynchronousTestCase):
    """
    Which names are served here.
    """

    def test_addresses(self) -> None:
        """
        Reverse names of addresses that mean something in one network only are, others are not
        (RFC 6303 section 4, RFC 7793).
        """
        for address, zone in (
            ("10.1.2.3", "10.in-addr.arpa"),
            ("172.15.0.1", ""),
            ("172.16.0.1", "16.172.in-addr.arpa"),
            ("172.31.255.255", "31.172.in-addr.arpa"),
            ("172.32.0.1", ""),
            ("192.168.7.1", "168.192.in-addr.arpa"),
            ("192.169.7.1", ""),
            ("0.0.0.0", "0.in-addr.arpa"),
            ("127.0.0.1", "127.in-addr.arpa"),
            ("169.254.169.254", "254.169.in-addr.arpa"),
            ("192.0.2.1", "2.0.192.in-addr.arpa"),
            ("198.51.100.1", "100.51.198.in-addr.arpa"),
            ("203.0.113.1", "113.0.203.in-addr.arpa"),
            ("255.255.255.255", "255.255.255.255.in-addr.arpa"),
            ("255.255.255.254", ""),
            ("100.63.0.1", ""),
            ("100.64.0.1", "64.100.in-addr.arpa"),
            ("100.127.0.1", "127.100.in-addr.arpa"),
            ("8.8.8.8", ""),
            ("::1", "1." + "0." * 31 + "ip6.arpa"),
            ("::", "0." * 32 + "ip6.arpa"),
            ("::2", ""),
            ("fd00::1", "d.f.ip6.arpa"),
            ("fe80::1", "8.e.f.ip6.arpa"),
            ("febf::1", "b.e.f.ip6.arpa"),
            ("fec0::1", ""),
            ("2001:db8::1", "8.b.d.0.1.0.0.2.ip6.arpa"),
            ("2001:db9::1", ""),
        ):
            found = reverseZone(dns.reversename.from_address(address).to_wire() or b"")
            self.assertEqual(found, wire(zone) if zone else b"", address)

    def test_names(self) -> None:
        """
        Zones themselves, parts of reverse names, and names below them are; the zones above, and
        names that only look like it, are not.
        """
        ten = wire("10.in-addr.arpa")
        for name in ("10.in-addr.arpa", "2.10.in-addr.arpa", "x.y.10.in-addr.arpa"):
            self.assertEqual(reverseZone(wire(name)), ten)
        for name in (".", "arpa", "in-addr.arpa", "10.in-addr.arpa.example", "110.in-addr.arpa"):
            self.assertEqual(reverseZone(wire(name)), b"", name)
        self.assertEqual(reverseZone(b"\x0510.in\x04addr\x04arpa\0"), b"")

    def test_records(self) -> None:
        """
        The parts of answers.
        """
        name = reverseName(0x0A000203)
        self.assertEqual(name, wire("3.2.0.10.in-addr.arpa"))
        self.assertEqual(tails(wire("a.b")), [wire("a.b"), wire("b")])
        zone = wire("10.in-addr.arpa")
        soa = soaRecord(zone)
        self.assertEqual((soa.name, soa.rtype, soa.ttl), (zone, 6, TTL))
        self.assertEqual(soa.data[-4:], TTL.to_bytes(4, "big"))
