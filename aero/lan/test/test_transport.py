"""
Tests for L{aero.lan.transport}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from aero.lan.lost import GuestLost
from aero.testing.guest import GuestTCP
from aero.testing.lan import LANRig
from aero.testing.packets import ACK

from .recorders import HalfRecorder, Recorder


class Producer:
    """
    Counts how often it is stopped and started.
    """

    def __init__(self, transport: Any = None) -> None:
        self.told: list[str] = []
        self.transport = transport
        self.left = 0

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.left:
            self.left -= 1
            self.transport.write(b"p" * 50_000)
            if not self.left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

    def stopProducing(self) -> None:
        self.told.append("stop")


class ServerTests(SynchronousTestCase):
    """
    A factory in the LAN.
    """

    protocol: type[Recorder] = Recorder

    def setUp(self) -> None:
        self.rig = LANRig()
        self.factory = Factory()
        self.factory.noisy = False
        self.made: list[Any] = []

        def build(addr: Any) -> Any:
            self.made.append(self.protocol())
            return self.made[-1]

        self.factory.buildProtocol = build  # type: ignore[method-assign]
        self.rig.lan.listenTCP(80, self.factory)

    def open(self, **options: int) -> tuple[GuestTCP, Any]:
        """
        A connection of the guest, and the protocol behind it.
        """
        guest = self.rig.guest.connect("10.0.2.2", 80, **options)
        self.rig.settle()
        return guest, self.made[-1]

    def test_ownAddress(self) -> None:
        """
        A guest with an address of its own is known by that one.
        """
        self.rig.guest.address = "10.0.2.77"
        _, server = self.open()
        self.assertEqual(server.transport.getPeer().host, "10.0.2.77")

    def test_made(self) -> None:
        """
        The protocol's connection is made when the handshake is done, with the addresses that
        the guest sees, and its transport is one of TCP.
        """
        guest, server = self.open()
        self.assertTrue(guest.established)
        self.assertEqual(server.made, 1)
        transport = server.transport
        for interface in (ITCPTransport, IPushProducer, IConsumer):
            verifyObject(interface, transport)
        self.assertEqual((transport.getHost().host, transport.getHost().port), ("10.0.2.2", 80))
        peer = transport.getPeer()
        self.assertEqual((peer.host, peer.port), ("10.0.2.15", guest.port))
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self.assertTrue(transport.getTcpNoDelay() and transport.getTcpKeepAlive())

    def test_bytes(self) -> None:
        """
        Bytes go both ways; what is written in small pieces in one turn travels in large ones.
        """
        guest, server = self.open()
        guest.write(b"question")
        self.rig.settle()
        self.assertEqual(server.data, b"question")
        before = len(guest.log)
        server.transport.writeSequence([b"an", b"s"])
        for letter in b"wer":
            server.transport.write(bytes((letter,)))
        server.transport.write(b"")
        self.rig.settle()
        self.assertEqual(guest.received, b"answer")
        self.assertEqual(len([s for s in guest.log[before:] if s.data]), 1)
        self.assertRaises(TypeError, server.transport.write, "text")

    def test_loseConnection(self) -> None:
        """
        What was written arrives, then the end; the protocol does not wait for the guest, and
        what the guest still sends is taken and dropped.
        """
        guest, server = self.open()
        server.transport.write(b"x" * 100_000)
        server.transport.loseConnection()
        self.assertEqual(server.lost, [])
        self.rig.settle()
        self.assertEqual([type(each) for each in server.lost], [error.ConnectionDone])
        server.transport.write(b"too late")
        for _ in range(20):
            self.rig.settle()
        self.assertEqual((len(guest.received), guest.ended), (100_000, True))
        guest.write(b"y" * 1_000)
        guest.close()
        self.rig.settle()
        self.assertTrue(guest.finished)
        self.assertEqual((server.data, len(server.lost)), (b"", 1))

    def test_linger(self) -> None:
        """
        A guest that does not end its side of a closed connection is reset after a while.
        """
        guest, server = self.open()
        server.transport.loseConnection()
        self.rig.settle()
        self.assertFalse(guest.wasReset)
        self.rig.reactor.advance(server.transport.lingerTimeout)
        self.rig.settle()
        self.assertTrue(guest.wasReset)

    def test_slowReader(self) -> None:
        """
        A guest that reads slowly gets everything that was written before the end, however long
        that takes; from then on it has the time to end its own side.
        """
        guest, server = self.open(window=0)
        server.transport.write(b"x" * 60_000)
        server.transport.loseConnection()
        acknowledge = guest._segment

        def takeNoMore(*segment: Any) -> None:
            guest.window = 0
            acknowledge(*segment)

        guest._segment = takeNoMore  # type: ignore[method-assign,assignment]
        for second in range(3, 183, 3):
            guest.window = 1_000
            acknowledge(ACK)
            self.rig.settle(2)
            self.assertEqual(len(guest.received), second * 1_000 // 3)
            self.rig.reactor.advance(3)
        guest.window = 1_000
        acknowledge(ACK)
        self.rig.settle()
        self.assertEqual((len(guest.received), guest.ended, guest.wasReset), (60_000, True, False))
        for _ in range(24):
            self.rig.reactor.advance(1)
        self.rig.settle()
        self.assertFalse(guest.wasReset)
        for _ in range(9):
            self.rig.reactor.advance(1)
        self.rig.settle()
        self.assertTrue(guest.wasReset)

    def test_readsNothing(self) -> None:
        """
        A guest that takes nothing of what was written before the end is reset after a while,
        although it says that it is there.
        """
        guest, server = self.open(window=0)
        server.transport.write(b"x" * 100_000)
        server.transport.loseConnection()
        for _ in range(29):
            guest.openWindow(0)
            self.rig.reactor.advance(1)
        self.rig.settle()
        self.assertFalse(guest.wasReset)
        self.rig.reactor.advance(1)
        self.rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(self.rig.lan.driver.stack.connections, 0)

    def test_abort(self) -> None:
        """
        Aborting is a reset, and C{ConnectionAborted} for the protocol.
        """
        guest, server = self.open()
        server.transport.abortConnection()
        self.rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual([type(each) for each in server.lost], [error.ConnectionAborted])

    def test_guestResets(self) -> None:
        """
        The guest's reset is C{ConnectionLost}, with the reason in a word.
        """
        guest, server = self.open()
        guest.abort()
        self.rig.settle()
        self.assertIsInstance(server.lost[0], error.ConnectionLost)
        self.assertIsInstance(server.lost[0], GuestLost)
        self.assertEqual(server.lost[0].reason, "reset")

    def test_guestEnds(self) -> None:
        """
        The guest's end is the end for a protocol that knows no half-close, after all the
        guest's data; what it wrote still arrives.
        """
        guest, server = self.open()
        server.transport.write(b"goodbye")
        guest.write(b"last words")
        guest.close()
        self.rig.settle()
        self.assertEqual(server.data, b"last words")
        self.assertEqual([type(each) for each in server.lost], [error.ConnectionDone])
        self.assertEqual((guest.received, guest.ended, guest.finished), (b"goodbye", True, True))

    def test_paused(self) -> None:
        """
        A protocol that pauses its transport closes the guest's window; nothing is lost when it
        goes on, and the guest's end comes after the data.
        """
        guest, server = self.open()
        server.transport.pauseProducing()
        data = bytes(range(256)) * 4_096
        guest.write(data)
        guest.close()
        for _ in range(10):
            self.rig.settle()
        self.assertEqual((server.data, server.lost), (b"", []))
        self.assertGreater(guest.unacknowledged, 500_000)
        server.transport.resumeProducing()
        for _ in range(100):
            self.rig.settle()
        self.assertEqual(server.data, data)
        self.assertEqual([type(each) for each in server.lost], [error.ConnectionDone])

    def test_pausedWithin(self) -> None:
        """
        A protocol may pause while it is given data.
        """

        class Careful(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()

        self.protocol = Careful
        guest, server = self.open()
        guest.write(b"a" * 3_000)
        self.rig.settle()
        first = len(server.data)
        self.assertLess(first, 3_000)
        for _ in range(3):
            server.transport.resumeProducing()
            self.rig.settle()
        self.assertEqual(len(server.data), 3_000)

    def test_pushProducer(self) -> None:
        """
        A producer is paused when the send buffer is full, and resumed when the guest has taken
        half of it.
        """
        guest, server = self.open(window=0)
        producer = Producer()
        server.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, server.transport.registerProducer, producer, True)
        server.transport.write(b"x" * 200_000)
        self.assertEqual(producer.told, [])
        server.transport.write(b"x" * 100_000)
        self.assertEqual(producer.told, ["pause"])
        self.rig.settle()
        guest.openWindow(65_535)
        for _ in range(50):
            self.rig.settle()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertEqual(len(guest.received), 300_000)

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked for more while there is room, and C{loseConnection} lets it
        finish.
        """
        guest, server = self.open()
        producer = Producer(server.transport)
        producer.left = 20
        server.transport.registerProducer(producer, False)
        for _ in range(100):
            self.rig.settle()
        self.assertEqual((len(guest.received), guest.ended), (1_000_000, True))
        self.assertEqual(producer.told, ["resume"] * 20)

    def test_producerFinishes(self) -> None:
        """
        C{loseConnection} waits for a producer that is registered, which may go on writing.
        """
        guest, server = self.open()
        server.transport.registerProducer(Producer(), True)
        server.transport.loseConnection()
        self.assertTrue(server.transport.disconnecting)
        server.transport.write(b"more")
        self.rig.settle()
        self.assertEqual((guest.received, guest.ended, server.lost), (b"more", False, []))
        server.transport.unregisterProducer()
        self.rig.settle()
        self.assertTrue(guest.ended)
        self.assertEqual(len(server.lost), 1)

    def test_producerStopped(self) -> None:
        """
        The producer of a connection that is lost is stopped.
        """
        guest, server = self.open()
        producer = Producer()
        server.transport.registerProducer(producer, True)
        guest.abort()
        self.rig.settle()
        self.assertEqual(producer.told, ["stop"])
        late = Producer()
        server.transport.registerProducer(late, True)
        self.assertEqual(late.told, ["stop"])

    def test_failing(self) -> None:
        """
        A protocol that raises loses its connection, and nobody else does.
        """

        class Broken(Recorder):
            def dataReceived(self, data: bytes) -> None:
                raise RuntimeError("broken")

        good, _ = self.open()
        self.protocol = Broken
        guest, server = self.open()
        guest.write(b"x")
        self.rig.settle()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(guest.wasReset)
        self.assertEqual(len(server.lost), 1)
        self.assertFalse(good.wasReset)

    def test_failingAtTheEnd(self) -> None:
        """
        A protocol that raises when it is told of the end is logged, and that is all.
        """

        class Sore(Recorder):
            def connectionLost(self, reason: Any = None) -> None:
                raise RuntimeError("sore")

        self.protocol = Sore
        guest, _ = self.open()
        guest.abort()
        self.rig.settle()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.rig.lan.stop()

    def test_stopProducing(self) -> None:
        """
        A consumer of the guest's data that wants no more closes the connection; what is said
        after that has no effect.
        """
        guest, server = self.open()
        server.transport.stopProducing()
        server.transport.loseConnection()
        server.transport.loseWriteConnection()
        server.transport.abortConnection()
        server.transport.reject("refused")
        server.transport.unregisterProducer()
        self.rig.settle()
        self.assertTrue(guest.ended)
        self.assertEqual([type(each) for each in server.lost], [error.ConnectionDone])
        self.assertEqual(server.transport.logPrefix(), "GuestConnection,1")
        self.assertIn("10.0.2.2:80", repr(server.transport))

    def test_producerOfFullConnection(self) -> None:
        """
        A producer that is registered while the send buffer is full is paused at once.
        """
        _, server = self.open(window=0)
        server.transport.write(b"x" * 300_000)
        producer = Producer()
        server.transport.registerProducer(producer, True)
        self.assertEqual(producer.told, ["pause"])

    def test_resetWhenSent(self) -> None:
        """
        A reset waits for the guest to take what was written, but not for ever.
        """
        guest, server = self.open(window=0)
        server.transport.write(b"last words")
        server.transport.resetConnection()
        self.rig.settle()
        self.assertFalse(guest.wasReset)
        for _ in range(700):
            self.rig.reactor.advance(0.05)
        self.rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(len(server.lost), 1)

    def test_stop(self) -> None:
        """
        When the tunnel ends every protocol hears of it, and nothing is left running.
        """
        _, server = self.open()
        self.rig.lan.stop()
        self.assertEqual([each.reason for each in server.lost], ["tunnel"])
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
        self.rig.lan.stop()
        self.rig.guest.ping("10.0.2.2")
        self.assertEqual(self.rig.guest.echoes, [])


