"""
Tests for L{aero.http.site}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import http as rows

from ..connection import NEWCOMER
from .door import Door, get, responses

LOST = Failure(ConnectionDone())


class CountingTests(SynchronousTestCase):
    """
    What was answered is counted and logged.
    """

    def test_requests(self) -> None:
        """
        A response counts under its method, route and status, and how long it took.
        """
        door = Door()
        connection, _wire = door.connect()
        connection.dataReceived(get("/plain/x") + get("/hold"))
        door.clock.advance(0.3)
        door.routes.do_nothing(door.routes.seen[1])
        self.assertEqual(door.metrics.value(rows.REQUESTS, "GET", "/plain", "200"), 1)
        self.assertEqual(door.log.events, [(b"GET", "/plain", 200), (b"GET", "/hold", 204)])
        text = door.metrics.exposition().decode("ascii")
        self.assertIn(
            'http_request_duration_seconds_bucket{le="0.5",method="GET",route="/hold",'
            'status_code="204"} 1',
            text,
        )
        self.assertIn('{le="0.25",method="GET",route="/hold",status_code="204"} 0', text)

    def test_methods(self) -> None:
        """
        Methods that clients invent share one label.
        """
        door = Door()
        door.exchange(b"".join(get("/plain", method=f"X{n}") for n in range(20)))
        self.assertEqual(door.metrics.value(rows.REQUESTS, "other", "/plain", "200"), 20)

    def test_refused(self) -> None:
        """
        What the door refuses counts by reason; its route is unknown.
        """
        door = Door(hosts=frozenset({"localhost"}))
        door.exchange(get(host="evil.example"))
        self.assertEqual(door.metrics.value(rows.REFUSED, "host"), 1)
        self.assertEqual(door.metrics.value(rows.REQUESTS, "GET", "unknown", "421"), 1)


class ConnectionTests(SynchronousTestCase):
    """
    The site knows its connections.
    """

    def test_count(self) -> None:
        """
        Open connections are counted, and nothing is left running after the last.
        """
        door = Door()
        first, second = door.connect()[0], door.connect()[0]
        self.assertEqual(door.site.connections, 2)
        first.connectionLost(LOST)
        self.assertEqual(door.site.connections, 1)
        second.connectionLost(LOST)
        self.assertEqual((door.site.connections, door.clock.getDelayedCalls()), (0, []))

    def test_abort(self) -> None:
        """
        All connections can be cut.
        """
        door = Door()
        wires = [door.connect()[1] for _ in range(3)]
        door.site.abort()
        self.assertTrue(all(wire.disconnected for wire in wires))

    def test_date(self) -> None:
        """
        Responses say when they were made.
        """
        (response,), _ = Door().exchange(get())
        self.assertRegex(response.get(b"Date"), rb"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")


class DrainTests(SynchronousTestCase):
    """
    A site that drains finishes what it has and takes no more.
    """

    def test_drain(self) -> None:
        """
        Idle connections close at once, busy ones after their answer, and then it is told.
        """
        door = Door()
        idle, idleWire = door.connect()
        busy, busyWire = door.connect()
        busy.dataReceived(get("/hold") + get("/never"))
        door.clock.advance(NEWCOMER)
        drained = door.site.drain()
        self.assertTrue(idleWire.disconnecting)
        self.assertFalse(busyWire.closed)
        door.routes.do_plain(door.routes.seen[0])
        (response,) = responses(busyWire.value())
        self.assertEqual(response.get(b"Connection"), b"close")
        self.assertTrue(busyWire.closed)
        self.assertEqual(len(door.routes.seen), 1)
        idle.connectionLost(LOST)
        self.assertNoResult(drained)
        busy.connectionLost(LOST)
        self.assertIsNone(self.successResultOf(drained))
        self.assertIsNone(self.successResultOf(door.site.drain()))

    def test_lateConnection(self) -> None:
        """
        A request that comes while the site drains is answered and its connection closed.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(b"GET ")
        door.site.drain()
        connection.dataReceived(get()[4:])
        (response,) = responses(wire.value())
        self.assertEqual((response.status, response.get(b"Connection")), (200, b"close"))

    def test_upgraded(self) -> None:
        """
        An upgraded connection is left to whoever took it, and waited for.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/take"))
        drained = door.site.drain()
        self.assertFalse(wire.closed)
        connection.connectionLost(LOST)
        self.assertIsNone(self.successResultOf(drained))
