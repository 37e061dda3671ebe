"""
Tests for L{aero.rtc.outbound}, against L{aero.rtc.inbound} over a link that can lose.
"""

from __future__ import annotations

import random
import struct
from typing import Callable

from twisted.trial.unittest import SynchronousTestCase

from aero.rtc.guard import DATA, FORWARD_TSN, SACK
from aero.rtc.inbound import Inbound
from aero.rtc.outbound import (
    INITIAL_RTO,
    INITIAL_WINDOW,
    MAX_CHUNK_BYTES,
    MAX_FRAGMENT,
    MAX_TIMEOUTS,
    MIN_RTO,
    Outbound,
    SendStream,
)
from aero.testing.properties import given
from aero.testing.properties import strategies as st

START = 0xFFFFFF00
BINARY = 53


def chunksOf(packet: bytes) -> list[tuple[int, int, int, int]]:
    """
    Kind, flags, start and end of each chunk of a packet without its header.
    """
    found = []
    at = 0
    while at < len(packet):
        kind, flags, size = struct.unpack_from("!BBH", packet, at)
        found.append((kind, flags, at, at + size))
        at += size + -size % 4
    return found


class Link:
    """
    Both halves of two associations, one way of which carries data.

    @ivar lose: Says of each packet with data whether it is lost.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.outbound = Outbound(START)
        self.outbound.peerWindow = 1_000_000
        self.inbound = Inbound(maxMessage=100_000, maxBuffer=1_000_000)
        self.inbound.start(START)
        self.lose: Callable[[], bool] = lambda: False
        self.got: list[bytes] = []
        self.packets = 0

    def turn(self) -> int:
        """
        Send what may be sent, and the SACK for it.

        @return: How many packets there were.
        """
        packets = self.outbound.chunksToSend(self.now, 1_000)
        self.packets += len(packets)
        heard = False
        for packet in packets:
            assert len(packet) <= MAX_CHUNK_BYTES
            if self.lose():
                continue
            heard = True
            for kind, flags, start, end in chunksOf(packet):
                if kind == DATA:
                    found = self.inbound.dataReceived(packet, start, end, flags)
                else:
                    assert kind == FORWARD_TSN
                    found = self.inbound.forwardReceived(packet, start, end)
                self.got += [message.payload for message in found]
        self.now += 0.01
        if heard:
            sack = self.inbound.encodeSACK()
            self.outbound.sackReceived(sack, 0, self.now)
        return len(packets)

    def run(self, turns: int = 20_000) -> None:
        """
        Go on until nothing is left to do.
        """
        for _ in range(turns):
            if self.turn():
                continue
            expires = self.outbound.nextTimeout()
            if expires is None:
                return
            self.now = max(self.now, expires)
            self.outbound.handleTimeout(self.now)
        raise AssertionError("it does not end")


class OutboundTests(SynchronousTestCase):
    """
    L{Outbound}.
    """

    def setUp(self) -> None:
        self.link = Link()
        self.outbound = self.link.outbound
        self.reliable = SendStream(2, ordered=True, reliable=True)
        self.quick = SendStream(4, ordered=False, reliable=False)

    def queue(self, stream: SendStream, *payloads: bytes) -> None:
        """
        Queue messages.
        """
        for payload in payloads:
            self.outbound.queue(stream, BINARY, payload)

    def test_smallMessagesShareAPacket(self) -> None:
        """
        Messages that fit in one packet go in one packet.
        """
        self.queue(self.reliable, *[bytes([number]) * 100 for number in range(8)])
        self.assertEqual(len(self.outbound.chunksToSend(0.0, 10)), 1)

    def test_packetsAreFull(self) -> None:
        """
        On a reliable stream a message begins where the one before left room.
        """
        self.queue(self.reliable, *[bytes(1_500)] * 7)
        packets = self.outbound.chunksToSend(0.0, 100)
        self.assertEqual(len(packets), 10)
        for packet in packets[:-1]:
            self.assertGreater(len(packet), MAX_CHUNK_BYTES - 200)

    def test_datagramsStayWhole(self) -> None:
        """
        A message that is not sent again is cut only where no packet could hold it.
        """
        self.queue(self.quick, bytes(700), bytes(700), bytes(1_300))
        flags = [
            chunk[1]
            for packet in self.outbound.chunksToSend(0.0, 100)
            for chunk in chunksOf(packet)
        ]
        self.assertEqual(flags, [7, 7, 6, 5])

    def test_orderAndContent(self) -> None:
        """
        What is queued arrives, in order, over the wrap of the sequence numbers.
        """
        payloads = [bytes([number % 256]) * (1 + number * 7 % 3_000) for number in range(600)]
        self.queue(self.reliable, *payloads)
        self.link.run()
        self.assertEqual(self.link.got, payloads)
        self.assertEqual((self.outbound.flight, self.reliable.queuedBytes), (0, 0))
        self.assertIsNone(self.outbound.nextTimeout())

    def test_streamsTakeTurns(self) -> None:
        """
        A stream with much to send does not keep another one waiting.
        """
        self.queue(self.reliable, *[bytes(1_000)] * 50)
        self.queue(self.quick, b"now")
        (first, *_) = self.outbound.chunksToSend(0.0, 2)
        self.link.turn()
        self.assertEqual([kind for kind, *_ in chunksOf(first)], [DATA, DATA])
        self.assertIn(b"now", first)

    def test_initialWindow(self) -> None:
        """
        Before anything was acknowledged no more than the first window is sent.
        """
        self.queue(self.reliable, *[bytes(1_500)] * 100)
        packets = self.outbound.chunksToSend(0.0, 1_000)
        self.assertLessEqual(self.outbound.flight, INITIAL_WINDOW + MAX_FRAGMENT)
        self.assertEqual(self.outbound.chunksToSend(0.0, 1_000), [])
        self.assertLess(len(packets), 14)

    def test_peersWindow(self) -> None:
        """
        No more is sent than the peer takes, and one packet asks whether it takes more.
        """
        self.outbound.peerWindow = 3_000
        self.queue(self.reliable, *[bytes(1_000)] * 10)
        self.outbound.chunksToSend(0.0, 100)
        self.assertLessEqual(self.outbound.flight, 3_000)
        self.outbound.peerWindow = 0
        closed = struct.pack("!BBHLLHH", SACK, 0, 16, (self.outbound.nextTSN - 1), 0, 0, 0)
        self.outbound.sackReceived(closed, 0, 0.1)
        self.assertEqual(self.outbound.flight, 0)
        self.assertEqual(len(self.outbound.chunksToSend(0.2, 100)), 1)
        self.assertEqual(self.outbound.chunksToSend(0.3, 100), [])

    def test_lossIsRepaired(self) -> None:
        """
        A reliable stream survives one packet in ten lost, without waiting for timeouts alone.
        """
        generator = random.Random(7)
        self.link.lose = lambda: generator.random() < 0.1
        payloads = [number.to_bytes(4, "big") * 380 for number in range(1_000)]
        self.queue(self.reliable, *payloads)
        self.link.run()
        self.assertEqual(self.link.got, payloads)
        self.assertGreater(self.outbound.retransmitted, 50)
        self.assertEqual(self.outbound.flight, 0)

    def test_firstTenLost(self) -> None:
        """
        The first ten packets lost: all 256 messages arrive (relay.md section 20.10).
        """
        count = 0

        def lose() -> bool:
            nonlocal count
            count += 1
            return count <= 10

        self.link.lose = lose
        payloads = [number.to_bytes(4, "big") * 257 for number in range(256)]
        self.queue(self.reliable, *payloads)
        self.link.run()
        self.assertEqual(self.link.got, payloads)
        self.assertLess(self.link.now, 110)

    def test_lostDatagramsAreGivenUp(self) -> None:
        """
        Without retransmission nothing is sent twice, what was not lost arrives, and nothing
        stays in flight or in the buffers of the peer.
        """
        generator = random.Random(3)
        self.link.lose = lambda: generator.random() < 0.2
        self.queue(self.quick, *[number.to_bytes(2, "big") * 500 for number in range(500)])
        self.link.run()
        self.assertEqual(self.outbound.retransmitted, 0)
        self.assertEqual(len(self.link.got) + self.outbound.abandoned, 500)
        self.assertGreater(len(self.link.got), 300)
        self.assertEqual(self.outbound.flight, 0)
        self.assertEqual(self.link.inbound.held, 0)

    def test_burstLostEntirely(self) -> None:
        """
        A burst of which nothing arrived holds up what follows for one timeout and no longer.
        """
        self.link.lose = lambda: True
        self.queue(self.quick, *[bytes(1_000)] * 8)
        self.link.turn()
        expires = self.outbound.nextTimeout()
        assert expires is not None
        self.assertLessEqual(expires - self.link.now, INITIAL_RTO)
        self.link.lose = lambda: False
        self.link.now = expires
        self.outbound.handleTimeout(expires)
        self.assertEqual((self.outbound.flight, self.outbound.abandoned), (0, 8))
        self.queue(self.quick, b"next")
        self.link.run()
        self.assertEqual(self.link.got, [b"next"])

    def test_halfSentMessageGivenUp(self) -> None:
        """
        The rest of a message whose beginning was lost is not sent.
        """
        self.outbound.peerWindow = 100_000
        self.queue(self.quick, bytes(50_000), b"after")
        self.link.lose = lambda: True
        self.link.turn()
        self.link.lose = lambda: False
        expires = self.outbound.nextTimeout()
        assert expires is not None
        self.outbound.handleTimeout(expires)
        self.link.run()
        self.assertEqual(self.link.got, [b"after"])
        self.assertEqual(self.quick.queuedBytes, 0)

    def test_deadPeer(self) -> None:
        """
        A peer that never answers is noticed, after timeouts that grow.
        """
        self.link.lose = lambda: True
        self.queue(self.reliable, b"hello?")
        waits = []
        while not self.outbound.dead:
            self.link.turn()
            expires = self.outbound.nextTimeout()
            assert expires is not None
            waits.append(expires - self.link.now)
            self.link.now = expires
            self.outbound.handleTimeout(expires)
        self.assertEqual(len(waits), MAX_TIMEOUTS + 1)
        self.assertGreater(waits[5], waits[0] * 8)
        self.assertLessEqual(max(waits), 30)

    def test_timeoutFollowsTheRoundTrip(self) -> None:
        """
        Measured round trips set the timeout, down to what delayed SACKs need.
        """
        for _ in range(20):
            self.queue(self.reliable, bytes(100))
            self.link.turn()
        self.assertAlmostEqual(self.outbound.roundTrip, 0.01)
        self.queue(self.reliable, b"x")
        now = self.link.now
        self.outbound.chunksToSend(now, 1)
        self.assertAlmostEqual(self.outbound.nextTimeout() or 0, now + MIN_RTO)

    def test_dropOldest(self) -> None:
        """
        The oldest message that has not begun is dropped; one that has is finished.
        """
        self.assertEqual(self.quick.dropOldest(), 0)
        self.queue(self.quick, b"a", b"bb")
        self.assertEqual(self.quick.dropOldest(), 1)
        self.assertEqual(self.quick.queuedBytes, 2)
        self.assertEqual(self.quick.dropOldest(), 2)
        self.queue(self.quick, b"c")
        self.link.run()
        self.assertEqual(self.link.got, [b"c"])
        self.queue(self.quick, bytes(20_000), b"d", b"e")
        self.outbound.chunksToSend(self.link.now, 1)
        self.assertEqual(self.quick.dropOldest(), 1)

    def test_resetStream(self) -> None:
        """
        A closed channel leaves nothing behind, even in the middle of a message.
        """
        self.queue(self.reliable, bytes(30_000), b"never")
        self.link.turn()
        self.outbound.resetStream(self.reliable)
        self.assertEqual(self.reliable.queuedBytes, 0)
        self.queue(self.quick, b"other")
        self.link.run()
        self.assertEqual(self.link.got, [b"other"])

    def test_strangeSACKs(self) -> None:
        """
        A SACK for what was never sent, an old one, and gaps without sense change nothing.
        """
        self.queue(self.reliable, *[bytes(1_000)] * 5)
        self.outbound.chunksToSend(0.0, 100)
        flight = self.outbound.flight
        for cumulative in (START + 100, START - 2_000, START + 2**31):
            sack = struct.pack("!BBHLLHH", SACK, 0, 16, cumulative % 2**32, 9, 0, 0)
            self.outbound.sackReceived(sack, 0, 1.0)
        self.assertEqual((self.outbound.flight, self.outbound.peerWindow), (flight, 1_000_000))
        for gap in ((9, 3), (0, 0), (60_000, 65_535), (65_535, 0)):
            sack = struct.pack("!BBHLLHHHH", SACK, 0, 20, START - 1, 1_000_000, 1, 0, *gap)
            self.outbound.sackReceived(sack, 0, 1.0)
            self.assertEqual(self.outbound.flight, flight)

    @given(
        st.integers(0, 2**32),
        st.lists(st.tuples(st.booleans(), st.integers(1, 3_000)), max_size=30),
        st.floats(0.0, 0.3),
    )
    def test_anyLoss(self, seed: int, messages: list[tuple[bool, int]], rate: float) -> None:
        """
        Whatever is lost: reliable messages arrive once and in order, others at most once, and
        the association comes to rest with nothing in flight.
        """
        self.setUp()
        generator = random.Random(seed)
        self.link.lose = lambda: generator.random() < rate
        wanted: list[int] = []
        for number, (isReliable, size) in enumerate(messages):
            payload = struct.pack("!HB", number, isReliable) + bytes(size)
            self.queue(self.reliable if isReliable else self.quick, payload)
            if isReliable:
                wanted.append(number)
        self.link.run()
        for payload in self.link.got:
            number = int.from_bytes(payload[:2], "big")
            self.assertEqual(len(payload), 3 + messages[number][1])
        got = [int.from_bytes(payload[:2], "big") for payload in self.link.got if payload[2]]
        others = [payload[:2] for payload in self.link.got if not payload[2]]
        self.assertEqual(got, wanted)
        self.assertEqual(len(set(others)), len(others))
        self.assertEqual(len(others) + self.outbound.abandoned, len(messages) - len(wanted))
        self.assertEqual(self.outbound.flight, 0)
        self.assertEqual(self.link.inbound.held, 0)
