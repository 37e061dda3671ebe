"""
Tests for L{aero.http.channel}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import http as rows
from aero.settings.http import HTTPSettings
from aero.testing.properties import given, strategies

from .door import Door, Wire, get, hasHeadersOnce, post, responses

LOST = Failure(ConnectionDone())


class ExchangeTests(SynchronousTestCase):
    """
    Requests are read and answered, however their bytes arrive.
    """

    def test_steps(self) -> None:
        """
        Pipelined requests with and without bodies get the same answers in order whether they
        arrive whole, in pieces or byte by byte.
        """
        data = (
            b"\r\n"
            + get("/a")
            + post("/echo", b"hello")
            + get("/echo", "Transfer-Encoding: chunked", method="POST")
            + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            + get("/stream")
            + get("/z", "Connection: close")
        )
        for step in (1, 2, 3, 7, 50, 1000):
            found, wire = Door().exchange(data, step=step)
            bodies = [response.body for response in found]
            self.assertEqual(bodies, [b"GET /a", b"hello", b"abcde", b"onetwo", b"GET /z"], step)
            self.assertTrue(wire.closed)
            self.assertEqual(found[-1].get(b"Connection"), b"close")
            self.assertTrue(all(map(hasHeadersOnce, found)))

    def test_keepAlive(self) -> None:
        """
        An HTTP/1.1 connection stays open, one of HTTP/1.0 does not.
        """
        self.assertFalse(Door().exchange(get())[1].closed)
        (response,), wire = Door().exchange(b"GET /plain HTTP/1.0\r\n\r\n")
        self.assertTrue(wire.disconnecting)
        self.assertEqual(response.get(b"Connection"), b"close")

    def test_unknownLengthOnHTTP10(self) -> None:
        """
        HTTP/1.0 gets a body of unknown length up to the end of the connection, unchunked.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(b"GET /stream HTTP/1.0\r\n\r\n")
        self.assertTrue(wire.value().endswith(b"\r\n\r\nonetwo"))
        self.assertTrue(wire.disconnecting)

    def test_oneAtATime(self) -> None:
        """
        The next request waits until the one before is answered, and too many of them stop
        the reading.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/hold") + get("/second"))
        self.assertEqual(len(door.routes.seen), 1)
        self.assertTrue(wire.reading)
        connection.dataReceived(get("/x") * 2_000)
        self.assertFalse(wire.reading)
        door.routes.do_plain(door.routes.seen[0])
        self.assertEqual(len(door.routes.seen), 2_002)
        self.assertTrue(wire.reading)
        self.assertEqual(len(responses(wire.value())), 2_002)

    def test_continue(self) -> None:
        """
        100 Continue is sent when the body is wanted and not there yet.
        """
        door = Door()
        connection, wire = door.connect()
        head = get("/echo", "Content-Length: 2", "Expect: 100-continue", method="POST")
        connection.dataReceived(head)
        self.assertEqual(wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.dataReceived(b"hi")
        self.assertEqual([r.status for r in responses(wire.value())], [100, 200])
        found, _ = Door().exchange(head + b"hi")
        self.assertEqual([r.status for r in found], [200])

    def test_continueRefused(self) -> None:
        """
        A body that is too large is refused instead of asked for.
        """
        found, wire = Door().exchange(
            get("/echo", "Content-Length: 99999999", "Expect: 100-continue", method="POST")
        )
        self.assertEqual([r.status for r in found], [413])
        self.assertTrue(wire.closed)

    def test_head(self) -> None:
        """
        HEAD has the headers of GET, and no body, however long that is.
        """
        for path in ("/plain", "/stream"):
            door = Door()
            connection, wire = door.connect()
            connection.dataReceived(get(path, method="HEAD"))
            (response,) = responses(wire.value(), bodiless=True)
            self.assertTrue(hasHeadersOnce(response))
            self.assertTrue(wire.value().endswith(b"\r\n\r\n"))
        self.assertEqual(response.all(b"Transfer-Encoding"), [])


class RefusalTests(SynchronousTestCase):
    """
    What is not accepted is answered with the reason and the whole header set, and the client
    gets time to read it.
    """

    settings = HTTPSettings(maxHeaderBytes=2_048, maxBodyBytes=1_000, maxTargetLength=500)

    def assertRefused(self, data: bytes, status: int, *, step: int | None = None) -> Door:
        """
        Check the one response, and that the rest is not read.
        """
        door = Door(settings=self.settings)
        found, wire = door.exchange(data, step=step)
        self.assertEqual([r.status for r in found], [status], repr(data[:60]))
        self.assertTrue(hasHeadersOnce(found[0]))
        self.assertEqual(found[0].get(b"Connection"), b"close")
        self.assertEqual(found[0].get(b"Content-Type"), b"application/json; charset=utf-8")
        self.assertTrue(found[0].body.startswith(b'{"error":"'))
        self.assertTrue(wire.halfClosed)
        return door

    def test_syntax(self) -> None:
        """
        Garbage is a 400, whole or byte by byte, and what follows is not served.
        """
        for data in (
            b"\x16\x03\x01\x02\x00",
            b"GET / HTTP/1.1\nHost: h\n\n",
            b"GET / HTTP/1.1\r\nHost: h\n\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            for step in (None, 1):
                door = self.assertRefused(data + get("/next"), 400, step=step)
                self.assertEqual(door.routes.seen, [])

    def test_headerBytes(self) -> None:
        """
        A head that is too large is a 431, complete or not; a target that fills it is a 414.
        """
        for end in ("", "\r\n\r\n"):
            data = ("GET / HTTP/1.1\r\nHost: h\r\nA: " + "b" * 2_100 + end).encode()
            self.assertRefused(data, 431)
            self.assertRefused(data, 431, step=100)
        self.assertRefused(b"GET /" + b"a" * 2_100, 414)

    def test_headerBytesExact(self) -> None:
        """
        A head of exactly the limit is accepted, one byte more is not.
        """
        for extra, status in ((0, 200), (1, 431)):
            head = get("/plain", "A: x")
            padded = head.replace(b"A: x", b"A: x" + b"y" * (2_048 - len(head) + extra))
            found, _ = Door(settings=self.settings).exchange(padded)
            self.assertEqual(found[0].status, status)

    def test_headerCount(self) -> None:
        """
        Too many header lines are a 431.
        """
        self.assertRefused(get("/", *["A: b"] * 200), 431)

    def test_target(self) -> None:
        """
        A target of the longest length passes, one more character is a 414 on a connection
        that goes on.
        """
        for length, status in ((500, 200), (501, 414)):
            found, wire = Door(settings=self.settings).exchange(get("/" + "a" * (length - 1)))
            self.assertEqual(found[0].status, status)
            self.assertTrue(hasHeadersOnce(found[0]))
            self.assertFalse(wire.closed)

    def test_bodyLength(self) -> None:
        """
        A body that says it is too large is a 413 before any of it is read.
        """
        door = self.assertRefused(get("/", "Content-Length: 1001", method="POST"), 413)
        self.assertEqual(door.routes.seen, [])
        self.assertEqual(door.metrics.value(rows.REFUSED, "body-bytes"), 1)
        found, _ = Door(settings=self.settings).exchange(post("/echo", b"x" * 1_000))
        self.assertEqual(found[0].status, 200)

    def test_chunkedBody(self) -> None:
        """
        A chunked body is a 413 as soon as it is too large, and is not served.
        """
        head = get("/", "Transfer-Encoding: chunked", method="POST")
        door = self.assertRefused(head + b"200\r\n" + b"x" * 512 + b"\r\n200\r\n" + b"x" * 512, 413)
        self.assertEqual(door.routes.seen, [])

    def test_chunkedSyntax(self) -> None:
        """
        A malformed chunk is a 400.
        """
        head = get("/", "Transfer-Encoding: chunked", method="POST")
        self.assertRefused(head + b"zz\r\n", 400)

    def test_routeLimit(self) -> None:
        """
        A route may want less than the site allows.
        """
        door = Door()
        door.routes.limits[b"/small"] = 10
        found, _ = door.exchange(post("/small", b"x" * 11))
        self.assertEqual(found[0].status, 413)
        found, _ = door.exchange(post("/small", b"x" * 10))
        self.assertEqual(found[0].status, 200)

    def test_methods(self) -> None:
        """
        TRACE is a 405 that says what is allowed; CONNECT is refused.
        """
        found, _ = Door().exchange(get(method="TRACE"))
        self.assertEqual((found[0].status, found[0].get(b"Allow")), (405, b"GET, HEAD"))
        self.assertRefused(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405)

    def test_lingering(self) -> None:
        """
        After a refusal the client's bytes are dropped for a while and then the connection.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(b"nonsense\r\n\r\n")
        before = wire.value()
        connection.dataReceived(get() * 100)
        self.assertEqual(wire.value(), before)
        self.assertFalse(wire.disconnected)
        door.elapse(4)
        self.assertTrue(wire.disconnected)


