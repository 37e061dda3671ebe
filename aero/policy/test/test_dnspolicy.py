"""
Tests for L{aero.policy.dnspolicy}.
"""

from __future__ import annotations

import ipaddress

import dns.name
import dns.reversename
from twisted.trial.unittest import SynchronousTestCase

from aero.policy.dnspolicy import DNSPolicy, isPrivateReverse
from aero.testing.properties import given, strategies


def wire(text: str) -> bytes:
    """
    A name in wire form, as dnspython makes it.
    """
    raw = dns.name.from_text(text).to_wire()
    assert raw is not None
    return raw


class IsPrivateReverseTests(SynchronousTestCase):
    """
    Tests for L{isPrivateReverse}.
    """

    def test_private(self) -> None:
        """
        Reverse names of private addresses are known, whatever the case (A179).
        """
        for address in (
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "::ffff:10.0.0.1",
        ):
            packed = ipaddress.ip_address(address).reverse_pointer
            self.assertTrue(isPrivateReverse(wire(packed)), address)
            self.assertTrue(isPrivateReverse(wire(packed.upper())), address)

    def test_public(self) -> None:
        """
        Those of public addresses are not private.
        """
        for address in ("8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:4860::1", "fec0::1"):
            self.assertFalse(isPrivateReverse(wire(ipaddress.ip_address(address).reverse_pointer)))

    def test_otherNames(self) -> None:
        """
        Partial reverse names, and names that only look like one, are not private.
        """
        for text in (
            ".",
            "example.com",
            "in-addr.arpa",
            "10.in-addr.arpa",
            "1.0.0.0.10.in-addr.arpa",
            "1.0.0.256.in-addr.arpa",
            "1.0.x.10.in-addr.arpa",
            "1.0.0.10.in-addr.arpa.example",
            "1.0.0.10xin-addr.arpa",
            "ip6.arpa",
            "d.f.ip6.arpa",
            r"1\.0\.0\.10.in-addr.arpa",
            "1." * 30 + "11.ip6.arpa",
        ):
            self.assertFalse(isPrivateReverse(wire(text)), text)

    @given(strategies.ip_addresses())
    def test_anyAddress(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        """
        Every address falls on the side that the ranges of the specification put it.
        """
        ranges = (
            "0.0.0.0/8 10.0.0.0/8 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 "
            "100.64.0.0/10 ::/128 ::1/128 fc00::/7 fe80::/10"
        )
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return
        expected = any(address in ipaddress.ip_network(one) for one in ranges.split())
        name = dns.reversename.from_address(str(address)).to_text()
        self.assertEqual(isPrivateReverse(wire(name)), expected)

    @given(strategies.binary(max_size=60))
    def test_anyBytes(self, data: bytes) -> None:
        """
        Whatever is before the end of a reverse name, there is a decision.
        """
        for end in (b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0"):
            isPrivateReverse(data + end)


class DNSPolicyTests(SynchronousTestCase):
    """
    Tests for L{DNSPolicy}.
    """

    def test_default(self) -> None:
        """
        ANY, private reverse names, and types that name no data are refused.
        """
        policy = DNSPolicy()
        private = wire("1.0.0.10.in-addr.arpa")
        found = [
            policy.refusal(name, qtype)
            for name, qtype in (
                (wire("a"), 1),
                (wire("a"), 255),
                (private, 12),
                (private, 1),
                (wire("8.8.8.8.in-addr.arpa"), 12),
                (wire("a"), 252),
                (wire("a"), 41),
                (wire("a"), 65),
            )
        ]
        self.assertEqual(found, [None, "any", "ptr", None, None, "type", "type", None])

    def test_allowed(self) -> None:
        """
        The operator may allow the first two.
        """
        policy = DNSPolicy(allowAny=True, allowPrivatePTR=True)
        self.assertIsNone(policy.refusal(wire("a"), 255))
        self.assertIsNone(policy.refusal(wire("1.0.0.10.in-addr.arpa"), 12))
        self.assertEqual(policy.refusal(wire("a"), 251), "type")
