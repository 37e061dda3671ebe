"""
Tests for L{aero.net.unsent}.
"""

from __future__ import annotations

import fcntl
import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.net.unsent import Farewell, undeliveredBytes, unsentBytes


class Transport:
    """
    A transport as Twisted's are, as far as its buffer goes.
    """

    def __init__(self, waiting: int) -> None:
        self.dataBuffer = bytes(waiting)
        self.offset = 0
        self._tempDataLen = 0
        self.ended = ""

    def take(self, size: int) -> None:
        """
        The system takes some of it.
        """
        self.offset += size

    def loseConnection(self) -> None:
        """
        The end.
        """
        self.ended = "closed"

    def abortConnection(self) -> None:
        """
        The end.
        """
        self.ended = "aborted"


class TLS:
    """
    A transport over another.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def abortConnection(self) -> None:
        """
        The end.
        """
        self.transport.abortConnection()


class UnsentTests(SynchronousTestCase):
    """
    Tests for L{unsentBytes}.
    """

    def test_buffers(self) -> None:
        """
        What was written and what is being written count, over TLS as well.
        """
        socket = Transport(10)
        socket.take(4)
        socket._tempDataLen = 5
        self.assertEqual((unsentBytes(socket), unsentBytes(TLS(socket))), (11, 11))

    def test_unknown(self) -> None:
        """
        A transport of another kind has nothing that is known.
        """
        self.assertEqual(unsentBytes(object()), 0)


class UndeliveredTests(SynchronousTestCase):
    """
    Tests for L{undeliveredBytes}.
    """

    def test_system(self) -> None:
        """
        What the system holds counts as well, until the other end has it.
        """
        transport = Transport(10)
        transport.fileno = lambda: 7  # type: ignore[attr-defined]
        held = 1_000

        def ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
            self.assertEqual((descriptor, request), (7, 0x5411))
            if held < 0:
                raise OSError("not a socket")
            return held.to_bytes(len(argument), sys.byteorder)

        self.patch(fcntl, "ioctl", ioctl)
        self.assertEqual(undeliveredBytes(TLS(transport)), 1_010)
        held = 0
        self.assertEqual(undeliveredBytes(TLS(transport)), 10)
        held = -1
        self.assertEqual(undeliveredBytes(TLS(transport)), 10)

    def test_closed(self) -> None:
        """
        A socket that is closed holds nothing.
        """
        transport = Transport(10)
        transport.fileno = lambda: -1  # type: ignore[attr-defined]
        self.assertEqual(undeliveredBytes(transport), 10)


class FarewellTests(SynchronousTestCase):
    """
    Tests for L{Farewell}.
    """

    def begin(self, waiting: int, patience: float = 2.0, most: float = 30.0) -> Transport:
        """
        A connection that was closed with so many bytes to go.
        """
        self.clock = Clock()
        socket = Transport(waiting)
        self.farewell = Farewell(TLS(socket), self.clock, 2.0, patience, most)
        return socket

    def test_settled(self) -> None:
        """
        A client that was given everything has its time, and is then closed, not aborted.
        """
        socket = self.begin(0)
        self.clock.advance(1.9)
        self.assertEqual(socket.ended, "")
        self.clock.advance(0.1)
        self.assertEqual(socket.ended, "closed")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_takesNothing(self) -> None:
        """
        One that takes nothing is cut off.
        """
        socket = self.begin(100)
        self.clock.advance(2.0)
        self.assertEqual(socket.ended, "aborted")

    def test_takesSlowly(self) -> None:
        """
        One that takes a little at a time gets all of it, and then has its time.
        """
        socket = self.begin(5)
        for _ in range(5):
            self.clock.advance(1.0)
            socket.take(1)
            self.clock.advance(1.0)
            self.assertEqual(socket.ended, "")
        self.clock.advance(2.0)
        self.assertEqual(socket.ended, "closed")

    def test_patience(self) -> None:
        """
        With patience it may take nothing for longer.
        """
        socket = self.begin(5, patience=10.0)
        self.clock.pump([2.0] * 4)
        socket.take(5)
        self.clock.advance(2.0)
        self.assertEqual(socket.ended, "")
        self.clock.advance(2.0)
        self.assertEqual(socket.ended, "closed")

    def test_most(self) -> None:
        """
        There is an end to all of it.
        """
        socket = self.begin(100, most=7.0)
        for _ in range(7):
            self.assertEqual(socket.ended, "")
            socket.take(1)
            self.clock.advance(1.0)
        self.assertEqual(socket.ended, "aborted")

    def test_lastMoment(self) -> None:
        """
        Nor is one cut off that was given everything just before the end.
        """
        socket = self.begin(5, most=2.0)
        self.clock.advance(1.0)
        socket.take(5)
        self.clock.advance(1.0)
        self.assertEqual(socket.ended, "closed")

    def test_cut(self) -> None:
        """
        When there is no more time, what the system has is still delivered.
        """
        for waiting, ended in ((0, "closed"), (1, "aborted")):
            socket = self.begin(waiting)
            self.farewell.cut()
            self.assertEqual(socket.ended, ended)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """
        When the connection is gone there is nothing to wait for.
        """
        self.begin(100)
        self.farewell.stop()
        self.farewell.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