class TimeoutTests(SynchronousTestCase):
    """
    A client that takes its time does not take ours.
    """

    def test_header(self) -> None:
        """
        The head must be complete in time after its first byte, whatever trickles in.
        """
        door = Door()
        connection, wire = door.connect()
        door.elapse(30)
        for byte in get("/", "A: " + "b" * 60)[:28]:
            connection.dataReceived(bytes((byte,)))
            self.assertEqual(wire.value() == b"", not wire.closed)
            door.elapse(0.5)
        (response,) = responses(wire.value())
        self.assertEqual(response.status, 408)
        self.assertTrue(hasHeadersOnce(response))
        self.assertEqual(door.metrics.value(rows.TIMEOUTS, "header"), 1)

    def test_idle(self) -> None:
        """
        A connection without a request is closed without a word, before the first as after.
        """
        for data in (b"", get()):
            door = Door()
            connection, wire = door.connect()
            if data:
                connection.dataReceived(data)
            wire.clear()
            door.elapse(74)
            self.assertFalse(wire.closed)
            door.elapse(3)
            self.assertTrue(wire.disconnecting)
            self.assertEqual(wire.value(), b"")

    def test_body(self) -> None:
        """
        The body must be complete in time, whatever trickles in.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/", "Content-Length: 1000", method="POST"))
        for _ in range(62):
            connection.dataReceived(b"x")
            door.elapse(1)
        self.assertEqual([r.status for r in responses(wire.value())], [408])
        self.assertEqual(door.routes.seen, [])

    def test_answer(self) -> None:
        """
        An answer may take as long as it takes.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/hold"))
        door.elapse(1_000)
        self.assertFalse(wire.closed)

    def test_write(self) -> None:
        """
        A client that takes nothing is disconnected; one that takes a little is not.
        """
        for takes in (False, True):
            door = Door()
            connection, wire = door.connect(Wire(limit=10))
            connection.dataReceived(get())
            wire.dataBuffer = b"x" * 100
            for _ in range(4):
                door.elapse(100)
                wire.offset += takes
            self.assertEqual(wire.disconnected, not takes)

    def test_closing(self) -> None:
        """
        A connection that was closed and does not go is cut.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/", "Connection: close"))
        self.assertTrue(wire.disconnecting)
        self.assertFalse(wire.disconnected)
        door.elapse(4)
        self.assertTrue(wire.disconnected)


class BackPressureTests(SynchronousTestCase):
    """
    What a client does not take is not made.
    """

    def test_requests(self) -> None:
        """
        No further request is answered while answers are not taken.
        """
        door = Door()
        connection, wire = door.connect(Wire(limit=2_000))
        connection.dataReceived(get() * 50)
        answered = len(door.routes.seen)
        self.assertLess(answered, 5)
        self.assertFalse(wire.reading)
        count = 0
        while len(door.routes.seen) < 50:
            count += len(responses(wire.drained()))
        self.assertEqual(count + len(responses(wire.drained())), 50)
        self.assertTrue(wire.reading)

    def test_pushProducer(self) -> None:
        """
        A push producer is paused and resumed with the transport and stopped with the client.
        """
        calls: list[str] = []
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/hold"))
        door.routes.seen[0].registerProducer(_Recorder(calls), True)
        wire.producer.pauseProducing()
        wire.producer.resumeProducing()
        connection.connectionLost(LOST)
        self.assertEqual(calls, ["pause", "resume", "stop"])

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked while there is room, in any number of turns.
        """
        door = Door()
        connection, wire = door.connect(Wire(limit=3_000))
        connection.dataReceived(get("/hold"))
        request = door.routes.seen[0]
        source = _Source(request, 50)
        request.registerProducer(source, False)
        door.clock.pump([0] * 20)
        self.assertLess(50 - source.left, 40)
        received = b""
        for _ in range(20):
            received += wire.drained()
            door.clock.pump([0] * 20)
        (response,) = responses(received + wire.value())
        self.assertEqual(response.body, b"x" * 5_000)

    def test_failingProducer(self) -> None:
        """
        A pull producer that raises before it wrote anything is a 500, logged once.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/hold"))
        request = door.routes.seen[0]
        source = _Source(request, 3)
        source.error = RuntimeError("disk")
        request.registerProducer(source, False)
        door.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([r.status for r in responses(wire.value())], [500])

    def test_clientLeaves(self) -> None:
        """
        Whoever waits for the end of a request is told that the client left, and may still
        write, finish and unregister.
        """
        door = Door()
        connection, _wire = door.connect()
        connection.dataReceived(get("/hold"))
        request = door.routes.seen[0]
        gone = request.notifyFinish()
        source = _Source(request, 3)
        request.registerProducer(source, False)
        connection.connectionLost(LOST)
        self.failureResultOf(gone, ConnectionDone)
        self.assertTrue(source.stopped)
        request.unregisterProducer()
        request.write(b"late")
        request.finish()
        self.assertEqual(door.clock.getDelayedCalls(), [])


class _Recorder:
    def __init__(self, calls: list[str]) -> None:
        self.pauseProducing = lambda: calls.append("pause")
        self.resumeProducing = lambda: calls.append("resume")
        self.stopProducing = lambda: calls.append("stop")


class _Source:
    """
    A pull producer of so many hundred bytes.
    """

    stopped = False
    error: Exception | None = None

    def __init__(self, request: Any, left: int) -> None:
        self.request, self.left = request, left

    def resumeProducing(self) -> None:
        """
        Write one part.
        """
        if self.error is not None:
            raise self.error
        self.left -= 1
        self.request.write(b"x" * 100)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        """
        Stop.
        """
        self.stopped = True


class TakeOverTests(SynchronousTestCase):
    """
    A connection can be given to another protocol.
    """

    def test_takeOver(self) -> None:
        """
        The new protocol gets its own first bytes, then everything the client sent, without a
        layer in between, and the end; HTTP's timeouts are over.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/take") + b"early")
        taken = door.routes.taken
        assert taken is not None
        self.assertEqual(taken.received, [b"first:early"])
        self.assertIs(taken.transport, wire)
        self.assertEqual(connection.dataReceived, taken.dataReceived)
        self.assertIsNone(wire.producer)
        connection.dataReceived(b"more")
        self.assertEqual(taken.received[1:], [b"more"])
        door.elapse(500)
        self.assertFalse(wire.closed)
        self.assertEqual(wire.value(), b"")
        self.assertEqual(door.site.connections, 1)
        self.assertEqual(door.log.events, [(b"GET", "/take", 101)])
        connection.connectionLost(LOST)
        self.assertTrue(taken.lost)
        self.assertEqual(door.site.connections, 0)

    def test_finished(self) -> None:
        """
        Whoever waits for the request is told that it is over.
        """
        door = Door()
        connection, _wire = door.connect()
        connection.dataReceived(get("/hold"))
        request = door.routes.seen[0]
        over = request.notifyFinish()
        door.routes.do_take(request)
        self.assertIsNone(self.successResultOf(over))
        self.assertRaises(RuntimeError, request.takeOver, door.routes.taken)

    def test_reading(self) -> None:
        """
        Reading that had stopped goes on.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/hold") + b"x" * 20_000)
        self.assertFalse(wire.reading)
        door.routes.do_take(door.routes.seen[0])
        self.assertTrue(wire.reading)
        assert door.routes.taken is not None
        self.assertEqual(door.routes.taken.received, [b"first:" + b"x" * 20_000])


class FuzzTests(SynchronousTestCase):
    """
    No bytes whatever do anything but what is promised.
    """

    pieces = strategies.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST /echo HTTP/1.1\r\n",
            b"HEAD /stream HTTP/1.0\r\n",
            b"Host: localhost\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"Expect: 100-continue\r\n",
            b"\r\n",
            b"\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"hello",
            b"\x00",
        ]
    )

    @given(
        strategies.lists(pieces | strategies.binary(max_size=20), max_size=30),
        strategies.integers(1, 100),
    )
    def test_anything(self, pieces: list[bytes], step: int) -> None:
        """
        Any bytes lead to whole responses with all headers once, or to silence and, in the
        end, a closed connection; never to an error.
        """
        data = b"".join(pieces).replace(b"HEAD", b"GET")
        door = Door()
        connection, wire = door.connect()
        for start in range(0, len(data), step):
            connection.dataReceived(data[start : start + step])
        for response in _responsesToTheEnd(wire.value()):
            if response.status != 100:
                self.assertTrue(hasHeadersOnce(response))
        door.elapse(250)
        self.assertTrue(wire.closed and wire.disconnected)
        connection.connectionLost(LOST)
        self.assertEqual(door.clock.getDelayedCalls(), [])


def _responsesToTheEnd(data: bytes) -> list[Any]:
    """
    Read responses of which the last may end with the connection.
    """
    start = data.find(b"HTTP/1.0 200 OK\r\n")
    if start < 0:
        return list(responses(data))
    head, _, body = data[start:].partition(b"\r\n\r\n")
    if b"Content-Length" not in head:
        head += b"\r\nContent-Length: %d" % len(body)
    return list(responses(data[:start] + head + b"\r\n\r\n" + body))
