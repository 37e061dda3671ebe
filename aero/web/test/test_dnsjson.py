"""
Tests for L{aero.web.dnsjson}.
"""

from __future__ import annotations

from aero.errors import Refused
from aero.testing.web import Exchange, WebResponse
from aero.web.dnsjson import normalizeName, parseType

from .dnsfixtures import DNSCase
from .test_dns import RECORD, answered, asked


class DNSJSONEndpointTests(DNSCase):
    """
    Tests for L{DNSJSONEndpoint}.
    """

    def start(self, query: str) -> Exchange:
        """
        Ask and wait.
        """
        return self.client.start(b"GET", f"/dns-json?{query}", {b"Cookie": self.cookie})

    def get(self, query: str) -> WebResponse:
        """
        Ask what is answered at once.
        """
        return self.start(query).response()

    def resolve(self, query: str, *records: str, rcode: int = 0) -> WebResponse:
        """
        Ask, and let the upstream answer.
        """
        exchange = self.start(query)
        self.upstream.answer(answered(self.upstream.asked[-1][0], *records, rcode=rcode))
        return exchange.response()

    def test_address(self) -> None:
        """
        An address is answered (A172).
        """
        response = self.resolve("name=%20WWW.Example..%20&type=a", RECORD)
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.body,
            b'{"Status":0,"TC":false,"RD":true,"RA":true,"AD":false,"CD":false,'
            b'"Question":[{"name":"www.example","type":1}],'
            b'"Answer":[{"name":"www.example","type":1,"TTL":60,"data":"192.0.2.1"}]}',
        )
        self.assertEqual(response.header(b"Content-Type"), b"application/dns-json; charset=utf-8")
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")

    def test_sharedCache(self) -> None:
        """
        C{/dns-query} has the answer then too, with its own id (A172).
        """
        self.resolve("name=www.example&type=A", RECORD)
        headers = {b"Cookie": self.cookie, b"Content-Type": b"application/dns-message"}
        response = self.client.request(b"POST", "/dns-query", headers, asked(ident=0x77))
        self.assertEqual(response.body[:2], b"\0\x77")
        self.assertEqual(len(self.upstream.asked), 1)

    def test_kinds(self) -> None:
        """
        AAAA is compressed, aliases are names, other records are passed over (A177).
        """
        response = self.resolve(
            "name=www.example&type=28",
            "www.example. 50 IN CNAME Alias.Example.",
            "alias.example. 40 IN TXT hello",
            "alias.example. 30 IN AAAA 2001:db8:0:0:1:0:0:1",
            "alias.example. 20 IN AAAA ::ffff:192.0.2.1",
        )
        self.assertEqual(
            response.json()["Answer"],
            [
                {"name": "www.example", "type": 5, "TTL": 50, "data": "alias.example"},
                {"name": "alias.example", "type": 28, "TTL": 30, "data": "2001:db8::1:0:0:1"},
                {"name": "alias.example", "type": 28, "TTL": 20, "data": "::ffff:c000:201"},
            ],
        )

    def test_empty(self) -> None:
        """
        Without records there is no C{Answer}; the status tells why (A177).
        """
        value = self.resolve("name=www.example&type=CNAME", rcode=3).json()
        self.assertEqual(value["Status"], 3)
        self.assertNotIn("Answer", value)

    def test_noSession(self) -> None:
        """
        Without a session it is a 401 (row 1).
        """
        response = self.client.request(b"GET", "/dns-json?name=a&type=A")
        self.assertEqual(response.error(), (401, "unauthorized"))
        self.assertEqual(response.json()["message"], "Missing or invalid session")
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")

    def test_rate(self) -> None:
        """
        Too many are a 429 (row 2).
        """
        self.makeSite(qpsPerIP=1, burstPerIP=1)
        self.assertEqual(self.get("").status, 400)
        response = self.get("name=a&type=A")
        self.assertEqual(response.error(), (429, "too_many_requests"))
        self.assertEqual(response.header(b"Retry-After"), b"1")

    def test_refusals(self) -> None:
        """
        Rows 3 to 5, and the names that no DNS message can carry.
        """
        for query, message in (
            ("", "Missing 'name' query parameter"),
            ("name=&type=A", "Missing 'name' query parameter"),
            ("name=%20...%20&type=A", "Missing 'name' query parameter"),
            ("name=a", "Missing 'type' query parameter"),
            ("name=a&type=", "Missing 'type' query parameter"),
            ("name=a&type=TXT", "Invalid DNS record type"),
            ("name=a&type=16", "Invalid DNS record type"),
            ("name=a&name=b&type=A", "Repeated 'name' query parameter"),
            ("name=a&type=A&type=A", "Repeated 'type' query parameter"),
            ("name=%FF&type=A", "Invalid 'name' query parameter"),
            ("name=" + "a" * 64 + "&type=A", "Invalid DNS name"),
            ("name=" + "a." * 128 + "&type=A", "Invalid DNS name"),
        ):
            response = self.get(query)
            self.assertEqual(response.error(), (400, "bad_request"))
            self.assertEqual(response.json()["message"], message)

    def test_tooLong(self) -> None:
        """
        A name whose query is above the limit is a 413 (row 6).
        """
        self.makeSite(maxQueryBytes=32)
        self.assertEqual(
            self.get("name=123456789012345&type=A").error(), (413, "payload_too_large")
        )
        self.start("name=12345678901234&type=A")
        self.assertEqual(len(self.upstream.asked[0][0]), 32)

    def test_failed(self) -> None:
        """
        When every upstream fails it is a 502 (row 8).
        """
        exchange = self.start("name=a&type=A")
        self.clock.advance(2)
        self.assertEqual(exchange.response().error(), (502, "bad_gateway"))

    def test_unreadable(self) -> None:
        """
        So is an answer with an address that is none.
        """
        exchange = self.start("name=a&type=A")
        raw = self.upstream.asked[0][0]
        record = b"\xc0\x0c\0\1\0\1" + bytes(4) + b"\0\3abc"
        self.upstream.answer(raw[:2] + b"\x81\x80\0\1\0\1" + bytes(4) + raw[12:] + record)
        self.assertEqual(exchange.response().error(), (502, "bad_gateway"))

    def test_localhost(self) -> None:
        """
        C{localhost} needs no upstream.
        """
        value = self.get("name=localhost&type=A").json()
        self.assertEqual(value["Answer"][0]["data"], "127.0.0.1")


class ParsingTests(DNSCase):
    """
    Tests for L{parseType} and L{normalizeName}.
    """

    def test_types(self) -> None:
        """
        A, AAAA and CNAME are known by name and number, nothing else is (A176).
        """
        for text, expected in (
            ("A", 1),
            ("aaaa", 28),
            (" CName ", 5),
            ("1", 1),
            ("0028", 28),
            ("05", 5),
        ):
            self.assertEqual(parseType(text), expected)
        for text in ("TXT", "16", "-1", "1.0", "0", "\u0661", "A A", "255", "0x1", "0" * 99 + "1"):
            self.assertEqual(self.assertRaises(Refused, parseType, text).status, 400)

    def test_names(self) -> None:
        """
        Names are trimmed, in lower case, and without final dots.
        """
        self.assertEqual(normalizeName(" WWW.Example... "), "www.example")
