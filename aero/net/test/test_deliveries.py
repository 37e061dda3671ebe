"""
Tests for L{aero.net.deliveries}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import delivery as rows
from aero.net.deliveries import LOOK_INTERVAL, Deliveries
from aero.net.pump import TargetConnection
from aero.settings.delivery import DeliverySettings
from aero.testing.web import MemoryTransport

from .test_pump import Recorder


class Part:
    """
    A part of the process that ends when the test says so.
    """

    def __init__(self) -> None:
        self.over: Deferred[None] = Deferred()
        self.aborted = False

    def drain(self) -> Deferred[None]:
        return self.over

    def abort(self) -> None:
        self.aborted = True


class DeliveriesTests(SynchronousTestCase):
    """
    Connections whose client has gone.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.make()

    def make(self, **settings: Any) -> None:
        chosen = DeliverySettings(**settings)
        self.deliveries = Deliveries(chosen, clock=self.clock, metrics=self.metrics)

    def connection(self, size: int = 0) -> tuple[TargetConnection, Any]:
        """
        A connection that bytes wait on.
        """
        connection = TargetConnection(Recorder(), self.clock, 1 << 20)
        transport = MemoryTransport("192.0.2.1")
        connection.makeConnection(transport)
        if size:
            connection.pauseProducing()
            connection.write(b"x" * size)
        return connection, transport

    def held(self) -> tuple[float, float]:
        return self.metrics.value(rows.CONNECTIONS), self.metrics.value(rows.BYTES)

    def test_once(self) -> None:
        """
        A connection is taken once, however often it is said that its client is gone.
        """
        connection, _ = self.connection(7)
        self.deliveries.leave(connection, "198.51.100.7")
        self.deliveries.leave(connection, "198.51.100.7")
        self.assertEqual(self.held(), (1, 7))
        connection.writeConnectionLost()
        self.clock.advance(LOOK_INTERVAL)
        self.deliveries.leave(connection, "198.51.100.7")
        self.assertEqual(self.held(), (1, 0))
        connection.readConnectionLost()
        connection.connectionLost(Failure(ConnectionLost()))
        self.deliveries.leave(connection, "198.51.100.7")
        self.assertEqual(self.held(), (0, 0))
        self.assertEqual(self.metrics.value(rows.ENDED, "delivered"), 1)

    def test_late(self) -> None:
        """
        A target that does not take everything in time is reset, and counts no longer.
        """
        self.make(timeout=30.0)
        connection, transport = self.connection(7)
        self.deliveries.leave(connection, "198.51.100.7")
        self.clock.pump([1.0] * 29)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(transport.disconnected)
        connection.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.held(), (0, 0))
        self.assertEqual(self.metrics.value(rows.ENDED, "timeout"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lateInTheSystem(self) -> None:
        """
        So is one whose target's system does not acknowledge everything in time.
        """
        self.make(timeout=3.0)
        connection, transport = self.connection(7)
        transport.dataBuffer = b"x"  # what the system has counts the same
        self.deliveries.leave(connection, "198.51.100.7")
        connection.writeConnectionLost()
        self.clock.pump([LOOK_INTERVAL] * 11)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(LOOK_INTERVAL)
        self.assertTrue(transport.disconnected)

    def test_limits(self) -> None:
        """
        Connections and bytes are counted for a client and for the process; an IPv6 client is its
        /64. What is over a limit is reset.
        """
        here, there = "198.51.100.7", "198.51.100.8"
        for settings, clients, label in (
            ({"most": 1}, (here, there), ("connections", "process")),
            ({"mostPerClient": 1}, (here, here), ("connections", "client")),
            ({"mostPerClient": 1}, ("2001:db8::1", "2001:db8::2"), ("connections", "client")),
            ({"maxBytes": 10}, (here, there), ("bytes", "process")),
            ({"maxBytesPerClient": 10}, (here, here), ("bytes", "client")),
        ):
            self.metrics = Metrics(ROWS)
            self.make(**settings)
            first, second = self.connection(7), self.connection(7)
            for (connection, _), client in zip((first, second), clients, strict=True):
                self.deliveries.leave(connection, client)
            self.assertFalse(first[1].disconnecting)
            self.assertTrue(second[1].disconnected)
            self.assertEqual(self.metrics.value(rows.REFUSED, *label), 1)
            self.assertEqual(self.held(), (1, 7))

    def test_givenBack(self) -> None:
        """
        Bytes count until the target has them, and a connection until it is gone: then others
        have their place.
        """
        self.make(maxBytes=10, most=2)
        first, second, third = (self.connection(7) for _ in range(3))
        self.deliveries.leave(first[0], "198.51.100.7")
        first[0].writeConnectionLost()
        self.clock.advance(LOOK_INTERVAL)
        self.assertEqual(self.held(), (1, 0))
        self.deliveries.leave(second[0], "198.51.100.7")
        self.assertEqual(self.held(), (2, 7))
        self.assertFalse(second[1].disconnecting)
        first[0].readConnectionLost()
        first[0].connectionLost(Failure(ConnectionLost()))
        second[0].connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.held(), (0, 0))
        self.assertEqual(self.metrics.value(rows.ENDED, "delivered"), 1)
        self.assertEqual(self.metrics.value(rows.ENDED, "lost"), 1)
        self.deliveries.leave(third[0], "198.51.100.7")
        self.assertEqual(self.held(), (1, 7))

    def test_nothingWaits(self) -> None:
        """
        A connection on which nothing waits ends in order even where there is no place for it.
        """
        self.make(most=1)
        first, second = self.connection(7), self.connection()
        self.deliveries.leave(first[0], "198.51.100.7")
        self.deliveries.leave(second[0], "198.51.100.7")
        self.assertTrue(second[1].halfClosed)
        self.assertTrue(second[1].disconnecting)
        self.assertFalse(second[1].disconnected)

    def test_after(self) -> None:
        """
        A process that stops is over when its parts are, and the bytes that this left behind.
        """
        part, connection = Part(), self.connection(7)[0]
        drained = self.deliveries.after([part]).drain()
        self.deliveries.leave(connection, "198.51.100.7")
        part.over.callback(None)
        self.assertNoResult(drained)
        connection.writeConnectionLost()
        self.clock.advance(LOOK_INTERVAL)
        self.successResultOf(drained)

    def test_abort(self) -> None:
        """
        When there is no more time, connections with bytes that wait in this process are reset,
        and those that the system has everything of are closed: it delivers the rest.
        """
        part, (waits, reset), (sent, closed) = Part(), self.connection(7), self.connection(7)
        ending = self.deliveries.after([part])
        for connection in (waits, sent):
            self.deliveries.leave(connection, "198.51.100.7")
        sent.writeConnectionLost()
        ending.abort()
        self.assertTrue(part.aborted)
        self.assertTrue(reset.disconnected)
        self.assertTrue(closed.disconnecting)
        self.assertFalse(closed.disconnected)
        self.assertEqual(self.metrics.value(rows.ENDED, "shutdown"), 2)
