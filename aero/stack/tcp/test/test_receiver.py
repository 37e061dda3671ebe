"""
Tests for L{aero.stack.tcp.receiver}.
"""

from __future__ import annotations

import itertools

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.tcp.receiver import MAX_BLOCKS, Receiver
from aero.testing.properties import given
from aero.testing.properties import strategies as st

STREAM = bytes(range(256)) * 8
BEGIN = 2**32 - 100


def receiver(limit: int = 65_535) -> Receiver:
    """
    One whose window was told.
    """
    made = Receiver(BEGIN, limit, 1000)
    made.window()
    return made


class ReassemblyTests(SynchronousTestCase):
    """
    Putting data in order.
    """

    @given(
        st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=30),
        st.integers(50, 400),
    )
    def test_anyOrder(self, pieces: list[tuple[int, int]], limit: int) -> None:
        """
        However pieces overlap and repeat, what comes out is the stream up to the first gap,
        what is held is what can come out later, and neither is beyond the window.
        """
        made = receiver(limit)
        came: set[int] = set()
        out = b""
        for start, size in pieces:
            data = b"??" + STREAM[start : start + size] + b"?"
            out += made.dataReceived(BEGIN + start, data, 2, len(data) - 1)
            came |= {at for at in range(start, min(start + size, limit, 2048))}
            following = next(at for at in range(3000) if at not in came)
            self.assertEqual(out, STREAM[:following])
            self.assertEqual(made.next, BEGIN + following)
            waiting = {at for at in came if at >= following}
            self.assertEqual(made.waiting, len(waiting))
            self.assertLessEqual(made.held + made.waiting, limit)
            told = [at for left, right in made.ranges(99) for at in range(left, right)]
            self.assertLessEqual({at + BEGIN for at in waiting}, set(told))
            spans = [(b.start, b.start + len(b.data)) for b in made.blocks]
            self.assertEqual(spans, sorted(spans))
            for before, after in itertools.pairwise(spans):
                self.assertLess(before[1], after[0])

    def test_manyGaps(self) -> None:
        """
        Every second byte makes no more than so many blocks.
        """
        made = receiver()
        for start in range(1, 2000, 2):
            made.dataReceived(BEGIN + start, STREAM, start, start + 1)
        self.assertEqual((len(made.blocks), made.waiting), (MAX_BLOCKS, MAX_BLOCKS))
        self.assertEqual(len(made.dataReceived(BEGIN, STREAM, 0, 2000)), 2000)
        self.assertEqual((made.blocks, made.waiting), ([], 0))

    def test_duplicateOnce(self) -> None:
        """
        What came twice is told once, before everything else.
        """
        made = receiver()
        made.dataReceived(BEGIN, STREAM, 0, 10)
        made.dataReceived(BEGIN + 20, STREAM, 20, 30)
        made.dataReceived(BEGIN + 5, STREAM, 5, 10)
        block = (BEGIN + 20, BEGIN + 30)
        self.assertEqual(made.ranges(4), [(BEGIN + 5, BEGIN + 10), block])
        self.assertEqual(made.ranges(4), [block])


class WindowTests(SynchronousTestCase):
    """
    The window, byte by byte.
    """

    @given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 700)), max_size=50))
    def test_edge(self, steps: list[tuple[int, int]]) -> None:
        """
        Whatever comes and is taken, the right edge never moves back and nothing beyond the
        limit is held.
        """
        made = receiver(2000)
        edge = made.edge
        for size, taken in steps:
            made.dataReceived(made.next, STREAM, 0, size)
            made.consumed(min(taken, made.held))
            window = made.window()
            self.assertGreaterEqual(made.next + window, edge)
            self.assertLessEqual(made.held + window, 2000)
            edge = made.next + window

    def test_scaled(self) -> None:
        """
        Without scaling no more than 65,535 can be told.
        """
        made = receiver(1_000_000)
        self.assertEqual(made.window(), 0xFFFF)
        made.setShift(4)
        self.assertEqual(made.window(), 1_000_000)
