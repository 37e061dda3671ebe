"""
Tests for L{aero.ws.endpoint}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import tcp as rows
from aero.testing.ws import ACCEPT, WebSocketClient, WebSocketRig, clientFrame
from aero.wire.websocket import BINARY, CLOSE
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.handshake import Accepted
from aero.ws.protocol import AeroWebSocketProtocol


class Echo(AeroWebSocketProtocol):
    """
    Sends back what it gets.
    """

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class Slow(WebSocketEndpoint):
    """
    Decides when the test does.
    """

    waiting: Deferred[None]
    cancelled = False

    async def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
        def gone(deferred: Deferred[None]) -> None:
            self.cancelled = True

        self.waiting = Deferred(gone)
        await self.waiting
        return self.buildProtocol(accepted)


class UpgradeTests(SynchronousTestCase):
    """
    From the request to the session, or to the refusal.
    """

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.echo = WebSocketEndpoint("/echo", Echo, **self.rig.common)

    def value(self, row: Any, *labels: str) -> float:
        return self.rig.metrics.value(row, *labels)

    def assertRefused(self, client: WebSocketClient, status: int, message: bytes) -> None:
        client.read()
        self.assertEqual((client.status, client.body), (status, message + b"\n"))
        self.assertEqual(client.header(b"Content-Length"), [b"%d" % (len(message) + 1)])
        self.assertEqual(client.header(b"Cache-Control"), [b"no-store"])
        self.assertEqual(client.header(b"Connection"), [b"close"])
        self.assertTrue(client.transport.closed)

    def test_accepts(self) -> None:
        """
        A good handshake gets the 101 with the hash of RFC 6455's example and the headers
        that every response of the site has.
        """
        client = self.rig.connect(self.echo)
        self.assertEqual(client.status, 101)
        self.assertEqual(client.header(b"Sec-WebSocket-Accept"), [ACCEPT])
        self.assertEqual(client.header(b"Upgrade"), [b"websocket"])
        self.assertEqual(client.header(b"Sec-WebSocket-Extensions"), [])
        self.assertEqual(client.header(b"Cross-Origin-Opener-Policy"), [b"same-origin"])
        self.assertTrue(client.transport.noDelay)

    def test_earlyBytes(self) -> None:
        """
        What a client sends right behind its handshake is WebSocket data already.
        """
        client = self.rig.connect(self.echo, early=clientFrame(BINARY, b"early"))
        self.assertEqual(client.frames(), [(BINARY, b"early")])

    def test_overTLS(self) -> None:
        """
        The same works over TLS, and the close ends TLS before TCP.
        """
        client = self.rig.connect(self.echo, secure=True)
        client.send(BINARY, b"x")
        client.send(CLOSE, b"\x03\xe8")
        self.assertEqual(client.frames(), [(BINARY, b"x"), (CLOSE, b"\x03\xe8")])
        self.assertTrue(client.transport.disconnecting)
        self.assertFalse(client.transport.halfClosed)

    def test_refusalFormat(self) -> None:
        """
        A refusal is one line of plain text with the headers of the site, and says why.
        """
        client = self.rig.connect(self.echo, Cookie=None)
        self.assertRefused(client, 401, b"Unauthorized")
        self.assertEqual(client.header(b"Content-Type"), [b"text/plain; charset=utf-8"])
        self.assertEqual(client.header(b"Cross-Origin-Opener-Policy"), [b"same-origin"])
        self.assertEqual(self.value(rows.WS_REFUSALS, "echo", "session"), 1)

    def test_refusalLingers(self) -> None:
        """
        After a refusal the connection is closed in one direction first, what the client
        still sends is read, and two seconds later it is cut.
        """
        client = self.rig.connect(self.echo, Cookie=None)
        self.assertTrue(client.transport.halfClosed)
        client.sendBytes(b"x" * 70_000)
        self.assertFalse(client.transport.disconnecting)
        self.rig.reactor.advance(2)
        self.assertTrue(client.transport.disconnecting or client.transport.disconnected)

    def test_hookFails(self) -> None:
        """
        A mistake in an endpoint is a 500 for that client, is logged once, and the next
        client is served.
        """

        class Broken(WebSocketEndpoint):
            def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
                raise ZeroDivisionError("broken")

        client = self.rig.connect(Broken("/b", Echo, **self.rig.common))
        self.assertRefused(client, 500, b"WebSocket upgrade failed")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.rig.connect(self.echo).status, 101)

    def test_hookRefuses(self) -> None:
        """
        An endpoint may refuse with a status and message of its own.
        """

        class No(WebSocketEndpoint):
            async def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
                raise Refused(403, "forbidden", "Not\r\nyou", reason="mine")

        self.assertRefused(self.rig.connect(No("/no", Echo, **self.rig.common)), 403, b"Not you")

    def test_leavesWhileWaiting(self) -> None:
        """
        A client that resets its connection while its request is being decided cancels that;
        nothing is written to it and nothing is logged.
        """
        slow = Slow("/slow", Echo, **self.rig.common)
        client = self.rig.connect(slow)
        client.lose(ConnectionLost())
        self.assertTrue(slow.cancelled)
        self.assertEqual(client.take(), b"")
        self.assertEqual(self.value(rows.WS_REFUSALS, "slow", "left"), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_waits(self) -> None:
        """
        Bytes sent while a request is being decided are delivered once it is.
        """
        slow = Slow("/slow", Echo, **self.rig.common)
        client = self.rig.connect(slow)
        client.send(BINARY, b"soon")
        self.assertEqual(client.status, 0)
        slow.waiting.callback(None)
        self.assertEqual(client.frames(), [(BINARY, b"soon")])

    def test_drainingRefuses(self) -> None:
        """
        A stopping process takes no more WebSockets, those being decided included.
        """
        slow = Slow("/slow", Echo, **self.rig.common)
        waiting = self.rig.connect(slow)
        self.rig.gate.draining = True
        slow.waiting.callback(None)
        self.assertRefused(waiting, 503, b"Shutting down")
        self.assertRefused(self.rig.connect(self.echo), 503, b"Shutting down")

    def test_sessionEnds(self) -> None:
        """
        When a session ends its WebSockets are closed with 1008, and those of others are not.
        """
        self.rig.revocations.onRevoked(self.echo.endSession)
        clients = [self.rig.connect(self.echo) for _ in range(2)]
        other = self.rig.connect(self.echo, Cookie=self.rig.newCookie())
        session = self.rig.sessions.fromCookies([self.rig.cookie], self.rig.now)
        assert session is not None
        self.assertEqual(len(set(self.echo.clients())), 2)
        self.assertIn((session.sid, "198.51.100.7"), set(self.echo.clients()))
        self.rig.sessions.end(session.sid, self.rig.now)
        for client in clients:
            self.assertEqual(client.frames(), [(CLOSE, b"\x03\xf0session ended")])
        other.send(BINARY, b"alive")
        self.assertEqual(other.frames(), [(BINARY, b"alive")])
        self.assertRefused(self.rig.connect(self.echo), 401, b"Unauthorized")

    def test_sessionEndsWhileWaiting(self) -> None:
        """
        A session that ends while its request is being decided gets no WebSocket.
        """
        slow = Slow("/slow", Echo, **self.rig.common)
        waiting = self.rig.connect(slow)
        session = self.rig.sessions.fromCookies([self.rig.cookie], self.rig.now)
        assert session is not None
        self.rig.sessions.end(session.sid, self.rig.now)
        slow.waiting.callback(None)
        self.assertRefused(waiting, 401, b"Unauthorized")

    def test_writingFails(self) -> None:
        """
        If the 101 cannot be written, the connection is dropped and no session begins.
        """
        slow = Slow("/slow", Echo, **self.rig.common)
        client = self.rig.connect(slow)

        def fail(data: bytes) -> None:
            raise OSError("broken pipe")

        client.transport.write = fail
        slow.waiting.callback(None)
        self.assertTrue(client.transport.disconnecting)
        self.assertEqual(self.value(rows.WS_CONNECTIONS, "slow"), 0)
        self.flushLoggedErrors(OSError)

    def test_drain(self) -> None:
        """
        A drain closes every session with 1001 and is over when the last one is gone.
        """
        clients = [self.rig.connect(self.echo) for _ in range(2)]
        self.assertEqual(self.value(rows.WS_CONNECTIONS, "echo"), 2)
        over = self.echo.drain()
        for client in clients:
            ((opcode, payload),) = client.frames()
            self.assertEqual((opcode, payload[:2]), (CLOSE, b"\x03\xe9"))
            self.assertNoResult(over)
            client.lose()
        self.successResultOf(over)
        self.assertEqual(self.value(rows.WS_CONNECTIONS, "echo"), 0)
        self.assertEqual(self.value(rows.WS_CLOSED, "echo", "1001"), 2)

    def test_drainOfNothing(self) -> None:
        """
        Without sessions a drain is over at once.
        """
        self.successResultOf(self.echo.drain())

    def test_abort(self) -> None:
        """
        Sessions that outlast the grace period are cut.
        """
        client = self.rig.connect(self.echo)
        self.echo.abort()
        self.assertTrue(client.transport.disconnecting)
