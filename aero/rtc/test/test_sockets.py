"""
Tests for the turns of L{aero.rtc.sockets}.
"""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.net.turns import Turns
from aero.rtc.sockets import BATCH, IceSocket


class Datagrams:
    """
    A socket that has some datagrams.
    """

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        self.isClosed = False

    def fileno(self) -> int:
        return 1_000

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0), ("192.0.2.1", 9)

    def close(self) -> None:
        self.isClosed = True


class Loop:
    """
    What watches it.
    """

    def __init__(self) -> None:
        self.readable: Any = None

    def add_reader(self, number: int, readable: Any) -> None:
        self.readable = readable

    def remove_reader(self, number: int) -> None:
        self.readable = None


class Receiver:
    """
    Takes data; each datagram costs a millisecond.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.taken: list[bytes] = []

    def datagramReceived(self, data: bytes, address: tuple[str, int]) -> None:
        self.clock.rightNow += 0.0001
        self.taken.append(data)

    stunReceived = None


class TurnTests(SynchronousTestCase):
    """
    A client that sends much.
    """

    def make(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.sock = Datagrams()
        self.loop = Loop()
        own = asyncio.new_event_loop()  # for what aioice makes with its protocol
        self.addCleanup(asyncio.set_event_loop, None)
        self.addCleanup(own.close)
        asyncio.set_event_loop(own)
        self.patch(asyncio, "get_event_loop", lambda: self.loop)
        self.receiver = Receiver(self.clock)
        made: Any = self.sock
        self.ice = IceSocket(self.receiver, made, self.turns.turn("a"))

    def test_notRead(self) -> None:
        """
        After its share of the time the socket is not watched until the client's turn comes.
        """
        self.make()
        data = [bytes([9, number & 255]) for number in range(3 * BATCH)]
        self.sock.waiting = list(data)
        self.loop.readable()
        self.assertEqual(len(self.receiver.taken), BATCH)
        self.loop.readable()
        self.assertEqual(len(self.receiver.taken), BATCH)
        self.assertIsNone(self.loop.readable)
        for _ in range(4):
            self.clock.advance(0)
        self.assertIsNotNone(self.loop.readable)
        while len(self.receiver.taken) < len(data):
            if self.loop.readable is not None:
                self.loop.readable()
            self.clock.advance(0)
        self.assertEqual(self.receiver.taken, data)

    def test_closed(self) -> None:
        """
        One that is closed while it waits is not watched again.
        """
        self.make()
        self.turns.spend("a", 1.0)
        self.loop.readable()
        closing = self.ice.close()
        self.patch(self.ice, "connection_lost", lambda reason: None)
        with self.assertRaises(StopIteration):
            closing.send(None)
        for _ in range(600):
            self.clock.advance(0)
        self.assertIsNone(self.loop.readable)
        self.assertTrue(self.sock.isClosed)
