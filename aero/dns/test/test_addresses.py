"""
Tests for L{aero.dns.addresses}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from aero.dns.addresses import REMEMBERED, UpstreamAddress, streamEndpoint
from aero.dns.exchange import ExchangeFailed


class NamingReactor(Clock):
    """
    A reactor that looks names up.
    """

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.nameResolver = self
        self.addresses = list(addresses)
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, name: str) -> Any:
        """
        Answer at once.
        """
        self.asked.append(name)
        receiver.resolutionBegan(None)
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, 0))
        receiver.resolutionComplete()


class UpstreamAddressTests(SynchronousTestCase):
    """
    Tests for L{UpstreamAddress}.
    """

    def test_literal(self) -> None:
        """
        An address is not looked up.
        """
        reactor = NamingReactor()
        for host in ("192.0.2.1", "2001:db8::1"):
            self.assertEqual(self.successResultOf(UpstreamAddress(reactor, host).get()), host)
        self.assertEqual(reactor.asked, [])

    def test_named(self) -> None:
        """
        A name is looked up, its first address taken and remembered for a while.
        """
        reactor = NamingReactor("2001:db8::1", "192.0.2.1")
        address = UpstreamAddress(reactor, "dns.example")
        for _ in range(2):
            self.assertEqual(self.successResultOf(address.get()), "2001:db8::1")
        self.assertEqual(reactor.asked, ["dns.example"])
        reactor.addresses = ["192.0.2.2"]
        reactor.advance(REMEMBERED)
        self.assertEqual(self.successResultOf(address.get()), "192.0.2.2")

    def test_unknown(self) -> None:
        """
        A name without an address is a failure of the upstream.
        """
        failure = self.failureResultOf(
            UpstreamAddress(NamingReactor(), "dns.example").get(), ExchangeFailed
        )
        self.assertEqual(failure.value.reason, "address")


class StreamEndpointTests(SynchronousTestCase):
    """
    Tests for L{streamEndpoint}.
    """

    def test_kinds(self) -> None:
        """
        Addresses are connected to as they are, names looked up.
        """
        kinds = {
            "192.0.2.1": TCP4ClientEndpoint,
            "2001:db8::1": TCP6ClientEndpoint,
            "dns.example": HostnameEndpoint,
        }
        for host, kind in kinds.items():
            self.assertIsInstance(streamEndpoint(MemoryReactorClock(), host, 53), kind)
