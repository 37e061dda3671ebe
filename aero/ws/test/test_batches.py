"""
Tests for L{aero.ws.batches}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import tcp as rows
from aero.testing.ws import WebSocketClient, WebSocketRig, clientFrame
from aero.wire.websocket import BINARY, CLOSE, PING, PONG, TEXT
from aero.ws.batches import BatchingProtocol
from aero.ws.endpoint import WebSocketEndpoint


class Recording(BatchingProtocol):
    """
    Keeps what it is told.
    """

    acceptsText = True

    def sessionOpened(self) -> None:
        self.told: list[Any] = []

    def messagesReceived(self, payloads: list[bytes]) -> Any:
        self.told.append(payloads)
        if payloads[0] == b"raise":
            raise RuntimeError("a mistake")
        if payloads[0] == b"fail":
            return fail(RuntimeError("a later mistake"))
        if payloads[0] == b"close":
            self.failConnection(1008, "enough")
        return None

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        self.told.append((payload, isBinary))


class BatchingTests(SynchronousTestCase):
    """
    L{BatchingProtocol} delivers the messages of one read together.
    """

    def connect(self) -> WebSocketClient:
        """
        A client of a recording session.
        """
        self.rig = WebSocketRig()
        self.endpoint = WebSocketEndpoint("/batches", Recording, **self.rig.common)
        return self.rig.connect(self.endpoint)

    def told(self) -> list[Any]:
        """
        What the session was told.
        """
        (session,) = self.endpoint.factory.open
        assert isinstance(session, Recording)
        return session.told

    def test_oneRead(self) -> None:
        """
        Text and control frames come in their place between the messages.
        """
        client = self.connect()
        frames = [(BINARY, b"1"), (BINARY, b"2"), (TEXT, b"t"), (PING, b"p"), (BINARY, b"3")]
        client.sendBytes(b"".join(clientFrame(*frame) for frame in frames))
        self.assertEqual(self.told(), [[b"1", b"2"], (b"t", False), [b"3"]])
        self.assertEqual(client.frames(), [(PONG, b"p")])
        self.assertEqual(self.rig.metrics.value(rows.WS_MESSAGES, "batches", "up"), 4)
        self.assertEqual(self.rig.metrics.value(rows.WS_BYTES, "batches", "up"), 4)

    def test_byteByByte(self) -> None:
        """
        However slowly it comes, each message comes once.
        """
        client = self.connect()
        for byte in clientFrame(BINARY, b"1") + clientFrame(BINARY, b"2"):
            client.sendBytes(bytes((byte,)))
        self.assertEqual(self.told(), [[b"1"], [b"2"]])

    def test_mistakes(self) -> None:
        """
        A hook that raises, now or later, ends its session with 1011.
        """
        for payload in (b"raise", b"fail"):
            client = self.connect()
            client.sendBytes(clientFrame(BINARY, payload) + clientFrame(BINARY, b"more"))
            self.assertEqual(client.frames(), [(CLOSE, b"\x03\xf3internal error")])
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_nothingAfterTheEnd(self) -> None:
        """
        What the client sent after a close of ours is not delivered.
        """
        client = self.connect()
        told = self.told()
        client.sendBytes(
            b"".join(
                clientFrame(*frame) for frame in [(BINARY, b"close"), (TEXT, b"t"), (BINARY, b"x")]
            )
        )
        self.assertEqual(told, [[b"close"]])
