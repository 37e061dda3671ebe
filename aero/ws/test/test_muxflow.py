"""
Tests for L{aero.ws.mux}: flow in both directions, and streams to protocols of our own.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from aero.errors import Refused
from aero.metrics import mux as rows
from aero.testing.ws import WebSocketClient
from aero.tunnel.streams.pressure import GRACE, PATIENCE, QUIET
from aero.wire.tcpmux import (
    CLOSE,
    DATA,
    PING,
    RST,
    encodeFrame,
    frameHeader,
)
from aero.wire.websocket import BINARY
from aero.ws.mux import MuxProtocol

from .muxfixtures import HOST, Case, closed, data, opened


class UploadTests(Case):
    """
    Clients that are faster than their targets.
    """

    def test_overflow(self) -> None:
        """
        More than the limit waiting for a target is error 6, exactly the limit is not.
        """
        self.make(maxStreamBufferBytes=1_000)
        client = self.connect()
        self.send(client, opened(1), data(1, b"x" * 1_000))
        self.assertEqual(self.frames(client), [])
        self.send(client, data(1, b"x"), data(1, b"x"))
        self.assertEqual(
            self.frames(client),
            [
                *self.failed(1, 6, "stream buffered too much data"),
                *self.failed(1, 4, "unknown stream"),
            ],
        )
        self.assertEqual(self.held(), 0)
        self.assertEqual(self.rig.metrics.value(rows.QUEUE_BYTES, "up"), 0)

    def test_overflowInFrame(self) -> None:
        """
        A frame that overflows its stream is one error, however much of it is still to come.
        """
        self.make(maxStreamBufferBytes=1_000)
        client = self.connect()
        self.send(client, opened(1), frameHeader(DATA, 1, 10_000))
        for _ in range(10):
            client.send(BINARY, bytes(1_000))
        self.assertEqual(self.frames(client), self.failed(1, 6, "stream buffered too much data"))

    def fill(self, client: WebSocketClient, streamId: int, size: int = 300_000) -> None:
        self.send(client, data(streamId, bytes(size)))

    def test_pushBack(self) -> None:
        """
        A slow target makes its client wait instead of losing the stream, and gets everything.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        self.assertTrue(client.isPaused)
        target.unblock()
        self.assertFalse(client.isPaused)
        self.assertEqual((len(target.take()), self.frames(client)), (300_000, []))

    def test_othersAreBusy(self) -> None:
        """
        A target that is slow does not stop a client that is busy with another one.
        """
        client = self.connect()
        slow = self.stream(client, 1)
        fast = self.stream(client, 2)
        slow.block()
        self.fill(client, 1)
        self.assertFalse(client.isPaused)
        self.send(client, data(2, b"x"))
        self.assertEqual(fast.take(), b"x")
        self.rig.reactor.advance(QUIET)
        self.fill(client, 1, 1)
        self.assertTrue(client.isPaused)

    def test_grace(self) -> None:
        """
        A stream that is half way to its limit holds up a busy client for a moment, and once
        only: after that it is the one that ends.
        """
        client = self.connect()
        slow = self.stream(client, 1)
        fast = self.stream(client, 2)
        slow.block()
        self.fill(client, 1, 600_000)
        self.assertTrue(client.isPaused)
        self.rig.reactor.advance(GRACE)
        self.assertFalse(client.isPaused)
        self.fill(client, 1, 400_000)
        self.send(client, data(2, b"x"))
        self.assertFalse(client.isPaused)
        self.fill(client, 1, 400_000)
        self.assertEqual(self.frames(client), self.failed(1, 6, "stream buffered too much data"))
        self.assertEqual(fast.take(), b"x")
        self.assertEqual(self.rig.metrics.value(rows.STALLED), 1)

    def test_patience(self) -> None:
        """
        A target that stands still holds up its client for ten seconds, one that goes on taking
        something for as long as it does.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        for taken in range(1, 4):
            target.transport.offset = taken
            self.rig.reactor.advance(PATIENCE)
            self.assertTrue(client.isPaused)
        self.rig.reactor.advance(PATIENCE)
        self.assertFalse(client.isPaused)

    def test_streamEnds(self) -> None:
        """
        The client is read again when the stream that held it up is over.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        target.lose(error.ConnectionLost())
        self.assertFalse(client.isPaused)
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))

    def test_endAfterData(self) -> None:
        """
        The client's end waits for the data that a congested target has not taken.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        self.fill(client, 1, 100)
        self.send(client, closed(1))
        self.assertFalse(target.transport.halfClosed)
        target.unblock()
        self.assertEqual(len(target.take()), 300_100)
        self.assertTrue(target.transport.halfClosed)


class DownloadTests(Case):
    """
    Targets that are faster than the client.
    """

    def test_fair(self) -> None:
        """
        A stream with little to say does not wait for the rest of one with much.
        """
        client = self.connect()
        bulk = self.stream(client, 1)
        small = self.stream(client, 2)
        client.block()
        bulk.send(bytes(300_000))
        self.assertTrue(bulk.isPaused)
        small.send(b"me too")
        self.assertFalse(small.isPaused)
        self.assertEqual(self.frames(client), [])
        self.assertEqual(self.rig.metrics.value(rows.QUEUE_BYTES, "down"), 300_006)
        client.unblock()
        frames = [message[:5] for _, message in client.frames()]
        self.assertEqual(frames.index(b"\x02\x00\x00\x00\x02"), 1)
        self.assertEqual(self.rig.metrics.value(rows.QUEUE_BYTES, "down"), 0)
        self.assertFalse(bulk.isPaused)

    def test_endAfterData(self) -> None:
        """
        The target's end, or its failure, comes after the data that the client has not taken.
        """
        client = self.connect()
        one, two = self.stream(client, 1), self.stream(client, 2)
        client.block()
        one.send(b"one")
        one.end()
        two.send(b"two")
        two.lose(error.ConnectionLost())
        self.send(client, opened(2))
        client.unblock()
        self.assertEqual(
            self.frames(client),
            [
                *self.failed(2, 3, "stream_id already exists"),
                (DATA, 1, b"one"),
                (CLOSE, 1, b"\x01"),
                (DATA, 2, b"two"),
                *self.failed(2, 2, "dial failed"),
            ],
        )
        self.send(client, opened(2))
        self.assertEqual(self.frames(client), [])

    def test_replies(self) -> None:
        """
        A client that sends PINGs and reads nothing is not read either, until it does.
        """
        client = self.connect()
        client.block()
        self.send(client, encodeFrame(PING, 0, bytes(60_000)))
        self.assertFalse(client.isPaused)
        self.send(client, encodeFrame(PING, 0, bytes(60_000)))
        self.assertTrue(client.isPaused)
        client.unblock()
        self.assertFalse(client.isPaused)

    def test_both(self) -> None:
        """
        A client that is stopped for two reasons goes on when neither is left.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        client.block()
        self.send(client, encodeFrame(PING, 0, bytes(70_000)), data(1, bytes(300_000)))
        client.unblock()
        self.assertTrue(client.isPaused)
        target.unblock()
        self.assertFalse(client.isPaused)


