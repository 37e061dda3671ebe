"""
Tests for L{aero.http.http2} and L{aero.http.h2head}: what is accepted, refused and bounded.
"""

from __future__ import annotations

import h2.events
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.http.test.h2client import Client, Headers, headers
from aero.metrics import http as rows
from aero.settings.http import HTTPSettings
from aero.testing.properties import given, strategies

from .door import Door, Wire, hasHeadersOnce

LOST = Failure(ConnectionDone())


class ExchangeTests(SynchronousTestCase):
    """
    Requests get the answers that HTTP/1.1 gives.
    """

    def test_steps(self) -> None:
        """
        Requests with and without bodies are answered however their bytes arrive.
        """
        for step in (1, 3, 20, 1 << 20):
            client = Client()
            plain, stream = client.get("/plain"), client.get("/stream")
            echo = client.post("/echo")
            client.h2.send_data(echo, b"hel")
            client.h2.send_data(echo, b"lo", end_stream=True)
            client.exchange(step)
            found = [client.response(n) for n in (plain, stream, echo)]
            self.assertEqual([r.body for r in found], [b"GET /plain", b"onetwo", b"hello"])
            self.assertEqual([r.status for r in found], [200] * 3)
            self.assertTrue(all(map(hasHeadersOnce, found)))

    def test_headersOnce(self) -> None:
        """
        The header set is on pages, 204, 304, refusals and errors, each name once, and nothing
        of HTTP/1 is.
        """
        client = Client()
        for path, status in (
            ("/nothing", 204),
            ("/unchanged", 304),
            ("/refuse", 429),
            ("/raise", 500),
            ("/rival", 200),
            ("/" + "a" * 9_000, 414),
        ):
            stream = client.get(path)
            client.exchange()
            response = client.response(stream)
            self.assertEqual(response.status, status)
            self.assertTrue(hasHeadersOnce(response), path)
            self.assertEqual(response.all(b"connection") + response.all(b"transfer-encoding"), [])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_head(self) -> None:
        """
        HEAD ends with its headers.
        """
        client = Client()
        stream = client.get("/plain", method="HEAD")
        client.exchange()
        response = client.response(stream)
        self.assertEqual((response.get(b"content-length"), response.body), (b"11", b""))

    def test_request(self) -> None:
        """
        A resource sees the request that was sent: Host, joined cookies, client, id.
        """
        client = Client()
        more = [("cookie", "a=1"), ("cookie", "b=2"), ("x-request-id", "r"), ("x-y", "z")]
        client.get("/plain?q=1", *more)
        client.exchange()
        (request,) = client.door.routes.seen
        lines = request.requestHeaders.getRawHeaders
        self.assertEqual(lines(b"Host"), [b"localhost"])
        self.assertEqual(lines(b"Cookie"), [b"a=1; b=2"])
        self.assertEqual((lines(b"X-Y"), request.requestId), ([b"z"], "r"))
        self.assertEqual((request.uri, request.clientproto), (b"/plain?q=1", b"HTTP/2"))
        self.assertEqual(request.client.ip, "192.0.2.7")
        self.assertFalse(request.isUpgrade())

    def test_takeOver(self) -> None:
        """
        A stream cannot be taken over; the attempt is an error of the resource.
        """
        client = Client()
        stream = client.get("/take")
        client.exchange()
        self.assertEqual(client.response(stream).status, 500)
        self.flushLoggedErrors(RuntimeError)

    def test_continue(self) -> None:
        """
        100 Continue is sent when the body is wanted, and not when it is too large.
        """
        client = Client()
        wanted = client.post("/echo", ("expect", "100-continue"))
        large = client.post("/echo", ("expect", "100-continue"), ("content-length", "9999999"))
        client.exchange()
        kinds = [type(event) for event in client.of(wanted)]
        self.assertEqual(kinds, [h2.events.InformationalResponseReceived])
        self.assertEqual(client.response(large).status, 413)

    def test_hosts(self) -> None:
        """
        A site with names serves only those; other streams of the connection go on.
        """
        client = Client(Door(hosts=frozenset({"localhost"})))
        stream = client.h2.get_next_available_stream_id()
        foreign = [(n, "evil.example" if n == ":authority" else v) for n, v in headers()]
        client.h2.send_headers(stream, foreign, end_stream=True)
        after = client.get()
        client.exchange()
        self.assertEqual(client.response(stream).status, 421)
        self.assertTrue(hasHeadersOnce(client.response(stream)))
        self.assertEqual(client.response(after).status, 200)


