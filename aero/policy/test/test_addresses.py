"""
Tests for L{aero.policy.addresses}.
"""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.addresses import isPublic
from aero.testing.properties import given, settings, strategies

#: The IANA IPv4 special-purpose address registry, every row: whether this server may be sent
#: there. The rows that are true are those that the registry has as globally reachable and that
#: ordinary networks announce; anycast addresses inside of the protocol assignments are not, as
#: they end at the nearest router.
_REGISTRY_IPV4 = {
    "0.0.0.0/8": False,
    "0.0.0.0/32": False,
    "10.0.0.0/8": False,
    "100.64.0.0/10": False,
    "127.0.0.0/8": False,
    "169.254.0.0/16": False,
    "172.16.0.0/12": False,
    "192.0.0.0/24": False,
    "192.0.0.0/29": False,
    "192.0.0.8/32": False,
    "192.0.0.9/32": False,
    "192.0.0.10/32": False,
    "192.0.0.170/32": False,
    "192.0.0.171/32": False,
    "192.0.2.0/24": False,
    "192.31.196.0/24": True,
    "192.52.193.0/24": True,
    "192.88.99.0/24": False,
    "192.168.0.0/16": False,
    "192.175.48.0/24": True,
    "198.18.0.0/15": False,
    "198.51.100.0/24": False,
    "203.0.113.0/24": False,
    "224.0.0.0/4": False,
    "240.0.0.0/4": False,
    "255.255.255.255/32": False,
}

#: The IPv6 registry, likewise, with what RFC 4291 sets apart. IPv4 inside is not its matter.
_REGISTRY_IPV6 = {
    "::/128": False,
    "::1/128": False,
    "64:ff9b:1::/48": False,
    "100::/64": False,
    "100:0:0:1::/64": False,
    "2001::/23": False,
    "2001::/32": False,
    "2001:1::1/128": False,
    "2001:1::2/128": False,
    "2001:1::3/128": False,
    "2001:2::/48": False,
    "2001:3::/32": False,
    "2001:4:112::/48": False,
    "2001:10::/28": False,
    "2001:20::/28": False,
    "2001:30::/28": False,
    "2001:db8::/32": False,
    "2002::/16": False,
    "2620:4f:8000::/48": True,
    "3ffe::/16": False,
    "3fff::/20": False,
    "5f00::/16": False,
    "fc00::/7": False,
    "fe80::/10": False,
    "fec0::/10": False,
    "ff00::/8": False,
}

#: Networks in public space that clouds serve to their own machines alone.
_CLOUDS_IPV4 = (
    "168.63.129.16/32",
    "161.26.0.0/16",
    "166.8.0.0/14",
    "199.36.153.4/30",
    "199.36.153.8/30",
)
_CLOUDS_IPV6 = ("2600:2d00:2:1000::/56", "2600:2d00:2:2000::/56")
_REGISTRY_IPV4 |= dict.fromkeys(_CLOUDS_IPV4, False)
_REGISTRY_IPV6 |= dict.fromkeys(_CLOUDS_IPV6, False)

_FOUR_NETWORKS = [ipaddress.IPv4Network(text) for text in _REGISTRY_IPV4]
_SIX_NETWORKS = [ipaddress.IPv6Network(text) for text in _REGISTRY_IPV6]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))
_CARRIERS = [ipaddress.IPv6Network(text) for text in ("::/96", "::ffff:0:0/96", "64:ff9b::/96")]


