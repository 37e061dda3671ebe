"""
Tests for L{aero.ws.mux} and L{aero.net.muxleaving}: what arrives at targets whose client has gone.
"""

from __future__ import annotations

from twisted.internet import error

from aero.metrics import delivery
from aero.net.deliveries import LOOK_INTERVAL
from aero.wire.tcpmux import RST
from aero.wire.websocket import CLOSE, TEXT

from .muxfixtures import Case as MuxCase
from .muxfixtures import closed, data, opened


class DeliveryTests(MuxCase):
    """
    The end of a client.
    """

    def value(self, row: object, *labels: str) -> float:
        return self.rig.metrics.value(row, *labels)  # type: ignore[arg-type]

    def test_everyEnd(self) -> None:
        """
        However the WebSocket ends, a target that reads slowly gets what was sent.
        """
        for end in ("lost", b"\x03\xe8", b"\x03\xe9", "text"):
            self.make()
            client = self.connect()
            target = self.stream(client)
            target.block()
            self.send(client, data(1, b"one "))
            self.send(client, data(1, b"two"))
            if end == "lost":
                client.lose(error.ConnectionLost())
            elif end == "text":
                client.send(TEXT, b"not that")
            else:
                assert isinstance(end, bytes)
                client.send(CLOSE, end)
            self.assertEqual(target.take(), b"one two")
            self.assertTrue(target.transport.halfClosed)
            self.assertFalse(target.transport.disconnecting)
            self.assertEqual((self.held(), self.value(delivery.BYTES)), (1, 7))
            target.flush()
            self.rig.reactor.advance(LOOK_INTERVAL)
            self.assertEqual((self.held(), self.value(delivery.BYTES)), (0, 0))
            target.end()
            target.lose()
            self.assertEqual(self.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.value(delivery.ENDED, "delivered"), 4)

    def test_early(self) -> None:
        """
        What was sent before the target is connected, its end included, arrives after the client
        has gone.
        """
        client = self.connect()
        self.send(client, opened(1, "name.example"), data(1, b"early"), closed(1))
        client.lose(error.ConnectionLost())
        self.assertEqual((self.held(), self.value(delivery.BYTES)), (1, 5))
        self.names.known["name.example"].callback(["192.0.2.9"])
        target = self.rig.acceptTarget()
        self.assertEqual(target.take(), b"early")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        target.end()
        target.lose()
        self.assertEqual(self.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.held(), 0)

    def test_earlyFails(self) -> None:
        """
        A target that cannot be connected leaves nothing behind.
        """
        client = self.connect()
        self.send(client, opened(1), data(1, b"early"))
        client.lose(error.ConnectionLost())
        self.rig.failTarget(error.ConnectionRefusedError())
        self.assertEqual(self.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.value(delivery.ENDED, "lost"), 1)
        self.assertEqual(self.held(), 0)

    def test_streamReset(self) -> None:
        """
        What a stream sent before its RST counts until the target has it, as after any other end.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.send(client, data(1, b"last"), closed(1, RST))
        self.assertEqual(target.take(), b"last")
        self.assertTrue(target.transport.disconnecting)
        self.assertFalse(target.transport.disconnected)
        self.assertEqual((self.held(), self.value(delivery.BYTES)), (1, 4))
        target.lose()
        self.assertEqual((self.held(), self.value(delivery.CONNECTIONS)), (0, 0))

    def test_sessionEnds(self) -> None:
        """
        A session that is ended by log-out or by an operator takes its targets with it.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.send(client, data(1, b"not any more"), opened(2), data(2, b"nor this"))
        (protocol,) = self.endpoint.factory.open
        assert protocol.session is not None
        self.endpoint.endSession(protocol.session.sid)
        self.assertTrue(target.transport.disconnected)
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.assertEqual(self.value(delivery.CONNECTIONS), 0)
