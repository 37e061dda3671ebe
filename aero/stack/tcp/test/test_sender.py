"""
Tests for L{aero.stack.tcp.sender} and L{aero.stack.tcp.recovery}: cutting, sending again,
probing, giving up.
"""

from __future__ import annotations

import itertools
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import CloseTCP, SendTCP
from aero.stack.events import TCPClosed
from aero.stack.tcp import states

from .guest import SACK_PERMITTED, ScriptedGuest, Segment, mss, sacks, shift, stamps

MASK = 0xFFFFFFFF


def established(options: bytes = mss(1000), **settings: Any) -> ScriptedGuest:
    """
    An established connection; the round trip of its handshake took 10 ms.
    """
    guest = ScriptedGuest(**settings)
    guest.stamp = 1
    guest.syn(options)
    guest.advance(guest.config.hold - 0.01)
    [(_, answer)] = guest.advance(0.01)
    assert answer.flags == "SA"
    guest.now += 0.01
    guest.acknowledgment = answer.sequence + 1
    guest.send("A", options=guest.stamped(answer))
    guest.taken()
    return guest


def acknowledge(guest: ScriptedGuest, size: int, options: bytes = b"") -> None:
    """
    The guest has so many bytes more.
    """
    guest.acknowledgment += size
    guest.send("A", options=options)


def places(guest: ScriptedGuest, segments: list[Segment]) -> list[int]:
    """
    Where each segment begins, in bytes behind what is acknowledged.
    """
    return [segment.sequence - guest.acknowledgment & MASK for segment in segments]


class CutTests(SynchronousTestCase):
    """
    Data becomes segments.
    """

    def test_sizes(self) -> None:
        """
        Segments are as large as the guest, the MTU and the options allow.
        """
        for options, mtu, size in (
            (mss(1000), 1500, 1000),
            (mss(9000), 1500, 1460),
            (mss(1460), 1000, 960),
            (mss(1460) + stamps(1, 0), 1500, 1448),
            (b"", 1500, 536),
            (mss(1), 1500, 88),
            (mss(0xFFFF), 65_535, 65_495),
        ):
            guest = ScriptedGuest(mtu=mtu, mss=65_535, windowScale=False)
            guest.stamp = 1
            guest.connect(options)
            guest.window = 0xFFFF
            guest.apply(SendTCP(1, bytes(70_000)))
            self.assertEqual(len(guest.receive()[0].data), size, (options, mtu))

    def test_contents(self) -> None:
        """
        Chunks are joined and cut without losing a byte, and what empties the buffer is pushed.
        """
        guest = established()
        data = bytes(range(256)) * 10
        for start in range(0, len(data), 77):
            guest.apply(SendTCP(1, data[start : start + 77]))
        segments = guest.receive()
        self.assertEqual(b"".join(segment.data for segment in segments), data)
        self.assertEqual([len(segment.data) for segment in segments], [1000, 1000, 560])
        self.assertEqual([segment.flags for segment in segments], ["A", "A", "PA"])

    def test_fin(self) -> None:
        """
        The FIN goes with the last data, and is sent again like it.
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(1500)))
        guest.apply(CloseTCP(1))
        self.assertEqual([segment.flags for segment in guest.receive()], ["A", "FPA"])
        acknowledge(guest, 1000)
        again = guest.advance(1.0)
        self.assertEqual([(s.flags, len(s.data)) for _, s in again][:1], [("FPA", 500)])

    def test_nothingSmall(self) -> None:
        """
        A window that opened a little is not filled with small segments (RFC 9293
        section 3.8.6.2.1).
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(5000)))
        guest.receive()
        guest.acknowledgment += 5000
        guest.send("A", window=0)
        guest.apply(SendTCP(1, bytes(3000)))
        self.assertEqual(guest.receive(), [])
        guest.send("A", window=500)
        self.assertEqual(guest.receive(), [])
        guest.send("A", window=2500)
        self.assertEqual([len(segment.data) for segment in guest.receive()], [1000, 1000])


