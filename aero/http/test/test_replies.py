"""
Tests for L{aero.http.replies}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET, Request

from aero.errors import Refused
from aero.http import replies
from aero.http.endpoint import Endpoint
from aero.http.router import Router
from aero.testing.properties import given, strategies
from aero.testing.web import Exchange, WebClient


class RepliesTests(SynchronousTestCase):
    """
    Tests for the functions that send a whole response.
    """

    def start(self, function: Any, method: bytes = b"GET") -> Exchange:
        """
        Let a function answer a request.
        """

        class Answer(Endpoint):
            def render_GET(self, request: Request) -> Any:
                return function(request)

        router = Router()
        router.addResource("/", Answer())
        return WebClient(router).start(method, "/")

    def test_json(self) -> None:
        """
        JSON is compact UTF-8, its keys in their order.
        """
        value = {"z": [1, None, True], "a": "ä"}
        response = self.start(lambda r: replies.replyJSON(r, 201, value)).response()
        self.assertEqual(response.status, 201)
        self.assertEqual(response.text(), '{"z":[1,null,true],"a":"ä"}')
        self.assertEqual(response.header(b"Content-Type"), b"application/json; charset=utf-8")
        self.assertEqual(response.header(b"Content-Length"), b"28")

    def test_head(self) -> None:
        """
        A reply to C{HEAD} has the same headers and no body.
        """
        head = self.start(lambda r: replies.replyJSON(r, 200, {}), b"HEAD").response()
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.header(b"Content-Length"), b"2")

    def test_text(self) -> None:
        """
        Text is UTF-8 and says so.
        """
        response = self.start(lambda r: replies.replyText(r, 200, "ä")).response()
        self.assertEqual(response.text(), "ä")
        self.assertEqual(response.header(b"Content-Type"), b"text/plain; charset=utf-8")

    def test_empty(self) -> None:
        """
        A 204 says nothing about a body that it has not; another status says that it is empty.
        """
        response = self.start(replies.replyEmpty).response()
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertIsNone(response.header(b"Content-Length"))
        other = self.start(lambda r: replies.replyEmpty(r, 403)).response()
        self.assertEqual(other.header(b"Content-Length"), b"0")
        self.assertIsNone(other.header(b"Content-Type"))

    def test_headers(self) -> None:
        """
        Headers of a reply replace what was set before, but C{Vary} adds to it.
        """

        def answer(request: Request) -> int:
            request.setHeader(b"X-A", b"before")
            request.setHeader(b"Vary", b"Origin")
            headers = [(b"x-a", b"after"), (b"Vary", b"Accept")]
            return replies.replyJSON(request, 200, 1, headers=headers)

        response = self.start(answer).response()
        self.assertEqual(response.header(b"X-A"), b"after")
        self.assertEqual(response.headers.getRawHeaders(b"Vary"), [b"Origin", b"Accept"])

    def test_error(self) -> None:
        """
        An error has the one shape, the code that goes with its status, and is not cached.
        """
        response = self.start(lambda r: replies.replyError(r, 404, "Not here")).response()
        self.assertEqual(response.text(), '{"error":"not_found","message":"Not here"}')
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        named = self.start(lambda r: replies.replyError(r, 418, "Tea", code="teapot")).response()
        self.assertEqual(named.error(), (418, "teapot"))

    def test_refused(self) -> None:
        """
        A refusal says what it says, and when to come back in whole seconds, at least one.
        """
        for seconds, value in ((None, None), (0.1, b"1"), (1.0, b"1"), (19.5, b"20")):
            with self.subTest(seconds):
                refused = Refused(429, "too_many_requests", "Slow down", retryAfter=seconds)
                response = self.start(
                    lambda r, refused=refused: replies.replyRefused(r, refused)
                ).response()
                self.assertEqual(
                    (response.status, response.json()),
                    (429, {"error": "too_many_requests", "message": "Slow down"}),
                )
                self.assertEqual(response.header(b"Retry-After"), value)

    def test_over(self) -> None:
        """
        A second answer, or one to a client that has gone, is dropped.
        """

        def twice(request: Request) -> int:
            replies.replyJSON(request, 200, "first")
            return replies.replyError(request, 500, "second")

        self.assertEqual(self.start(twice).response().json(), "first")
        kept: list[Request] = []

        def never(request: Request) -> int:
            kept.append(request)
            return NOT_DONE_YET

        exchange = self.start(never)
        exchange.disconnect()
        self.assertTrue(replies.isOver(kept[0]))
        self.assertEqual(replies.replyJSON(kept[0], 200, 1), NOT_DONE_YET)
        self.assertEqual(exchange.received, b"")

    def test_upgradeRefused(self) -> None:
        """
        A refused handshake is one line of text, and the connection ends.
        """
        exchange = self.start(lambda r: replies.replyUpgradeRefused(r, 503, "Shutting down"))
        response = exchange.response()
        self.assertEqual((response.status, response.body), (503, b"Shutting down\n"))
        self.assertEqual(response.header(b"Connection"), b"close")
        self.assertTrue(exchange.transport.closed)


class EncodeJSONTests(SynchronousTestCase):
    """
    Tests for L{replies.encodeJSON}.
    """

    @given(strategies.dictionaries(strategies.text(), strategies.text()))
    def test_anyText(self, value: dict[str, str]) -> None:
        """
        Any text comes back as it was.
        """
        self.assertEqual(json.loads(replies.encodeJSON(value).decode("utf-8")), value)

    def test_surrogate(self) -> None:
        """
        Text that UTF-8 cannot carry, as a header may hold, is still valid JSON.
        """
        encoded = replies.encodeJSON("a\udc80\\b")
        self.assertEqual(json.loads(encoded.decode("utf-8")), "a\udc80\\b")

    def test_notANumber(self) -> None:
        """
        What JSON cannot say is a mistake and never sent.
        """
        self.assertRaises(ValueError, replies.encodeJSON, float("nan"))
