"""
Tests for L{aero.net.udp.ports}.
"""

from __future__ import annotations

import socket
from typing import Sequence

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from aero.net.udp.ports import READS, BatchProtocol, DatagramPort, DatagramPorts, Received
from aero.testing.udp import MemoryNetwork

PEER = ("192.0.2.1", 53)


class Batches(BatchProtocol):
    """
    Keeps what it is given.
    """

    def __init__(self) -> None:
        self.batches: list[list[Received]] = []
        self.stopped = 0

    def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
        self.batches.append(list(datagrams))

    def stopProtocol(self) -> None:
        self.stopped += 1


class Singles(BatchProtocol):
    """
    An ordinary C{DatagramProtocol}.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if datagram == b"fail":
            raise RuntimeError("a mistake")
        self.received.append((datagram, addr))


class DatagramPortTests(SynchronousTestCase):
    """
    L{DatagramPort} carries datagrams both ways.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.network = MemoryNetwork(self.reactor)
        self.ports = DatagramPorts(self.reactor, maxSockets=2, openSocket=self.network.openSocket)

    def listen(
        self, protocol: BatchProtocol, family: int = socket.AF_INET, port: int = 0
    ) -> DatagramPort:
        """
        Open a port that there is room for.
        """
        opened = self.ports.listen(protocol, family=family, port=port, maxPacket=8)
        assert opened is not None
        return opened

    def test_batch(self) -> None:
        """
        What one wakeup finds comes in one call, and other sockets get their turn after so
        many.
        """
        protocol = Batches()
        port = self.listen(protocol)
        verifyObject(IReadDescriptor, port)
        self.network.deliver(0, *[(b"%d" % n, PEER) for n in range(READS + 3)])
        self.assertEqual([len(batch) for batch in protocol.batches], [READS])
        self.assertEqual(protocol.batches[0][:2], [(b"0", PEER), (b"1", PEER)])
        self.network.deliver(0)
        self.assertEqual([len(batch) for batch in protocol.batches], [READS, 3])
        self.network.deliver(0)
        self.assertEqual(len(protocol.batches), 2)

    def test_ordinaryProtocol(self) -> None:
        """
        A C{DatagramProtocol} without batches gets datagrams one by one; a mistake of its
        own is logged and does not cost the socket.
        """
        protocol = Singles()
        self.listen(protocol)
        self.network.deliver(0, (b"a", PEER), (b"b", PEER))
        self.assertEqual(protocol.received, [(b"a", PEER), (b"b", PEER)])
        self.network.deliver(0, (b"fail", PEER))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.network.deliver(0, (b"c", PEER))
        self.assertEqual(protocol.received[-1], (b"c", PEER))

    def test_cut(self) -> None:
        """
        A datagram that is longer than what is read of it is seen to be: it has as many
        bytes as the limit.
        """
        protocol = Batches()
        self.listen(protocol)
        self.network.deliver(0, (b"0123456789", PEER))
        self.assertEqual(protocol.batches, [[(b"01234567", PEER)]])

    def test_scope(self) -> None:
        """
        An IPv6 source is an address and a port, without scope and flow.
        """
        protocol = Batches()
        self.listen(protocol, socket.AF_INET6)
        self.network.deliver(0, (b"a", ("fe80::1%eth0", 5)), (b"b", ("2001:db8::1", 6)))
        self.assertEqual(protocol.batches, [[(b"a", ("fe80::1", 5)), (b"b", ("2001:db8::1", 6))]])

    def test_send(self) -> None:
        """
        What the system does not take is reported, and through C{write} silently lost.
        """
        protocol = Batches()
        port = self.listen(protocol)
        self.assertIs(protocol.transport, port)
        self.assertTrue(port.send(b"a", PEER))
        port.write(b"b", PEER)
        self.network.sockets[0].refuses = True
        self.assertFalse(port.send(b"c", PEER))
        port.write(b"d", PEER)
        self.assertEqual(self.network.sockets[0].sent, [(b"a", PEER), (b"b", PEER)])

    def test_close(self) -> None:
        """
        Closing frees descriptor and slot, tells the protocol, and happens once.
        """
        protocol = Batches()
        port = self.listen(protocol)
        self.assertEqual(self.ports.open, 1)
        port.stopListening()
        port.connectionLost(Failure(RuntimeError("the reactor stops")))
        self.assertEqual((self.ports.open, protocol.stopped, port.fileno()), (0, 1, -1))
        self.assertTrue(self.network.sockets[0].closed)
        self.assertEqual(self.reactor.getReaders(), [])

    def test_host(self) -> None:
        """
        A port knows its address.
        """
        self.assertEqual(
            self.listen(Batches(), port=7).getHost(),
            IPv4Address("UDP", "0.0.0.0", 7),
        )
        self.assertEqual(
            self.listen(Batches(), socket.AF_INET6, 7).getHost(), IPv6Address("UDP", "::", 7)
        )

    def test_preference(self) -> None:
        """
        A port that is taken is not insisted on.
        """
        self.listen(Batches(), port=7)
        self.assertNotEqual(self.listen(Batches(), port=7).getHost().port, 7)

    def test_limit(self) -> None:
        """
        Beyond the limit there are no sockets until one is closed.
        """
        first = self.listen(Batches())
        self.listen(Batches())
        self.assertIsNone(self.ports.listen(Batches(), family=socket.AF_INET, maxPacket=8))
        first.stopListening()
        self.listen(Batches())

    def test_noFamily(self) -> None:
        """
        A machine without IPv6 gives no socket and loses no slot.
        """
        self.network.families.discard(int(socket.AF_INET6))
        self.assertIsNone(self.ports.listen(Batches(), family=socket.AF_INET6, maxPacket=8))
        self.assertEqual(self.ports.open, 0)
