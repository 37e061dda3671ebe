"""
Tests for L{aero.http.redirect}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.settings.http import HTTPSettings
from aero.testing.properties import given, strategies

from ..redirect import RedirectFactory
from .door import HEADERS, Response, Wire, get, post, responses

LOST = Failure(ConnectionDone())


class Answers:
    """
    Knows the answer to one challenge.
    """

    def keyAuthorization(self, token: str) -> str | None:
        """
        The answer.
        """
        return "tok.thumb" if token == "tok" else None


class RedirectTests(SynchronousTestCase):
    """
    The plain listener sends everybody to the TLS site, and nobody elsewhere.
    """

    def ask(self, data: bytes, *, port: int = 443, step: int = 10_000) -> Response:
        """
        The one answer, after which the connection ends.
        """
        clock = Clock()
        factory = RedirectFactory(
            hosts=frozenset({"localhost", "[::1]"}),
            httpsPort=lambda: port,
            settings=HTTPSettings(),
            metrics=Metrics(ROWS),
            clock=clock,
            challenges=Answers(),
        )
        wire = Wire()
        protocol = factory.buildProtocol(wire.getPeer())
        protocol.makeConnection(wire)
        for start in range(0, len(data), step):
            protocol.dataReceived(data[start : start + step])
        (response,) = responses(wire.value(), bodiless=data.startswith(b"HEAD"))
        self.assertTrue(wire.halfClosed)
        self.assertEqual(response.get(b"Connection"), b"close")
        self.assertEqual([name for name, _ in HEADERS.pairs if response.all(name)], [])
        clock.advance(2)
        self.assertTrue(wire.disconnected)
        protocol.connectionLost(LOST)
        self.assertEqual(clock.getDelayedCalls(), [])
        return response

    def location(self, data: bytes, port: int = 443) -> bytes:
        """
        Where a request is sent.
        """
        response = self.ask(data, port=port)
        self.assertEqual((response.status, response.body), (308, b""))
        return response.get(b"Location")

    def test_redirect(self) -> None:
        """
        Path and query are kept, the port of Host is not, other TLS ports are named.
        """
        self.assertEqual(self.location(get("/a?b=1")), b"https://localhost/a?b=1")
        self.assertEqual(self.location(get("/", host="LocalHost:80")), b"https://localhost/")
        self.assertEqual(self.location(get("/", host="localhost.:80")), b"https://localhost/")
        self.assertEqual(self.location(get("/x"), 8443), b"https://localhost:8443/x")
        self.assertEqual(self.location(get("/x", host="[::1]:80"), 1), b"https://[::1]:1/x")
        self.assertEqual(self.location(get("*", method="OPTIONS")), b"https://localhost/")

    def test_post(self) -> None:
        """
        A POST is redirected from its head, and its body never looked at.
        """
        self.assertEqual(self.location(post("/session", b"{}" * 9)), b"https://localhost/session")

    def test_steps(self) -> None:
        """
        Requests may come byte by byte.
        """
        self.assertEqual(self.ask(get("/a"), step=1).status, 308)

    def test_foreign(self) -> None:
        """
        A strange Host is not followed, however the target spells it.
        """
        for data in (
            get("/", host="evil.example"),
            get("http://evil.example/", host="evil.example"),
            get("/", host="localhost.evil.example"),
        ):
            response = self.ask(data)
            self.assertEqual((response.status, response.all(b"Location")), (421, []))
        self.assertEqual(self.ask(get("http://evil.example/")).status, 400)

    def test_tricks(self) -> None:
        """
        A target that looks like a host is a path on ours.
        """
        for target in ("//evil.example/", "/\\evil.example", "/@evil.example", "/%0d%0aX:%20y"):
            location = self.location(get(target))
            self.assertEqual(location, b"https://localhost" + target.encode())
        self.assertEqual(self.ask(get("\\\\evil.example")).status, 400)
        self.assertEqual(self.ask(get("@evil.example/")).status, 400)

    def test_malformed(self) -> None:
        """
        Garbage, no Host and oversized heads are refused.
        """
        self.assertEqual(self.ask(b"\x16\x03\x01").status, 400)
        self.assertEqual(self.ask(b"GET / HTTP/1.1\r\n\r\n").status, 400)
        self.assertEqual(self.ask(b"GET / HTTP/1.0\r\n\r\n").status, 400)
        self.assertEqual(self.ask(b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000).status, 431)
        self.assertEqual(self.ask(get("/" + "a" * 8_192)).status, 414)

    def test_challenge(self) -> None:
        """
        An ACME challenge is answered here, for any Host; an unknown one is a 404.
        """
        path = "/.well-known/acme-challenge/"
        response = self.ask(get(path + "tok", host="new.example"))
        self.assertEqual((response.status, response.body), (200, b"tok.thumb"))
        self.assertEqual(self.ask(get(path + "other")).status, 404)
        self.assertEqual(self.ask(get(path + "tok", method="HEAD")).status, 200)

    def test_slow(self) -> None:
        """
        A request that does not come in time ends the connection, whatever trickles in.
        """
        clock = Clock()
        factory = RedirectFactory(
            hosts=frozenset(),
            httpsPort=443,
            settings=HTTPSettings(),
            metrics=Metrics(ROWS),
            clock=clock,
        )
        wire = Wire()
        protocol = factory.buildProtocol(wire.getPeer())
        protocol.makeConnection(wire)
        for _ in range(10):
            self.assertFalse(wire.disconnected)
            protocol.dataReceived(b"G")
            clock.advance(1)
        self.assertTrue(wire.disconnected)

    @given(strategies.text(strategies.characters(min_codepoint=33, max_codepoint=126), min_size=1))
    def test_anyTarget(self, target: str) -> None:
        """
        No target leads to another origin.
        """
        response = self.ask(get(target))
        for location in response.all(b"Location"):
            self.assertTrue(location.startswith(b"https://localhost/"))
