"""
Tests for L{aero.testing.web}: a client that believes anything would make every test of a
resource pass.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from aero.http.endpoint import Endpoint
from aero.http.replies import replyJSON
from aero.http.router import Router
from aero.testing.web import Exchange, WebClient


class Echo(Endpoint):
    """
    Answers with what it was sent.
    """

    def render_POST(self, request: Any) -> int:
        """
        Answer with the body, the client and the headers.
        """
        headers = [
            [name.decode(), [value.decode() for value in values]]
            for name, values in request.requestHeaders.getAllRawHeaders()
        ]
        value = {
            "body": request.content.read().decode(),
            "client": [request.client.ip, request.client.secure],
            "headers": dict(headers),
        }
        return replyJSON(request, 200, value)

    def render_GET(self, request: Request) -> int:
        """
        Answer in two chunks.
        """
        request.write(b"one ")
        request.write(b"two")
        request.finish()
        return NOT_DONE_YET


class Raw:
    """
    Answers with bytes that are no HTTP.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def respond(self, request: Any) -> None:
        """
        Write past the request.
        """
        request.channel.write(self.data)


class WebClientTests(SynchronousTestCase):
    """
    Tests for L{WebClient}.
    """

    def setUp(self) -> None:
        router = Router()
        router.addResource("/", Echo())
        self.client = WebClient(router)

    def test_request(self) -> None:
        """
        Body, client and headers arrive as they were given; host and length are added.
        """
        response = self.client.request(
            b"POST", "/", [(b"X-A", b"1"), (b"X-A", b"2")], b"hello", peer="2001:db8::1"
        )
        value = response.json()
        self.assertEqual(value["body"], "hello")
        self.assertEqual(value["client"], ["2001:db8::1", False])
        self.assertEqual(
            value["headers"],
            {"Host": ["localhost"], "X-A": ["1", "2"], "Content-Length": ["5"]},
        )

    def test_secure(self) -> None:
        """
        A client may come over TLS.
        """
        response = self.client.request(b"POST", "/", secure=True)
        self.assertEqual(response.json()["client"], ["192.0.2.7", True])

    def test_chunked(self) -> None:
        """
        A body in chunks comes out whole.
        """
        response = self.client.request(b"GET", "/")
        self.assertEqual(response.header(b"transfer-encoding"), b"chunked")
        self.assertEqual(response.body, b"one two")

    def test_severalRequests(self) -> None:
        """
        One connection takes several requests and gives their responses in order, interim ones
        left out.
        """
        exchange = self.client.connect()
        exchange.send(b"HEAD", "/")
        exchange.send(b"POST", "/", {b"Expect": b"100-continue", b"Content-Length": b"1"})
        exchange.sendRaw(b"x")
        exchange.send(b"GET", "/nope")
        statuses = [(r.status, bool(r.body)) for r in exchange.responses()]
        self.assertEqual(statuses, [(200, False), (200, True), (404, True)])

    def test_cleansUp(self) -> None:
        """
        A finished request leaves neither a connection nor a timer.
        """
        self.client.request(b"GET", "/")
        self.assertEqual(self.client.site.connections, 0)
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def exchange(self, data: bytes) -> Exchange:
        """
        What comes back is these bytes.
        """
        return WebClient(Raw(data)).start(b"GET", "/")

    def test_incomplete(self) -> None:
        """
        A response that is not complete is none, at every length.
        """
        for whole in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ):
            for length in range(len(whole)):
                self.assertEqual(self.exchange(whole[:length]).responses(), [])
            self.assertEqual(self.exchange(whole).response().body, b"body")

    def test_strict(self) -> None:
        """
        Bytes that are no response fail the test.
        """
        for data in (
            b"nonsense here now\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\ntrailing\r\n\r\n",
        ):
            with self.subTest(data):
                self.assertRaises((AssertionError, ValueError), self.exchange(data).response)

    def test_repeatedHeader(self) -> None:
        """
        A header that is there twice is not given as if it were there once.
        """
        response = self.exchange(
            b"HTTP/1.1 204 No Content\r\nA: 1\r\na: 2\r\nB: 3\r\n\r\n"
        ).response()
        self.assertRaises(AssertionError, response.header, b"A")
        self.assertEqual(response.header(b"b"), b"3")
        self.assertIsNone(response.header(b"c"))
        self.assertEqual(response.headers.getRawHeaders(b"A"), [b"1", b"2"])

    def test_error(self) -> None:
        """
        An error must have the one shape to pass for one.
        """
        for body, good in (
            (b'{"error":"x","message":"y"}', True),
            (b'{"error":"x"}', False),
            (b'{"error":"x","message":""}', False),
        ):
            head = b"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            response = self.exchange(head % len(body) + body).response()
            if good:
                self.assertEqual(response.error(), (400, "x"))
            else:
                self.assertRaises(AssertionError, response.error)
