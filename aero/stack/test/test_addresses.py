"""
Tests for L{aero.stack.addresses}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.addresses import Addresses
from aero.stack.config import StackConfig
from aero.testing.properties import given
from aero.testing.properties import strategies as st

from .fixtures import number


class AddressesTests(SynchronousTestCase):
    """
    L{Addresses}.
    """

    def test_network(self) -> None:
        """
        The network is the one that the gateway is in.
        """
        addresses = Addresses(StackConfig(gateway=number("172.20.5.1"), prefixLength=20))
        self.assertEqual(addresses.network, number("172.20.0.0"))
        self.assertEqual(addresses.mask, number("255.255.240.0"))
        self.assertEqual(addresses.broadcast, number("172.20.15.255"))

    def test_owned(self) -> None:
        """
        The gateway is owned, and what the configuration names.
        """
        addresses = Addresses(StackConfig(owned=(number("10.0.2.3"), number("192.0.2.1"))))
        self.assertEqual(
            addresses.owned, {number("10.0.2.2"), number("10.0.2.3"), number("192.0.2.1")}
        )

    def test_guests(self) -> None:
        """
        A guest may have any address of the network but those taken and the network's own two.
        """
        addresses = Addresses(StackConfig(owned=(number("10.0.2.3"),)))
        for text, expected in (
            ("10.0.2.15", True),
            ("10.0.2.1", True),
            ("10.0.2.2", False),
            ("10.0.2.3", False),
            ("10.0.2.0", False),
            ("10.0.2.255", False),
            ("10.0.3.15", False),
            ("0.0.0.0", False),
            ("255.255.255.255", False),
        ):
            self.assertIs(addresses.isGuest(number(text)), expected, text)

    def test_broadcast(self) -> None:
        """
        Everybody is meant by the network's last address and by all ones.
        """
        addresses = Addresses(StackConfig())
        for text, expected in (
            ("10.0.2.255", True),
            ("255.255.255.255", True),
            ("10.0.3.255", False),
            ("10.0.2.2", False),
        ):
            self.assertIs(addresses.isBroadcast(number(text)), expected, text)

    @given(st.integers(0, 0xFFFFFFFF), st.integers(1, 32), st.integers(0, 0xFFFFFFFF))
    def test_likeTheStandardLibrary(self, gateway: int, length: int, other: int) -> None:
        """
        The arithmetic is that of L{ipaddress}.
        """
        addresses = Addresses(StackConfig(gateway=gateway, prefixLength=length))
        network = IPv4Network((gateway, length), strict=False)
        self.assertEqual(addresses.network, int(network.network_address))
        self.assertEqual(addresses.broadcast, int(network.broadcast_address))
        self.assertIs(addresses.onLink(other), IPv4Address(other) in network)
