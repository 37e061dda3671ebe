"""
Tests for L{aero.stack.tcp.flight}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.tcp.flight import Flight, Segment
from aero.testing.properties import given
from aero.testing.properties import strategies as st

SIZE = 10
BEGIN = 2**32 - 55


def flight(count: int = 12) -> Flight:
    """
    So many segments, sent a millisecond apart.
    """
    made = Flight(BEGIN)
    for index in range(count):
        made.add(Segment(made.nxt, bytes(SIZE), False, False, index / 1000))
    return made


def counted(made: Flight) -> tuple[int, int, int, int]:
    """
    What the counters should be.
    """
    sacked = lost = again = count = 0
    for segment in made.segments[made.head :]:
        size = segment.end - segment.start
        sacked += size if segment.sacked else 0
        count += segment.sacked
        lost += size if segment.lost else 0
        again += size if segment.again else 0
    return sacked, count, lost, again


class FlightTests(SynchronousTestCase):
    """
    The scoreboard.
    """

    @given(
        st.lists(st.tuples(st.integers(0, 6), st.integers(0, 130), st.integers(1, 60)), max_size=40)
    )
    def test_counters(self, steps: list[tuple[int, int, int]]) -> None:
        """
        Whatever happens in whatever order, the sums are those of the segments, the pipe is
        never negative, and what is on its way has no gap.
        """
        made = flight()
        now = 0.1
        for kind, place, size in steps:
            now += 0.001
            position = BEGIN + place
            if kind == 0 and made.una < position <= made.nxt:
                made.acknowledge(position, now, 0.001)
            elif kind == 1 and made.una <= position < made.nxt:
                made.sack(position, min(position + size, made.nxt), now, 0.001)
            elif kind == 2:
                made.loseLate(now, 0.001)
            elif kind == 3:
                made.timedOut(now, 0.001)
            elif kind == 4:
                found = made.firstLost()
                if found is not None:
                    made.sentAgain(found, now)
            elif kind == 5:
                made.split(7)
            elif kind == 6:
                made.nothingLost()
            self.assertEqual((made.sacked, made.sackedCount, made.lost, made.again), counted(made))
            self.assertGreaterEqual(made.pipe(), 0)
            at = made.una
            for segment in made.segments[made.head :]:
                self.assertEqual(segment.start, at)
                at = segment.end
            self.assertEqual(at, made.nxt)

    def test_delivered(self) -> None:
        """
        Every byte is told as delivered once, whichever way the guest says it.
        """
        made = flight()
        self.assertEqual(made.sack(BEGIN + 20, BEGIN + 40, 1.0, 0.0), 20)
        self.assertEqual(made.sack(BEGIN + 20, BEGIN + 40, 1.0, 0.0), 0)
        self.assertEqual(made.sack(BEGIN + 35, BEGIN + 65, 1.0, 0.0), 20)
        self.assertEqual(made.sack(BEGIN + 65, BEGIN + 70, 1.0, 0.0), 10)
        self.assertEqual(made.acknowledge(BEGIN + 120, 1.0, 0.0), 70)

    def test_sample(self) -> None:
        """
        A round trip is measured on what was sent once, and not across what was sent again.
        """
        made = flight()
        made.acknowledge(BEGIN + 20, 0.011, 0.0)
        self.assertAlmostEqual(made.sample, 0.010)
        made.lose(made.head)
        first = made.firstLost()
        assert first is not None
        made.sentAgain(first, 0.5)
        made.sample = 7.0
        made.acknowledge(BEGIN + 50, 0.6, 0.0)
        self.assertEqual(made.sample, -1.0)

    def test_rack(self) -> None:
        """
        Only what was sent before something delivered is lost, and only when its time is over.
        """
        made = flight()
        made.sack(BEGIN + 50, BEGIN + 60, 0.015, 0.0)
        wait = made.loseLate(0.015, 0.0025)
        self.assertEqual([s.lost for s in made.segments], [True] * 3 + [False] * 9)
        self.assertAlmostEqual(wait, 0.0015)
        made.loseLate(0.017, 0.0025)
        self.assertEqual([s.lost for s in made.segments], [True] * 5 + [False] * 7)
        self.assertEqual(made.firstLost(), made.segments[0])

    def test_reneging(self) -> None:
        """
        A guest that does not have what it said is believed nothing.
        """
        made = flight(3)
        made.sack(BEGIN, BEGIN + 20, 0.1, 0.0)
        made.timedOut(1.0, 0.0)
        self.assertEqual((made.sacked, made.lost), (0, 30))
