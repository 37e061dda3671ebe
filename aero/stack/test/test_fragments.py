"""
Tests for L{aero.stack.fragments}.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.fragments import PACKET_OVERHEAD, PIECE_OVERHEAD, Reassembly
from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire import ipv4

from .fixtures import GUEST, REMOTE


class _Case(SynchronousTestCase):
    """
    A reassembly with room for four packets.
    """

    def setUp(self) -> None:
        """
        Nothing is there yet.
        """
        self.drops: list[str] = []
        self.expired: list[bytes] = []
        self.reassembly = self.build()

    def build(self, maxPackets: int = 4, maxBytes: int = 300_000) -> Reassembly:
        """
        Make another one.
        """
        return Reassembly(
            maxPackets, maxBytes, 30.0, drop=self.drops.append, timedOut=self.expired.append
        )

    def feed(self, *packets: Any, now: float = 0.0) -> list[bytes]:
        """
        The packets that come out.
        """
        whole = []
        for packet in packets:
            if (done := self.reassembly.fragmentReceived(bytes(packet), now)) is not None:
                whole.append(done)
        return whole


def _piece(offset: int, data: bytes, more: bool, identification: int = 7, **fields: Any) -> Any:
    """
    A fragment made by scapy.
    """
    fields = {"src": GUEST, "dst": REMOTE, "proto": 17, **fields}
    header = IP(id=identification, frag=offset // 8, flags="MF" if more else 0, **fields)
    return header / Raw(data)


class ReassemblyTests(_Case):
    """
    L{Reassembly}.
    """

    def test_scapy(self) -> None:
        """
        What scapy cuts is put together as it was, with a right header.
        """
        packet = (
            IP(src=GUEST, dst=REMOTE, id=99) / UDP(sport=1, dport=2) / Raw(bytes(range(256)) * 9)
        )
        pieces = fragment(packet, fragsize=600)
        self.assertGreater(len(pieces), 3)
        self.assertEqual(self.feed(*pieces), [bytes(packet)])
        self.assertEqual(self.feed(*reversed(pieces)), [bytes(packet)])
        self.assertEqual((len(self.reassembly), self.reassembly.size), (0, 0))
        self.assertEqual(self.drops, [])

    def test_apart(self) -> None:
        """
        Packets with another number, protocol or address do not mix.
        """
        pieces = [
            (_piece(0, b"a" * 8, True, **fields), _piece(8, b"b" * 3, False, **fields))
            for fields in (
                {},
                {"identification": 8},
                {"proto": 1},
                {"dst": "203.0.113.11"},
            )
        ]
        firsts = self.feed(*(first for first, _ in pieces))
        self.assertEqual((firsts, len(self.reassembly)), ([], 4))
        for _, second in pieces:
            (whole,) = self.feed(second)
            self.assertEqual(whole[20:], b"aaaaaaaabbb")

    def test_options(self) -> None:
        """
        The header is that of the first fragment, its options too.
        """
        options = bytes.fromhex("94040000")
        first = bytearray(
            bytes(
                IP(src=GUEST, dst=REMOTE, proto=17, id=7, flags="MF", options=options)
                / Raw(b"a" * 8)
            )
        )
        (whole,) = self.feed(_piece(8, b"b", False), first)
        self.assertEqual(whole[0], 0x46)
        self.assertEqual(whole[20:24], options)
        self.assertEqual(ipv4.verify(whole, 0), "")
        self.assertEqual(whole[24:], b"aaaaaaaab")

    def test_padding(self) -> None:
        """
        Bytes behind the total length are not part of a piece.
        """
        (whole,) = self.feed(
            bytes(_piece(0, b"a" * 8, True)) + bytes(20), bytes(_piece(8, b"b", False)) + bytes(20)
        )
        self.assertEqual(whole[20:], b"aaaaaaaab")

    def test_duplicates(self) -> None:
        """
        A copy of a piece changes nothing.
        """
        first, second, third = (
            _piece(0, b"a" * 8, True),
            _piece(8, b"b" * 8, True),
            _piece(16, b"c", False),
        )
        (whole,) = self.feed(third, third, first, first, second)
        self.assertEqual(whole[20:], b"aaaaaaaabbbbbbbbc")
        self.assertEqual(self.drops, ["fragmentDuplicate"] * 2)

    def test_overlaps(self) -> None:
        """
        Any other overlap makes the packet worthless: from the front, from behind, inside, around
        and in the same place with other bytes.
        """
        good = _piece(16, b"x" * 16, True)
        for offset, data in (
            (8, b"a" * 16),
            (24, b"a" * 16),
            (24, b"a" * 8),
            (8, b"a" * 32),
            (16, b"y" * 16),
            (16, b"x" * 8),
            (16, b"x" * 24),
        ):
            self.reassembly = self.build()
            self.drops.clear()
            bad = _piece(offset, data, True)
            rest = (_piece(0, b"a" * 16, True), _piece(32, b"b", False), good)
            self.assertEqual(self.feed(good, bad, *rest), [])
            self.assertEqual(self.drops, ["fragmentOverlap"] + ["fragmentBroken"] * 3)
            self.assertEqual(self.reassembly.size, PACKET_OVERHEAD)

    def test_contradictions(self) -> None:
        """
        A second end, a piece behind the end, and an end in front of a piece make it worthless.
        """
        for first, second in (
            (_piece(16, b"e", False), _piece(24, b"e", False)),
            (_piece(16, b"e", False), _piece(8, b"e", False)),
            (_piece(16, b"e", False), _piece(24, b"m" * 8, True)),
            (_piece(24, b"m" * 8, True), _piece(16, b"e", False)),
            (_piece(16, b"m" * 8, True), _piece(16, b"m" * 8, False)),
        ):
            self.reassembly = self.build()
            self.drops.clear()
            self.assertEqual(self.feed(first, second), [])
            self.assertEqual(self.drops, ["fragmentEnd"])

    def test_sizes(self) -> None:
        """
        Pieces without bytes, and pieces in the middle of odd sizes, are ignored by themselves.
        """
        self.assertEqual(
            self.feed(
                _piece(0, b"", True),
                _piece(8, b"", False),
                _piece(0, b"a" * 7, True),
                _piece(0, b"a" * 8, True),
            ),
            [],
        )
        self.assertEqual(self.drops, ["fragmentSize"] * 3)
        self.assertEqual(len(self.feed(_piece(8, b"b", False))), 1)

    def test_pingOfDeath(self) -> None:
        """
        No packet ends behind 65,535 bytes, whatever its pieces say.
        """
        for offset, size in ((65_528, 8), (65_512, 9), (65_000, 1_400)):
            self.assertEqual(self.feed(_piece(offset, bytes(size), False, identification=size)), [])
        self.assertEqual(self.drops, ["fragmentTooLong"] * 3)

    def test_largest(self) -> None:
        """
        A packet of exactly 65,535 bytes is fine, with options in front of it no longer.
        """
        self.reassembly = self.build()
        first, last = _piece(0, bytes(65_504), True), _piece(65_504, bytes(11), False)
        (whole,) = self.feed(last, first)
        self.assertEqual(len(whole), 65_535)
        options = bytes.fromhex("94040000")
        longer = IP(src=GUEST, dst=REMOTE, proto=17, id=7, flags="MF", options=options)
        self.assertEqual(self.feed(last, longer / Raw(bytes(65_504))), [])
        self.assertEqual(self.drops, ["fragmentTooLong"])
        self.assertEqual((len(self.reassembly), self.reassembly.size), (0, 0))

    def test_timeout(self) -> None:
        """
        What is not complete in time is given up, and whoever waits is told where the first piece
        came.
        """
        first = _piece(0, b"a" * 8, True)
        self.feed(first, now=1.0)
        self.feed(_piece(8, b"b" * 8, True, identification=8), now=2.0)
        self.assertEqual(self.reassembly.nextTimeout(), 31.0)
        self.reassembly.handleTimeout(30.9)
        self.assertEqual(self.drops, [])
        self.reassembly.handleTimeout(31.0)
        self.assertEqual((self.drops, self.expired), (["fragmentTimeout"], [bytes(first)]))
        self.assertEqual(self.reassembly.nextTimeout(), 32.0)
        self.reassembly.handleTimeout(40.0)
        self.assertEqual((self.drops, self.expired), (["fragmentTimeout"] * 2, [bytes(first)]))
        self.assertIsNone(self.reassembly.nextTimeout())
        self.assertEqual(self.reassembly.size, 0)

    def test_brokenTimesOut(self) -> None:
        """
        The name of a worthless packet is kept for as long as its pieces may come.
        """
        self.feed(_piece(0, b"a" * 8, True), _piece(0, b"b" * 8, True))
        self.reassembly.handleTimeout(30.0)
        self.assertEqual((len(self.reassembly), self.reassembly.size), (0, 0))
        self.assertEqual((self.drops, self.expired), (["fragmentOverlap"], []))

    def test_maxPackets(self) -> None:
        """
        One packet too many, and the oldest is given up.
        """
        self.feed(*(_piece(0, b"a" * 8, True, identification=each) for each in range(5)))
        self.assertEqual((self.drops, len(self.reassembly)), (["fragmentLimit"], 4))
        self.assertEqual(self.feed(_piece(8, b"b", False, identification=0)), [])
        self.assertEqual(len(self.feed(_piece(8, b"b", False, identification=3))), 1)

    def test_maxBytes(self) -> None:
        """
        So with too many bytes, those for bookkeeping included; a packet that is too large by
        itself goes as well.
        """
        self.reassembly = self.build(maxBytes=3_000)
        self.feed(_piece(8, bytes(800), True, 1), _piece(8, bytes(800), True, 2))
        self.assertEqual(self.reassembly.size, 2 * (PACKET_OVERHEAD + PIECE_OVERHEAD + 800))
        self.feed(_piece(808, bytes(800), True, 2))
        self.assertEqual((self.drops, len(self.reassembly)), (["fragmentLimit"], 1))
        self.feed(_piece(2_000, bytes(1_400), True, 2))
        self.assertEqual((self.drops, len(self.reassembly)), (["fragmentLimit"] * 2, 0))
        self.assertEqual(self.reassembly.size, 0)

    def test_off(self) -> None:
        """
        With room for none, fragments are dropped.
        """
        self.reassembly = self.build(maxPackets=0)
        self.assertEqual(self.feed(_piece(0, b"a" * 8, True)), [])
        self.assertEqual(self.drops, ["fragmentLimit"])

    def test_brokenBytes(self) -> None:
        """
        What is remembered of a packet that can never be complete is bounded as well.
        """
        self.reassembly = self.build(maxBytes=1_000)
        for identification in range(4):
            self.feed(_piece(65_528, bytes(16), True, identification))
            self.assertLessEqual(self.reassembly.size, 1_000)
        self.assertIn("fragmentTooLong", self.drops)


class ReassemblyPropertyTests(_Case):
    """
    Properties of L{Reassembly}.
    """

    @given(st.data())
    def test_anyOrder(self, data: st.DataObject) -> None:
        """
        Cut anywhere, in any order and with copies, the packet comes out once and as it was.
        """
        self.setUp()
        payload = data.draw(st.binary(min_size=9, max_size=400))
        cuts = data.draw(st.sets(st.integers(1, (len(payload) - 1) // 8), min_size=1))
        edges = [0, *(8 * cut for cut in sorted(cuts)), len(payload)]
        pieces = [
            _piece(begin, payload[begin:end], end < len(payload)) for begin, end in pairwise(edges)
        ]
        order = data.draw(st.permutations(pieces))
        # Copies of what came before, anywhere but behind the piece that completes the packet.
        for place in data.draw(st.lists(st.integers(0, len(order) - 1), max_size=5)):
            order = [*order[: place + 1], order[place], *order[place + 1 :]]
        while order.count(order[-1]) > 1:
            order.remove(order[-1])
        (whole,) = self.feed(*order)
        self.assertEqual(ipv4.verify(whole, 0), "")
        self.assertEqual(whole[20:], payload)
        self.assertEqual((len(self.reassembly), self.reassembly.size), (0, 0))

    @given(
        st.lists(
            st.tuples(st.integers(0, 12), st.integers(1, 40), st.booleans(), st.integers(0, 2)),
            max_size=30,
        )
    )
    def test_overlapsNeverCorrupt(self, pieces: list[tuple[int, int, bool, int]]) -> None:
        """
        Whatever comes out was received: every byte of it is that of each piece that covered its
        place. What is kept stays within the bounds and goes away.
        """
        self.setUp()
        self.reassembly = self.build(maxPackets=2, maxBytes=3_000)
        for count, (offset, size, more, identification) in enumerate(pieces):
            size = (size + 7) // 8 * 8 if more else size
            content = bytes([count % 3 + 65]) * size
            for whole in self.feed(_piece(offset * 8, content, more, identification)):
                body = whole[20:]
                covered = [
                    (8 * o, bytes([c % 3 + 65]) * ((s + 7) // 8 * 8 if m else s))
                    for c, (o, s, m, i) in enumerate(pieces[: count + 1])
                    if i == identification
                ]
                for place in range(len(body)):
                    self.assertTrue(
                        any(
                            begin <= place < begin + len(data)
                            and data[place - begin] == body[place]
                            for begin, data in covered
                        )
                    )
            self.assertLessEqual(len(self.reassembly), 2)
            self.assertLessEqual(self.reassembly.size, 3_000)
        self.reassembly.handleTimeout(30.0)
        self.assertEqual((len(self.reassembly), self.reassembly.size), (0, 0))


class ScapyAgreesTests(_Case):
    """
    The pieces that scapy makes of an echo request are one for L{Reassembly}.
    """

    @given(st.integers(100, 3_000), st.integers(8, 1_480))
    def test_sizes(self, size: int, most: int) -> None:
        """
        Of any size, cut at any size.
        """
        self.setUp()
        packet = IP(src=GUEST, dst=REMOTE, id=1) / ICMP() / Raw(b"e" * size)
        pieces = fragment(packet, fragsize=most)
        if len(pieces) > 1:
            self.assertEqual(self.feed(*pieces), [bytes(packet)])
