"""
Tests for L{aero.lan.ports}, and for connections to the guest.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from aero.testing.guest import GuestTCP
from aero.testing.lan import LANRig

from .recorders import Recorder


class PortTests(SynchronousTestCase):
    """
    What listens where.
    """

    def setUp(self) -> None:
        self.rig = LANRig()
        self.lan = self.rig.lan

    def test_taken(self) -> None:
        """
        A port has one listener, until that stops; factories are told when they start and stop.
        """
        factory = Factory.forProtocol(Recorder)
        factory.noisy = False
        port = self.lan.listenTCP(80, factory)
        verifyObject(IListeningPort, port)
        self.assertEqual((port.getHost().host, port.getHost().port), ("10.0.2.2", 80))
        self.assertEqual(factory.numPorts, 1)
        self.assertRaises(error.CannotListenError, self.lan.listenTCP, 80, factory)
        self.assertRaises(error.CannotListenError, self.lan.listenTCP, 53, factory)
        self.assertRaises(error.CannotListenError, self.lan.listenTCP, 70_000, factory)
        port.stopListening()
        port.stopListening()
        self.assertEqual(factory.numPorts, 0)
        self.lan.listenTCP(80, factory)
        self.lan.stop()
        self.assertEqual(factory.numPorts, 0)

    def test_free(self) -> None:
        """
        Port 0 is one that is free.
        """
        factory = Factory.forProtocol(Recorder)
        factory.noisy = False
        first, second = (self.lan.listenTCP(0, factory).getHost().port for _ in range(2))
        self.assertEqual(len({0, first, second}), 3)

    def test_otherAddresses(self) -> None:
        """
        A factory may be at another address: one of the LAN, which is answered for from then
        on, or any other, which the guest reaches by way of the gateway.
        """
        server = Recorder()
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: server
        self.lan.listenTCP(80, factory, "10.0.2.3")
        self.lan.listenTCP(80, factory, "192.0.2.80")
        self.rig.guest.askWho("10.0.2.3")
        self.assertEqual(self.rig.guest.arps, [("10.0.2.3", self.rig.guest.gatewayMAC)])
        for address in ("10.0.2.3", "192.0.2.80"):
            guest = self.rig.guest.connect(address, 80)
            self.rig.settle()
            self.assertTrue(guest.established, address)

    def test_noProtocol(self) -> None:
        """
        A factory that gives no protocol refuses the guest.
        """
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: None
        self.lan.listenTCP(80, factory)
        guest = self.rig.guest.connect("10.0.2.2", 80)
        self.rig.settle()
        self.assertTrue(guest.wasReset)

    def test_failingFactory(self) -> None:
        """
        A factory that fails refuses the guest, and is logged.
        """

        def build(addr: Any) -> Any:
            raise RuntimeError("broken")

        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = build
        self.lan.listenTCP(80, factory)
        guest = self.rig.guest.connect("10.0.2.2", 80)
        self.rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.rig.guest.listen(8_000)
        done = self.lan.connectTCP(8_000, factory)
        self.rig.settle()
        self.failureResultOf(done, RuntimeError)

    def test_datagrams(self) -> None:
        """
        A datagram protocol gets what the guest sends to its port, broadcasts too, and its
        answers come from there.
        """

        class Echo(DatagramProtocol):
            noisy = False

            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                self.transport.write(datagram[::-1], addr)  # type: ignore[union-attr]

        port = self.lan.listenUDP(7, Echo())
        verifyObject(IListeningPort, port)
        verifyObject(IUDPTransport, port)
        self.rig.guest.sendDatagram(5_000, "10.0.2.2", 7, b"abc")
        self.rig.guest.sendDatagram(5_000, "10.0.2.255", 7, b"xyz")
        found = [(each.source, each.data) for each in self.rig.guest.datagrams]
        self.assertEqual(found, [(("10.0.2.2", 7), b"cba"), (("10.0.2.2", 7), b"zyx")])
        self.rig.guest.sendDatagram(5_000, "10.0.2.2", 7, b"q" * 5_000)
        self.rig.settle()
        self.assertEqual(self.rig.guest.datagrams[-1].data, b"q" * 5_000)
        port.stopListening()
        self.rig.guest.sendDatagram(5_000, "10.0.2.2", 7, b"abc")
        self.assertEqual(self.rig.guest.errors[-1][:2], (3, 3))

    def test_connectedDatagrams(self) -> None:
        """
        A connected datagram protocol hears one peer only, and of its refusals.
        """

        class Client(DatagramProtocol):
            noisy = False

            def __init__(self) -> None:
                self.told: list[Any] = []

            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                self.told.append(datagram)

            def connectionRefused(self) -> None:
                self.told.append("refused")

        client = Client()
        port = self.lan.listenUDP(0, client)
        self.assertRaises(ValueError, port.write, b"to nobody")
        port.connect("10.0.2.15", 99)
        self.assertRaises(RuntimeError, port.connect, "10.0.2.15", 98)
        port.write(b"hello")
        self.rig.settle()
        self.assertEqual(self.rig.guest.datagrams[-1].data, b"hello")
        number = port.getHost().port
        self.rig.guest.sendDatagram(98, "10.0.2.2", number, b"stranger")
        self.rig.guest.sendDatagram(99, "10.0.2.2", number, b"friend")
        self.rig.guest.refuse(self.rig.guest.frames[-1])
        self.assertEqual(client.told, [b"friend", "refused"])
        self.assertRaises(error.MessageLengthError, port.write, bytes(65_508))


class ConnectTests(SynchronousTestCase):
    """
    Connections to the guest.
    """

    def setUp(self) -> None:
        self.rig = LANRig()
        self.factory = Factory.forProtocol(Recorder)
        self.factory.noisy = False

    def connect(self, port: int, **options: Any) -> Any:
        done = self.rig.lan.connectTCP(port, self.factory, **options)
        self.rig.settle()
        return done

    def test_connected(self) -> None:
        """
        The protocol is connected to what listens in the guest.
        """
        taken: list[GuestTCP] = []
        self.rig.guest.listen(8_000, taken.append)
        client = self.successResultOf(self.connect(8_000))
        self.assertEqual(client.made, 1)
        self.assertEqual(client.transport.getPeer().port, 8_000)
        client.transport.write(b"GET /")
        taken[0].write(b"200")
        taken[0].close()
        self.rig.settle()
        self.assertEqual((taken[0].received, client.data), (b"GET /", b"200"))
        self.assertEqual([type(each) for each in client.lost], [error.ConnectionDone])

    def test_refused(self) -> None:
        """
        A port that nothing listens at is C{ConnectionRefusedError}.
        """
        self.failureResultOf(self.connect(8_000), error.ConnectionRefusedError)

    def test_timeout(self) -> None:
        """
        A guest that says nothing is C{TimeoutError} after so many seconds.
        """
        self.rig.guest.attach(lambda frames: None)
        done = self.connect(8_000, timeout=7.0)
        self.assertNoResult(done)
        self.rig.reactor.advance(7)
        self.failureResultOf(done, error.TimeoutError)

    def test_cancel(self) -> None:
        """
        It may be given up.
        """
        self.rig.guest.attach(lambda frames: None)
        done = self.connect(8_000)
        done.cancel()
        self.failureResultOf(done, error.UserError)
        self.rig.settle()
        self.rig.lan.stop()
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_noProtocol(self) -> None:
        """
        A factory may change its mind.
        """
        self.rig.guest.listen(8_000)
        self.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        self.failureResultOf(self.connect(8_000), error.NoProtocol)

    def test_stop(self) -> None:
        """
        The end of the tunnel is the end of the attempt, and there are no more.
        """
        self.rig.guest.attach(lambda frames: None)
        done = self.connect(8_000)
        self.rig.lan.stop()
        self.failureResultOf(done, error.ConnectionLost)
        self.failureResultOf(self.connect(8_000), error.ConnectError)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