class MalformedTests(SynchronousTestCase):
    """
    What is wrong with one request ends that request.
    """

    def test_heads(self) -> None:
        """
        A malformed head is no request: its stream is reset (RFC 9113 section 8.1.1), and the next
        request is served.
        """
        base = headers()
        cases: list[Headers] = [
            base[1:],
            [base[0], *base[2:]],
            base[:2] + base[3:],
            [*base[:2], (":path", ""), base[3]],
            [*base, (":path", "/x")],
            [base[0], *base],
            [*base, (":method", "GET")],
            [*base, (":scheme", "https")],
            [*base, (":protocol", "websocket")],
            [*base, (":status", "200")],
            [("x", "y"), *base],
            [("host", "localhost"), *base],
            [("content-length", "0"), *base],
            [*base, ("X-Upper", "y")],
            [*base, ("x y", "z")],
            [*base, ("", "z")],
            [*base, ("x", "a\x00b")],
            [*base, ("x", "a\r\nb: c")],
            [*base, ("x", " padded ")],
            [*base, ("connection", "close")],
            [*base, ("keep-alive", "timeout=5")],
            [*base, ("proxy-connection", "close")],
            [*base, ("transfer-encoding", "chunked")],
            [*base, ("upgrade", "websocket")],
            [*base, ("te", "gzip")],
            [*base, ("host", "evil.example")],
            [*base, ("host", "localhost"), ("host", "localhost")],
            [*base[:2], (":path", "evil"), base[3]],
            [*base[:2], (":path", "/a b"), base[3]],
            [(":method", "G T"), *base[1:]],
            [base[0], (":scheme", "ftp"), *base[2:]],
            [*base, ("content-length", "5")],
            [*base, ("content-length", "-1")],
            [*base, ("content-length", "0"), ("content-length", "0")],
            [*headers(method="HEAD"), ("content-length", "5")],
        ]
        for fields in cases:
            client = Client()
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, fields, end_stream=True)
            client.exchange()
            after = client.get()
            client.exchange()
            self.assertEqual(client.resets(stream), [ErrorCodes.PROTOCOL_ERROR], fields)
            self.assertFalse(client.ended(stream))
            self.assertEqual(client.response(after).status, 200)
            self.assertEqual(len(client.door.routes.seen), 1)

    def test_refusedHeads(self) -> None:
        """
        A head that is well-formed and refused gets an answer.
        """
        base = headers()
        cases: list[tuple[int, Headers]] = [
            (200, [*base, ("content-length", "0")]),
            (200, [*base, ("te", "trailers")]),
            (400, base[:3]),
            (400, [*base[:3], (":authority", "a/b")]),
            (405, [(":method", "CONNECT"), (":authority", "localhost")]),
            (405, [(":method", "TRACE"), *base[1:]]),
            (417, [*base, ("expect", "tea")]),
            (431, [*base, *[("a", "b")] * 200]),
            (431, [*base, ("a", "b" * 66_000)]),
        ]
        for status, fields in cases:
            client = Client()
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, fields, end_stream=True)
            client.exchange()
            after = client.get()
            client.exchange()
            response = client.response(stream)
            self.assertEqual(response.status, status, repr(fields)[:200])
            self.assertTrue(hasHeadersOnce(response))
            self.assertTrue(status == 200 or response.body.startswith(b'{"error":"'))
            self.assertEqual(client.response(after).status, 200)

    def test_lengths(self) -> None:
        """
        A body that is longer or shorter than it says ends its stream and nothing else.
        """
        for length, pieces in (
            ("2", [b""]),
            ("2", [b"x"]),
            ("2", [b"xyz"]),
            ("0", [b"x"]),
            ("3", [b"xy", b"zz", b""]),
        ):
            client = Client()
            stream = client.post("/echo", ("content-length", length))
            for index, piece in enumerate(pieces):
                client.h2.send_data(stream, piece, end_stream=index + 1 == len(pieces))
            client.exchange()
            self.assertEqual(client.resets(stream), [ErrorCodes.PROTOCOL_ERROR], (length, pieces))
            after = client.get()
            client.exchange()
            self.assertEqual(client.response(after).status, 200)
            self.assertEqual([r.uri for r in client.door.routes.seen], [b"/plain"])

    def test_trailers(self) -> None:
        """
        Fields behind a body are taken where they are well-formed; otherwise the stream ends.
        """
        good: Headers = [("x-checksum", "1")]
        bad: list[Headers] = [[(":path", "/")], [("X-Upper", "y")], [("connection", "close")]]
        for fields, ended in ((good, True), *((each, True) for each in bad), (good, False)):
            client = Client()
            stream = client.post("/echo")
            client.h2.send_data(stream, b"body")
            client.send()
            flags = ["END_HEADERS", *(["END_STREAM"] if ended else [])]
            client.raw(HeadersFrame(stream, client.h2.encoder.encode(fields), flags=flags))
            if fields is good and ended:
                self.assertEqual(client.response(stream).body, b"body")
            else:
                self.assertEqual(client.resets(stream), [ErrorCodes.PROTOCOL_ERROR], fields)
            after = client.get()
            client.exchange()
            self.assertEqual(client.response(after).status, 200)
            self.assertEqual(client.goneAway, [])

    def test_zeroIncrement(self) -> None:
        """
        A window update of nothing ends its stream, and on stream 0 the connection.
        """
        client = Client()
        stream = client.get("/hold")
        client.exchange()
        client.raw(WindowUpdateFrame(stream, window_increment=0))
        self.assertEqual(client.resets(stream), [ErrorCodes.PROTOCOL_ERROR])
        self.assertEqual(client.goneAway, [])
        client.raw(WindowUpdateFrame(0, window_increment=0))
        self.assertEqual(len(client.goneAway), 1)

    def test_largeFrame(self) -> None:
        """
        A frame that says that it is larger than it may be ends the connection at once, and is not
        waited for.
        """
        client = Client()
        client.connection.dataReceived(b"\xff\xff\xff\0\0\0\0\0\1")
        client.exchange()
        self.assertEqual(client.goneAway, [ErrorCodes.FRAME_SIZE_ERROR])
        self.assertTrue(client.wire.disconnecting)

    def test_hugeHeaders(self) -> None:
        """
        A header list far over the limit ends the connection before it is unpacked.
        """
        client = Client()
        fields = [*headers(), *[("a", "b" * 40_000)] * 8]
        client.h2.send_headers(1, fields, end_stream=True)
        client.exchange()
        self.assertEqual(client.goneAway, [ErrorCodes.ENHANCE_YOUR_CALM])
        self.assertTrue(client.wire.disconnecting)

    def test_body(self) -> None:
        """
        A body that says it is too large, or becomes too large, is a 413; the rest of it is
        dropped and the stream reset after a while, and other streams go on.
        """
        for more in ((("content-length", "1001"),), ()):
            client = Client(Door(settings=HTTPSettings(maxBodyBytes=1_000)))
            stream = client.post("/echo", *more)
            client.h2.send_data(stream, b"x" * 501)
            client.h2.send_data(stream, b"x" * 500)
            other = client.get()
            client.exchange()
            self.assertEqual(client.response(stream).status, 413)
            self.assertEqual(client.response(other).status, 200)
            self.assertEqual(client.resets(stream), [])
            client.door.elapse(4)
            client.exchange()
            self.assertEqual(client.resets(stream), [ErrorCodes.NO_ERROR])
            self.assertEqual([r.uri for r in client.door.routes.seen], [b"/plain"])

    def test_notHTTP2(self) -> None:
        """
        Bytes that are no HTTP/2 end the connection.
        """
        door = Door()
        connection, wire = door.connect(Wire(negotiated=b"h2"))
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertTrue(wire.disconnecting)
        self.assertEqual(door.metrics.value(rows.REFUSED, "http2"), 1)


