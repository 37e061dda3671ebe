"""
Tests for L{aero.net.proxied}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import Metrics
from aero.metrics import http as rows
from aero.wire.test.test_proxyprotocol import V1, V2, V2_SIX, V2_TLS

from ..proxied import ProxiedFactory

PROXY = IPv4Address("TCP", "10.0.0.1", 4000)
STRANGER = IPv4Address("TCP", "192.0.2.1", 4000)


class Inner(Protocol):
    """
    Remembers what it hears.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost = 0

    def dataReceived(self, data: bytes) -> None:
        """
        Remember it.
        """
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        """
        Remember it.
        """
        self.lost += 1


class InnerFactory(Factory):
    """
    Remembers for whom protocols were made.
    """

    def __init__(self) -> None:
        self.made: list[tuple[Any, Inner]] = []
        self.full = False

    def buildProtocol(self, addr: Any) -> Inner | None:
        """
        Make one.
        """
        if self.full:
            return None
        self.made.append((addr, Inner()))
        return self.made[-1][1]


class TCP(StringTransport):
    """
    A transport that remembers how it was ended.
    """

    aborted = False

    def abortConnection(self) -> None:
        """
        Remember it.
        """
        self.aborted = True


class ProxiedFactoryTests(SynchronousTestCase):
    """
    Tests for L{ProxiedFactory}.
    """

    def setUp(self) -> None:
        """
        Have a listener.
        """
        self.clock = Clock()
        self.metrics = Metrics((rows.PROXY_HEADERS,))
        self.inner = InnerFactory()

    def connect(
        self, peer: Any = PROXY, *, required: bool = False, maxWaiting: int = 10
    ) -> tuple[Any, TCP]:
        """
        A connection.
        """
        if not hasattr(self, "factory"):
            self.factory = ProxiedFactory(
                self.inner,
                believes=lambda host: host.startswith("10."),
                required=required,
                timeout=10,
                maxWaiting=maxWaiting,
                metrics=self.metrics,
                clock=self.clock,
            )
        protocol: Any = self.factory.buildProtocol(peer)
        transport = TCP(peerAddress=peer)
        if protocol is not None:
            protocol.makeConnection(transport)
        return protocol, transport

    def counted(self, outcome: str) -> float:
        """
        How many headers ended so.
        """
        return self.metrics.value(rows.PROXY_HEADERS, outcome)

    def test_headers(self) -> None:
        """
        The protocol within is made for the client, and gets what follows the header, in whatever
        pieces that comes.
        """
        for data, host in ((V1, "127.0.0.9"), (V2, "127.0.0.9"), (V2_SIX, "::1"), (V2_TLS, None)):
            whole = data + b"hello"
            for step in (1, 3, len(data), len(whole)):
                protocol, transport = self.connect()
                for at in range(0, len(whole), step):
                    protocol.dataReceived(whole[at : at + step])
                addr, inner = self.inner.made[-1]
                self.assertEqual(inner.received, b"hello")
                self.assertEqual(transport.getPeer(), addr)
                self.assertEqual(addr.host, host or "127.0.0.9")
                self.assertEqual(transport.clientUsesTLS, data == V2_TLS)  # type: ignore[attr-defined]
                protocol.connectionLost()
                self.assertEqual(inner.lost, 1)
        self.assertEqual((self.counted("v1"), self.counted("v2")), (4, 12))
        self.assertEqual(self.factory.waiting, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsInstance(self.inner.made[8][0], IPv6Address)

    def test_local(self) -> None:
        """
        A proxy that speaks for itself is the client.
        """
        protocol, _ = self.connect()
        protocol.dataReceived(b"PROXY UNKNOWN\r\nGET")
        self.assertEqual(self.inner.made[0][0], PROXY)
        self.assertEqual(self.inner.made[0][1].received, b"GET")
        self.assertEqual(self.counted("local"), 1)

    def test_missing(self) -> None:
        """
        A trusted proxy that sends no header, or a bad one, is cut off, and nothing after that
        counts.
        """
        for data in (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PROXY TCP4 x y 1 1\r\n"):
            protocol, transport = self.connect()
            protocol.dataReceived(data)
            self.assertTrue(transport.aborted)
            protocol.dataReceived(V1)
            protocol.connectionLost()
        self.assertEqual(self.inner.made, [])
        self.assertEqual((self.counted("malformed"), self.counted("closed")), (3, 0))
        self.assertEqual((self.factory.waiting, self.clock.getDelayedCalls()), (0, []))

    def test_slow(self) -> None:
        """
        A header that does not come in time ends the connection.
        """
        protocol, transport = self.connect()
        for byte in V1[:9]:
            self.clock.advance(1)
            protocol.dataReceived(bytes([byte]))
        self.assertFalse(transport.aborted)
        self.clock.advance(1)
        self.assertTrue(transport.aborted)
        protocol.connectionLost()
        self.assertEqual((self.counted("timeout"), self.factory.waiting), (1, 0))

    def test_closed(self) -> None:
        """
        A proxy that leaves before it said anything leaves nothing behind.
        """
        protocol, _ = self.connect()
        protocol.connectionLost()
        self.assertEqual((self.counted("closed"), self.factory.waiting), (1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stranger(self) -> None:
        """
        Who is no trusted proxy is a client itself; one that claims to be somebody else is cut off.
        """
        protocol, transport = self.connect(STRANGER)
        protocol.dataReceived(b"GET / ")
        protocol.dataReceived(V1)
        addr, inner = self.inner.made[0]
        self.assertEqual((addr, inner.received), (STRANGER, b"GET / " + V1))
        protocol.connectionLost()
        self.assertEqual(inner.lost, 1)
        for number, data in enumerate((V1, V2), 1):
            protocol, transport = self.connect(STRANGER)
            protocol.dataReceived(data)
            self.assertTrue(transport.aborted)
            self.assertEqual(self.inner.made[-1][1].received, b"")
            protocol.connectionLost()
            self.assertEqual(self.inner.made[-1][1].lost, 1)
            self.assertEqual(self.counted("untrusted"), number)

    def test_required(self) -> None:
        """
        Where headers are required nobody else may connect.
        """
        protocol, _ = self.connect(STRANGER, required=True)
        self.assertIs(protocol, None)
        self.assertEqual((self.counted("untrusted"), self.inner.made), (1, []))

    def test_limit(self) -> None:
        """
        No more than so many connections wait for their header; others are closed at once.
        """
        self.connect(maxWaiting=2)
        protocol, _ = self.connect()
        self.assertIs(self.connect()[0], None)
        self.assertEqual(self.counted("limit"), 1)
        protocol.dataReceived(V1)
        self.assertIsNot(self.connect()[0], None)

    def test_full(self) -> None:
        """
        A client too many is cut off after the header, for whom it was not known before.
        """
        self.inner.full = True
        protocol, transport = self.connect()
        protocol.dataReceived(V1 + b"hello")
        self.assertTrue(transport.aborted)
        protocol.dataReceived(b"more")
        protocol.connectionLost()
        protocol, _ = self.connect(STRANGER)
        self.assertIs(protocol, None)
