"""
Tests for L{aero.web.relaygates} (relay.md sections 3.3 and 20.2).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.policy.origin import Origins
from aero.testing.web import WebClient, WebResponse
from aero.web.relayendpoint import RelayHealthEndpoint
from aero.web.relaygates import RelayOriginGate

ORIGIN = b"https://app.example.com"


class RelayOriginGateTests(SynchronousTestCase):
    """
    Who may ask, and what they may read.
    """

    def ask(
        self,
        *headers: tuple[bytes, bytes],
        allowed: tuple[str, ...] = (ORIGIN.decode(),),
        method: bytes = b"GET",
        path: str = "/healthz",
    ) -> WebResponse:
        """
        Send a request.
        """
        router = Router(gates=[RelayOriginGate(Origins(allowed), Metrics(ROWS))])
        router.addResource("/healthz", RelayHealthEndpoint())
        return WebClient(router).request(method, path, headers=list(headers))

    def test_noOrigin(self) -> None:
        """
        A request without an origin, or with a blank one, goes through without CORS headers.
        """
        for headers in ((), ((b"Origin", b" "),)):
            response = self.ask(*headers)
            self.assertEqual((response.status, response.json()), (200, {"ok": True}))
            self.assertIsNone(response.header(b"Access-Control-Allow-Origin"))

    def test_allowed(self) -> None:
        """
        An allowed origin is repeated as it was normalised, with credentials.
        """
        response = self.ask((b"Origin", b"HTTPS://APP.EXAMPLE.COM:443/"))
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header(b"Access-Control-Allow-Origin"), ORIGIN)
        self.assertEqual(response.header(b"Access-Control-Allow-Credentials"), b"true")
        self.assertEqual(response.header(b"Access-Control-Expose-Headers"), b"X-Request-ID")
        self.assertEqual(response.header(b"Vary"), b"Origin")

    def test_refused(self) -> None:
        """
        A foreign, malformed or repeated origin is refused on every path, known or not.
        """
        for origin in (b"https://evil.example", b"nonsense", b"ftp://app.example.com", b"null"):
            for path in ("/healthz", "/unknown"):
                response = self.ask((b"Origin", origin), path=path)
                self.assertEqual(response.status, 403)
                self.assertEqual(response.json(), {"code": "forbidden", "message": "forbidden"})
        self.assertEqual(self.ask((b"Origin", ORIGIN), (b"Origin", ORIGIN)).status, 403)

    def test_wildcard(self) -> None:
        """
        C{*} allows every origin that can be read, and no other.
        """
        self.assertEqual(self.ask((b"Origin", b"http://any.example"), allowed=("*",)).status, 200)
        self.assertEqual(self.ask((b"Origin", b"nonsense"), allowed=("*",)).status, 403)

    def test_sameHost(self) -> None:
        """
        Without a list the own host is allowed, whatever the scheme, and no other.
        """
        for origin, status in (
            (b"http://localhost", 200),
            (b"https://localhost", 200),
            (b"http://localhost:81", 403),
            (b"http://other", 403),
            (b"null", 403),
        ):
            self.assertEqual(self.ask((b"Origin", origin), allowed=()).status, status, origin)

    def test_preflight(self) -> None:
        """
        A preflight is answered for any path, and granted the headers that it asks for.
        """
        response = self.ask(
            (b"Origin", ORIGIN),
            (b"Access-Control-Request-Method", b"POST"),
            (b"Access-Control-Request-Headers", b"authorization,x-api-key"),
            method=b"OPTIONS",
            path="/whatever",
        )
        self.assertEqual(response.status, 204)
        self.assertEqual(response.header(b"Access-Control-Allow-Origin"), ORIGIN)
        self.assertEqual(
            response.header(b"Access-Control-Allow-Methods"), b"GET,POST,PUT,PATCH,DELETE,OPTIONS"
        )
        self.assertEqual(
            response.header(b"Access-Control-Allow-Headers"), b"authorization,x-api-key"
        )
        self.assertEqual(response.header(b"Access-Control-Max-Age"), b"600")

    def test_oddPreflight(self) -> None:
        """
        Nothing but header names is repeated; a preflight without them grants none.
        """
        for asked in (b"x\x80", b"a:b", b"x" * 5_000, b""):
            response = self.ask(
                (b"Origin", ORIGIN),
                (b"Access-Control-Request-Method", b"POST"),
                (b"Access-Control-Request-Headers", asked),
                method=b"OPTIONS",
            )
            self.assertEqual(response.status, 204)
            self.assertIsNone(response.header(b"Access-Control-Allow-Headers"))
