"""
Tests for L{aero.ws.protocol}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import tcp as rows
from aero.testing.ws import WebSocketClient, WebSocketRig, clientFrame
from aero.wire.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.protocol import AeroWebSocketProtocol, Closed


class Recorder(AeroWebSocketProtocol):
    """
    Writes down what it is told.
    """

    last: Recorder

    def sessionOpened(self) -> None:
        Recorder.last = self
        self.told: list[Any] = ["opened"]

    def messageReceived(self, payload: bytes, isBinary: bool) -> Any:
        self.told.append((payload, isBinary))

    def closeReceived(self, code: int, reason: str) -> None:
        self.told.append((code, reason))

    def sessionClosed(self, reason: Closed) -> None:
        self.told.append(reason)

    def sendingPaused(self) -> None:
        self.told.append("paused")

    def sendingResumed(self) -> None:
        self.told.append("resumed")


class Texts(Recorder):
    """
    Takes text.
    """

    acceptsText = True


class Case(SynchronousTestCase):
    """
    One session.
    """

    protocol: type[AeroWebSocketProtocol] = Recorder

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.client = self.connect(self.protocol)

    def connect(self, protocol: type[AeroWebSocketProtocol], **limits: Any) -> WebSocketClient:
        self.endpoint = WebSocketEndpoint("/ws", protocol, **{**self.rig.common, **limits})
        client = self.rig.connect(self.endpoint)
        self.assertEqual(client.status, 101)
        client.frames()
        return client

    def assertClosed(self, code: int, client: WebSocketClient | None = None) -> None:
        """
        The last thing sent is a close frame with this code, and the connection ends.
        """
        client = client or self.client
        opcode, payload = client.frames()[-1]
        self.assertEqual((opcode, int.from_bytes(payload[:2], "big")), (CLOSE, code))
        self.assertTrue(client.transport.halfClosed)


class FramingTests(Case):
    """
    Gateway.md section 10.
    """

    def test_message(self) -> None:
        """
        Fragments, the first cut inside its head, are one message.
        """
        first = clientFrame(BINARY, b"hello", final=False)
        self.client.sendBytes(first[:1])
        self.client.sendBytes(first[1:] + clientFrame(CONTINUATION, b"world"))
        self.assertEqual(Recorder.last.told, ["opened", (b"helloworld", True)])

    def test_ping(self) -> None:
        """
        A ping is answered with the same payload, between fragments too; a pong is not.
        """
        self.client.send(BINARY, b"a", final=False)
        self.client.send(PING, b"\x01\x02\x03")
        self.client.send(PONG, b"x")
        self.assertEqual(self.client.frames(), [(PONG, b"\x01\x02\x03")])

    def test_close(self) -> None:
        """
        A close is echoed byte for byte, then the server's direction ends, and after two
        seconds the connection is cut.
        """
        for payload in (b"", b"\x03\xe8", b"\x0f\xa0going"):
            client = self.connect(Recorder)
            client.send(CLOSE, payload)
            self.assertEqual(client.frames(), [(CLOSE, payload)])
            self.assertTrue(client.transport.halfClosed)
            self.assertFalse(client.transport.disconnecting)
            self.rig.reactor.advance(2)
            self.assertTrue(client.transport.disconnecting)

    def test_badClose(self) -> None:
        """
        A close frame that RFC 6455 forbids is a violation.
        """
        for payload in (b"\x03", b"\x03\xed", b"\x03\xe8\xff"):
            client = self.connect(Recorder)
            client.send(CLOSE, payload)
            self.assertClosed(1002, client)

    def test_text(self) -> None:
        """
        Text is not forwarded where it is not welcome.
        """
        self.client.send(TEXT, b"abc")
        self.assertClosed(1003)
        self.assertEqual(Recorder.last.told, ["opened"])

    def test_textAccepted(self) -> None:
        """
        Where it is welcome it arrives, unless it is not UTF-8.
        """
        client = self.connect(Texts)
        client.send(TEXT, "é".encode())
        self.assertEqual(Recorder.last.told, ["opened", ("é".encode(), False)])
        client.send(TEXT, b"\xff")
        self.assertClosed(1007, client)

    def test_violations(self) -> None:
        """
        Violations end with their close code.
        """
        for data, code in (
            (b"\xc2\x80", 1002),
            (b"\x82\x01", 1002),
            (clientFrame(CONTINUATION, b""), 1002),
            (clientFrame(BINARY, b"123456")[:2], 1009),
            (clientFrame(BINARY, b"1234", final=False) + clientFrame(0, b"56"), 1009),
        ):
            client = self.connect(Recorder, maxMessageBytes=5)
            client.sendBytes(data)
            self.assertClosed(code, client)

    def test_nothingAfterFatal(self) -> None:
        """
        What follows a fatal frame in the same read, or later, has no effect.
        """
        message = clientFrame(BINARY, b"x")
        self.client.sendBytes(message + clientFrame(TEXT, b"") + message + clientFrame(PING, b""))
        self.client.sendBytes(message)
        self.assertEqual(Recorder.last.told, ["opened", (b"x", True)])
        self.assertEqual(self.client.frames(), [(CLOSE, b"\x03\xeb")])

    def test_sending(self) -> None:
        """
        Messages go out as one frame each, and after the close not at all.
        """
        protocol = Recorder.last
        protocol.sendMessage(b"t")
        protocol.sendMessage(b"x" * 70_000, True)
        protocol.sendMessages([b"a", b"", b"b"])
        protocol.sendClose(1000, "bye")
        protocol.sendMessage(b"late", True)
        protocol.sendMessages([b"late"])
        protocol.sendClose(1001)
        self.assertEqual(
            self.client.frames(),
            [
                (TEXT, b"t"),
                (BINARY, b"x" * 70_000),
                (BINARY, b"a"),
                (BINARY, b""),
                (BINARY, b"b"),
                (CLOSE, b"\x03\xe8bye"),
            ],
        )

    def test_metrics(self) -> None:
        """
        Messages and bytes are counted in both directions.
        """
        self.client.sendBytes(clientFrame(BINARY, b"12") + clientFrame(BINARY, b"345"))
        Recorder.last.sendMessage(b"6789", True)
        value = self.rig.metrics.value
        self.assertEqual(value(rows.WS_MESSAGES, "ws", "up"), 2)
        self.assertEqual(value(rows.WS_BYTES, "ws", "up"), 5)
        self.assertEqual(value(rows.WS_MESSAGES, "ws", "down"), 1)
        self.assertEqual(value(rows.WS_BYTES, "ws", "down"), 4)


class EndTests(Case):
    """
    How sessions end.
    """

    def test_clientCloses(self) -> None:
        """
        The protocol hears of the client's close at once and of the end once.
        """
        self.client.send(CLOSE, b"\x03\xe8bye")
        self.assertEqual(Recorder.last.told, ["opened", (1000, "bye")])
        self.client.lose()
        self.assertEqual(Recorder.last.told[2:], [Closed(1000, "bye", True)])

    def test_clientVanishes(self) -> None:
        """
        An end without a close frame is 1006.
        """
        self.client.lose(ConnectionLost())
        self.assertEqual(Recorder.last.told, ["opened", Closed(1006, "", False)])

    def test_serverCloses(self) -> None:
        """
        After an orderly close of ours, what the client sends before its own close frame is
        delivered, and that frame ends the connection.
        """
        Recorder.last.sendClose(1000, "done")
        self.client.send(BINARY, b"rest")
        self.client.send(CLOSE, b"\x03\xe8")
        self.client.send(BINARY, b"late")
        self.assertTrue(self.client.transport.disconnecting)
        self.client.lose()
        self.assertEqual(
            Recorder.last.told,
            ["opened", (b"rest", True), (1000, ""), Closed(1000, "done", True)],
        )

    def test_serverClosesAlone(self) -> None:
        """
        A client that never answers an orderly close has time to read what was sent, and is
        then cut.
        """
        Recorder.last.sendClose()
        self.rig.reactor.advance(29)
        self.assertFalse(self.client.transport.disconnecting)
        self.rig.reactor.advance(1)
        self.assertTrue(self.client.transport.disconnecting)

    def test_timersEnd(self) -> None:
        """
        A session that is over leaves no timer behind.
        """
        Recorder.last.sendClose()
        self.client.lose()
        sweeps = [
            call for call in self.rig.reactor.getDelayedCalls() if "_sweep" not in str(call.func)
        ]
        self.assertEqual(sweeps, [])


class BackPressureTests(Case):
    """
    Neither side has to take more than it can.
    """

    def test_sending(self) -> None:
        """
        A full transport is announced once, and so is an empty one.
        """
        self.client.block()
        self.client.block()
        self.assertTrue(Recorder.last.sendingIsPaused)
        self.client.unblock()
        self.client.unblock()
        self.assertFalse(Recorder.last.sendingIsPaused)
        self.assertEqual(Recorder.last.told, ["opened", "paused", "resumed"])

    def test_reading(self) -> None:
        """
        A protocol may stop reading its client and go on later.
        """
        Recorder.last.pauseReading()
        Recorder.last.pauseReading()
        self.assertTrue(self.client.isPaused)
        Recorder.last.resumeReading()
        self.assertFalse(self.client.isPaused)

    def test_pings(self) -> None:
        """
        A client that sends pings and reads no pongs is soon not read any more, and is again
        once it has read.
        """
        self.client.block()
        flood = clientFrame(PING, b"x" * 125) * 100
        sent = 0
        while not self.client.isPaused:
            self.client.sendBytes(flood)
            sent += len(flood)
            self.assertLess(sent, 200_000)
        Recorder.last.resumeReading()
        self.assertTrue(self.client.isPaused)
        self.client.unblock()
        self.assertFalse(self.client.isPaused)

    def test_failureReads(self) -> None:
        """
        A client that was not being read is read again after a fatal close, because only that
        shows when it is gone.
        """
        Recorder.last.pauseReading()
        Recorder.last.failConnection(1011)
        self.assertFalse(self.client.isPaused)


class LivenessTests(Case):
    """
    Half-open connections are found.
    """

    def test_silent(self) -> None:
        """
        A silent client is pinged after the interval and given up after the timeout.
        """
        self.rig.reactor.advance(29)
        self.assertEqual(self.client.frames(), [])
        self.rig.reactor.advance(1)
        self.assertEqual(self.client.frames(), [(PING, b"")])
        self.rig.reactor.advance(30)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(self.rig.metrics.value(rows.WS_PING_TIMEOUTS, "ws"), 1)
        self.client.lose()
        self.assertEqual(Recorder.last.told[-1], Closed(1006, "ping timeout", False))

    def test_answers(self) -> None:
        """
        A pong, or anything else, keeps it.
        """
        for _ in range(5):
            self.rig.reactor.advance(30)
            self.assertEqual(self.client.frames(), [(PING, b"")])
            self.client.send(PONG)
        self.assertFalse(self.client.transport.disconnecting)

    def test_notRead(self) -> None:
        """
        A client that is not read cannot answer, and is not given up; its pings keep proxies from
        closing the connection.
        """
        Recorder.last.pauseReading()
        self.rig.reactor.pump([30] * 10)
        self.assertFalse(self.client.transport.disconnecting)
        self.assertEqual(self.client.frames(), [(PING, b"")] * 10)

    def test_slow(self) -> None:
        """
        A client that takes data, though slowly, is alive; one that takes nothing is not.
        """
        self.client.block()
        for _ in range(8):
            self.rig.reactor.advance(20)
            self.client.unblock()
            self.client.block()
        self.assertFalse(self.client.transport.disconnecting)
        self.rig.reactor.pump([30] * 2)
        self.assertTrue(self.client.transport.disconnecting)


class HookTests(Case):
    """
    Mistakes in users' hooks.
    """

    def assertFails(self, protocol: type[Recorder]) -> None:
        client = self.connect(protocol)
        client.send(BINARY, b"x")
        client.send(BINARY, b"y")
        self.assertClosed(1011, client)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_raises(self) -> None:
        """
        An exception is logged once and closes with 1011.
        """

        class Raises(Recorder):
            def messageReceived(self, payload: bytes, isBinary: bool) -> None:
                raise ZeroDivisionError

        self.assertFails(Raises)

    def test_opening(self) -> None:
        """
        So is one while opening.
        """

        class Raises(Recorder):
            def sessionOpened(self) -> None:
                raise ZeroDivisionError

        self.endpoint = WebSocketEndpoint("/ws", Raises, **self.rig.common)
        self.assertClosed(1011, self.rig.connect(self.endpoint))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_coroutine(self) -> None:
        """
        So is one in a coroutine.
        """

        class Raises(Recorder):
            async def messageReceived(self, payload: bytes, isBinary: bool) -> None:
                raise ZeroDivisionError

        self.assertFails(Raises)

    def test_deferred(self) -> None:
        """
        So is a Deferred that fails later.
        """
        later: Deferred[None] = Deferred()

        class Later(Recorder):
            def messageReceived(self, payload: bytes, isBinary: bool) -> Any:
                return later

        client = self.connect(Later)
        client.send(BINARY, b"x")
        self.assertEqual(client.frames(), [])
        later.errback(ZeroDivisionError())
        self.assertClosed(1011, client)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_refuses(self) -> None:
        """
        A hook that refuses closes with 1008 and its message, and nothing is logged.
        """

        class Refuses(Recorder):
            def messageReceived(self, payload: bytes, isBinary: bool) -> None:
                raise Refused(403, "forbidden", "Not that")

        client = self.connect(Refuses)
        client.send(BINARY, b"x")
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xf0Not that")])
