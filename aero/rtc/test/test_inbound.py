"""
Tests for L{aero.rtc.inbound}.
"""

from __future__ import annotations

import random
import struct

from twisted.trial.unittest import SynchronousTestCase

from aero.rtc.inbound import (
    MAX_AHEAD,
    MAX_RANGES,
    MAX_STREAMS,
    OVERHEAD,
    BufferExhausted,
    Inbound,
    Message,
    MessageTooLarge,
    encodeData,
    encodeForward,
)
from aero.testing.properties import given
from aero.testing.properties import strategies as st

#: DATA chunks that scapy made: TSN 0x12 on stream 5 with the sequence number 1, begun only.
SCAPY_FIRST = bytes.fromhex("0002001200000012000500010000003378790000")

UNORDERED, BEGINS, ENDS = 4, 2, 1
WHOLE = BEGINS | ENDS
START = 0xFFFFFFF0


def data(
    tsn: int, payload: bytes = b"x", flags: int = WHOLE, stream: int = 1, sequence: int = 0
) -> bytes:
    """
    A DATA chunk, without its padding.
    """
    return encodeData(tsn, stream, sequence, 53, flags, payload)[: 16 + len(payload)]


class InboundTests(SynchronousTestCase):
    """
    L{Inbound}, beginning a little before the sequence numbers wrap.
    """

    def setUp(self) -> None:
        self.inbound = Inbound(maxMessage=4_000, maxBuffer=65_536)
        self.inbound.start(START)

    def receive(self, chunk: bytes, blocked: bool = False) -> list[bytes]:
        """
        Take a chunk; the payloads that came of it.
        """
        found = self.inbound.dataReceived(chunk, 0, len(chunk), chunk[1], blocked=blocked)
        return [message.payload for message in found]

    def sack(self) -> tuple[int, int, list[tuple[int, int]], list[int]]:
        """
        The fields of the next SACK.
        """
        chunk = self.inbound.encodeSACK()
        kind, _, size, cumulative, window, gaps, duplicates = struct.unpack_from("!BBHLLHH", chunk)
        self.assertEqual((kind, size), (3, len(chunk)))
        numbers = struct.unpack_from(f"!{2 * gaps}H", chunk, 16)
        again = struct.unpack_from(f"!{duplicates}L", chunk, 16 + 4 * gaps)
        return cumulative, window, list(zip(numbers[::2], numbers[1::2], strict=True)), list(again)

    def test_scapysChunk(self) -> None:
        """
        What we write is what another implementation writes.
        """
        self.assertEqual(encodeData(0x12, 5, 1, 51, BEGINS, b"xy"), SCAPY_FIRST)

    def test_ordered(self) -> None:
        """
        Messages come in the order of their sequence numbers, over the wrap of the TSN.
        """
        for number in range(40):
            self.assertEqual(
                self.receive(data(START + number, bytes([number]), sequence=number)),
                [bytes([number])],
            )
        self.assertEqual(self.sack(), ((START + 39) % 2**32, 65_536, [], []))
        self.assertEqual(self.inbound.held, 0)

    def test_orderedWaits(self) -> None:
        """
        A message whose turn has not come waits for it.
        """
        self.assertEqual(self.receive(data(START + 1, b"b", sequence=1)), [])
        self.assertEqual(self.receive(data(START + 2, b"c", sequence=2)), [])
        self.assertEqual(self.sack()[2], [(2, 3)])
        self.assertEqual(self.receive(data(START, b"a", sequence=0)), [b"a", b"b", b"c"])
        self.assertEqual(self.sack()[0], START + 2)
        self.assertEqual(self.inbound.held, 0)

    def test_unordered(self) -> None:
        """
        An unordered message waits for nothing.
        """
        self.assertEqual(self.receive(data(START + 5, b"e", WHOLE | UNORDERED)), [b"e"])

    def test_duplicates(self) -> None:
        """
        What arrives again is reported and not delivered again, also beyond a hole.
        """
        self.receive(data(START))
        self.receive(data(START + 3, flags=WHOLE | UNORDERED))
        self.assertEqual(self.receive(data(START)), [])
        self.assertEqual(self.receive(data(START + 3, flags=WHOLE | UNORDERED)), [])
        self.assertEqual(self.sack(), (START, 65_536, [(3, 3)], [START, START + 3]))
        self.assertEqual(self.sack()[3], [])

    def test_fragmentsInAnyOrder(self) -> None:
        """
        Fragments in every order make the message.
        """
        parts = [b"one", b"two", b"three", b"four"]
        generator = random.Random(1)
        for flags in (0, UNORDERED):
            for _ in range(24):
                self.setUp()
                order = list(range(4))
                generator.shuffle(order)
                got: list[bytes] = []
                for index in order:
                    edge = (BEGINS if index == 0 else 0) | (ENDS if index == 3 else 0)
                    got += self.receive(data(START + index, parts[index], edge | flags))
                self.assertEqual(got, [b"onetwothreefour"])
                self.assertEqual(self.inbound.held, 0)
                self.assertEqual(self.sack()[0], START + 3)

    def test_neighboursStayApart(self) -> None:
        """
        The end of one message and the beginning of the next are not joined.
        """
        self.assertEqual(self.receive(data(START + 1, b"b1", BEGINS | UNORDERED)), [])
        self.assertEqual(self.receive(data(START, b"a2", ENDS | UNORDERED)), [])
        self.assertEqual(self.receive(data(START + 2, b"b2", ENDS | UNORDERED)), [b"b1b2"])

    def test_messageTooLarge(self) -> None:
        """
        A message is given up at its first byte too many, in one fragment or in several, and
        however its fragments come.
        """
        error = self.assertRaises(MessageTooLarge, self.receive, data(START, bytes(4_001)))
        self.assertEqual((error.stream, error.size), (1, 4_001))
        self.receive(data(START, bytes(2_000), BEGINS))
        self.receive(data(START + 2, bytes(2_000), ENDS))
        self.assertRaises(MessageTooLarge, self.receive, data(START + 1, b"x", 0))

    def test_tinyFragmentsCount(self) -> None:
        """
        A flood of fragments of one byte is charged what it costs.
        """
        for number in range(100):
            self.receive(data(START + 2 * number, b"x", BEGINS, sequence=number))
        self.assertEqual(self.inbound.held, 100 * (1 + OVERHEAD))
        self.assertEqual(self.sack()[1], 65_536 - self.inbound.held)

    def test_bufferExhausted(self) -> None:
        """
        Unfinished messages never hold more than the buffer, and when nothing could make room
        any more it is over.
        """
        tsn = START
        with self.assertRaises(BufferExhausted):
            for number in range(1_000):
                self.receive(data(tsn, bytes(1_000), BEGINS, stream=number % 900))
                self.assertLessEqual(self.inbound.held, 65_536)
                tsn += 1

    def test_nothingTooFarAhead(self) -> None:
        """
        What is too far beyond the first hole, or beyond too many holes, is not acknowledged.
        """
        self.assertEqual(self.receive(data(START + MAX_AHEAD + 1, flags=WHOLE | UNORDERED)), [])
        for number in range(MAX_RANGES):
            self.receive(data(START + 2 + 2 * number, flags=WHOLE | UNORDERED))
        self.assertEqual(self.receive(data(START + 2_000, flags=WHOLE | UNORDERED)), [])
        self.assertEqual(len(self.sack()[2]), MAX_RANGES)

    def test_tooManyStreams(self) -> None:
        """
        Not every stream number is a reason to remember something.
        """
        for number in range(MAX_STREAMS):
            self.receive(data(START + number, stream=number))
        self.assertRaises(BufferExhausted, self.receive, data(START + MAX_STREAMS, stream=9_999))

    def test_blocked(self) -> None:
        """
        While messages are held back a full buffer refuses what comes, and takes it later.
        """
        self.inbound.held = 65_536
        self.assertEqual(self.receive(data(START, b"later"), blocked=True), [])
        self.assertEqual(self.sack()[:2], (START - 1, 0))
        self.inbound.held = 0
        self.assertEqual(self.receive(data(START, b"later"), blocked=True), [b"later"])

    def forward(self, tsn: int, *streams: tuple[int, int]) -> list[Message]:
        """
        Take a FORWARD-TSN chunk.
        """
        chunk = encodeForward(tsn, streams)
        return self.inbound.forwardReceived(chunk, 0, len(chunk))

    def test_forward(self) -> None:
        """
        What the peer gave up is no longer waited for, and what hung on it is freed.
        """
        self.receive(data(START + 1, b"lost its beginning", ENDS | UNORDERED))
        self.receive(data(START + 2, b"whole", sequence=1))
        self.assertEqual(self.forward(START + 1, (1, 0)), [Message(1, 53, b"whole")])
        self.assertEqual(self.inbound.held, 0)
        self.assertEqual(self.sack()[0], START + 2)

    def test_forwardKeepsWhatGoesOn(self) -> None:
        """
        A message that began before and is not finished goes on.
        """
        self.receive(data(START + 1, b"be", BEGINS | UNORDERED))
        self.forward(START + 1)
        self.assertEqual(self.receive(data(START + 2, b"gun", ENDS | UNORDERED)), [b"begun"])

    def test_oldForward(self) -> None:
        """
        One that says nothing new is only acknowledged.
        """
        self.receive(data(START))
        self.forward(START - 10)
        self.assertEqual(self.sack()[0], START)

    def test_resetStream(self) -> None:
        """
        A stream that begins anew begins at zero, and holds nothing.
        """
        self.receive(data(START, sequence=0))
        self.receive(data(START + 1, b"half", BEGINS, sequence=1))
        self.inbound.resetStream(1)
        self.assertEqual(self.inbound.held, 0)
        self.assertEqual(self.receive(data(START + 2, b"new", sequence=0)), [b"new"])

    @given(st.randoms(use_true_random=False), st.lists(st.binary(min_size=1, max_size=30)))
    def test_anyOrder(self, generator: random.Random, payloads: list[bytes]) -> None:
        """
        However the network shuffles and repeats packets, ordered messages come out once and
        in order, and nothing stays behind.
        """
        self.setUp()
        chunks: list[bytes] = []
        for sequence, payload in enumerate(payloads):
            pieces = [payload[at : at + 10] for at in range(0, len(payload), 10)]
            for index, piece in enumerate(pieces):
                flags = BEGINS * (index == 0) | ENDS * (index == len(pieces) - 1)
                chunks.append(data(START + len(chunks), piece, flags, sequence=sequence))
        sent = chunks + generator.sample(chunks, len(chunks) // 2)
        generator.shuffle(sent)
        got: list[bytes] = []
        for chunk in sent:
            got += self.receive(chunk)
        self.assertEqual(got, payloads)
        self.assertEqual(self.inbound.held, 0)
        self.assertEqual(self.sack()[2], [])
