"""
Tests for L{aero.tls.protocol}.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IHandshakeListener, INegotiated, ISSLTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from aero.testing.properties import given, strategies
from aero.tls.openssl import DRAIN_BYTES
from aero.tls.protocol import CHUNK_BYTES, DIRECT_BYTES, LINGER

from .tlsfixtures import Client, Listener, clientContext


class Producer:
    """
    Remembers what it is asked to do.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        """
        Remember it.
        """
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        """
        Remember it.
        """
        self.asked.append("resume")

    def stopProducing(self) -> None:
        """
        Remember it.
        """
        self.asked.append("stop")


class _TLSTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """
        Listen for example.com.
        """
        self.clock = Clock()
        self.listener = Listener(clock=self.clock)

    def app(self, client: Client) -> Any:
        """
        The application's protocol that a client talks to.
        """
        return client.server.wrappedProtocol

    def tcp(self, client: Client) -> Any:
        """
        The network side of the connection of a client.
        """
        return client.server.transport


class DataTests(_TLSTestCase):
    """
    Tests for bytes in both directions.
    """

    def test_transport(self) -> None:
        """
        The application has a transport that tells that it is secure and what was negotiated.
        """
        client = self.listener.connect(protocols=[b"h2"])
        self.assertTrue(INegotiated.providedBy(self.app(client).transport))
        self.assertTrue(ISSLTransport.providedBy(self.app(client).transport))
        self.assertEqual(self.app(client).transport.negotiatedProtocol, b"h2")

    def test_received(self) -> None:
        """
        What the client sends arrives, all records of one network read in one piece.
        """
        client = self.listener.connect()
        client.send(b"a" * 60_000)
        self.assertEqual(self.app(client).received, [b"a" * 60_000])

    def test_receivedMore(self) -> None:
        """
        More than fits in the shared buffer arrives too.
        """
        client = self.listener.connect()
        data = bytes(range(256)) * (3 * DRAIN_BYTES // 256)
        client.send(data)
        self.assertEqual(b"".join(self.app(client).received), data)

    def test_receivedByteByByte(self) -> None:
        """
        Bytes may come one at a time, in the handshake and after it.
        """
        client = Client(self.listener.accept()).exchange(1)
        client.tls.send(b"one")
        client.tls.send(b"two")
        client.exchange(1)
        self.assertEqual(self.app(client).received, [b"one", b"two"])

    @given(strategies.lists(strategies.integers(0, 3 * CHUNK_BYTES), max_size=4))
    def test_written(self, sizes: list[int]) -> None:
        """
        Writes of any sizes arrive whole and in order.
        """
        clock = Clock()
        client = Listener(clock=clock).connect()
        pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
        for each in pieces:
            self.app(client).transport.write(each)
        clock.advance(0)
        self.assertEqual(client.exchange().received, b"".join(pieces))

    @given(
        strategies.lists(strategies.integers(0, 3 * CHUNK_BYTES), max_size=4),
        strategies.lists(strategies.integers(0, 200_000)),
    )
    def test_writtenDirectly(self, sizes: list[int], takes: list[int]) -> None:
        """
        However much of a large write the socket takes at once, everything arrives in order.
        """
        clock = Clock()
        client = Listener(clock=clock).connect()
        tcp = self.tcp(client)

        def take(data: memoryview) -> int:
            self.assertGreaterEqual(len(data), DIRECT_BYTES)
            part = bytes(data[: takes.pop(0) if takes else 0])
            tcp.write(part)
            return len(part)

        server: Any = client.server
        server._writeDirectly = take
        pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
        for each in pieces:
            self.app(client).transport.write(each)
        clock.advance(0)
        self.assertEqual(client.exchange().received, b"".join(pieces))

    def test_writtenInOnePiece(self) -> None:
        """
        A large write reaches the network in one piece, in full records.
        """
        client = self.listener.connect()
        writes: list[bytes] = []
        self.patch(self.tcp(client), "write", writes.append)
        self.app(client).transport.write(b"x" * CHUNK_BYTES)
        self.assertEqual(len(writes), 1)
        self.assertLess(len(writes[0]), CHUNK_BYTES + 40 * (CHUNK_BYTES // 16_384))

    def test_smallWritesTogether(self) -> None:
        """
        Small writes of one turn of the reactor share a record.
        """
        client = self.listener.connect()
        self.app(client).transport.write(b"a")
        self.app(client).transport.writeSequence([b"b", b"c"])
        self.assertEqual(self.tcp(client).value(), b"")
        self.clock.advance(0)
        self.assertEqual(self.tcp(client).value().count(b"\x17\x03\x03"), 1)
        self.assertEqual(client.exchange().received, b"abc")

    def test_answeredAtOnce(self) -> None:
        """
        What answers a read goes out when all that was read is dealt with, in one record, and
        the socket is tried at once.
        """
        client = self.listener.connect()
        server: Any = client.server
        direct: list[bytes] = []

        def take(data: memoryview) -> int:
            direct.append(bytes(data))
            return 0

        server._writeDirectly = take
        app = self.app(client)
        app.dataReceived = lambda data: [app.transport.write(data[at : at + 1]) for at in (0, 1)]
        client.send(b"ok")
        self.assertEqual(len(direct), 1)
        self.assertEqual(direct[0].count(b"\x17\x03\x03"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(client.exchange().received, b"ok")

    def test_writtenEarly(self) -> None:
        """
        What the application writes before the handshake is done arrives after it.
        """
        for size in (10, 3 * CHUNK_BYTES):
            server = self.listener.accept()
            server.write(b"x" * size)
            self.clock.advance(0)
            self.assertEqual(Client(server).exchange().received, b"x" * size)

    def test_memoryIsNotShared(self) -> None:
        """
        Two connections that write and read in turns do not see each other's bytes.
        """
        one, two = self.listener.connect(), self.listener.connect()
        one.server.write(b"1" * 100_000)
        two.server.write(b"2" * 100_000)
        two.exchange()
        one.exchange()
        self.assertEqual((set(one.received), set(two.received)), ({0x31}, {0x32}))

    def test_handshakeListener(self) -> None:
        """
        An application that wants to know when the handshake is done is told once.
        """
        server = self.listener.accept()
        told: list[bool] = []
        app: Any = server.wrappedProtocol
        app.handshakeCompleted = lambda: told.append(True)
        directlyProvides(app, IHandshakeListener)
        client = Client(server).exchange()
        client.send(b"more")
        self.assertEqual(told, [True])

    def test_garbage(self) -> None:
        """
        A damaged record ends the connection, and only this one.
        """
        client, other = self.listener.connect(), self.listener.connect()
        client.server.dataReceived(b"\x17\x03\x03\x00\x20" + b"?" * 32)
        self.assertTrue(self.tcp(client).disconnecting)
        client.server.dataReceived(b"more")
        client.server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(len(self.app(other).lost), 0)
        other.send(b"fine")
        self.assertEqual(self.app(other).received, [b"fine"])


class ProducerTests(_TLSTestCase):
    """
    Tests for back-pressure.
    """

    def test_streaming(self) -> None:
        """
        The network's back-pressure reaches the application's producer.
        """
        client, producer = self.listener.connect(), Producer()
        client.server.registerProducer(producer, True)
        self.tcp(client).producer.pauseProducing()
        self.tcp(client).producer.resumeProducing()
        self.assertEqual(producer.asked, ["pause", "resume"])

    def test_closedAfterTheProducer(self) -> None:
        """
        A connection that is closed while a producer writes ends when the producer is done.
        """
        client, producer = self.listener.connect(), Producer()
        client.server.registerProducer(producer, True)
        client.server.loseConnection()
        client.server.write(b"last")
        self.clock.advance(0)
        self.assertFalse(client.exchange().ended)
        client.server.unregisterProducer()
        client.exchange()
        self.assertEqual((client.received, client.ended), (b"last", True))

    def test_pausedDuringTheHandshake(self) -> None:
        """
        A producer is paused while the handshake holds its bytes up, and then resumed.
        """
        server, producer = self.listener.accept(), Producer()
        server.registerProducer(producer, True)
        server.write(b"x" * CHUNK_BYTES)
        self.assertEqual(producer.asked, ["pause"])
        client = Client(server).exchange()
        self.assertEqual(producer.asked, ["pause", "resume"])
        self.assertEqual(len(client.received), CHUNK_BYTES)


class ClosingTests(_TLSTestCase):
    """
    Tests for the end of connections.
    """

    def test_flushed(self) -> None:
        """
        What was written before loseConnection arrives, followed by the end of the session.
        """
        client = self.listener.connect()
        client.server.write(b"small")
        client.server.write(b"x" * (2 * CHUNK_BYTES))
        client.server.loseConnection()
        client.exchange()
        self.assertEqual(client.received, b"small" + b"x" * (2 * CHUNK_BYTES))
        self.assertTrue(client.ended)

    def test_answered(self) -> None:
        """
        Once the client has answered the end, the connection is closed at once.
        """
        client = self.listener.connect()
        client.server.loseConnection()
        client.exchange()
        self.assertFalse(self.tcp(client).disconnecting)
        client.tls.shutdown()
        client.exchange()
        self.assertTrue(self.tcp(client).disconnecting)
        client.server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unanswered(self) -> None:
        """
        A client that does not answer cannot keep the connection open.
        """
        client = self.listener.connect()
        client.server.loseConnection()
        client.exchange()
        self.clock.advance(LINGER - 0.1)
        self.assertFalse(self.tcp(client).disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.tcp(client).disconnecting)
        self.assertFalse(self.tcp(client).aborted)

    def test_clientEnds(self) -> None:
        """
        When the client ends the session the application hears of it after the last bytes.
        """
        client = self.listener.connect()
        client.tls.send(b"bye")
        client.tls.shutdown()
        client.exchange()
        self.assertEqual(self.app(client).received, [b"bye"])
        self.assertTrue(self.tcp(client).disconnecting)
        app = self.app(client)
        client.server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(len(app.lost), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cut(self) -> None:
        """
        A connection that breaks off takes its timers with it.
        """
        for prepare in (lambda server: None, lambda server: server.loseConnection()):
            client = self.listener.connect()
            app = self.app(client)
            prepare(client.server)
            client.server.connectionLost(Failure(CONNECTION_LOST))
            self.assertEqual(len(app.lost), 1)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_aborted(self) -> None:
        """
        After abortConnection the application hears nothing more.
        """
        client = self.listener.connect()
        client.tls.send(b"late")
        client.server.abortConnection()
        client.exchange()
        self.assertTrue(self.tcp(client).aborted)
        self.assertEqual(self.app(client).received, [])

    def test_abortedTooLate(self) -> None:
        """
        Ending a connection that is gone does nothing.
        """
        client = self.listener.connect()
        client.server.connectionLost(Failure(CONNECTION_LOST))
        client.server.write(b"x")
        client.server.loseConnection()
        client.server.abortConnection()
        self.assertFalse(self.tcp(client).aborted)

    def test_writtenAfterTheEnd(self) -> None:
        """
        Bytes written after loseConnection are dropped.
        """
        client = self.listener.connect()
        client.server.loseConnection()
        client.server.write(b"x" * CHUNK_BYTES)
        self.assertEqual(client.exchange().received, b"")


class HandshakeTests(_TLSTestCase):
    """
    Tests for clients that do not get through the handshake.
    """

    def test_completed(self) -> None:
        """
        Completed handshakes are counted by version, and leave no timer.
        """
        self.listener.connect()
        self.listener.connect(context=clientContext(version=SSL.TLS1_2_VERSION))
        self.assertEqual(self.listener.handshakes("TLSv1.3", "full"), 1)
        self.assertEqual(self.listener.handshakes("TLSv1.2", "full"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent(self) -> None:
        """
        A client that says nothing, or not enough, is dropped when its time is over.
        """
        for first in (b"", b"\x16\x03\x01\x02"):
            server = self.listener.accept()
            if first:
                server.dataReceived(first)
            tcp: Any = server.transport
            self.clock.advance(9.9)
            self.assertFalse(tcp.aborted)
            self.clock.advance(0.2)
            self.assertTrue(tcp.aborted)
            server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(self.listener.handshakes("", "timeout"), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_trickle(self) -> None:
        """
        Sending a byte now and then does not extend the time.
        """
        server = self.listener.accept()
        tcp: Any = server.transport
        hello = Client(server)
        hello._advance()
        for byte in hello.tls.bio_read(1 << 16)[:10]:
            server.dataReceived(bytes([byte]))
            self.clock.advance(1.01)
        self.assertTrue(tcp.aborted)

    def test_gone(self) -> None:
        """
        A client that goes away meanwhile is counted as closed.
        """
        self.listener.accept().connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(self.listener.handshakes("", "closed"), 1)

    def test_failed(self) -> None:
        """
        A client without a common version is counted as failed, once.
        """
        client = self.listener.connect(context=clientContext(version=SSL.TLS1_1_VERSION))
        client.server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(self.listener.handshakes("", "failed"), 1)
        self.assertEqual(self.listener.handshakes("", "closed"), 0)

    def test_plaintext(self) -> None:
        """
        A client that speaks HTTP is told in HTTP, whatever it sends after that.
        """
        for first in (b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /session"):
            server = self.listener.accept()
            app: Any = server.wrappedProtocol
            tcp: Any = server.transport
            server.dataReceived(first)
            server.dataReceived(b"ET / HTTP/1.1\r\n\r\n" * 1000)
            head, _, body = tcp.value().partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.0 400 Bad Request\r\n"))
            self.assertIn(b"HTTPS", body)
            self.assertTrue(tcp.disconnecting)
            server.connectionLost(Failure(CONNECTION_LOST))
            self.assertEqual((app.received, len(app.lost)), ([], 1))
        self.assertEqual(self.listener.handshakes("", "plaintext"), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(strategies.binary(min_size=1, max_size=600))
    def test_noise(self, data: bytes) -> None:
        """
        Whatever bytes come first, the application hears none of them and the next client is
        served.
        """
        server = self.listener.accept()
        app: Any = server.wrappedProtocol
        server.dataReceived(data)
        server.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual((app.received, len(app.lost)), ([], 1))
        self.assertTrue(self.listener.connect().finished)