class FloodTests(SynchronousTestCase):
    """
    Frames that ask for work and carry nothing are bounded.
    """

    def assertCalmed(self, client: Client, kind: str) -> None:
        """
        Check that the client was told to calm down and disconnected, and all was cleaned up.
        """
        self.assertIn(ErrorCodes.ENHANCE_YOUR_CALM, client.goneAway)
        self.assertEqual(client.door.metrics.value(rows.FLOODS, kind), 1)
        self.assertTrue(client.wire.disconnecting)
        client.connection.connectionLost(LOST)
        self.assertEqual(client.door.clock.getDelayedCalls(), [])

    def test_control(self) -> None:
        """
        Pings, settings, priorities and window updates in masses end the connection; a few do
        not.
        """
        frames = {
            "ping": PingFrame(0, b"12345678"),
            "settings": SettingsFrame(0),
            "priority": PriorityFrame(1, depends_on=0, stream_weight=1, exclusive=False),
            "window": WindowUpdateFrame(0, window_increment=1),
        }
        for kind, frame in frames.items():
            client = Client()
            client.raw(*[frame] * 100)
            self.assertEqual(client.goneAway, [])
            client.raw(*[frame] * 1_000)
            self.assertCalmed(client, kind)

    def test_emptyData(self) -> None:
        """
        Empty DATA frames in masses end the connection.
        """
        client = Client()
        stream = client.post("/echo")
        client.exchange()
        client.raw(*[DataFrame(stream)] * 1_100)
        self.assertCalmed(client, "empty")

    def test_rapidReset(self) -> None:
        """
        Requests that are cancelled at once, over and over (CVE-2023-44487), end the connection.
        """
        client = Client()
        for _ in range(1_010):
            stream = client.get("/hold")
            client.h2.reset_stream(stream)
            if not client.wire.disconnecting:
                client.send()
        client.exchange()
        self.assertCalmed(client, "reset")
        self.assertLessEqual(len(client.door.routes.seen), 1_001)

    def test_patience(self) -> None:
        """
        The same numbers over a longer time are fine.
        """
        client = Client()
        client.get("/hold")
        for _ in range(20):
            client.raw(*[PingFrame(0, b"12345678")] * 300)
            client.door.elapse(10)
        self.assertEqual(client.goneAway, [])

    def test_closedStreams(self) -> None:
        """
        DATA in masses on a stream that was reset ends the connection; a window full of what was
        under way does not.
        """
        client = Client()
        stream = client.post("/hold")
        client.h2.reset_stream(stream)
        client.exchange()
        client.raw(*[DataFrame(stream, b"x" * 16_384)] * 60)
        self.assertEqual(client.goneAway, [])
        client.raw(*[DataFrame(stream, b"x")] * 1_100)
        self.assertCalmed(client, "closed")

    def test_newConnections(self) -> None:
        """
        A client's connections share an allowance, so that a new one does not begin a flood anew;
        one that asks for little goes on.
        """
        door = Door(settings=HTTPSettings(maxControlFrames=100))
        frames = [PingFrame(0, b"12345678")] * 90
        for _ in range(4):
            client = Client(door)
            client.raw(*frames)
            self.assertEqual(client.goneAway, [])
        client = Client(door)
        client.raw(*frames)
        self.assertIn(ErrorCodes.ENHANCE_YOUR_CALM, client.goneAway)
        client = Client(door)
        client.raw(*frames[:5])
        self.assertEqual(client.goneAway, [])
        door.elapse(60)
        client = Client(door)
        client.raw(*frames)
        self.assertEqual(client.goneAway, [])

    def test_continuationBytes(self) -> None:
        """
        A header block that is larger than what it may stand for ends the connection.
        """
        client = Client(Door(settings=HTTPSettings(maxHeaderBytes=4_096)))
        client.raw(HeadersFrame(1, b""), *[ContinuationFrame(1, b"x" * 10_000)] * 2)
        self.assertCalmed(client, "headers")

    def test_continuations(self) -> None:
        """
        A header block in endless pieces ends the connection.
        """
        client = Client()
        start = HeadersFrame(1, b"")
        client.raw(start, *[ContinuationFrame(1, b"")] * 100)
        self.assertTrue(client.wire.disconnecting)

    def test_streams(self) -> None:
        """
        More requests at once than there may be end the connection; the client was told.
        """
        client = Client(Door(settings=HTTPSettings(maxStreams=3)))
        self.assertEqual(client.h2.remote_settings.max_concurrent_streams, 3)
        for _ in range(3):
            client.get("/hold")
        client.exchange()
        self.assertEqual(client.goneAway, [])
        client.raw(HeadersFrame(7, client.h2.encoder.encode(headers()), flags=["END_HEADERS"]))
        self.assertEqual(len(client.goneAway), 1)
        self.assertEqual(len(client.door.routes.seen), 3)


class FuzzTests(SynchronousTestCase):
    """
    No bytes whatever do anything but what is promised.
    """

    frames = strategies.builds(
        lambda kind, flags, stream, body: (
            len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body
        ),
        strategies.integers(0, 10),
        strategies.integers(0, 255),
        strategies.sampled_from([0, 1, 2, 3, 5, 7]),
        strategies.binary(max_size=40)
        | strategies.sampled_from([b"\x82\x87\x84A\x09localhost", b"\x00\x00\x00\x01"]),
    )

    @given(strategies.lists(frames | strategies.binary(max_size=10), max_size=20))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames end in nothing worse than a closed connection, and everything is cleaned up.
        """
        client = Client()
        for frame in frames:
            client.connection.dataReceived(frame)
            client.door.clock.advance(0)
        client.door.elapse(250)
        self.assertEqual(self.flushLoggedErrors(), [])
        client.connection.connectionLost(LOST)
        self.assertEqual(client.door.clock.getDelayedCalls(), [])