def slowIsPublic(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """
    Decide by the longest matching row of the registry, one row after the other.
    """
    if isinstance(address, ipaddress.IPv4Address):
        rows = [net for net in _FOUR_NETWORKS if address in net]
        return not rows or _REGISTRY_IPV4[str(max(rows, key=lambda net: net.prefixlen))]
    if any(address in carrier for carrier in _CARRIERS):
        return slowIsPublic(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _GLOBAL_UNICAST or address.packed[8:12] in _ISATAP:
        return False
    found = [net for net in _SIX_NETWORKS if address in net]
    return not found or _REGISTRY_IPV6[str(max(found, key=lambda net: net.prefixlen))]


def _around(
    networks: list[ipaddress.IPv4Network] | list[ipaddress.IPv6Network], last: int
) -> list[int]:
    """
    The edges of networks, and what is next to them.
    """
    edges = {int(net[0]) for net in networks} | {int(net[-1]) for net in networks}
    return sorted(
        {edge + step for edge in edges for step in (-1, 0, 1) if 0 <= edge + step <= last}
    )


_FOURS = strategies.one_of(
    strategies.integers(0, 2**32 - 1),
    strategies.sampled_from(_around(_FOUR_NETWORKS, 2**32 - 1)),
    strategies.tuples(
        strategies.sampled_from(_FOUR_NETWORKS), strategies.integers(0, 2**32 - 1)
    ).map(lambda pair: int(pair[0][0]) | pair[1] & int(pair[0].hostmask)),
)
_SIXES = strategies.one_of(
    strategies.integers(0, 2**128 - 1),
    strategies.integers(0x2000 << 112, (0x4000 << 112) - 1),
    strategies.sampled_from(_around([*_SIX_NETWORKS, *_CARRIERS], 2**128 - 1)),
    strategies.builds(
        lambda prefix, form, four: prefix << 64 | form << 32 | four,
        strategies.integers(0x2000 << 48, (0x4000 << 48) - 1),
        strategies.sampled_from((0x5EFE, 0x02005EFE, 0x01005EFE, 0x5EFD, 0x5EFF)),
        strategies.integers(0, 2**32 - 1),
    ),
    strategies.tuples(
        strategies.sampled_from([*_SIX_NETWORKS, *_CARRIERS]), strategies.integers(0, 2**128 - 1)
    ).map(lambda pair: int(pair[0][0]) | pair[1] & int(pair[0].hostmask)),
)


class IsPublicTests(SynchronousTestCase):
    """
    L{isPublic}.
    """

    def assertAll(self, expected: bool, *addresses: str) -> None:
        """
        Check the decision about each address.
        """
        for address in addresses:
            self.assertIs(isPublic(address), expected, address)

    def test_public(self) -> None:
        """
        Ordinary addresses are public, up to the edges of those that are not.
        """
        self.assertAll(
            True,
            "8.8.8.8",
            "1.1.1.1",
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2001:200::",
            "2000::",
        )

    def test_notPublic(self) -> None:
        """
        What only this server or its network can reach is not public.
        """
        self.assertAll(
            False,
            "0.0.0.0",
            "127.0.0.1",
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "192.88.99.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "100::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "4000::",
            "8000::",
            "1fff:ffff::",
        )

    def test_mapped(self) -> None:
        """
        IPv4-mapped and IPv4-compatible addresses are as public as the IPv4 address.
        """
        for prefix in ("::ffff:", "::", "0:0:0:0:0:ffff:"):
            self.assertAll(True, prefix + "8.8.8.8")
            self.assertAll(False, prefix + "127.0.0.1", prefix + "10.0.0.1", prefix + "7f00:1")

    def test_NAT64(self) -> None:
        """
        Addresses that a translator delivers are as public as where it delivers to; those of a
        translator of somebody's own are not.
        """
        self.assertAll(True, "64:ff9b::8.8.8.8")
        self.assertAll(False, "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe")
        self.assertAll(False, "64:ff9b:1::8.8.8.8", "64:ff9b:0:1::8.8.8.8", "64:ff9b:2::1")

    def test_tunnels(self) -> None:
        """
        Nothing is reached through a tunnel, whatever address it carries.
        """
        self.assertAll(False, "2002:7f00:1::", "2002:808:808::1", "2002:a00:1::1")
        self.assertAll(False, "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2")
        self.assertAll(False, "::ffff:0:8.8.8.8", "::ffff:0:127.0.0.1")

    def test_ISATAP(self) -> None:
        """
        An ISATAP address is refused under any prefix, whatever IPv4 address it carries. Interface
        identifiers beside that form mean nothing.
        """
        for prefix in ("2606:4700:1:2", "2001:470:1:2", "2a00:1450:4001:800", "fe80:0:0:0"):
            for form in ("0:5efe", "200:5efe"):
                for four in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8", "0.0.0.0"):
                    self.assertAll(False, f"{prefix}:{form}:{four}")
        for form in ("0:5efd", "0:5eff", "100:5efe", "300:5efe", "1:5efe", "201:5efe", "5efe:0"):
            self.assertAll(True, f"2606:4700:1:2:{form}:10.0.0.1")
        self.assertAll(True, "2606:4700:0:5efe:a00:1:0:1")

    def test_clouds(self) -> None:
        """
        The endpoints that clouds have in public space for their own machines are not public, also
        where IPv6 carries them. The addresses around them are.
        """
        for four in (
            "168.63.129.16",
            "161.26.0.0",
            "161.26.255.255",
            "166.8.0.1",
            "166.11.255.255",
            "199.36.153.4",
            "199.36.153.11",
        ):
            self.assertAll(False, four, f"::ffff:{four}", f"64:ff9b::{four}", f"::{four}")
        self.assertAll(
            True,
            "168.63.129.15",
            "168.63.129.17",
            "161.25.255.255",
            "161.27.0.0",
            "166.7.255.255",
            "166.12.0.0",
            "199.36.153.3",
            "199.36.153.12",
            "2600:2d00:2:fff::1",
            "2600:2d00:2:1100::1",
        )
        self.assertAll(False, "2600:2d00:2:1000::1", "2600:2d00:2:2000::1")

    def test_malformed(self) -> None:
        """
        What is not strictly an address is not public.
        """
        self.assertAll(
            False,
            "",
            " ",
            "localhost",
            "example.com",
            "8.8.8",
            "8.8.8.8.",
            "08.8.8.8",
            "8.8.8.010",
            "134744072",
            "0x8.8.8.8",
            " 8.8.8.8",
            "8.8.8.8\n",
            "8.8.8.8:80",
            "8.8.8.8/32",
            "\u0668.8.8.8",
            "[2606:4700::1]",
            "2606:4700::1%eth0",
            "2606:4700:::1",
            "2606::4700::1",
            "2606:4700::1:",
            ":2606:4700::1",
            "2606:1:2:3:4:5:6:7:8",
            "2606:1:2:3:4:5:6:7::",
            "2606:1:2:3:4:5:6::7:8",
            "::ffff:08.8.8.8",
            "::8.8.8.010",
            "0" * 125 + "8.8.8.8",
        )

    @settings(max_examples=500)
    @given(_FOURS)
    def test_IPv4(self, number: int) -> None:
        """
        Every IPv4 address is decided as the registry says, also where IPv6 carries it.
        """
        address = ipaddress.IPv4Address(number)
        expected = slowIsPublic(address)
        self.assertAll(expected, str(address), f"::ffff:{address}", f"64:ff9b::{address}")

    @settings(max_examples=500)
    @given(_SIXES)
    def test_IPv6(self, number: int) -> None:
        """
        Every IPv6 address is decided as the registries say, however it is written.
        """
        address = ipaddress.IPv6Address(number)
        expected = slowIsPublic(address)
        self.assertAll(expected, str(address), address.exploded, address.exploded.upper())

    @given(strategies.text(max_size=45))
    def test_anything(self, text: str) -> None:
        """
        Whatever the standard library does not take as an address is not public.
        """
        try:
            ipaddress.ip_address(text)
        except ValueError:
            self.assertAll(False, text)

    def test_registryIsReached(self) -> None:
        """
        Both answers come up in the comparison, for every family.
        """
        for networks in (_FOUR_NETWORKS, _SIX_NETWORKS):
            answers = {isPublic(str(net[0])) for net in networks}
            self.assertEqual(answers, {True, False})
