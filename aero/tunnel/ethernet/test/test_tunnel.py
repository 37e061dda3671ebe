"""
Tests for L{aero.tunnel.ethernet.tunnel} and L{aero.tunnel.ethernet.tunnels}: messages, quotas and the end.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import l2 as rows
from aero.testing.l2 import MemoryCarrier, MemoryLAN, MemoryLANs, makeTunnels
from aero.tunnel.ethernet.ends import TunnelPeer
from aero.tunnel.ethernet.tunnel import BATCH
from aero.wire.l2tunnel import (
    ERROR,
    FRAME,
    FRAME_HEADER,
    PING,
    PING_HEADER,
    PONG,
    PONG_HEADER,
    decode,
    decodeError,
    encode,
)


class TunnelTestCase(SynchronousTestCase):
    """
    What all tests of tunnels need.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.lans = MemoryLANs()
        self.carrier = MemoryCarrier()

    def begin(self, **settings: Any) -> MemoryCarrier:
        """
        Open a tunnel with some settings.
        """
        self.tunnels = makeTunnels(self.lans, self.clock, self.metrics, **settings)
        self.tunnel = self.carrier.open(self.tunnels)
        return self.carrier

    @property
    def lan(self) -> MemoryLAN:
        """
        The LAN of the guest.
        """
        return self.lans.last

    def assertEnded(
        self, code: int, reason: str, error: int | None = None, label: str = ""
    ) -> None:
        """
        The tunnel closed, with an ERROR before that or without.
        """
        self.assertEqual(self.carrier.closed, (code, reason))
        sent = self.carrier.take()
        errors = [message for message in sent if message[2] == ERROR]
        if error is None:
            self.assertEqual(errors, [])
        else:
            self.assertEqual(len(errors), 1)
            self.assertEqual(sent[-1], errors[0])
            self.assertEqual(decodeError(errors[0][4:]), (error, reason))
        self.assertTrue(self.tunnel.isOver)
        self.assertEqual(self.tunnels.open, set())
        self.assertIsNotNone(self.lan.stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        if label:
            self.assertEqual(self.metrics.value(rows.CLOSED, label), 1)
            self.assertEqual(self.lan.stopped, label)


class MessageTests(TunnelTestCase):
    """
    What becomes of each kind of message.
    """

    def test_frames(self) -> None:
        """
        The frames of one read reach the LAN in order and at once, and are counted.
        """
        carrier = self.begin()
        carrier.deliver(encode(FRAME, b"one"), encode(FRAME, b"three", 7), encode(FRAME))
        self.assertEqual(self.lan.batches, [[b"one", b"three", b""]])
        self.assertEqual(self.metrics.value(rows.FRAMES_RX), 3)
        self.assertEqual(self.metrics.value(rows.BYTES_RX), 8)

    def test_ping(self) -> None:
        """
        A PING comes back as PONG with the same payload and no flags; several with one write.
        """
        carrier = self.begin()
        carrier.deliver(encode(PING, b"a", 9), encode(PING), encode(FRAME, b"x"))
        self.assertEqual(carrier.take(), [encode(PONG, b"a"), encode(PONG)])
        self.assertEqual(self.lan.frames, [b"x"])

    def test_ignored(self) -> None:
        """
        ERRORs, unknown types and PONGs that answer nothing mean nothing.
        """
        carrier = self.begin()
        carrier.deliver(encode(ERROR, b"x"), encode(0x42, b"y"), encode(PONG, b"z"))
        self.assertEqual(carrier.take(), [])
        self.assertFalse(self.tunnel.isOver)

    def test_malformed(self) -> None:
        """
        The first message that is none ends the tunnel; the frames before it arrive (F2).
        """
        self.begin()
        self.carrier.deliver(encode(FRAME, b"good"), b"x", encode(FRAME, b"late"))
        self.assertEqual(self.lan.frames, [b"good"])
        self.assertEnded(1008, "message too short: 1 < 4", 1, "protocol")
        self.assertEqual(self.metrics.value(rows.FRAMES_DROPPED), 1)

    def test_tooLarge(self) -> None:
        """
        A payload over its limit ends the tunnel, one of exactly the limit does not; the ERROR
        fits the limit itself (F3).
        """
        carrier = self.begin(maxFramePayload=10, maxControlPayload=8)
        carrier.deliver(encode(FRAME, bytes(10)), encode(PING, bytes(8)))
        self.assertEqual(carrier.take(), [encode(PONG, bytes(8))])
        carrier.deliver(encode(PING, bytes(16)))
        self.assertEqual(carrier.closed, (1008, "payload too large: 16 > 8"))
        self.assertEqual(carrier.take(), [bytes.fromhex("a2037f0000010004") + b"payl"])

    def test_tooLargeFrame(self) -> None:
        """
        The same for a frame.
        """
        self.begin(maxFramePayload=10)
        self.carrier.deliver(encode(FRAME, bytes(11)))
        self.assertEnded(1008, "payload too large: 11 > 10", 1)
        self.assertEqual(self.lan.frames, [])

    def test_toTheGuest(self) -> None:
        """
        Frames of the LAN are sent in one write, counted; one that is too long is left out (F12).
        """
        carrier = self.begin(maxFramePayload=10)
        self.lan.port.sendFrames([b"one", bytes(11), bytes(10)])
        self.assertEqual(carrier.take(), [FRAME_HEADER + b"one", FRAME_HEADER + bytes(10)])
        self.assertEqual(self.lan.port.maxFrame, 10)
        for row, expected in (
            (rows.FRAMES_TX, 2),
            (rows.BYTES_TX, 13),
            (rows.FRAMES_DROPPED, 1),
        ):
            self.assertEqual(self.metrics.value(row), expected)

    def test_many(self) -> None:
        """
        No more than a batch is handled in one turn; meanwhile the guest is not read, and what
        comes all the same waits behind (fairness between tunnels).
        """
        carrier = self.begin()
        messages = [encode(FRAME, index.to_bytes(2, "big")) for index in range(3 * BATCH + 1)]
        carrier.deliver(*messages[: 2 * BATCH])
        self.assertEqual(len(self.lan.batches), 1)
        self.assertTrue(carrier.isPaused)
        carrier.deliver(*messages[2 * BATCH :])
        self.assertEqual(len(self.lan.batches), 1)
        self.clock.advance(0)
        self.assertEqual([len(batch) for batch in self.lan.batches], [BATCH] * 3 + [1])
        self.assertEqual(b"".join(self.lan.frames), b"".join(m[4:] for m in messages))
        self.assertFalse(carrier.isPaused)
        carrier.deliver(encode(FRAME, b"next"))
        self.assertEqual(self.lan.batches[-1], [b"next"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lanHasEnough(self) -> None:
        """
        A LAN that has enough frames for now gets no more until it says so, and the guest waits.
        """
        carrier = self.begin()
        self.tunnel.pauseFrames()
        self.assertTrue(carrier.isPaused)
        carrier.deliver(encode(FRAME, b"one"))
        self.clock.advance(10)
        self.assertEqual(self.lan.frames, [])
        self.tunnel.resumeFrames()
        self.clock.advance(0)
        self.assertEqual(self.lan.frames, [b"one"])
        self.assertFalse(carrier.isPaused)

    def test_carrierThatCannotStop(self) -> None:
        """
        Where the carrier goes on reading all the same, there is an end to what waits.
        """
        self.begin(maxControlPayload=16_384)
        self.tunnel.pauseFrames()
        for _ in range(70):
            self.carrier.deliver(encode(PING, bytes(16_384)))
        self.assertEnded(1008, "outbound websocket backpressure", 9, "backpressure")
        self.assertEqual(self.metrics.value(rows.CLOSED_BACKPRESSURE), 1)


class QuotaTests(TunnelTestCase):
    """
    Bytes and messages a second (section 10).
    """

    def test_bytes(self) -> None:
        """
        More bytes than allowed end the tunnel; exactly that many do not (F5).
        """
        carrier = self.begin(maxBytes=136)
        carrier.deliver(encode(PONG, bytes(64)), encode(PONG, bytes(64)))
        self.assertFalse(self.tunnel.isOver)
        carrier.deliver(encode(PONG))
        self.assertEnded(1008, "byte quota exceeded", 6, "quota_bytes")
        self.assertEqual(self.metrics.value(rows.CLOSED_QUOTA_BYTES), 1)

    def test_answersCount(self) -> None:
        """
        The answer to a PING counts, and is not sent once it is too much (F6).
        """
        self.begin(maxBytes=40)
        self.carrier.deliver(encode(PING, bytes(20)))
        self.assertEnded(1008, "byte quota exceeded", 6)

    def test_framesBefore(self) -> None:
        """
        The frames before the one that was too much arrive (F8).
        """
        self.begin(maxBytes=150)
        self.carrier.deliver(*[encode(FRAME, bytes(64))] * 3)
        self.assertEqual(len(self.lan.frames), 2)
        self.assertEqual(self.metrics.value(rows.FRAMES_RX), 2)
        self.assertEnded(1008, "byte quota exceeded", 6)

    def test_framesToTheGuest(self) -> None:
        """
        Frames of the LAN count as well; those that still have room are sent.
        """
        carrier = self.begin(maxBytes=20)
        self.lan.port.sendFrames([bytes(6), bytes(6), bytes(6)])
        self.assertEqual(carrier.sent[:2], [FRAME_HEADER + bytes(6)] * 2)
        self.assertEqual(self.metrics.value(rows.FRAMES_TX), 2)
        self.assertEnded(1008, "byte quota exceeded", 6)

    def test_ownPing(self) -> None:
        """
        The very first PING of the server counts (F7).
        """
        self.begin(maxBytes=11, pingInterval=0.01)
        self.assertEnded(1008, "byte quota exceeded", 6)

    def test_rate(self) -> None:
        """
        More messages in a second than allowed end the tunnel; the second begins with the first
        message after the one before (F10).
        """
        carrier = self.begin(maxFPS=2)
        carrier.deliver(encode(PONG), encode(PONG))
        self.clock.advance(1.0)
        carrier.deliver(encode(PONG))
        self.clock.advance(0.99)
        carrier.deliver(encode(PONG))
        self.assertFalse(self.tunnel.isOver)
        carrier.deliver(encode(PONG))
        self.assertEnded(1008, "frame rate quota exceeded", 7, "quota_fps")
        self.assertEqual(self.metrics.value(rows.CLOSED_QUOTA_FPS), 1)

    def test_bytesFirst(self) -> None:
        """
        Where both are exceeded, it is the bytes.
        """
        self.begin(maxFPS=1, maxBytes=4)
        self.carrier.deliver(encode(PONG), encode(PONG))
        self.assertEnded(1008, "byte quota exceeded", 6)

    def test_others(self) -> None:
        """
        What is no message of the tunnel counts too, and so does the answer of the carrier (F10).
        """
        self.begin(maxFPS=2)
        self.assertTrue(self.tunnel.otherReceived(0))
        self.assertTrue(self.tunnel.otherReceived(5))
        self.assertFalse(self.tunnel.otherReceived(0))
        self.assertEnded(1008, "frame rate quota exceeded", 7)
        self.assertFalse(self.tunnel.otherReceived(0))

    def test_carrierAnswers(self) -> None:
        """
        The answer of the carrier to its own ping counts.
        """
        self.begin(maxBytes=10)
        self.assertTrue(self.tunnel.otherReceived(5, 5))
        self.assertFalse(self.tunnel.otherReceived(0, 1))
        self.assertEnded(1008, "byte quota exceeded", 6)


class EndTests(TunnelTestCase):
    """
    The end comes once.
    """

    def test_client(self) -> None:
        """
        A guest that leaves takes its LAN with it, and nothing is sent any more.
        """
        carrier = self.begin(pingInterval=1.0, idleTimeout=60.0)
        self.assertEqual(self.metrics.value(rows.ACTIVE), 1)
        carrier.take()
        self.tunnel.connectionLost("client")
        self.tunnel.connectionLost("lost")
        self.assertEqual(self.lan.stopped, "client")
        self.lan.port.sendFrames([b"late"])
        carrier.deliver(encode(PING))
        self.tunnel.pauseProducing()
        self.tunnel.resumeProducing()
        self.tunnel.drain()
        self.assertEqual((carrier.take(), carrier.closed), ([], None))
        self.assertEqual(self.metrics.value(rows.ACTIVE), 0)
        self.assertEqual(self.metrics.value(rows.SESSIONS), 1)
        self.assertEqual(self.metrics.value(rows.CLOSED, "client"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain(self) -> None:
        """
        Every tunnel is told that the process stops, without an ERROR; then nobody is left.
        """
        self.begin()
        other = MemoryCarrier()
        other.open(self.tunnels)
        drained = self.tunnels.drain()
        self.assertEnded(1001, "shutting down")
        self.assertEqual(self.metrics.value(rows.CLOSED, "shutdown"), 2)
        self.assertEqual(other.closed, (1001, "shutting down"))
        self.successResultOf(drained)

    def test_sessionEnds(self) -> None:
        """
        The end of a session closes its tunnels and no others; their LANs deliver nothing more.
        Every other end lets them.
        """
        self.begin()
        other = MemoryCarrier()
        other.open(self.tunnels)
        self.tunnel.peer = TunnelPeer("198.51.100.7", "sid")
        lan, kept = self.lans.made
        self.tunnels.endSession("sid")
        self.assertEqual(self.carrier.closed, (1008, "session ended"))
        self.assertEqual((lan.stopped, lan.delivers), ("session", False))
        self.assertEqual(self.metrics.value(rows.CLOSED, "session"), 1)
        self.assertIsNone(other.closed)
        other.tunnel.connectionLost()
        self.assertEqual((kept.stopped, kept.delivers), ("lost", True))

    def test_violation(self) -> None:
        """
        What breaks the rules of the carrier is counted where it was too long (W36).
        """
        self.begin()
        self.tunnel.violated(True, "message is too long")
        self.assertEqual(self.metrics.value(rows.FRAMES_DROPPED), 1)
        self.assertEqual(self.metrics.value(rows.CLOSED, "too_long"), 1)

    def test_lanThatFails(self) -> None:
        """
        A LAN that raises ends its own tunnel and no other.
        """
        self.begin()
        other = MemoryCarrier()
        other.open(self.tunnels)

        def broken(frames: Sequence[bytes]) -> None:
            raise ValueError("a bug")

        self.lan.framesReceived = broken  # type: ignore[method-assign]
        other.deliver(encode(FRAME, b"x"))
        self.assertEqual(other.closed, (1011, "internal error"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.carrier.deliver(encode(FRAME, b"x"))
        self.assertEqual(self.lans.made[0].frames, [b"x"])
        self.assertEqual(self.metrics.value(rows.CLOSED, "error"), 1)

    def test_lanThatCannotBeMade(self) -> None:
        """
        Without a LAN there is no tunnel, and the gauge is right.
        """

        def broken(peer: Any, port: Any) -> MemoryLAN:
            raise ValueError("a bug")

        self.lans = MemoryLANs(broken)
        self.begin()
        self.assertEqual(self.carrier.closed, (1011, "internal error"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.metrics.value(rows.ACTIVE), 0)

    def test_lanThatDoesNotStop(self) -> None:
        """
        Not even a LAN that fails to stop keeps a tunnel alive.
        """
        self.begin()

        def broken(reason: str, deliver: bool = True) -> None:
            raise ValueError("a bug")

        self.lan.stop = broken  # type: ignore[method-assign]
        self.tunnel.connectionLost()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.tunnels.open, set())

    def test_endFromWithin(self) -> None:
        """
        A tunnel may end while its LAN handles frames.
        """
        self.begin(maxBytes=30)
        self.lan.echo = True
        self.carrier.deliver(encode(FRAME, bytes(20)), encode(PING))
        self.assertTrue(self.tunnel.isOver)
        self.assertEqual(self.carrier.closed, (1008, "byte quota exceeded"))

    def test_peer(self) -> None:
        """
        The LAN is told whose it is; tunnels are numbered from 1.
        """
        self.begin()
        MemoryCarrier().open(self.tunnels, "2001:db8::1")
        self.assertEqual([lan.peer.tunnel for lan in self.lans.made], ["1", "2"])
        self.assertEqual(self.lan.peer.address, "2001:db8::1")


class SentTests(TunnelTestCase):
    """
    Everything that is sent can be read.
    """

    def test_wellFormed(self) -> None:
        """
        Answers, PINGs and frames are messages within the limits.
        """
        carrier = self.begin(pingInterval=1.0)
        carrier.deliver(encode(PING, b"abc"))
        self.lan.port.sendFrames([b"frame"])
        kinds = [decode(message, 2048, 256)[0] for message in carrier.take()]
        self.assertEqual(kinds, [PING, PONG, FRAME])
        self.assertEqual((PING_HEADER[2], PONG_HEADER[2]), (PING, PONG))
