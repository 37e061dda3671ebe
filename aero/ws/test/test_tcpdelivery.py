"""
Tests for L{aero.ws.tcp}: what arrives at a target whose client has gone.
"""

from __future__ import annotations

from twisted.internet import error

from aero.metrics import delivery
from aero.wire.websocket import BINARY, CLOSE
from aero.ws.tcp import TCPTunnelProtocol

from .tcpfixtures import Case as TCPCase


class DeliveryTests(TCPCase):
    """
    The end of a client.
    """

    def test_clientVanishesEarly(self) -> None:
        """
        A client that vanishes before its target is connected gets no connection, unless it
        sent something: then that arrives.
        """
        client = self.connect()
        client.send(BINARY, b"early")
        client.lose(error.ConnectionLost())
        self.assertFalse(self.rig.reactor.connectors[-1].stoppedConnecting)
        target = self.rig.acceptTarget()
        self.assertEqual(target.take(), b"early")
        self.assertEnded(target)
        target.flush()
        target.lose()
        self.assertEqual(self.held(), 0)

    def test_dialFails(self) -> None:
        """
        What was sent to a target that cannot be reached is lost, and counts no longer.
        """
        client = self.connect()
        client.send(BINARY, b"early")
        client.send(CLOSE, b"\x03\xe8")
        self.assertEqual(self.rig.metrics.value(delivery.BYTES), 5)
        self.rig.failTarget(error.ConnectionRefusedError())
        self.assertEqual(self.rig.metrics.value(delivery.BYTES), 0)
        self.assertEqual(self.rig.metrics.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.rig.metrics.value(delivery.ENDED, "lost"), 1)

    def test_sessionEnds(self) -> None:
        """
        A session that is ended by log-out or by an operator takes the target with it, whatever
        waits.
        """
        client, target = self.tunnel()
        target.block()
        client.send(BINARY, b"not any more")
        (protocol,) = self.endpoint.factory.open
        assert protocol.session is not None
        self.endpoint.endSession(protocol.session.sid)
        self.assertClose(client, 1008, b"session ended")
        self.assertTrue(target.transport.disconnected)

    def test_heldBack(self) -> None:
        """
        A protocol that holds bytes back is told when to let go of them, however the client ends.
        """

        class Holding(TCPTunnelProtocol):
            def clientDataReceived(self, data: bytes) -> None:
                self.kept = data

            def peerClosed(self) -> None:
                self.sendToTarget(self.kept)
                super().peerClosed()

        self.make(Holding)
        for vanishes in (False, True):
            client, target = self.tunnel()
            client.send(BINARY, b"kept")
            if vanishes:
                client.lose(error.ConnectionLost())
            else:
                client.send(CLOSE, b"\x03\xe8")
                client.lose()
            self.assertEqual(target.take(), b"kept")
            self.assertEnded(target)
