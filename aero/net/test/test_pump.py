"""
Tests for L{aero.net.pump}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.net.pump import IdleTimer, TargetConnection
from aero.testing.web import MemoryTransport


class Recorder:
    """
    Writes down what the target does.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def targetDataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def targetEnded(self) -> None:
        self.told.append("ended")

    def targetLost(self, clean: bool) -> None:
        self.told.append(("lost", clean))

    def targetPaused(self) -> None:
        self.told.append("paused")

    def targetResumed(self) -> None:
        self.told.append("resumed")

    def targetFlushed(self) -> None:
        self.told.append("flushed")


class TargetConnectionTests(SynchronousTestCase):
    """
    The connection to a target.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = Recorder()
        self.connection = TargetConnection(self.client, self.clock, 10)
        self.transport: Any = MemoryTransport("192.0.2.1")

    def connect(self) -> None:
        self.connection.makeConnection(self.transport)

    def lose(self) -> None:
        self.connection.connectionLost(Failure(ConnectionLost()))

    def test_early(self) -> None:
        """
        What is written before the connection is there is sent with it; too much of it
        pauses the client, until it is.
        """
        self.connection.write(b"0123456789")
        self.assertEqual(self.client.told, [])
        self.connection.write(b"x")
        self.connection.write(b"y")
        self.assertEqual(self.client.told, ["paused"])
        self.assertEqual(self.connection.waitingBytes, 12)
        self.connect()
        self.assertEqual(self.transport.value(), b"0123456789xy")
        self.assertEqual(self.client.told, ["paused", "resumed"])
        self.assertEqual(self.connection.waitingBytes, 0)

    def test_congestion(self) -> None:
        """
        Nothing is counted while the target takes everything; beyond the threshold the client
        is paused once, and resumed once.
        """
        self.connect()
        self.connection.write(b"x" * 100)
        self.assertEqual(self.client.told, [])
        self.transport.producer.pauseProducing()
        for _ in range(5):
            self.connection.write(b"12345")
        self.assertEqual(self.client.told, ["paused"])
        self.assertEqual(self.connection.waitingBytes, 25)
        self.transport.producer.resumeProducing()
        self.assertEqual(self.client.told, ["paused", "resumed"])

    def test_halfClose(self) -> None:
        """
        The end of either direction leaves the other alone; when both have ended the
        connection is closed.
        """
        self.connect()
        self.connection.readConnectionLost()
        self.connection.write(b"still")
        self.assertEqual(self.transport.value(), b"still")
        self.assertFalse(self.transport.disconnecting)
        self.connection.finish()
        self.connection.write(b"not any more")
        self.assertTrue(self.transport.halfClosed)
        self.connection.writeConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertEqual(self.client.told, ["ended", "flushed", ("lost", True)])
        self.assertEqual(self.transport.value(), b"still")

    def test_finishEarly(self) -> None:
        """
        The end that was asked for before the connection was there follows the data.
        """
        self.connection.write(b"data")
        self.connection.finish()
        self.connect()
        self.assertEqual(self.transport.value(), b"data")
        self.assertTrue(self.transport.halfClosed)

    def test_reading(self) -> None:
        """
        The target is not read while the client is slow, even from the start.
        """
        self.connection.pauseReading()
        self.connect()
        self.assertEqual(self.transport.producerState, "paused")
        self.connection.resumeReading()
        self.connection.resumeReading()
        self.assertEqual(self.transport.producerState, "producing")
        self.connection.dataReceived(b"x")
        self.assertEqual(self.client.told, [b"x"])

    def test_lost(self) -> None:
        """
        A connection that breaks is told of once, and nothing more can arrive.
        """
        self.connect()
        self.lose()
        self.assertEqual(self.client.told, ["flushed", ("lost", False)])
        self.connection.write(b"x")
        self.connection.pauseReading()
        self.connection.resumeReading()
        self.connection.finish()
        self.assertEqual(self.transport.value(), b"")

    def test_detach(self) -> None:
        """
        Without a client the data is still delivered, and what comes is read and dropped.
        """
        self.connect()
        self.connection.pauseReading()
        self.connection.write(b"last")
        self.connection.detach(100)
        self.assertEqual(self.transport.producerState, "producing")
        self.connection.dataReceived(b"dropped")
        self.connection.readConnectionLost()
        self.connection.writeConnectionLost()
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertEqual(self.client.told, ["flushed"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_detachBounded(self) -> None:
        """
        Delivery has its time, and the target's own end has ten seconds after it.
        """
        self.connect()
        self.connection.detach(100)
        self.clock.advance(99)
        self.connection.writeConnectionLost()
        self.clock.advance(9)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)

    def test_detachUndelivered(self) -> None:
        """
        A target that does not take the data in time is cut.
        """
        self.connect()
        self.connection.detach(100)
        self.clock.advance(100)
        self.assertTrue(self.transport.disconnecting)

    def test_abortEarly(self) -> None:
        """
        A connection that was given up before it was there is dropped when it comes.
        """
        self.connection.write(b"x")
        self.connection.abort()
        self.connect()
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"")


class IdleTimerTests(SynchronousTestCase):
    """
    One timer, however much happens.
    """

    def test_expires(self) -> None:
        """
        It expires when nothing happened for the whole time, exactly.
        """
        clock, expired = Clock(), []
        timer = IdleTimer(clock, 10, lambda: expired.append(clock.seconds()))
        clock.advance(4)
        timer.touch()
        clock.advance(5)
        timer.touch()
        clock.advance(1)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.pump([1] * 20)
        self.assertEqual(expired, [19])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_stops(self) -> None:
        """
        A stopped one does nothing; stopping twice is nothing either.
        """
        clock = Clock()
        timer = IdleTimer(clock, 10, self.fail)
        timer.stop()
        timer.stop()
        clock.advance(20)
