"""
Tests for L{aero.http.h2intake}, L{aero.http.h2rota} and the turns of connections.
"""

from __future__ import annotations

from hyperframe.frame import PingFrame
from twisted.trial.unittest import SynchronousTestCase

from aero.http.test.door import Door, responses
from aero.metrics import http as rows

from ..h2rota import Rota
from ..turns import SLICE
from .h2client import Client

_GET = b"GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n"


class SlowDoor(Door):
    """
    A site whose every answer takes a millisecond.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.site.turns._seconds = lambda: self.now
        plain = self.routes.respond

        def respond(request: object) -> object:
            self.now += 0.001
            return plain(request)  # type: ignore[arg-type]

        self.routes.respond = respond  # type: ignore[method-assign]


class TurnTests(SynchronousTestCase):
    """
    What arrives at once is not all worked on at once.
    """

    def test_http2(self) -> None:
        """
        Requests of one read are answered over several turns, in order and all of them.
        """
        door = SlowDoor()
        client = Client(door)
        streams = [client.get() for _ in range(50)]
        before = door.now
        client.send()
        self.assertLessEqual(door.now - before, SLICE + 0.001)
        self.assertGreater(door.metrics.value(rows.DEFERRED_TURNS), 0)
        client.exchange()
        for stream in streams:
            self.assertEqual(client.response(stream).status, 200)

    def test_http1(self) -> None:
        """
        The same for requests that come one behind the other.
        """
        door = SlowDoor()
        connection, wire = door.connect()
        connection.dataReceived(_GET * 50)
        self.assertLess(len(door.routes.seen), 5)
        for _ in range(200):
            door.clock.advance(0)
        self.assertEqual(len(responses(wire.value())), 50)
        self.assertEqual([r.status for r in responses(wire.value())], [200] * 50)

    def test_reading(self) -> None:
        """
        A connection with much that waits is not read from until that is done.
        """
        for secure in (True, False):
            door = SlowDoor()
            if secure:
                client = Client(door)
                wire = client.wire
                for index in range(50):
                    client.get("/plain", ("x", str(index).zfill(1_000)))
                client.send()
            else:
                connection, wire = door.connect()
                connection.dataReceived(_GET * 1_000)
            self.assertFalse(wire.reading)
            for _ in range(2_000):
                door.clock.advance(0)
            self.assertTrue(wire.reading)

    def test_frames(self) -> None:
        """
        Frames that cost nothing by the clock end their turn by their number.
        """
        client = Client()
        client.connection.dataReceived(PingFrame(0, b"12345678").serialize() * 500)
        self.assertEqual(client.wire.value().count(b"12345678"), 128)
        client.exchange()
        self.assertEqual(client.goneAway, [])


class Stream:
    """
    A stream with something to send.
    """

    isReady = False

    def __init__(self, streamId: int, size: int, order: list[int]) -> None:
        self.streamId = streamId
        self.size = size
        self.order = order

    @property
    def hasOutput(self) -> bool:
        """
        Whether something is left.
        """
        return self.size > 0

    def send(self, room: int) -> tuple[int, int]:
        """
        Take it away.
        """
        sent = min(room, self.size)
        self.size -= sent
        self.order.append(self.streamId)
        return sent, 1


class RotaTests(SynchronousTestCase):
    """
    L{Rota} lets streams send in turns.
    """

    def test_turns(self) -> None:
        """
        A long reply does not keep a short one waiting, and streams that are gone are passed over.
        """
        order: list[int] = []
        open = {1, 3}
        rota = Rota(open)
        long, short, gone = (Stream(i, n, order) for i, n in ((1, 1 << 20), (3, 10), (5, 10)))
        for stream in (long, gone, short):
            self.assertTrue(rota.add(stream))
            self.assertFalse(rota.add(stream))
        self.assertGreater(rota.fill(1 << 21), 2)
        self.assertEqual(order[:3], [1, 3, 1])
        self.assertNotIn(5, order)
        self.assertFalse(rota)
        self.assertFalse(rota.add(long))
