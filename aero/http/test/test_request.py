"""
Tests for L{aero.http.request}.
"""

from __future__ import annotations

import uuid
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import http as rows

from ..request import usableRequestId
from .door import HEADERS, Door, Response, get, hasHeadersOnce, post, responses


class AnswerTests(SynchronousTestCase):
    """
    Every answer has the site's manners, whatever made it.
    """

    def one(self, data: bytes, door: Door | None = None) -> Response:
        """
        The one response to a request.
        """
        (response,), _ = (door or Door()).exchange(data)
        return response

    def test_headersOnce(self) -> None:
        """
        The header set is on pages, 204, 304, refusals and errors, each name once.
        """
        for path, status in (
            ("/plain", 200),
            ("/stream", 200),
            ("/nothing", 204),
            ("/unchanged", 304),
            ("/refuse", 429),
            ("/raise", 500),
            ("/rival", 200),
        ):
            response = self.one(get(path))
            self.assertEqual(response.status, status)
            self.assertTrue(hasHeadersOnce(response), path)
            self.assertEqual(len(response.all(b"Date")), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_noBody(self) -> None:
        """
        204 and 304 have no body and nothing that describes one; 304 keeps its ETag.
        """
        for path in ("/nothing", "/unchanged"):
            response = self.one(get(path))
            for name in (b"Content-Type", b"Content-Length", b"Transfer-Encoding"):
                self.assertEqual(response.all(name), [])
        self.assertEqual(response.get(b"ETag"), b'"x"')

    def test_noInventedType(self) -> None:
        """
        A response whose resource sets no Content-Type has none.
        """
        self.assertEqual(self.one(get("/stream")).all(b"Content-Type"), [])

    def test_error(self) -> None:
        """
        An error of a resource is one 500 without its text or its headers, is logged once, and
        the connection goes on.
        """
        door = Door()
        (error, after), wire = door.exchange(get("/raise") + get("/plain"))
        self.assertEqual((error.status, after.status), (500, 200))
        self.assertNotIn(b"secret", error.body)
        self.assertEqual(error.get(b"Cache-Control"), b"no-store")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(door.metrics.value(rows.ERRORS), 1)
        self.assertFalse(wire.closed)

    def test_laterError(self) -> None:
        """
        A Deferred that fails is the same 500.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(get("/fail"))
        door.routes.held.errback(RuntimeError("later"))
        (response,) = responses(wire.value())
        self.assertEqual(response.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_errorInTheMiddle(self) -> None:
        """
        A response that cannot be completed ends with its connection, so that nobody takes it
        for whole.
        """
        _, wire = self.cut(get("/broken"))
        self.assertTrue(wire.disconnected)

    def cut(self, data: bytes) -> tuple[Door, Any]:
        """
        Send a request whose response is no whole one.
        """
        door = Door()
        connection, wire = door.connect()
        connection.dataReceived(data)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        return door, wire

    def test_errorAfterTheEnd(self) -> None:
        """
        An error after a whole response is logged and changes nothing.
        """
        _, wire = self.cut(get("/after"))
        self.assertEqual([r.status for r in responses(wire.value())], [200])
        self.assertFalse(wire.closed)

    def test_retryAfter(self) -> None:
        """
        A refusal that says when says so.
        """
        response = self.one(get("/refuse"))
        self.assertEqual(response.get(b"Retry-After"), b"2")
        self.assertIn(b'"error":"too_many_requests"', response.body)

    def test_terminal(self) -> None:
        """
        A check that fails is the last thing that happens: one response, no routing.
        """
        door = Door(hosts=frozenset({"localhost"}))
        (response,), _ = door.exchange(get("/" + "a" * 9_000, host="evil.example"))
        self.assertEqual(response.status, 414)
        self.assertEqual(door.routes.seen, [])


class HostTests(SynchronousTestCase):
    """
    A site with names serves only those.
    """

    def test_names(self) -> None:
        """
        The name matters, its case, port and final dot do not; others are misdirected.
        """
        for host, status in (
            ("localhost", 200),
            ("LOCALHOST:9999", 200),
            ("localhost.", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("[::1]:8443", 200),
            ("[::2]", 421),
        ):
            door = Door(hosts=frozenset({"localhost", "[::1]"}))
            (response,), _ = door.exchange(get("/plain", host=host))
            self.assertEqual(response.status, status, host)
            self.assertTrue(hasHeadersOnce(response))

    def test_backend(self) -> None:
        """
        Without names any host is served, and HTTP/1.0 needs none.
        """
        (response,), _ = Door().exchange(get("/plain", host="anything.example"))
        self.assertEqual(response.status, 200)
        (response,), _ = Door().exchange(b"GET /plain HTTP/1.0\r\n\r\n")
        self.assertEqual(response.status, 200)

    def test_missing(self) -> None:
        """
        A site with names needs to be told one, even by HTTP/1.0.
        """
        door = Door(hosts=frozenset({"localhost"}))
        (response,), _ = door.exchange(b"GET /plain HTTP/1.0\r\n\r\n")
        self.assertEqual(response.status, 400)

    def test_spellings(self) -> None:
        """
        Hosts are compared without port, case and root dot, and an address in any spelling;
        percent-encoding is of no host.
        """
        door = Door(hosts=frozenset({"localhost", "[::a]", "127.0.0.1"}))
        for host, status in (
            (b"LocalHost.:1", 200),
            (b"[0::A]:1", 200),
            (b"127.1", 200),
            (b"localhost..", 421),
            (b"local%68ost", 421),
        ):
            (response,), _ = door.exchange(b"GET /plain HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            self.assertEqual(response.status, status, host)


class RequestIdTests(SynchronousTestCase):
    """
    Every response names its request.
    """

    def test_echo(self) -> None:
        """
        A usable id of the client comes back, one that is not is replaced.
        """
        for given, expected in (("abc-1", b"abc-1"), ("x" * 129, b"id-1"), ("", b"id-1")):
            (response,), _ = Door().exchange(get("/plain", f"x-request-id: {given}"))
            self.assertEqual(response.get(b"X-Request-Id"), expected)

    def test_usable(self) -> None:
        """
        One line of 1 to 128 printable ASCII characters.
        """
        self.assertEqual(usableRequestId([b"a b"]), "a b")
        self.assertEqual(usableRequestId([b"x" * 128]), "x" * 128)
        for lines in ([], [b""], [b"a", b"b"], [b"\xe9"], [b"a\tb"], [b"x" * 129]):
            self.assertIsNone(usableRequestId(lines))

    def test_default(self) -> None:
        """
        A site's own ids are random UUIDs.
        """
        from ..site import AeroSite

        door = Door()
        site = AeroSite(
            door.routes,
            settings=door.site.settings,
            responseHeaders=HEADERS,
            metrics=door.metrics,
            clock=door.clock,
            clientAddresses=door.site.clientAddresses,
        )
        first, second = uuid.UUID(site.newRequestId()), uuid.UUID(site.newRequestId())
        self.assertEqual(first.version, 4)
        self.assertNotEqual(first, second)


class ReadingTests(SynchronousTestCase):
    """
    What a resource learns of its request.
    """

    def seen(self, data: bytes, **arguments: Any) -> Any:
        """
        The request as the router got it.
        """
        door = Door(**arguments)
        door.exchange(data)
        return door.routes.seen[0]

    def test_query(self) -> None:
        """
        Fields of the query are decoded when asked for, and bounded in number.
        """
        request = self.seen(get("/plain?a=1&b=%20&a=2&c="))
        self.assertEqual(request.args, {b"a": [b"1", b"2"], b"b": [b" "], b"c": [b""]})
        self.assertEqual((request.path, request.query), (b"/plain", b"a=1&b=%20&a=2&c="))
        many = self.seen(get("/plain?" + "&".join(f"{n}=" for n in range(1_500))))
        self.assertEqual(len(many.args), 1_000)

    def test_formsAreNotParsed(self) -> None:
        """
        A form in the body stays in the body, however malformed.
        """
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            door = Door()
            (response,), _ = door.exchange(post("/echo", b"a=1&b", f"Content-Type: {kind}"))
            self.assertEqual(response.body, b"a=1&b")
            self.assertEqual(door.routes.seen[0].args, {})

    def test_cookies(self) -> None:
        """
        Cookies are found by name.
        """
        request = self.seen(get("/hold", "Cookie: a=1; b=2"))
        self.assertEqual((request.getCookie(b"b"), request.getCookie(b"c")), (b"2", None))

    def test_client(self) -> None:
        """
        The client is the peer, or whom a trusted proxy speaks for.
        """
        lines = ("X-Forwarded-For: 198.51.100.9", "X-Forwarded-Proto: https")
        direct = self.seen(get("/hold", *lines)).client
        self.assertEqual((direct.ip, direct.secure), ("192.0.2.7", False))
        request = self.seen(get("/hold", *lines), trust=True)
        self.assertEqual((request.client.ip, request.client.secure), ("198.51.100.9", True))
        self.assertEqual(request.getClientAddress().host, "192.0.2.7")

    def test_upgrade(self) -> None:
        """
        An upgrade needs both headers, in any spelling, and HTTP/1.1.
        """
        both = ("Upgrade: websocket", "Connection: keep-alive, UPGRADE")
        self.assertTrue(self.seen(get("/hold", *both)).isUpgrade())
        self.assertFalse(self.seen(get("/hold", both[0])).isUpgrade())
        self.assertFalse(self.seen(get("/hold", both[1])).isUpgrade())
        old = get("/hold", *both).replace(b"HTTP/1.1", b"HTTP/1.0")
        self.assertFalse(self.seen(old).isUpgrade())

    def test_refusedUpgrade(self) -> None:
        """
        A WebSocket client is refused in plain text and the connection closed.
        """
        door = Door(hosts=frozenset({"localhost"}))
        data = get("/tcp", "Upgrade: websocket", "Connection: Upgrade", host="evil.example")
        (response,), wire = door.exchange(data)
        self.assertEqual(response.status, 421)
        self.assertEqual(response.get(b"Content-Type"), b"text/plain; charset=utf-8")
        self.assertTrue(hasHeadersOnce(response))
        self.assertTrue(wire.closed)

    def test_largeBody(self) -> None:
        """
        A body that may be large is kept outside memory once it is, and read back the same.
        """
        from aero.settings.http import HTTPSettings

        door = Door(settings=HTTPSettings(maxBodyBytes=4_000_000))
        body = bytes(range(256)) * 10_000
        (response,), _ = door.exchange(post("/echo", body))
        self.assertEqual(response.body, body)
