"""
Tests for the back-pressure of L{aero.tunnel.ethernet.tunnel} (l2.md section 10.3, W39).
"""

from __future__ import annotations

from aero.metrics import l2 as rows
from aero.tunnel.ethernet.tunnel import ANSWER_BYTES, MAX_BEHIND_BYTES
from aero.wire.l2tunnel import BACKPRESSURE, FRAME, FRAME_HEADER, PING, PONG, encode

from .test_tunnel import TunnelTestCase

STALLED = "outbound websocket backpressure"


class SlowGuestTests(TunnelTestCase):
    """
    A guest that reads slowly is slow, not wrong.
    """

    def test_lanWaits(self) -> None:
        """
        While the carrier is full the LAN makes no frames, for as long as that takes.
        """
        self.begin()
        self.tunnel.pauseProducing()
        self.assertTrue(self.lan.isPaused)
        self.clock.advance(3_600)
        self.assertFalse(self.tunnel.isOver)
        self.tunnel.resumeProducing()
        self.assertFalse(self.lan.isPaused)
        self.assertEqual(self.metrics.value(rows.PAUSES), 1)

    def test_lanThatGoesOn(self) -> None:
        """
        The frames of a batch that was under way are sent; a LAN that does not wait loses what is
        beyond that, as a network card would.
        """
        carrier = self.begin(maxFramePayload=65_536)
        self.tunnel.pauseProducing()
        frame = bytes(65_536)
        sent = 0
        for _ in range(20):
            self.lan.port.sendFrames([frame])
            sent += len(carrier.take())
        self.assertLessEqual(sent * len(frame), MAX_BEHIND_BYTES + 2 * len(frame))
        self.assertEqual(self.metrics.value(rows.FRAMES_DROPPED), 20 - sent)
        self.tunnel.resumeProducing()
        self.lan.port.sendFrames([b"x"])
        self.assertEqual(carrier.take(), [FRAME_HEADER + b"x"])

    def test_answersWait(self) -> None:
        """
        As many answers as configured wait; the guest is still read, and gets them in order.
        """
        carrier = self.begin(sendBuffer=3)
        self.tunnel.pauseProducing()
        for index in range(3):
            carrier.deliver(encode(PING, bytes([index])), encode(FRAME, b"f"))
        self.clock.advance(60)
        self.assertEqual((carrier.take(), carrier.isPaused), ([], False))
        self.assertEqual(len(self.lan.frames), 3)
        self.tunnel.resumeProducing()
        self.assertEqual(carrier.take(), [encode(PONG, bytes([index])) for index in range(3)])

    def test_oneTooMany(self) -> None:
        """
        One answer more, and the guest is not read; when the carrier takes something within a
        second everything goes on, in order.
        """
        carrier = self.begin(sendBuffer=1)
        self.tunnel.pauseProducing()
        carrier.deliver(*[encode(PING, bytes([index])) for index in range(5)])
        self.assertTrue(carrier.isPaused)
        self.clock.advance(0.9)
        self.tunnel.resumeProducing()
        self.clock.pump([0, 0, 5])
        self.assertEqual(carrier.take(), [encode(PONG, bytes([index])) for index in range(5)])
        self.assertFalse(carrier.isPaused or self.tunnel.isOver)

    def test_progress(self) -> None:
        """
        A carrier that is full again at once has made progress, and the second begins anew.
        """
        carrier = self.begin(sendBuffer=1)
        self.tunnel.pauseProducing()
        for index in range(6):
            carrier.deliver(encode(PING, bytes([index])), encode(PING, b"x"))
            self.clock.advance(0.9)
            self.tunnel.resumeProducing()
            self.tunnel.pauseProducing()
            self.clock.advance(0)
        self.assertFalse(self.tunnel.isOver)

    def test_slowly(self) -> None:
        """
        A carrier that takes some of what it holds is slow, however long it stays full; the second
        begins when it takes nothing more.
        """
        carrier = self.begin(sendBuffer=1)
        self.tunnel.pauseProducing()
        carrier.unsent = 1_000
        carrier.deliver(*[encode(PING)] * 10)
        for _ in range(10):
            self.clock.advance(0.9)
            carrier.unsent -= 1
        self.clock.advance(0.1)
        self.assertFalse(self.tunnel.isOver)
        self.clock.advance(0.9)
        self.assertFalse(self.tunnel.isOver)
        self.clock.advance(0.1)
        self.assertEnded(1008, STALLED, BACKPRESSURE, "backpressure")

    def test_manyAnswers(self) -> None:
        """
        Of one read no more answers are made than a carrier that is full soon can hold.
        """
        carrier = self.begin(sendBuffer=2, maxControlPayload=16_384)
        sent = carrier.sendMessages

        def sendMessages(messages: list[bytes]) -> None:
            sent(messages)
            self.tunnel.pauseProducing()

        self.patch(carrier, "sendMessages", sendMessages)
        carrier.deliver(*[encode(PING, bytes(16_384))] * 50)
        self.assertEqual(len(carrier.take()), ANSWER_BYTES // 16_384)
        self.assertTrue(carrier.isPaused)
        answered = 0
        for _ in range(50):
            self.tunnel.resumeProducing()
            self.clock.advance(0)
            answered += len(carrier.take())
        self.assertEqual(answered, 46)
        self.assertFalse(carrier.isPaused or self.tunnel.isOver)

    def test_stall(self) -> None:
        """
        A second in which the carrier takes nothing ends the tunnel with error 9 (F11, F16).
        """
        carrier = self.begin(sendBuffer=1)
        self.tunnel.pauseProducing()
        carrier.deliver(*[encode(PING)] * 10)
        self.clock.advance(0.99)
        self.assertFalse(self.tunnel.isOver)
        self.clock.advance(0.02)
        self.assertEnded(1008, STALLED, BACKPRESSURE, "backpressure")
        self.assertEqual(self.metrics.value(rows.CLOSED_BACKPRESSURE), 1)

    def test_endWhileStalled(self) -> None:
        """
        A guest that leaves meanwhile leaves no timer.
        """
        carrier = self.begin(sendBuffer=1)
        self.tunnel.pauseProducing()
        carrier.deliver(*[encode(PING)] * 600)
        self.tunnel.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.metrics.value(rows.CLOSED_BACKPRESSURE), 0)

    def test_noPingWhileFull(self) -> None:
        """
        Nothing is measured through a queue: PINGs of the server wait for room.
        """
        carrier = self.begin(pingInterval=1.0)
        carrier.take()
        self.tunnel.pauseProducing()
        self.clock.pump([1.0] * 5)
        self.assertEqual(carrier.take(), [])
        self.tunnel.resumeProducing()
        self.clock.pump([1.0])
        self.assertEqual([message[2] for message in carrier.take()], [PING])