class BurstTests(SynchronousTestCase):
    """
    How much leaves at once.
    """

    def test_start(self) -> None:
        """
        At first, no more than a burst leaves before an acknowledgment comes.
        """
        guest = established(burst=8)
        guest.apply(SendTCP(1, bytes(100_000)))
        self.assertEqual(len(guest.receive()), 8)
        self.assertEqual(guest.receive(), [])

    def test_growth(self) -> None:
        """
        The window doubles with every round trip.
        """
        guest = established()
        guest.window = 0xFFFF
        guest.apply(SendTCP(1, bytes(200_000)))
        counts = []
        for _ in range(4):
            sent = [segment for _, segment in guest.advance(0.009)]
            counts.append(len(sent))
            for _ in range(0, len(sent), 2):
                acknowledge(guest, 2000 if len(sent) > 1 else 1000)
            guest.now += 0.001
        self.assertEqual(counts[:3], [8, 16, 32])

    def test_afterIdle(self) -> None:
        """
        After a pause it is a burst again.
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(200_000)))
        for _ in range(6):
            sent = [segment for _, segment in guest.advance(0.01)]
            acknowledge(guest, sum(len(segment.data) for segment in sent))
        while sent:
            sent = [segment for _, segment in guest.advance(0.01)]
            acknowledge(guest, sum(len(segment.data) for segment in sent))
        guest.advance(0.05)
        guest.apply(SendTCP(1, bytes(50_000)))
        self.assertEqual(len(guest.receive()), 8)


class TimeoutTests(SynchronousTestCase):
    """
    The retransmission timeout (RFC 6298).
    """

    def test_backsOff(self) -> None:
        """
        What is not acknowledged is sent again after ever longer times, and in the end the
        guest is given up.
        """
        guest = established(userTimeout=20.0, minRTO=0.2)
        guest.apply(SendTCP(1, b"data"))
        sent = guest.advance(60.0)
        times = [at for at, segment in sent if segment.data]
        waits = [later - at for at, later in itertools.pairwise(times)]
        self.assertAlmostEqual(waits[0], 0.21, places=2)
        for wait, longer in itertools.pairwise(waits):
            self.assertAlmostEqual(longer, 2 * wait)
        self.assertEqual(sent[-1][1].flags, "RA")
        self.assertAlmostEqual(sent[-1][0], 20.0)
        self.assertEqual(guest.taken(), [TCPClosed(1, "timeout")])
        self.assertIsNone(guest.table.nextTimeout())

    def test_oneAtATime(self) -> None:
        """
        After a timeout one segment is sent, then as many as the acknowledgments allow, and
        none twice that the first answer covers.
        """
        guest = established(keepaliveIdle=0.0)
        guest.apply(SendTCP(1, bytes(8000)))
        self.assertEqual(len(guest.receive()), 8)
        [(_, again)] = guest.advance(0.3)
        self.assertEqual(places(guest, [again]), [0])
        acknowledge(guest, 1000)
        self.assertEqual(places(guest, guest.receive()), [0, 1000])
        acknowledge(guest, 7000)
        self.assertEqual(guest.receive(), [])
        self.assertEqual(guest.advance(400.0), [])
        self.assertIsNone(guest.table.nextTimeout())

    def test_pausedTunnel(self) -> None:
        """
        While the tunnel takes nothing, timeouts do not add up.
        """
        guest = established(userTimeout=10.0)
        guest.apply(SendTCP(1, b"data"))
        guest.receive()
        for _ in range(200):
            guest.now += 1.0
            guest.table.handleTimeout(guest.now)
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)
        self.assertEqual([segment.data for segment in guest.receive()], [b"data"])

    def test_spurious(self) -> None:
        """
        Where timestamps show that the guest only stood still, the window is what it was (RFC
        3522).
        """
        guest = established(mss(1012) + stamps(1, 0))
        guest.apply(SendTCP(1, bytes(8000)))
        first = guest.receive()
        [(_, again)] = guest.advance(0.3)
        self.assertEqual(again.sequence, first[0].sequence)
        acknowledge(guest, 8000, stamps(2, first[7].stamps[0]))
        guest.apply(SendTCP(1, bytes(50_000)))
        self.assertGreaterEqual(len(guest.receive()), 8)

    def test_needed(self) -> None:
        """
        Where they show that it was needed, the window begins anew.
        """
        guest = established(mss(1012) + stamps(1, 0))
        guest.apply(SendTCP(1, bytes(8000)))
        guest.receive()
        [(_, again)] = guest.advance(0.3)
        acknowledge(guest, 8000, stamps(2, again.stamps[0]))
        guest.apply(SendTCP(1, bytes(50_000)))
        self.assertLess(len(guest.receive()), 8)


class DuplicateTests(SynchronousTestCase):
    """
    Guests without selective acknowledgments (RFC 5681, RFC 6582).
    """

    def test_fast(self) -> None:
        """
        Three duplicates send the first segment again, at once and only once.
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(8000)))
        guest.receive()
        guest.now += 0.01
        for _ in range(2):
            acknowledge(guest, 0)
            self.assertEqual(guest.receive(), [])
        acknowledge(guest, 0)
        self.assertEqual(places(guest, guest.receive()), [0])
        for _ in range(4):
            acknowledge(guest, 0)
        self.assertEqual(guest.receive(), [])

    def test_partial(self) -> None:
        """
        An acknowledgment of some of it shows the next that is missing.
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(8000)))
        guest.receive()
        guest.now += 0.01
        for _ in range(3):
            acknowledge(guest, 0)
        guest.receive()
        acknowledge(guest, 3000)
        self.assertEqual(places(guest, guest.receive()), [0])

    def test_limitedTransmit(self) -> None:
        """
        The first duplicates let new data out, so that there are more of them (RFC 3042).
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(20_000)))
        guest.receive()
        acknowledge(guest, 1000)
        guest.advance(0.02)
        before = guest.acknowledgment
        acknowledge(guest, 0)
        sent = guest.receive()
        self.assertEqual(guest.acknowledgment, before)
        self.assertEqual([len(segment.data) for segment in sent], [1000])

    def test_notDuplicates(self) -> None:
        """
        Acknowledgments with data, or with another window, are no duplicates.
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(8000)))
        guest.receive()
        for count in range(6):
            guest.window -= 1
            if count % 2:
                guest.write(b"x")
            else:
                guest.send("A")
        self.assertEqual([segment.data for segment in guest.receive() if segment.data], [])


class SelectiveTests(SynchronousTestCase):
    """
    Guests with selective acknowledgments (RFC 6675, RFC 8985).
    """

    def sent(self, size: int = 8000) -> ScriptedGuest:
        """
        A connection with so much on its way.
        """
        guest = established(mss(1000) + SACK_PERMITTED)
        guest.apply(SendTCP(1, bytes(size)))
        guest.receive()
        guest.now += 0.01
        return guest

    def told(self, guest: ScriptedGuest, *edges: tuple[int, int]) -> None:
        """
        The guest has these as well.
        """
        base = guest.acknowledgment
        acknowledge(guest, 0, sacks(*((base + left, base + right) for left, right in edges)))

    def test_gaps(self) -> None:
        """
        Exactly what is missing is sent again, each once.
        """
        guest = self.sent()
        self.told(guest, (1000, 3000), (4000, 8000))
        self.assertEqual(places(guest, guest.receive()), [0, 3000])
        self.told(guest, (1000, 3000), (4000, 8000))
        self.assertEqual(guest.receive(), [])
        acknowledge(guest, 8000)
        self.assertEqual(guest.receive(), [])

    def test_overtaken(self) -> None:
        """
        What may only have been overtaken has a moment: a quarter of the round trip.
        """
        guest = self.sent()
        self.told(guest, (1000, 2000))
        self.assertEqual(guest.receive(), [])
        [(at, segment)] = [entry for entry in guest.advance(0.01) if entry[1].data]
        self.assertAlmostEqual(at, 0.0025, places=3)
        self.assertEqual(places(guest, [segment]), [0])

    def test_arrivedAfterAll(self) -> None:
        """
        What arrives in that moment is not sent again.
        """
        guest = self.sent()
        self.told(guest, (1000, 2000))
        guest.advance(0.001)
        acknowledge(guest, 2000)
        self.assertEqual([s for _, s in guest.advance(0.005) if s.data], [])

    def test_lostAgain(self) -> None:
        """
        A retransmission that is lost shows when something sent later arrives.
        """
        guest = self.sent(12_000)
        self.told(guest, (1000, 8000))
        sent = guest.receive()
        self.assertEqual(places(guest, sent)[0], 0)
        new = [place for place in places(guest, sent) if place >= 8000]
        guest.now += 0.01
        self.told(guest, (1000, new[-1] + 1000))
        self.assertIn(0, places(guest, guest.receive()))

    def test_tail(self) -> None:
        """
        When the last segments are lost, the last is sent again after two round trips, long
        before the timeout.
        """
        guest = self.sent()
        guest.now -= 0.01
        acknowledge(guest, 6000)
        [(at, probe)] = guest.advance(0.1)
        self.assertLess(at, 0.1)
        self.assertEqual(places(guest, [probe]), [1000])
        self.told(guest, (1000, 2000))
        self.assertEqual(places(guest, [segment for _, segment in guest.advance(0.02)]), [0])

    def test_reneged(self) -> None:
        """
        A guest that threw away what it said it had gets it again after a timeout (RFC 2018
        section 8).
        """
        guest = self.sent()
        self.told(guest, (1000, 8000))
        self.assertEqual(places(guest, guest.receive()), [0])
        acknowledge(guest, 1000)
        places_ = places(guest, [segment for _, segment in guest.advance(1.0)])
        self.assertEqual(places_[0], 0)

    def test_nonsense(self) -> None:
        """
        Blocks of what was never sent, or turned around, or below what is acknowledged, change
        nothing.
        """
        guest = self.sent()
        self.told(guest, (9000, 12_000), (3000, 2000), (-5000, -4000), (1000, 2**31))
        self.assertEqual([s for _, s in guest.advance(0.005) if s.data], [])
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)

    def test_toleratedLoss(self) -> None:
        """
        A segment lost now and then does not narrow the window; a good part of a burst does.
        """
        counts = []
        for edges in ([(1000, 8000)], [(1000, 2000), (4000, 5000), (7000, 8000)]):
            guest = self.sent()
            self.told(guest, *edges)
            guest.receive()
            guest.now += 0.01
            acknowledge(guest, 8000)
            guest.apply(SendTCP(1, bytes(50_000)))
            counts.append(len(guest.receive()))
        self.assertGreaterEqual(counts[0], 8)
        self.assertLess(counts[1], 8)


class PersistTests(SynchronousTestCase):
    """
    A window that is closed (RFC 9293 section 3.8.6.1).
    """

    def closed(self, **settings: Any) -> ScriptedGuest:
        """
        A guest that takes nothing, and something to send to it.
        """
        guest = established(**settings)
        guest.window = 0
        guest.send("A")
        guest.apply(SendTCP(1, b"waiting"))
        return guest

    def test_probes(self) -> None:
        """
        It is probed ever more seldom; when it opens, everything is sent at once.
        """
        guest = self.closed(maxRTO=2.0)
        times = []
        for at, probe in guest.advance(10.0):
            times.append(at)
            self.assertEqual((probe.sequence, probe.data), (guest.acknowledgment, b"w"))
        self.assertGreater(len(times), 4)
        self.assertLessEqual(max(b - a for a, b in itertools.pairwise(times)), 2.01)
        guest.send("A", window=100)
        self.assertEqual(guest.one().data, b"waiting")

    def test_answered(self) -> None:
        """
        A guest that answers keeps its window closed as long as it likes.
        """
        guest = self.closed(userTimeout=5.0, maxRTO=1.0, keepaliveIdle=0.0)
        for _ in range(100):
            for _ in guest.advance(1.0):
                guest.send("A")
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)

    def test_notAnswered(self) -> None:
        """
        A guest that does not is given up.
        """
        guest = self.closed(userTimeout=5.0, maxRTO=1.0)
        self.assertEqual(guest.advance(10.0)[-1][1].flags, "RA")
        self.assertEqual(guest.taken(), [TCPClosed(1, "timeout")])

    def test_tiny(self) -> None:
        """
        A window that stays too small for a segment is used after a while all the same.
        """
        guest = established()
        guest.window = 10
        guest.send("A", window=10)
        guest.apply(SendTCP(1, bytes(25)))
        received = bytearray()
        for _ in range(100):
            for _, segment in guest.advance(0.1):
                received += segment.data
                acknowledge(guest, len(segment.data))
        self.assertEqual(bytes(received), bytes(25))

    def test_fin(self) -> None:
        """
        A FIN waits for the window as well.
        """
        guest = established()
        guest.window = 0
        guest.send("A")
        guest.apply(CloseTCP(1))
        self.assertEqual(guest.receive(), [])
        guest.send("A", window=1)
        self.assertEqual(guest.one().flags, "FA")


class BoundTests(SynchronousTestCase):
    """
    What hostile guests cost.
    """

    def test_segments(self) -> None:
        """
        However small the segments the guest asks for, not more than 1024 are on their way.
        """
        guest = established(mss(1) + shift(14), burst=2000)
        guest.apply(SendTCP(1, bytes(262_144)))
        self.assertEqual(len(guest.receive(5000)), 1024)

    def test_bytewise(self) -> None:
        """
        An outside that offers single bytes gets them joined while they wait.
        """
        guest = established()
        guest.apply(SendTCP(1, bytes(8000)))
        guest.receive()
        for _ in range(3000):
            guest.apply(SendTCP(1, b"x"))
        guest.now += 0.01
        acknowledge(guest, 8000)
        self.assertEqual([len(s.data) for s in guest.receive()], [1000, 1000, 1000])
