"""
Tests for L{aero.stack.neighbours}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.neighbours import MAX_QUESTIONS, MAX_WAITING, TRIES, Neighbours

FIRST, SECOND = b"\x02aaaaa", b"\x02bbbbb"


class NeighboursTests(SynchronousTestCase):
    """
    L{Neighbours}.
    """

    def setUp(self) -> None:
        """
        A small table.
        """
        self.asked: list[int] = []
        self.sent: list[tuple[bytes, bytes]] = []
        self.drops: list[str] = []
        self.neighbours = Neighbours(
            3,
            100,
            ask=self.asked.append,
            send=lambda station, packet: self.sent.append((station, packet)),
            drop=self.drops.append,
        )

    def test_relearns(self) -> None:
        """
        The last word counts.
        """
        self.neighbours.learn(1, FIRST)
        self.neighbours.learn(1, SECOND)
        self.assertEqual(self.neighbours.stations, {1: SECOND})

    def test_bounded(self) -> None:
        """
        The address learned first is forgotten for one too many, not for a new MAC address.
        """
        for address in (1, 2, 3, 2):
            self.neighbours.learn(address, FIRST)
        self.assertEqual(list(self.neighbours.stations), [1, 2, 3])
        self.neighbours.learn(4, FIRST)
        self.assertEqual(list(self.neighbours.stations), [2, 3, 4])

    def test_asksOnce(self) -> None:
        """
        Packets for an unknown address wait for the answer to one question, and leave in order.
        """
        self.neighbours.hold(1, b"one", 0.0)
        self.neighbours.hold(1, b"two", 0.1)
        self.assertEqual((self.asked, self.sent), ([1], []))
        self.assertEqual(self.neighbours.waitingBytes, 6)
        self.neighbours.learn(1, FIRST)
        self.assertEqual(self.sent, [(FIRST, b"one"), (FIRST, b"two")])
        self.assertEqual(self.neighbours.waitingBytes, 0)
        self.assertIsNone(self.neighbours.nextTimeout())

    def test_givesUp(self) -> None:
        """
        The question is repeated every second, then what waited is lost, and the next packet is
        reason to ask again.
        """
        self.neighbours.hold(1, b"one", 5.0)
        for second in range(1, TRIES):
            self.assertEqual(self.neighbours.nextTimeout(), 5.0 + second)
            self.neighbours.handleTimeout(5.0 + second - 0.01)
            self.assertEqual(len(self.asked), second)
            self.neighbours.handleTimeout(5.0 + second)
            self.assertEqual(len(self.asked), second + 1)
        self.neighbours.handleTimeout(5.0 + TRIES)
        self.assertEqual(self.drops, ["neighbourUnknown"])
        self.assertEqual(self.neighbours.waitingBytes, 0)
        self.assertIsNone(self.neighbours.nextTimeout())
        self.neighbours.hold(1, b"two", 20.0)
        self.assertEqual(len(self.asked), TRIES + 1)

    def test_keepsTheNewest(self) -> None:
        """
        Of too many packets for one address the oldest is lost.
        """
        for place in range(MAX_WAITING + 2):
            self.neighbours.hold(1, bytes([place]), 0.0)
        self.assertEqual(self.drops, ["neighbourWaiting"] * 2)
        self.neighbours.learn(1, FIRST)
        self.assertEqual(
            [packet for _, packet in self.sent],
            [bytes([place]) for place in range(2, MAX_WAITING + 2)],
        )

    def test_waitingBytes(self) -> None:
        """
        What waits is bounded in bytes as well.
        """
        self.neighbours.hold(1, bytes(60), 0.0)
        self.neighbours.hold(2, bytes(60), 0.0)
        self.assertEqual(self.drops, ["neighbourWaiting"])
        self.assertEqual(self.neighbours.waitingBytes, 60)

    def test_questions(self) -> None:
        """
        So are the questions.
        """
        for address in range(MAX_QUESTIONS + 1):
            self.neighbours.hold(address, b"x", 0.0)
        self.assertEqual(self.asked, list(range(MAX_QUESTIONS)))
        self.assertEqual(self.drops, ["neighbourQuestions"])