class Echo(Protocol):
    """
    An ordinary protocol.
    """

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data.upper())


@implementer(IHalfCloseableProtocol)
class Counter(Protocol):
    """
    Answers with the size of what it got, after the end.
    """

    size = 0

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)

    def readConnectionLost(self) -> None:
        transport: Any = self.transport
        transport.write(b"%d" % self.size)
        transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Not interesting.
        """


class Broken(Protocol):
    """
    Fails.
    """

    def dataReceived(self, data: bytes) -> None:
        raise RuntimeError("broken")


class Inside(MuxProtocol):
    """
    Has some targets of its own.
    """

    def streamRequested(self, host: str, port: int) -> Any:
        if port == 1:
            return Echo()
        if port == 2:
            return Counter()
        if port == 3:
            return Broken()
        if port == 4:
            raise Refused(403, "forbidden", "not today")
        if port == 5:
            raise RuntimeError("hook")
        if port == 6:
            self.asked: Deferred[Protocol] = Deferred()
            return self.asked
        return None


class HookTests(Case):
    """
    Streams to protocols of our own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.make(Inside)

    def test_protocol(self) -> None:
        """
        An ordinary protocol can be what a stream is connected to; nothing is dialled, and the
        client's end is the end of it.
        """
        client = self.connect()
        self.send(client, opened(1, "echo.example", 1), data(1, b"hello"), closed(1))
        self.assertEqual(self.frames(client), [(DATA, 1, b"HELLO"), (CLOSE, 1, b"\x01")])
        self.assertEqual((self.dialled(), self.held()), ([], 0))

    def test_halfClose(self) -> None:
        """
        A protocol that knows half-close can answer after the client's end.
        """
        client = self.connect()
        self.send(client, opened(1, HOST, 2), data(1, bytes(70_000)), closed(1))
        self.assertEqual(self.frames(client), [(DATA, 1, b"70000"), (CLOSE, 1, b"\x01")])
        self.assertEqual(self.held(), 0)

    def test_failures(self) -> None:
        """
        A protocol or a hook that fails ends its own stream only, and is logged.
        """
        client = self.connect()
        self.send(client, opened(1, HOST, 3), data(1, b"x"))
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))
        self.send(client, opened(1, HOST, 5))
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.send(client, opened(1, HOST, 4))
        self.assertEqual(self.frames(client), self.failed(1, 1, "not today"))
        self.assertEqual(self.held(), 0)

    def test_later(self) -> None:
        """
        The hook may take its time; what comes meanwhile is kept.
        """
        client = self.connect()
        self.send(client, opened(1, HOST, 6), data(1, b"early"))
        session = next(iter(self.endpoint.factory.open))
        assert isinstance(session, Inside)
        session.asked.callback(Echo())
        self.assertEqual(self.frames(client), [(DATA, 1, b"EARLY")])
        self.assertEqual(self.held(), 1)
        self.send(client, closed(1, RST))
        self.assertEqual(self.held(), 0)

    def test_policyFirst(self) -> None:
        """
        The hook is not asked about what the policy refuses.
        """
        self.make(Inside, private=False)
        client = self.connect()
        self.send(client, opened(1, "10.0.0.1", 1))
        self.assertEqual(
            self.frames(client),
            self.failed(1, 1, "Target IP is not allowed by IP egress policy"),
        )
