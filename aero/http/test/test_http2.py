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

from aero.metrics import http as rows
from aero.settings.http import HTTPSettings
from aero.testing.properties import given, strategies

from .door import Door, Wire, hasHeadersOnce
from .h2client import Client, Headers, headers

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
        A malformed head is refused with its status, and the next request is served.
        """
        base = headers()
        cases: list[tuple[int, Headers]] = [
            (400, base[1:]),
            (400, [base[0], *base[2:]]),
            (400, base[:2] + base[3:]),
            (400, base[:3]),
            (400, [*base, (":path", "/x")]),
            (400, [*base, (":protocol", "websocket")]),
            (400, [("x", "y"), *base]),
            (400, [*base, ("X-Upper", "y")]),
            (400, [*base, ("x y", "z")]),
            (400, [*base, ("x", "a\x00b")]),
            (400, [*base, ("x", "a\r\nb: c")]),
            (400, [*base, ("x", " padded ")]),
            (400, [*base, ("connection", "close")]),
            (400, [*base, ("transfer-encoding", "chunked")]),
            (400, [*base, ("upgrade", "websocket")]),
            (400, [*base, ("te", "gzip")]),
            (400, [*base, ("host", "evil.example")]),
            (400, [*base, ("host", "localhost"), ("host", "localhost")]),
            (400, [*base[:3], (":authority", "a/b")]),
            (400, [*base[:2], (":path", "evil"), base[3]]),
            (400, [*base[:2], (":path", "/a b"), base[3]]),
            (400, [(":method", "G T"), *base[1:]]),
            (400, [base[0], (":scheme", "ftp"), *base[2:]]),
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
            self.assertTrue(response.body.startswith(b'{"error":"'))
            self.assertEqual(client.response(after).status, 200)

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

    def test_bodiesTogether(self) -> None:
        """
        Bodies on many streams may not together take more memory than a few of the largest.
        """
        client = Client(Door(settings=HTTPSettings(maxBodyBytes=10_000)))
        streams = [client.post("/echo") for _ in range(8)]
        for stream in streams:
            client.h2.send_data(stream, b"x" * 9_000)
            client.exchange()
        refused = [stream for stream in streams if client.ended(stream)]
        self.assertEqual(len(refused), 4)
        self.assertEqual(client.response(refused[0]).status, 503)
        for stream in set(streams) - set(refused):
            client.h2.send_data(stream, b"", end_stream=True)
        client.exchange()
        after = client.post("/echo")
        client.h2.send_data(after, b"y" * 9_000, end_stream=True)
        client.exchange()
        self.assertEqual(client.response(after).body, b"y" * 9_000)

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
