"""
Tests for L{aero.ws.intake} and L{aero.ws.turntaking}, through the endpoints that clients see.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import mux as muxRows
from aero.metrics import shares as rows
from aero.net.commons import Commons
from aero.settings.shares import ShareSettings
from aero.testing.ws import WebSocketClient, WebSocketRig, clientFrame
from aero.wire.tcpmux import ERROR, PING, PONG, encodeFrame
from aero.wire.websocket import BINARY, CLOSE, closePayload
from aero.wire.websocket import PING as WS_PING
from aero.wire.websocket import PONG as WS_PONG
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.protocol import AeroWebSocketProtocol, Closed

from .muxfixtures import Case as MuxCase
from .muxfixtures import closed, data, opened


class Echo(AeroWebSocketProtocol):
    """
    Writes down what it is told.
    """

    last: Echo

    def sessionOpened(self) -> None:
        Echo.last = self
        self.told: list[Any] = []

    def messageReceived(self, payload: bytes, isBinary: bool) -> Any:
        self.told.append(payload)

    def sessionClosed(self, reason: Closed) -> None:
        self.told.append(reason.code)


class Case(SynchronousTestCase):
    """
    One session.
    """

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.client = self.connect()

    def connect(self, **shares: Any) -> WebSocketClient:
        commons = Commons(self.rig.reactor, self.rig.metrics, ShareSettings(**shares))
        endpoint = WebSocketEndpoint("/ws", Echo, commons=commons, **self.rig.common)
        client = self.rig.connect(endpoint)
        client.frames()
        return client


class TurnTests(Case):
    """
    One read with many messages.
    """

    def messages(self, count: int) -> list[bytes]:
        return [number.to_bytes(2, "big") for number in range(count)]

    def send(self, count: int, more: bytes = b"") -> None:
        frames = [clientFrame(BINARY, each) for each in self.messages(count)]
        self.client.sendBytes(b"".join(frames) + more)

    def test_turnEnds(self) -> None:
        """
        A turn ends after so many messages; the client is not read until the rest was handled,
        in order.
        """
        self.send(2_500)
        self.assertEqual(len(Echo.last.told), 1_024)
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.rig.metrics.value(rows.TURNS_ENDED), 1)
        self.rig.reactor.advance(0)
        self.assertEqual(Echo.last.told, self.messages(2_500))
        self.assertFalse(self.client.isPaused)

    def test_time(self) -> None:
        """
        A turn ends also when its time is over, and a second connection of the same client has
        none left.
        """
        clock = self.rig.reactor

        class Slow(Echo):
            def messageReceived(self, payload: bytes, isBinary: bool) -> Any:
                clock.rightNow += 0.0001
                return super().messageReceived(payload, isBinary)

        commons = Commons(clock, self.rig.metrics)
        endpoint = WebSocketEndpoint("/ws", Slow, commons=commons, **self.rig.common)
        first = self.rig.connect(endpoint)
        one = Echo.last
        second = self.rig.connect(endpoint)
        two = Echo.last
        stranger = self.rig.connect(endpoint, peer="203.0.113.9")
        three = Echo.last
        flood = b"".join(clientFrame(BINARY, each) for each in self.messages(500))
        first.sendBytes(flood)
        second.sendBytes(flood)
        stranger.sendBytes(flood[:80])
        self.assertEqual((len(one.told), len(two.told), len(three.told)), (64, 0, 10))
        clock.pump([0] * 40)
        self.assertEqual((len(one.told), len(two.told)), (500, 500))

    def test_byteByByte(self) -> None:
        """
        However the bytes come, the messages are the same.
        """
        for message in self.messages(300):
            for byte in clientFrame(BINARY, message):
                self.client.sendBytes(bytes((byte,)))
        self.assertEqual(Echo.last.told, self.messages(300))

    def test_moreWhileItWaits(self) -> None:
        """
        What comes although the client is not read waits behind the rest, in pieces too.
        """
        self.send(2_500)
        self.send(10_000)
        self.rig.reactor.pump([0] * 40)
        self.assertEqual(Echo.last.told, self.messages(2_500) + self.messages(10_000))

    def test_closeBehind(self) -> None:
        """
        A close frame behind many messages comes in its turn.
        """
        self.send(2_500, clientFrame(CLOSE, closePayload(1000, "bye")))
        self.assertEqual(self.client.frames(), [])
        self.rig.reactor.pump([0] * 5)
        self.assertEqual(self.client.frames(), [(CLOSE, closePayload(1000, "bye"))])
        self.client.lose(ConnectionDone())
        self.assertEqual(Echo.last.told, [*self.messages(2_500), 1000])

    def test_violationBehind(self) -> None:
        """
        A frame that breaks the rules comes after the messages before it.
        """
        self.send(2_500, b"\x82\x00" + clientFrame(BINARY, b"never"))
        self.rig.reactor.pump([0] * 5)
        self.assertEqual(Echo.last.told, self.messages(2_500))
        self.assertEqual(self.client.frames()[-1][1][:2], (1002).to_bytes(2, "big"))

    def test_lostBehind(self) -> None:
        """
        What came before the connection was lost is handled, and then its end.
        """
        self.send(2_500, clientFrame(CLOSE, closePayload(1000, "bye")))
        self.client.lose(ConnectionDone())
        self.assertEqual(len(Echo.last.told), 1_024)
        self.rig.reactor.pump([0] * 5)
        self.assertEqual(Echo.last.told, [*self.messages(2_500), 1000])
        self.rig.reactor.advance(60)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_failedInBetween(self) -> None:
        """
        After a failure of ours nothing that waits is looked at.
        """
        self.send(2_500)
        Echo.last.failConnection(1008, "enough")
        self.rig.reactor.pump([0] * 5)
        self.assertEqual(Echo.last.told, self.messages(1_024))
        self.assertFalse(self.client.isPaused)


class NoEffectTests(Case):
    """
    Messages that lead to nothing.
    """

    def connect(self, **shares: Any) -> WebSocketClient:
        return super().connect(noEffectRate=10, noEffectBurst=50, **shares)

    def flood(self, opcode: int, payload: bytes = b"") -> list[tuple[int, bytes]]:
        self.client = self.connect()
        self.client.sendBytes(clientFrame(opcode, payload) * 200)
        return self.client.frames()

    def test_controlFrames(self) -> None:
        """
        Pings, pongs and empty messages close the connection with 1008 when they are too many.
        """
        refusal = (CLOSE, closePayload(1008, "too many messages without effect"))
        answers = self.flood(WS_PING, b"x")
        self.assertEqual(answers, [(WS_PONG, b"x")] * 50 + [refusal])
        self.assertEqual(self.flood(WS_PONG, b"x"), [refusal])
        self.assertEqual(self.flood(BINARY), [refusal])
        self.assertEqual(self.rig.metrics.value(rows.NO_EFFECT, "ws"), 3)

    def test_slowly(self) -> None:
        """
        As many, not faster than the rate, are answered.
        """
        for _ in range(200):
            self.client.send(WS_PING)
            self.rig.reactor.advance(0.1)
        self.assertEqual(len(self.client.frames()), 200)

    def test_severalConnections(self) -> None:
        """
        The connections of one client have one allowance, another client has its own.
        """
        commons = Commons(
            self.rig.reactor, self.rig.metrics, ShareSettings(noEffectRate=10, noEffectBurst=50)
        )
        endpoint = WebSocketEndpoint("/ws", Echo, commons=commons, **self.rig.common)
        clients = [self.rig.connect(endpoint) for _ in range(8)]
        for client in clients:
            client.sendBytes(clientFrame(WS_PING, b"") * 30)
        frames = [client.frames() for client in clients]
        self.assertEqual(sum(op == WS_PONG for each in frames for op, _ in each), 50)
        neighbour = self.rig.connect(endpoint, peer="203.0.113.9")
        neighbour.sendBytes(clientFrame(WS_PING, b"") * 30)
        self.assertEqual(len(neighbour.frames()), 30)


class MuxFloodTests(MuxCase):
    """
    The frames of C{/tcp-mux}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.rig.common["commons"] = Commons(
            self.rig.reactor, self.rig.metrics, ShareSettings(noEffectRate=10, noEffectBurst=50)
        )

    def test_everyKind(self) -> None:
        """
        Each kind of frame that leads to nothing is counted, many in one message too, and the
        WebSocket ends with 1008.
        """
        self.make(private=False)
        refused = opened(7, "127.0.0.1", 7777)
        for frame in (
            refused,
            encodeFrame(PING, 0, b""),
            encodeFrame(PONG, 0, b""),
            encodeFrame(ERROR, 9, b"\0\x01\0\0"),
            encodeFrame(0x77, 9, b""),
            data(9, b"nobody"),
            data(9, b""),
            closed(9),
            opened(0),
        ):
            client = self.connect(peer=f"198.51.100.{frame[0]}")
            client.send(BINARY, frame * 400)
            self.rig.reactor.pump([0] * 3)
            opcode, payload = client.frames()[-1]
            self.assertEqual(opcode, CLOSE, frame)
            self.assertEqual(payload, closePayload(1008, "too many messages without effect"))
            self.rig.reactor.advance(3_600)

    def test_refusedOpens(self) -> None:
        """
        Refused OPENs within the allowance get their errors.
        """
        self.make(private=False)
        client = self.connect()
        for number in range(40):
            client.send(BINARY, opened(number + 1, "127.0.0.1", 7777))
        self.assertEqual(len(client.frames()), 40)
        self.assertEqual(self.rig.metrics.value(muxRows.ERRORS, "1"), 40)

    def test_oneLongMessage(self) -> None:
        """
        Thousands of frames in one message are handled in several turns, and none is lost.
        """
        del self.rig.common["commons"]
        self.make()
        client = self.connect()
        client.send(BINARY, opened(1) + data(1, b"x") * 5_000 + closed(1))
        target = self.rig.acceptTarget()
        self.rig.reactor.pump([0] * 10)
        self.assertEqual(target.take(), b"x" * 5_000)
        self.assertTrue(target.transport.halfClosed)
