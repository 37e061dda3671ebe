"""
Tests for L{aero.rtc.association}, with aiortc's own SCTP at the other end.
"""

from __future__ import annotations

import random
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.rtc import guard
from aero.rtc.datachannel import ChannelRequest

from .fixtures import Pair, Recorder, run
from .test_guard import chunk, packet

UDP = {"ordered": False, "maxRetransmits": 0}


class AssociationTestCase(SynchronousTestCase):
    """
    A connected pair.
    """

    def make(self, **limits: int) -> Pair:
        """
        Connect one.
        """
        self.pair = Pair(**limits)
        self.addCleanup(self.pair.close)
        return self.pair

    def setUp(self) -> None:
        self.make()

    def open(self, label: str, **options: Any) -> tuple[Any, Recorder]:
        """
        A channel: the client's, and what listens to ours.
        """
        channel = self.pair.open(label, **options)
        return channel, self.pair.receivers[label]

    def inject(self, *chunks: bytes) -> None:
        """
        Give our end a packet that aiortc would not send.
        """
        tag = self.pair.ours._local_verification_tag
        self.pair.ours.packetsReceived([packet(*chunks, tag=tag)])


class ChannelTests(AssociationTestCase):
    """
    Channels and messages.
    """

    def test_established(self) -> None:
        """
        Both ends agree, whoever began.
        """
        self.assertTrue(self.pair.ours.isEstablished)
        self.assertEqual((self.pair.established, self.pair.theirs.state), (1, "connected"))

    def test_request(self) -> None:
        """
        What the client asks for is what is decided about.
        """
        self.open("udp", protocol="p", **UDP)
        self.open("l2")
        self.open("timed", maxPacketLifeTime=7)
        self.assertEqual(
            self.pair.requests,
            [
                ChannelRequest("udp", "p", False, 0, None),
                ChannelRequest("l2", "", True, None, None),
                ChannelRequest("timed", "", True, None, 7),
            ],
        )

    def test_bothDirections(self) -> None:
        """
        Messages of all sizes arrive whole and in order, the empty one too.
        """
        channel, receiver = self.open("l2")
        self.assertEqual(channel.readyState, "open")
        messages = [bytes([size % 256]) * size for size in (1, 2, 1_155, 1_156, 1_157, 4_352, 0)]
        for message in messages:
            channel.send(message)
        self.pair.wait()
        self.assertEqual(receiver.messages, messages)
        assert receiver.channel is not None
        receiver.channel.send(messages)
        self.pair.wait()
        self.assertEqual(channel.received, messages)
        self.assertEqual(self.pair.ours.inbound.held, 0)

    def test_text(self) -> None:
        """
        Text is counted in bytes and not looked at, whatever it is.
        """
        channel, receiver = self.open("udp", **UDP)
        for text in ("", "abc", "\u00e9"):
            channel.send(text)
        self.pair.wait()
        self.assertEqual((receiver.texts, receiver.messages), ([0, 3, 2], []))

    def test_batches(self) -> None:
        """
        What one turn brings is handed over together, and answered in few packets.
        """
        channel, receiver = self.open("udp", **UDP)
        assert receiver.channel is not None
        self.pair.here.sent = 0
        receiver.channel.send([bytes(100)] * 10)
        self.pair.wait()
        self.assertEqual(len(channel.received), 10)
        self.assertLess(self.pair.here.sent, 4)

    def test_refused(self) -> None:
        """
        A channel that nobody wants is closed, and its number may be used again.
        """
        self.pair.refused.add("x")
        for _ in range(3):
            channel = self.pair.open("x")
            self.assertEqual(channel.readyState, "closed")
        self.assertEqual(self.pair.ours._data_channels, {})

    def test_closing(self) -> None:
        """
        Either side may close; what was sent before arrives, and the other side hears of it.
        """
        channel, receiver = self.open("l2")
        for _ in range(20):
            channel.send(bytes(1_000))
        channel.close()
        self.pair.wait(1)
        self.assertEqual((len(receiver.messages), receiver.closed), (20, True))
        self.assertEqual(channel.readyState, "closed")
        channel, receiver = self.open("l2")
        assert receiver.channel is not None
        receiver.channel.send([bytes(1_000)] * 40)
        receiver.channel.close()
        self.pair.wait(1)
        self.assertEqual((len(channel.received), channel.readyState), (40, "closed"))
        receiver.channel.send([b"too late"])
        self.assertEqual(receiver.channel.queuedBytes, 0)
        self.assertEqual(self.pair.ended, [])

    def test_queue(self) -> None:
        """
        A channel with a limit drops its oldest messages; one without keeps all.
        """
        _, receiver = self.open("udp", **UDP)
        assert receiver.channel is not None
        self.pair.here.lose = lambda packet: True
        messages = [number.to_bytes(2, "big") * 500 for number in range(100)]
        self.assertGreater(receiver.channel.send(messages, limit=10_000), 80)
        self.assertLessEqual(receiver.channel.queuedBytes, 10_000)

    def test_receiverFails(self) -> None:
        """
        A mistake in what listens ends this association and no other.
        """
        channel, receiver = self.open("udp", **UDP)
        receiver.failure = ZeroDivisionError()
        channel.send(b"x")
        self.pair.wait()
        self.assertEqual(self.pair.ended, ["internal error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LossTests(AssociationTestCase):
    """
    A network that loses.
    """

    def test_reliable(self) -> None:
        """
        One packet in ten lost in both directions: everything arrives, in order.
        """
        channel, receiver = self.open("l2")
        assert receiver.channel is not None
        generator = random.Random(5)
        for wire in (self.pair.here, self.pair.there):
            wire.lose = lambda packet: generator.random() < 0.1
        messages = [number.to_bytes(4, "big") * 350 for number in range(200)]
        receiver.channel.send(messages)
        self.pair.wait(60, 0.005)
        self.assertEqual(channel.received, messages)

    def test_unreliable(self) -> None:
        """
        Lost datagrams are given up, those behind them arrive, and nothing stalls.
        """
        channel, receiver = self.open("udp", **UDP)
        assert receiver.channel is not None
        generator = random.Random(6)
        self.pair.here.lose = lambda packet: generator.random() < 0.2
        for number in range(300):
            receiver.channel.send([number.to_bytes(2, "big") * 200])
            self.pair.wait(0.005, 0.005)
        self.pair.wait(3, 0.005)
        self.assertGreater(len(channel.received), 180)
        self.assertEqual(self.pair.ours.outbound.flight, 0)
        self.pair.here.lose = lambda packet: False
        receiver.channel.send([b"last"])
        self.pair.wait()
        self.assertEqual(channel.received[-1], b"last")

    def test_gone(self) -> None:
        """
        A client that never answers is given up.
        """
        _, receiver = self.open("l2")
        assert receiver.channel is not None
        self.pair.here.lose = lambda packet: True
        receiver.channel.send([b"hello?"])
        self.pair.wait(400, 0.1)
        self.assertEqual(self.pair.ended, ["the peer does not answer"])
        self.assertTrue(receiver.closed)


class PressureTests(AssociationTestCase):
    """
    A receiver that takes its time.
    """

    def test_pause(self) -> None:
        """
        While reading is paused nothing is delivered and the client's window closes; afterwards
        everything comes, in order.
        """
        self.make(maxBuffer=20_000)
        channel, receiver = self.open("l2")
        assert receiver.channel is not None
        receiver.channel.pauseReading()
        messages = [number.to_bytes(4, "big") * 250 for number in range(60)]
        for message in messages:
            channel.send(message)
        self.pair.wait(2)
        self.assertEqual(receiver.messages, [])
        self.assertLessEqual(self.pair.ours.inbound.held, 21_000)
        receiver.channel.resumeReading()
        self.pair.wait(20, 0.005)
        self.assertEqual(receiver.messages, messages)
        self.assertEqual((self.pair.ours.inbound.held, self.pair.ended), (0, []))

    def test_closedWhilePaused(self) -> None:
        """
        What was held back for a channel that closes is forgotten.
        """
        channel, receiver = self.open("l2")
        assert receiver.channel is not None
        receiver.channel.pauseReading()
        channel.send(bytes(2_000))
        self.pair.wait()
        self.assertGreater(self.pair.ours.inbound.held, 2_000)
        receiver.channel.close()
        self.pair.wait()
        self.assertEqual(self.pair.ours.inbound.held, 0)


class HostileTests(AssociationTestCase):
    """
    What no client should send.
    """

    def test_tooLarge(self) -> None:
        """
        A message over the limit is told, with the label of its channel, and is the end.
        """
        channel, _ = self.open("udp", **UDP)
        channel.send(bytes(5_000))
        self.pair.wait()
        ((label, size),) = self.pair.tooLarge
        self.assertEqual((label, self.pair.ended), ("udp", ["message too large"]))
        self.assertLessEqual(size, 5_000)

    def test_malformed(self) -> None:
        """
        What is no packet, or not for us, is counted and changes nothing.
        """
        self.pair.ours.packetsReceived([b"", b"x" * 50, packet(chunk(11, b""), tag=1)])
        zero = struct.pack("!HH", 0xC000, 0)
        self.inject(chunk(guard.HEARTBEAT, zero))
        self.inject(chunk(guard.INIT, bytes(16)), chunk(11, b""))
        self.assertEqual(self.pair.ours.malformed, 5)
        self.assertEqual(self.pair.ended, [])

    def test_outOfTurn(self) -> None:
        """
        Chunks that make no sense now, and an INIT on a connection that is there, are passed over.
        """
        channel, receiver = self.open("l2")
        self.inject(chunk(guard.COOKIE_ACK, b""), chunk(guard.INIT_ACK, bytes(16)))
        self.inject(chunk(guard.SHUTDOWN_ACK, b""), chunk(guard.SHUTDOWN_COMPLETE, b""))
        self.inject(chunk(guard.RECONFIG, struct.pack("!HHLL", 16, 12, 99, 1)))
        self.inject(chunk(guard.COOKIE_ECHO, b"stale"), chunk(99, b"unknown"))
        init = chunk(guard.INIT, struct.pack("!LLHHL", 1, 2, 3, 4, 5))
        self.pair.ours.packetsReceived([packet(init, tag=0)])
        channel.send(b"still here")
        self.pair.wait()
        self.assertEqual((receiver.messages, self.pair.ended), ([b"still here"], []))

    def test_abort(self) -> None:
        """
        An ABORT or a SHUTDOWN is the end at once, told once, with its reason.
        """
        _, receiver = self.open("l2")
        self.inject(chunk(guard.ABORT, b""))
        self.inject(chunk(guard.ABORT, b""))
        self.assertEqual(self.pair.ended, ["sctp aborted by the peer"])
        self.assertTrue(receiver.closed)
        self.make()
        self.inject(chunk(guard.SHUTDOWN, bytes(4)))
        self.assertEqual(self.pair.ended, ["sctp closed by the peer"])

    def test_channelsWithoutEnd(self) -> None:
        """
        Only so many channels may be open.
        """
        for number in range(70):
            self.pair.open(f"c{number}")
            if self.pair.ended:
                break
        self.assertEqual(self.pair.ended, ["too many data channels"])

    def test_badRequests(self) -> None:
        """
        A request that is cut short, and a second one for a channel that is open, are the end.
        """
        for payload, stream in ((b"\3\0", 100), (struct.pack("!BBHLHH", 3, 0, 0, 0, 0, 0), 1)):
            pair = self.make()
            pair.open("l2")
            tsn = pair.theirs._local_tsn
            data = struct.pack("!LHHL", tsn, stream, 1 if stream == 1 else 0, 50) + payload
            self.inject(chunk(guard.DATA, data, flags=3))
            self.assertEqual(pair.ended, ["malformed data channel request"])

    def test_strangeLabels(self) -> None:
        """
        Labels that are no text, or longer than their message, are labels that nobody knows.
        """
        opening = struct.pack("!BBHLHH", 3, 0, 0, 0, 65_535, 65_535) + b"\xff\xfe"
        tsn = self.pair.theirs._local_tsn
        data = struct.pack("!LHHL", tsn, 100, 0, 50) + opening
        self.inject(chunk(guard.DATA, data, flags=3))
        self.assertEqual(self.pair.requests[0].label, "\ufffd\ufffd")
        self.assertEqual(self.pair.ended, [])

    def test_endIsFinal(self) -> None:
        """
        After the end nothing is sent, no timer runs, and the end is told once.
        """
        _, receiver = self.open("l2")
        assert receiver.channel is not None
        receiver.channel.send([bytes(1_000)] * 50)
        self.pair.ours.end("enough")
        self.pair.ours.end("again")
        run(self.pair.theirs.stop())
        self.pair.wait(0.01)
        sent = self.pair.here.sent
        self.pair.wait(5, 0.1)
        self.assertEqual((self.pair.ended, self.pair.here.sent), (["enough"], sent))
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])
