"""
Tests for L{aero.http.limits}.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import http as rows
from aero.settings.http import HTTPSettings

from ..limits import ConnectionLimits, Counted

LOST = Failure(ConnectionDone())


class Inner(Protocol):
    """
    A protocol that remembers.
    """

    received = b""
    lost = False

    def dataReceived(self, data: bytes) -> None:
        """
        Keep it.
        """
        self.received += data

    def connectionLost(self, reason: Failure = LOST) -> None:
        """
        Remember it.
        """
        self.lost = True


def address(number: int) -> IPv4Address:
    """
    One of many addresses.
    """
    return IPv4Address("TCP", f"192.0.2.{number}", 1)


class ConnectionLimitsTests(SynchronousTestCase):
    """
    Connections too many are refused when they are accepted.
    """

    def setUp(self) -> None:
        """
        Two listeners that share five connections, two for each address.
        """
        self.metrics = Metrics(ROWS)
        self.limits = ConnectionLimits(
            HTTPSettings(maxConnections=5, maxConnectionsPerIP=2), self.metrics
        )
        self.https = self.limits.wrap(Factory.forProtocol(Inner), "https")
        self.http = self.limits.wrap(Factory.forProtocol(Inner), "http")

    def accept(self, peer: IAddress) -> Counted:
        """
        A connection that is accepted.
        """
        protocol = self.https.buildProtocol(peer)
        assert isinstance(protocol, Counted)
        protocol.makeConnection(StringTransport(peerAddress=peer))
        return protocol

    def test_total(self) -> None:
        """
        All listeners together hold so many and no more, until one ends.
        """
        accepted = [self.accept(address(n)) for n in range(4)]
        other = self.http.buildProtocol(address(9))
        assert other is not None
        self.assertEqual(self.metrics.value(rows.CONNECTIONS, "https"), 4)
        self.assertEqual(self.metrics.value(rows.CONNECTIONS, "http"), 1)
        self.assertIsNone(self.https.buildProtocol(address(10)))
        self.assertEqual(self.metrics.value(rows.CONNECTIONS_REFUSED, "total"), 1)
        accepted[0].connectionLost(LOST)
        self.assertEqual(self.limits.open, 4)
        self.assertIsNotNone(self.http.buildProtocol(address(10)))

    def test_address(self) -> None:
        """
        One address, or one IPv6 /64, holds so many; others are not affected.
        """
        for peers in (
            [address(1)] * 3,
            [IPv6Address("TCP", f"2001:db8::{n}", 1) for n in range(3)],
        ):
            held = [self.accept(peer) for peer in peers[:2]]
            self.assertIsNone(self.https.buildProtocol(peers[2]))
            self.assertIsNotNone(self.https.buildProtocol(IPv6Address("TCP", "2001:db9::1", 1)))
            self.limits.release("2001:db9::/64")
            for protocol in held:
                protocol.connectionLost(LOST)
            self.assertIsNotNone(self.https.buildProtocol(peers[2]))
            self.limits.release(None)
        self.assertEqual(self.metrics.value(rows.CONNECTIONS_REFUSED, "address"), 2)

    def test_unlimitedAddress(self) -> None:
        """
        0 is no limit for one address.
        """
        limits = ConnectionLimits(HTTPSettings(maxConnectionsPerIP=0), self.metrics)
        factory = limits.wrap(Factory.forProtocol(Inner), "https")
        for _ in range(600):
            self.assertIsNotNone(factory.buildProtocol(address(1)))

    def test_wrapped(self) -> None:
        """
        The wrapped protocol sees the real transport, the bytes and the end.
        """
        protocol = self.accept(address(1))
        inner = protocol.wrappedProtocol
        assert isinstance(inner, Inner)
        self.assertIs(inner.transport, protocol.transport)
        protocol.dataReceived(b"x")
        protocol.connectionLost(LOST)
        self.assertEqual((inner.received, inner.lost, self.limits.open), (b"x", True, 0))

    def test_wrappedRefuses(self) -> None:
        """
        A connection that the wrapped factory does not want takes no slot.
        """
        factory = Factory.forProtocol(Inner)
        factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        self.assertIsNone(self.limits.wrap(factory, "https").buildProtocol(address(1)))
        self.assertEqual(self.limits.open, 0)
