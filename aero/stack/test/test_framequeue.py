"""
Tests for L{aero.stack.framequeue}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.framequeue import FrameQueue
from aero.testing.properties import given
from aero.testing.properties import strategies as st


class FrameQueueTests(SynchronousTestCase):
    """
    L{FrameQueue}.
    """

    def test_order(self) -> None:
        """
        Frames come out as they went in, as many as are asked for.
        """
        queue = FrameQueue(100)
        for frame in (b"a", b"bb", b"ccc"):
            self.assertTrue(queue.put(frame))
        self.assertEqual((len(queue), queue.size), (3, 6))
        self.assertEqual(queue.take(2), [b"a", b"bb"])
        self.assertEqual((len(queue), queue.size), (1, 3))
        self.assertEqual(queue.take(2), [b"ccc"])
        self.assertEqual((len(queue), queue.size), (0, 0))
        self.assertEqual(queue.take(2), [])

    def test_bound(self) -> None:
        """
        The newest frame is refused where it does not fit; a smaller one may fit still.
        """
        queue = FrameQueue(10)
        self.assertTrue(queue.put(b"123456"))
        self.assertFalse(queue.put(b"12345"))
        self.assertTrue(queue.put(b"1234"))
        self.assertFalse(queue.put(b"1"))
        self.assertEqual(queue.take(9), [b"123456", b"1234"])

    @given(st.lists(st.one_of(st.binary(max_size=9), st.integers(1, 4)), max_size=40))
    def test_bookkeeping(self, steps: list[bytes | int]) -> None:
        """
        Whatever goes in and out, the size is that of what is there, and within the bound.
        """
        queue, there = FrameQueue(20), list[bytes]()
        for step in steps:
            if isinstance(step, int):
                self.assertEqual(queue.take(step), there[:step])
                del there[:step]
            elif queue.put(step):
                there.append(step)
            self.assertEqual(queue.size, sum(map(len, there)))
            self.assertLessEqual(queue.size, 20)
