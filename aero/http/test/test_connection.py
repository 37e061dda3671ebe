"""
Tests for L{aero.http.connection}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from aero.metrics import http as rows

from ..channel import Channel
from ..connection import NEWCOMER
from ..h2frames import PREFACE
from .door import Door, Wire, get, responses

LOST = Failure(ConnectionDone())


@implementer(ISSLTransport)
class SecureWire(Wire):
    """
    A TLS transport whose handshake is over when the test says so.
    """

    noDelay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Whether small writes go out at once.
        """
        self.noDelay = enabled

    def getTcpNoDelay(self) -> bool:
        """
        What was set.
        """
        return self.noDelay

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Of no interest here.
        """

    def getTcpKeepAlive(self) -> bool:
        """
        Of no interest here.
        """
        return False

    def getPeerCertificate(self) -> None:
        """
        Clients have none.
        """


class ConnectionTests(SynchronousTestCase):
    """
    A connection speaks what was negotiated, once that is known.
    """

    def test_plain(self) -> None:
        """
        Without TLS it is HTTP/1.1 from the start, without a layer in between.
        """
        door = Door()
        connection, wire = door.connect()
        self.assertIsInstance(wire.producer, Channel)
        self.assertEqual(connection.dataReceived, wire.producer.dataReceived)

    def test_handshake(self) -> None:
        """
        With TLS it waits for the handshake, and not for ever.
        """
        door = Door()
        wire = SecureWire()
        connection, _ = door.connect(wire)
        self.assertTrue(IHandshakeListener.providedBy(connection))
        self.assertIsNone(wire.producer)
        self.assertTrue(wire.getTcpNoDelay())
        door.elapse(12)
        self.assertTrue(wire.disconnected)
        self.assertEqual(door.metrics.value(rows.TIMEOUTS, "handshake"), 1)
        connection.connectionLost(LOST)
        self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_transportThatBoundsItsHandshake(self) -> None:
        """
        The time for headers does not shorten the time that the TLS listener gives its clients.
        """

        class Listener:
            handshakeTimeout = 60.0

        class OwnTimeout(SecureWire):
            factory = Listener()

        door = Door()
        wire = OwnTimeout()
        connection, _ = door.connect(wire)
        door.elapse(59)
        self.assertFalse(wire.disconnected)
        connection.handshakeCompleted()
        self.assertIsInstance(wire.producer, Channel)
        connection.connectionLost(LOST)

    def test_negotiated(self) -> None:
        """
        ALPN decides; a client that offers none gets HTTP/1.1, and requests are secure.
        """
        for protocol, wanted in ((b"h2", "h2"), (b"http/1.1", "http/1.1"), (None, "http/1.1")):
            door = Door()
            connection, _ = door.connect(SecureWire(negotiated=protocol))
            connection.handshakeCompleted()
            self.assertEqual(door.metrics.value(rows.PROTOCOLS, wanted), 1)
            if protocol != b"h2":
                connection.dataReceived(get("/hold"))
                self.assertTrue(door.routes.seen[0].client.secure)

    def test_untoldHandshake(self) -> None:
        """
        A TLS transport that does not tell of its handshake is known by its first bytes.
        """
        door = Door()
        connection, wire = door.connect(SecureWire())
        connection.dataReceived(get())
        connection.dataReceived(get())
        self.assertEqual(len(responses(wire.value())), 2)
        second, wire = door.connect(SecureWire(negotiated=b"h2"))
        second.dataReceived(PREFACE)
        self.assertEqual(door.metrics.value(rows.PROTOCOLS, "h2"), 1)

    def test_drain(self) -> None:
        """
        A handshake in progress is waited for a moment, and no longer.
        """
        door = Door()
        connection, wire = door.connect(SecureWire())
        door.clock.advance(NEWCOMER / 2)
        door.site.drain()
        self.assertFalse(wire.disconnected)
        door.clock.advance(NEWCOMER / 2)
        self.assertTrue(wire.disconnected)
        connection.connectionLost(LOST)

    def test_drainNewcomer(self) -> None:
        """
        Who connected just before a site drains is answered, over either protocol, and leaves.
        """
        for negotiated in (None, b"h2"):
            door = Door()
            connection, wire = door.connect(SecureWire(negotiated=negotiated))
            door.site.drain()
            connection.handshakeCompleted()
            self.assertFalse(wire.closed)
            if negotiated:
                connection.dataReceived(PREFACE)
                door.clock.advance(NEWCOMER)
                door.clock.advance(0)
            else:
                connection.dataReceived(get())
                (response,) = responses(wire.value())
                self.assertEqual(response.get(b"Connection"), b"close")
            self.assertTrue(wire.closed)
            connection.connectionLost(LOST)
            self.assertEqual(door.clock.getDelayedCalls(), [])
