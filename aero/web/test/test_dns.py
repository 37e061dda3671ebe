"""
Tests for L{aero.web.dns} and L{aero.web.dnslimit}.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import dns.message
import dns.rcode
import dns.rrset
from twisted.internet.task import Clock

from aero.auth.sessions import Sessions
from aero.metrics import ROWS, Metrics
from aero.policy.upstreams import Upstream
from aero.settings.dns import DNSSettings
from aero.testing.properties import given, strategies
from aero.testing.web import Exchange, WebResponse
from aero.web.dns import dnsEndpoints
from aero.wire.dns import identify

from .dnsfixtures import DNSCase

TYPE = b"application/dns-message"


def asked(name: str = "www.example", qtype: str = "A", ident: int = 0x1234) -> bytes:
    """
    A query of another implementation.
    """
    return dns.message.make_query(name, qtype, id=ident, use_edns=False).to_wire()


def answered(query: bytes, *records: str, rcode: int = 0) -> bytes:
    """
    The answer of another implementation.
    """
    response = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(rcode))
    for text in records:
        name, ttl, rclass, rtype, data = text.split(" ", 4)
        response.answer.append(dns.rrset.from_text(name, int(ttl), rclass, rtype, data))
    return response.to_wire()


def encoded(message: bytes) -> str:
    """
    A message as it stands in a URL.
    """
    return base64.urlsafe_b64encode(message).rstrip(b"=").decode()


RECORD = "www.example. 60 IN A 192.0.2.1"


class DNSQueryEndpointTests(DNSCase):
    """
    Tests for L{DNSQueryEndpoint}.
    """

    def start(self, message: bytes, **changes: Any) -> Exchange:
        """
        Send a query with POST and wait.
        """
        headers = {b"Cookie": self.cookie, b"Content-Type": TYPE} | changes.pop("headers", {})
        found = {name: value for name, value in headers.items() if value is not None}
        return self.client.start(b"POST", "/dns-query", found, message, **changes)

    def post(self, message: bytes, **changes: Any) -> WebResponse:
        """
        Send a query with POST that is answered at once.
        """
        return self.start(message, **changes).response()

    def get(self, text: str, **changes: Any) -> WebResponse:
        """
        Send a query with GET that is answered at once.
        """
        headers = {b"Cookie": self.cookie}
        return self.client.request(b"GET", f"/dns-query{text}", headers, **changes)

    def assertMessage(self, response: WebResponse, status: int, body: str) -> None:
        """
        A response is this DNS message and may not be kept.
        """
        self.assertEqual((response.status, response.body.hex()), (status, body))
        self.assertEqual(response.header(b"Content-Type"), TYPE)
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")

    def test_resolved(self) -> None:
        """
        A query is answered byte by byte as by the upstream, and again from the cache with
        another id (A171).
        """
        exchange = self.start(asked())
        self.assertEqual(exchange.responses(), [])
        raw = answered(self.upstream.asked[0][0], RECORD)
        self.upstream.answer(raw)
        response = exchange.response()
        self.assertEqual((response.status, response.body), (200, b"\x12\x34" + raw[2:]))
        self.assertEqual(response.header(b"Content-Type"), TYPE)
        self.assertEqual(response.header(b"Cache-Control"), b"private, max-age=60")
        self.clock.advance(10)
        again = self.post(asked(ident=0x99))
        self.assertEqual(again.body[:2], b"\0\x99")
        self.assertEqual(again.header(b"Cache-Control"), b"private, max-age=50")
        self.assertEqual(len(self.upstream.asked), 1)

    def test_get(self) -> None:
        """
        GET gives the same, HEAD its headers.
        """
        self.start(asked())
        self.upstream.answer(answered(self.upstream.asked[0][0], RECORD))
        response = self.get(f"?dns={encoded(asked())}")
        self.assertEqual(response.status, 200)
        self.assertEqual(str(dns.message.from_wire(response.body).answer[0][0]), "192.0.2.1")
        head = self.client.request(
            b"HEAD", f"/dns-query?dns={encoded(asked())}", {b"Cookie": self.cookie}
        )
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.header(b"Content-Length"), b"%d" % len(response.body))

    def test_headLater(self) -> None:
        """
        HEAD gives headers only, also when the answer takes a while.
        """
        target = f"/dns-query?dns={encoded(asked())}"
        exchange = self.client.start(b"HEAD", target, {b"Cookie": self.cookie})
        self.upstream.answer(answered(self.upstream.asked[0][0], RECORD))
        response = exchange.response()
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.header(b"Cache-Control"), b"private, max-age=60")

    def test_nonexistent(self) -> None:
        """
        A name that does not exist is an answer that may be kept.
        """
        exchange = self.start(asked())
        self.upstream.answer(answered(self.upstream.asked[0][0], rcode=3))
        response = exchange.response()
        self.assertEqual((response.status, response.body[3] & 15), (200, 3))
        self.assertEqual(response.header(b"Cache-Control"), b"private, max-age=60")

    def test_noSession(self) -> None:
        """
        Without a session there is a 401 in JSON (row 1, A170).
        """
        response = self.post(asked(), headers={b"Cookie": None})
        self.assertEqual(response.error(), (401, "unauthorized"))
        self.assertEqual(response.json()["message"], "Missing or invalid session")
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        response = self.client.request(b"GET", "/dns-query")
        self.assertEqual(response.error(), (401, "unauthorized"))

    def test_openToAll(self) -> None:
        """
        Where no session is required a question needs no cookie, and the limit for each address
        holds all the same.
        """
        self.makeSite(requireSession=False, qpsPerIP=1, burstPerIP=1)
        bare = {b"Cookie": None}
        exchange = self.start(asked(), headers=bare)
        self.upstream.answer(answered(self.upstream.asked[0][0]))
        self.assertEqual(exchange.response().status, 200)
        self.assertEqual(self.post(asked(), headers=bare).status, 429)

    def test_sessionFirst(self) -> None:
        """
        Nobody without a session uses up the tokens of an address.
        """
        self.makeSite(qpsPerIP=1, burstPerIP=1)
        for _ in range(3):
            self.post(asked(), headers={b"Cookie": None})
        self.assertEqual(self.post(b"").status, 400)

    def test_rate(self) -> None:
        """
        Too many queries from one address are a 429 with SERVFAIL, and told when to come
        back (row 2); both endpoints count together.
        """
        self.makeSite(qpsPerIP=0.25, burstPerIP=2)
        self.assertEqual(self.post(b"").status, 400)
        self.client.request(b"GET", "/dns-json", {b"Cookie": self.cookie})
        response = self.post(asked())
        self.assertMessage(response, 429, "000080820000000000000000")
        self.assertEqual(response.header(b"Retry-After"), b"4")
        self.assertEqual(self.get("").status, 429)
        self.assertEqual(self.counted("aero_dns_limited_total"), 2)
        self.assertEqual(self.post(b"", peer="192.0.2.8").status, 400)
        self.clock.advance(4)
        self.assertEqual(self.post(b"").status, 400)

    def test_rateOfNetwork(self) -> None:
        """
        IPv6 clients are counted by their /64.
        """
        self.makeSite(qpsPerIP=1, burstPerIP=1)
        found = [
            self.post(b"", peer=peer).status
            for peer in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
        ]
        self.assertEqual(found, [400, 429, 400])

    def test_missing(self) -> None:
        """
        GET without a query is a 400 (row 3g).
        """
        for text in ("", "?", "?dns=", "?dns", "?name=a"):
            self.assertMessage(self.get(text), 400, "000080810000000000000000")

    def test_notBase64(self) -> None:
        """
        So is text that is not base64url without padding, or repeated (row 5g).
        """
        for text in ("AAAA=", "A", "AAAAA", "AA+A", "AA%2FA", "AA%20A", "AAAA&dns=AAAA", "%FF"):
            self.assertMessage(self.get(f"?dns={text}"), 400, "000080810000000000000000")

    def test_unusedBits(self) -> None:
        """
        Bits that stand for nothing may be set.
        """
        self.assertMessage(self.get("?dns=EjR"), 400, "123480810000000000000000")

    def test_tooLong(self) -> None:
        """
        A query above the limit is a 413 with its id, by GET and POST (rows 4g and 6, A175).
        """
        self.makeSite(maxQueryBytes=512)
        for size in (513, 514, 515, 600):
            message = asked() + bytes(size - len(asked()))
            expected = "123481810000000000000000"
            self.assertMessage(self.get(f"?dns={encoded(message)}"), 413, expected)
            self.assertMessage(self.post(message), 413, expected)
        self.assertMessage(self.get(f"?dns={'!' * 800}"), 413, "000080810000000000000000")

    def test_atTheLimit(self) -> None:
        """
        One exactly as long is read, and found to have bytes left over (rows 6 and 7).
        """
        for size in (510, 511, 512):
            self.makeSite(maxQueryBytes=size)
            message = asked() + bytes(size - len(asked()))
            self.assertMessage(
                self.get(f"?dns={encoded(message)}"), 400, "123481810000000000000000"
            )

    def test_contentType(self) -> None:
        """
        A body of another known type, or none, is a 415 as a DNS message (row 3p).
        """
        empty = "000080810000000000000000"
        for kind, body in ((b"application/json", b"{}"), (b"text/plain", b"x"), (None, b"")):
            response = self.post(body, headers={b"Content-Type": kind})
            self.assertMessage(response, 415, empty)
        long = TYPE + b"; a=" + b"b" * 250
        self.assertMessage(self.post(asked(), headers={b"Content-Type": long}), 415, empty)

    def test_contentTypeSpelling(self) -> None:
        """
        The case of the type and parameters do not matter.
        """
        response = self.post(
            b"\x12\x34", headers={b"Content-Type": b" Application/DNS-Message ; a=b"}
        )
        self.assertEqual(response.status, 400)

    def test_bodyRules(self) -> None:
        """
        What no endpoint takes is refused in JSON, before the session is looked for (row 0).
        """
        for headers, body, expected in (
            ({b"Content-Type": b"image/png"}, b"x", (415, "unsupported_media_type")),
            ({b"Content-Type": b"application/json"}, b"{", (400, "bad_request")),
            ({b"Content-Type": b"application/json"}, b" " * 70_000, (413, "payload_too_large")),
        ):
            response = self.post(body, headers=headers | {b"Cookie": None})
            self.assertEqual(response.error(), expected)
        self.assertEqual(self.post(bytes(1_048_577)).error(), (413, "payload_too_large"))

    def test_empty(self) -> None:
        """
        POST without a body is a 400 (row 4p).
        """
        self.assertMessage(self.post(b""), 400, "000080810000000000000000")

    def test_malformed(self) -> None:
        """
        What is not one plain query is FORMERR with as much of id and flags as there is
        (row 7), and asked of nobody.
        """
        good = asked()
        for message, expected in (
            (b"\x12", "000080810000000000000000"),
            (b"\x12\x34", "123480810000000000000000"),
            (b"\x12\x34\x01\x10", "123481910000000000000000"),
            (good[:-1], "123481810000000000000000"),
            (good + b"\0", "123481810000000000000000"),
            (good[:5] + b"\0" + good[6:], "123481810000000000000000"),
            (good[:5] + b"\2" + good[6:] + good[12:], "123481810000000000000000"),
            (good[:2] + b"\x81" + good[3:], "123481810000000000000000"),
        ):
            self.assertMessage(self.post(message), 400, expected)
        self.assertEqual(self.upstream.asked, [])

    def test_refused(self) -> None:
        """
        ANY is a REFUSED with id and question (row 9, A173).
        """
        query = asked(qtype="ANY")
        self.assertMessage(
            self.post(query), 200, "12348185000100000000" + "0000" + query[12:].hex()
        )

    def test_failed(self) -> None:
        """
        When every upstream fails it is a SERVFAIL with the question (row 10).
        """
        exchange = self.start(asked())
        self.clock.advance(2)
        expected = "12348182000100000000" + "0000" + asked()[12:].hex()
        self.assertMessage(exchange.response(), 200, expected)

    def test_otherOpcode(self) -> None:
        """
        An UPDATE is not implemented, and goes nowhere (H11).
        """
        query = asked()
        response = self.post(query[:2] + b"\x28" + query[3:])
        self.assertMessage(response, 200, "1234a8840000000000000000")
        self.assertEqual(self.upstream.asked, [])

    def test_clientGone(self) -> None:
        """
        A client that leaves loses nothing for the next one.
        """
        exchange = self.start(asked())
        exchange.disconnect()
        again = self.start(asked())
        self.upstream.answer(answered(self.upstream.asked[0][0], RECORD))
        self.assertEqual(again.response().status, 200)
        self.assertEqual(len(self.upstream.asked), 1)

    def test_otherMethods(self) -> None:
        """
        Other methods are a 405.
        """
        response = self.client.request(b"DELETE", "/dns-query")
        self.assertEqual(response.error(), (405, "method_not_allowed"))

    @given(strategies.binary(max_size=80))
    def test_anyBytes(self, message: bytes) -> None:
        """
        Whatever a client sends, the response is a DNS message with its id.
        """
        self.makeSite(qpsPerIP=0)
        exchange = self.start(message)
        self.clock.advance(2)
        response = exchange.response()
        self.assertIn(response.status, (200, 400))
        self.assertEqual(response.header(b"Content-Type"), TYPE)
        self.assertEqual(identify(response.body)[0], identify(message)[0])

    @given(strategies.text(max_size=40).filter(lambda text: text.isprintable()))
    def test_anyText(self, text: str) -> None:
        """
        Whatever a client puts in the URL, the response is a DNS message (A183).
        """
        self.makeSite(qpsPerIP=0)
        response = self.get(f"?dns={quote(text)}")
        self.assertEqual(response.header(b"Content-Type"), TYPE)


class DNSEndpointsTests(DNSCase):
    """
    Tests for L{dnsEndpoints}.
    """

    def test_wired(self) -> None:
        """
        One call gives the engine and what answers from it, for every kind of upstream.
        """
        upstreams = ("192.0.2.1", "tls://192.0.2.1", "https://192.0.2.1/dns-query")
        engine, resources = dnsEndpoints(
            DNSSettings(upstreams=tuple(map(Upstream.parse, upstreams))),
            reactor=Clock(),
            metrics=Metrics(ROWS),
            sessions=Sessions(["secret"], 3_600, "Lax"),
            now=self.clock.seconds,
        )
        self.assertEqual(sorted(resources), ["/dns-json", "/dns-query"])
        engine.stop()
