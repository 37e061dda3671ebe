"""
Tests for L{aero.tunnel.streams.sender}.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies
from aero.tunnel.streams.sender import BATCH_BYTES, FairSender
from aero.tunnel.streams.stream import dataFrame


class FakeStream:
    """
    Something with bytes to send.
    """

    def __init__(self, streamId: int, size: int) -> None:
        self.streamId = streamId
        self.left = size
        self.turns = 0

    @property
    def hasOutput(self) -> bool:
        return self.left > 0

    def takeOutput(self, limit: int) -> list[bytes]:
        size = min(limit, self.left)
        self.left -= size
        return [dataFrame(self.streamId, bytes(size))] if size else []

    def outputTaken(self) -> None:
        self.turns += 1


class FairSenderTests(SynchronousTestCase):
    """
    The order of what goes to a client.
    """

    def setUp(self) -> None:
        self.writes: list[list[bytes]] = []
        self.room = 1 << 40
        self.sender = FairSender(self.write, lambda: self.room <= 0)

    def write(self, messages: Sequence[bytes]) -> None:
        self.writes.append(list(messages))
        self.room -= sum(map(len, messages))

    def test_atOnce(self) -> None:
        """
        While there is room data goes out at once, in frames of 64 KiB, and no further than the
        room.
        """
        self.assertEqual(self.sender.sendData(1, b"x"), 1)
        self.assertEqual(self.writes.pop(), [dataFrame(1, b"x")])
        self.assertEqual(self.sender.sendData(1, bytes(200_000)), 200_000)
        self.assertEqual([len(frame) for frame in self.writes.pop()], [65_545] * 3 + [3_401])
        self.room = 1
        self.assertEqual(self.sender.sendData(1, bytes(BATCH_BYTES * 4)), BATCH_BYTES)
        self.assertEqual(self.sender.sendData(1, b"x"), 0)

    def test_cork(self) -> None:
        """
        What one read causes is written together, but not gathered without bound.
        """
        self.sender.cork()
        self.sender.send(b"a")
        self.sender.sendData(1, b"b")
        self.assertEqual(self.writes, [])
        self.sender.uncork()
        self.assertEqual(self.writes.pop(), [b"a", dataFrame(1, b"b")])
        self.sender.cork()
        self.sender.send(bytes(BATCH_BYTES))
        self.assertEqual(len(self.writes), 1)

    def test_replies(self) -> None:
        """
        What is sent though there is no room is counted until there is.
        """
        self.sender.send(b"a")
        self.assertEqual(self.sender.repliedBytes, 0)
        self.room = 0
        self.sender.send(b"abc")
        self.assertEqual(self.sender.repliedBytes, 3)
        self.sender.resumed()
        self.assertEqual(self.sender.repliedBytes, 0)

    @given(strategies.lists(strategies.integers(1, 500_000), min_size=1, max_size=12))
    def test_turns(self, sizes: list[int]) -> None:
        """
        Everything is sent, and no stream gets a second turn before every other had its first.
        """
        self.setUp()
        streams: list[Any] = [FakeStream(index + 1, size) for index, size in enumerate(sizes)]
        for stream in streams:
            self.sender.enqueue(stream)
            self.sender.enqueue(stream)
        self.sender.resumed()
        order = [frame[4] for write in self.writes for frame in write]
        self.assertEqual(order[: len(sizes)], list(range(1, len(sizes) + 1)))
        sent = sum(len(frame) - 9 for write in self.writes for frame in write)
        self.assertEqual(
            (sent, [stream.left for stream in streams]), (sum(sizes), [0] * len(sizes))
        )
        self.assertTrue(self.sender.hasRoom)
