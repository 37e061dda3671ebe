"""
Tests for L{aero.ws.tcp}: how tunnels end.
"""

from __future__ import annotations

from twisted.internet import error

from aero.metrics import delivery
from aero.net.deliveries import LOOK_INTERVAL
from aero.wire.websocket import BINARY, CLOSE

from .tcpfixtures import Case


class EndTests(Case):
    """
    How tunnels end.
    """

    def test_targetEnds(self) -> None:
        """
        When the target ends its side, everything it sent is followed by a close 1000; what
        the client sends until it answers still reaches the target, and then its end.
        """
        client, target = self.tunnel()
        target.send(b"all of it")
        target.end()
        self.assertEqual(
            client.frames(), [(BINARY, b"all of it"), (CLOSE, b"\x03\xe8target closed")]
        )
        client.send(BINARY, b"thanks")
        self.assertEqual(target.take(), b"thanks")
        self.assertFalse(target.transport.halfClosed)
        client.send(CLOSE, b"\x03\xe8")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        self.assertTrue(target.transport.disconnecting)
        client.lose()
        target.lose()
        self.assertEqual(self.held(), 0)

    def test_clientCloses(self) -> None:
        """
        When the client closes, what it sent reaches the target before the end of the
        stream; what the target still sends is read and dropped until it ends too.
        """
        client, target = self.tunnel()
        client.send(BINARY, b"request")
        client.send(CLOSE, b"\x03\xe8")
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xe8")])
        self.assertEqual(target.take(), b"request")
        self.assertTrue(target.transport.halfClosed)
        client.lose()
        self.assertEqual(self.held(), 1)
        target.flush()
        self.assertEqual(self.held(), 0)
        target.send(b"too late")
        target.end()
        self.assertTrue(target.transport.disconnecting)

    def test_targetLingers(self) -> None:
        """
        A target that does not end its side is cut some seconds after everything arrived.
        """
        client, target = self.tunnel()
        client.send(CLOSE)
        client.lose()
        target.flush()
        self.rig.reactor.advance(9)
        self.assertFalse(target.transport.disconnecting)
        self.rig.reactor.advance(1)
        self.assertTrue(target.transport.disconnecting)

    def test_clientClosesEarly(self) -> None:
        """
        Data and close before the target is there: the target still gets the data and the end.
        """
        client = self.connect()
        client.send(BINARY, b"fire and forget")
        client.send(CLOSE, b"\x03\xe8")
        client.lose()
        target = self.rig.acceptTarget()
        self.assertEqual(target.take(), b"fire and forget")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        self.assertEqual(self.held(), 0)

    def test_clientVanishes(self) -> None:
        """
        The target of a client that vanishes gets what the client sent, and then the end.
        """
        client, target = self.tunnel()
        target.block()
        client.send(BINARY, b"last")
        client.lose(error.ConnectionLost())
        self.assertEqual(target.take(), b"last")
        self.assertEnded(target)
        self.assertEqual(self.rig.metrics.value(delivery.BYTES), 4)
        self.assertEqual(self.held(), 1)
        target.flush()
        self.assertEqual(self.held(), 0)
        self.rig.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(self.rig.metrics.value(delivery.BYTES), 0)
        self.assertEqual(self.rig.metrics.value(delivery.ENDED, "delivered"), 1)
        target.lose()
        self.assertEqual(self.rig.metrics.value(delivery.CONNECTIONS), 0)
        client = self.connect()
        client.lose(error.ConnectionLost())
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.assertEqual(self.held(), 0)

    def test_connectFails(self) -> None:
        """
        Each way in which a target cannot be reached is a close 1014 with its own words.
        """
        for problem, reason in (
            (error.ConnectionRefusedError(), b"connection refused"),
            (error.NoRouteError(), b"target unreachable"),
            (error.TCPTimedOutError(), b"connect timeout"),
            (error.ConnectError(), b"connection failed"),
        ):
            client = self.connect()
            self.rig.failTarget(problem)
            self.assertClose(client, 1014, reason)
            client.lose()
            self.assertEqual(self.held(), 0)

    def test_connectTimeout(self) -> None:
        """
        A target that does not answer is given up after the connect timeout.
        """
        client = self.connect()
        self.rig.reactor.advance(10)
        self.assertClose(client, 1014, b"connect timeout")
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)

    def test_targetBreaks(self) -> None:
        """
        A target that resets the connection is a close 1014, after what it sent.
        """
        client, target = self.tunnel()
        target.send(b"part")
        target.lose(error.ConnectionLost())
        self.assertEqual(client.frames(), [(BINARY, b"part"), (CLOSE, b"\x03\xf6target reset")])
        client.lose()
        self.assertEqual(self.held(), 0)

    def test_idle(self) -> None:
        """
        A tunnel without a byte in either direction is closed; a byte in time keeps it.
        """
        self.make(idleTimeout=100.0, pingInterval=0.0)
        client, target = self.tunnel()
        self.rig.reactor.advance(60)
        client.send(BINARY, b"x")
        self.rig.reactor.advance(60)
        target.send(b"y")
        self.rig.reactor.advance(99)
        self.assertEqual(client.frames(), [(BINARY, b"y")])
        self.rig.reactor.advance(1)
        self.assertClose(client, 1001, b"idle timeout")
        self.assertTrue(target.transport.halfClosed)
        client.lose()
        target.lose()
        self.assertEqual(self.held(), 0)

    def test_drain(self) -> None:
        """
        A stopping process closes with 1001; what the client sends before it answers still
        arrives.
        """
        client, target = self.tunnel()
        over = self.endpoint.drain()
        self.assertClose(client, 1001, b"server is shutting down")
        target.send(b"nowhere to go")
        client.send(BINARY, b"last")
        client.send(CLOSE, b"\x03\xe9")
        self.assertEqual(target.take(), b"last")
        self.assertTrue(target.transport.halfClosed)
        client.lose()
        self.successResultOf(over)

    def test_noTimersLeft(self) -> None:
        """
        A tunnel that is over leaves no timer behind.
        """
        client, target = self.tunnel()
        target.end()
        client.send(CLOSE, b"\x03\xe8")
        client.lose()
        target.flush()
        target.lose()
        calls = [c for c in self.rig.reactor.getDelayedCalls() if "_sweep" not in str(c.func)]
        self.assertEqual(calls, [])
