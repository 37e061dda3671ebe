"""
Tests for L{aero.http.bodies}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from aero.errors import Refused
from aero.http.bodies import parseJSON, readBody
from aero.http.endpoint import Endpoint
from aero.http.replies import replyJSON
from aero.http.router import Router
from aero.testing.properties import given, strategies
from aero.testing.web import WebClient, WebResponse

JSON_TYPE = {b"Content-Type": b"application/json"}


class Echo(Endpoint):
    """
    Answers with what it read.
    """

    def render_POST(self, request: Request) -> int:
        """
        Answer with the type and the value.
        """
        body = readBody(request, 1_000)
        kind = None if body.type is None else body.type.decode("ascii")
        return replyJSON(request, 200, [kind, repr(body.value)])


class ReadBodyTests(SynchronousTestCase):
    """
    Tests for L{readBody}.
    """

    def post(self, body: bytes, headers: Any = ()) -> WebResponse:
        """
        Send a body.
        """
        router = Router()
        router.addResource("/echo", Echo())
        return WebClient(router).request(b"POST", "/echo", headers, body)

    def assertRead(self, response: WebResponse, kind: str | None, value: Any) -> None:
        """
        The body was read as this.
        """
        self.assertEqual((response.status, response.json()), (200, [kind, repr(value)]))

    def test_absent(self) -> None:
        """
        No body and no content type is no body.
        """
        self.assertRead(self.post(b""), None, None)

    def test_json(self) -> None:
        """
        JSON is read, whatever the parameters and the case of its type.
        """
        for kind in (b"application/json", b"Application/JSON ; charset=utf-8"):
            with self.subTest(kind):
                response = self.post(b' {"a": [1, 2.5, "\xc3\xa4"]}\n', {b"Content-Type": kind})
                self.assertRead(response, "application/json", {"a": [1, 2.5, "ä"]})

    def test_text(self) -> None:
        """
        Plain text is text, also when it is empty.
        """
        headers = {b"Content-Type": b"text/plain;charset=UTF-8"}
        self.assertRead(self.post(b"{}", headers), "text/plain", "{}")
        self.assertRead(self.post(b"", headers), "text/plain", "")

    def test_dns(self) -> None:
        """
        A DNS message is bytes.
        """
        headers = {b"Content-Type": b"application/dns-message"}
        self.assertRead(self.post(b"\0\xff", headers), "application/dns-message", b"\0\xff")

    def test_emptyJSON(self) -> None:
        """
        JSON that is empty is a 400.
        """
        self.assertEqual(self.post(b"", JSON_TYPE).error(), (400, "bad_request"))

    def test_malformed(self) -> None:
        """
        What is not one JSON document in UTF-8 is a 400.
        """
        for body in (
            b"{",
            b"{} {}",
            b"\xff",
            b'"\xed\xa0\x80"',
            b"NaN",
            b"[-Infinity]",
            b'{"a":Infinity}',
            b"{'a':1}",
            b"9" * 900 + b"x",
            b"\0",
        ):
            with self.subTest(body[:20]):
                self.assertEqual(self.post(body, JSON_TYPE).error(), (400, "bad_request"))

    def test_prototype(self) -> None:
        """
        A C{__proto__} key is a 400 at any depth and in any spelling; as a value it is a word.
        """
        for body in (
            b'{"__proto__":{}}',
            b'[{"a":{"__proto__":1}}]',
            b'{"\\u005f_proto__":1}',
            b'{"__proto__":1,"__proto__":2}',
        ):
            with self.subTest(body):
                response = self.post(body, JSON_TYPE)
                self.assertEqual(response.error(), (400, "bad_request"))
                self.assertIn("prototype", response.json()["message"])
        self.assertEqual(self.post(b'{"a":"__proto__"}', JSON_TYPE).status, 200)

    def test_repeatedKeys(self) -> None:
        """
        Of repeated keys the last one counts.
        """
        self.assertRead(self.post(b'{"a":1,"a":2}', JSON_TYPE), "application/json", {"a": 2})

    def test_otherType(self) -> None:
        """
        A body of another type, or of none, is a 415.
        """
        for headers in (
            {b"Content-Type": b"application/vnd.x+json"},
            {b"Content-Type": b"multipart/form-data; boundary=x"},
            {b"Content-Type": b"application/x-www-form-urlencoded"},
            {b"Content-Type": b"json"},
            {},
        ):
            with self.subTest(headers):
                response = self.post(b"{}", headers)
                self.assertEqual(response.error(), (415, "unsupported_media_type"))

    def test_otherTypeEmpty(self) -> None:
        """
        A content type without a body is no body.
        """
        self.assertRead(self.post(b"", {b"Content-Type": b"image/png"}), None, None)

    def test_repeatedType(self) -> None:
        """
        Two content types are a 400, because readers differ about which one counts.
        """
        headers = [(b"Content-Type", b"application/json"), (b"Content-Type", b"text/plain")]
        self.assertEqual(self.post(b"{}", headers).error(), (400, "bad_request"))

    def test_tooLarge(self) -> None:
        """
        A byte more than the limit of the resource is a 413, sent in one piece or in chunks.
        """
        fits = b'"' + b"x" * 998 + b'"'
        self.assertEqual(self.post(fits, JSON_TYPE).status, 200)
        self.assertEqual(self.post(fits + b" ", JSON_TYPE).error(), (413, "payload_too_large"))
        chunked = {**JSON_TYPE, b"Transfer-Encoding": b"chunked"}
        body = b"3e9\r\n" + fits + b" \r\n0\r\n\r\n"
        self.assertEqual(self.post(body, chunked).error(), (413, "payload_too_large"))

    def test_deep(self) -> None:
        """
        JSON that is nested too deeply is a 400, and the server goes on.
        """
        for deep in (b"[" * 1_000_000, b'{"a":' * 200_000, b"[" * 500_000 + b"]" * 500_000):
            error = self.assertRaises(Refused, parseJSON, deep)
            self.assertEqual(error.status, 400)
        self.assertEqual(self.post(b"[" * 1_000, JSON_TYPE).error(), (400, "bad_request"))

    @given(
        strategies.recursive(
            strategies.none()
            | strategies.booleans()
            | strategies.integers()
            | strategies.floats(allow_nan=False, allow_infinity=False)
            | strategies.text(),
            lambda inner: (
                strategies.lists(inner)
                | strategies.dictionaries(
                    strategies.text().filter(lambda key: key != "__proto__"), inner
                )
            ),
            max_leaves=20,
        )
    )
    def test_anyValue(self, value: Any) -> None:
        """
        Whatever JSON can say is read as it was meant.
        """
        self.assertEqual(parseJSON(json.dumps(value).encode("ascii")), value)

    @given(strategies.binary(max_size=64))
    def test_anyBytes(self, raw: bytes) -> None:
        """
        Whatever arrives is read or refused with a 400.
        """
        try:
            parseJSON(raw)
        except Refused as refused:
            self.assertEqual(refused.status, 400)