class HalfCloseTests(SynchronousTestCase):
    """
    Directions that end on their own.
    """

    def setUp(self) -> None:
        self.rig = LANRig()
        self.server = HalfRecorder()
        factory: Any = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: self.server
        self.rig.lan.listenTCP(80, factory)
        self.guest = self.rig.guest.connect("10.0.2.2", 80)
        self.rig.settle()

    def test_guestFirst(self) -> None:
        """
        After the guest's end the protocol may still write.
        """
        self.guest.write(b"request")
        self.guest.close()
        self.rig.settle()
        self.assertEqual((self.server.data, self.server.ends), (b"request", ["read"]))
        self.server.transport.write(b"response")
        self.server.transport.loseConnection()
        self.rig.settle()
        self.assertEqual((self.guest.received, self.guest.ended), (b"response", True))
        self.assertEqual(len(self.server.lost), 1)

    def test_serverFirst(self) -> None:
        """
        After the protocol's end the guest may still send; when both have ended the connection
        is over.
        """
        self.server.transport.write(b"banner")
        self.server.transport.loseWriteConnection()
        self.server.transport.loseWriteConnection()
        self.server.transport.write(b"too late")
        self.rig.settle()
        self.assertEqual((self.guest.received, self.guest.ended), (b"banner", True))
        self.assertEqual(self.server.ends, ["write"])
        self.guest.write(b"goodbye")
        self.guest.close()
        self.rig.settle()
        self.rig.reactor.advance(5)
        self.rig.settle()
        self.assertEqual((self.server.data, self.server.ends), (b"goodbye", ["write", "read"]))
        self.assertEqual([type(each) for each in self.server.lost], [error.ConnectionDone])

    def test_afterProducer(self) -> None:
        """
        The end of a direction waits for the producer.
        """
        self.server.transport.registerProducer(Producer(), True)
        self.server.transport.loseWriteConnection()
        self.rig.settle()
        self.assertFalse(self.guest.ended)
        self.server.transport.unregisterProducer()
        self.rig.settle()
        self.assertTrue(self.guest.ended)
