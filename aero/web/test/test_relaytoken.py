"""
Tests for L{aero.web.relaytoken}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import verifyRelayToken
from aero.auth.sessions import Sessions
from aero.http.router import Router
from aero.metrics import ROWS, Metrics, sessions
from aero.settings.relay import RelaySettings
from aero.testing.web import WebClient, WebResponse
from aero.web.relaytoken import RelayCredentials, RelayTokenEndpoint, isoTime

NOW = 1_700_000_000.25

ORIGIN = b"https://page.example"

RELAY = RelaySettings(baseURL="https://relay.example", authMode="jwt", jwtSecret="relay secret")


class RelayTokenEndpointTests(SynchronousTestCase):
    """
    Tests for L{RelayTokenEndpoint}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics(ROWS)
        self.sessions = Sessions(["secret"], 3_600, "Lax")
        self.cookie = self.newCookie()

    def newCookie(self) -> bytes:
        """
        The cookie of a new session.
        """
        return self.sessions.renew(None, NOW, True)[1].partition(b";")[0]

    def makeClient(self, relay: RelaySettings = RELAY) -> WebClient:
        """
        A client of a site with this relay.
        """
        router = Router()
        endpoint = RelayTokenEndpoint(
            RelayCredentials(relay), self.sessions, self.metrics, self.clock.seconds
        )
        router.addResource("/udp-relay/token", endpoint)
        return WebClient(router, clock=self.clock, metrics=self.metrics)

    def ask(self, client: WebClient, **changes: Any) -> WebResponse:
        """
        Ask as a page with a session does, but for changes.
        """
        headers = {b"Origin": ORIGIN, b"Cookie": self.cookie}
        headers.update((name.encode("ascii"), value) for name, value in changes.items())
        kept = {name: value for name, value in headers.items() if value is not None}
        return client.request(b"POST", "/udp-relay/token", kept)

    def assertCounted(self, result: str, number: int = 1) -> None:
        """
        So many requests had this result.
        """
        self.assertEqual(self.metrics.value(sessions.RELAY_TOKENS, result), number)

    def test_token(self) -> None:
        """
        A page with a session gets a token for that session, which nobody may store.
        """
        response = self.ask(self.makeClient())
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        value = response.json()
        self.assertEqual(list(value), ["authMode", "token", "expiresAt"])
        self.assertEqual(value["authMode"], "jwt")
        self.assertEqual(value["expiresAt"], "2023-11-14T22:18:20.000Z")
        claims = verifyRelayToken("relay secret", value["token"], NOW)
        session = self.sessions.fromCookies([self.cookie], NOW)
        assert claims is not None and session is not None
        self.assertEqual((claims.sid, claims.origin), (session.sid, "https://page.example"))
        self.assertCounted("ok")

    def test_otherModes(self) -> None:
        """
        The other modes give the key, or nothing but their name.
        """
        key = RelaySettings(baseURL="https://relay.example", authMode="api_key", apiKey="key")
        self.assertEqual(
            self.ask(self.makeClient(key)).json(),
            {"authMode": "api_key", "token": "key", "expiresAt": "2023-11-14T22:18:20.250Z"},
        )
        none = RelaySettings(baseURL="https://relay.example")
        self.assertEqual(self.ask(self.makeClient(none)).json(), {"authMode": "none"})

    def test_off(self) -> None:
        """
        Without a relay the answer is 404, before anything else is looked at.
        """
        client = self.makeClient(RelaySettings())
        response = self.ask(client, Origin=None, Cookie=None)
        self.assertEqual(response.error(), (404, "not_found"))
        self.assertEqual(response.json()["message"], "UDP relay not configured")
        self.assertCounted("off")

    def test_noOrigin(self) -> None:
        """
        Without an origin, or with an empty one, the answer is 403, even without a session.
        """
        client = self.makeClient()
        for origin in (None, b"", b" "):
            response = self.ask(client, Origin=origin, Cookie=None)
            self.assertEqual(response.error(), (403, "forbidden"))
            self.assertEqual(response.json()["message"], "Origin header required")
        self.assertCounted("origin", 3)

    def test_badOrigin(self) -> None:
        """
        An origin that cannot be read is a 403 of its own.
        """
        response = self.ask(self.makeClient(), Origin=b"nonsense")
        self.assertEqual(response.error(), (403, "forbidden"))
        self.assertEqual(response.json()["message"], "Origin not allowed")

    def test_noSession(self) -> None:
        """
        Without a valid session the answer is 401.
        """
        client = self.makeClient()
        for cookie in (None, b"aero_session=", self.cookie + b"x"):
            response = self.ask(client, Cookie=cookie)
            self.assertEqual(response.error(), (401, "unauthorized"))
            self.assertEqual(response.json()["message"], "Missing or expired session")
        self.assertCounted("session", 3)

    def test_limit(self) -> None:
        """
        A session gets five at once and then one a second; another session has its own five.
        """
        client = self.makeClient()
        self.assertEqual([self.ask(client).status for _ in range(6)], [200] * 5 + [429])
        limited = self.ask(client)
        self.assertEqual(limited.error(), (429, "too_many_requests"))
        self.assertEqual(limited.json()["message"], "Rate limit exceeded")
        self.assertEqual(limited.header(b"Retry-After"), b"1")
        self.assertEqual(self.ask(client, Cookie=self.newCookie()).status, 200)
        self.clock.advance(1)
        self.assertEqual([self.ask(client).status for _ in range(2)], [200, 429])
        self.assertCounted("rate", 3)

    def test_failure(self) -> None:
        """
        A token that cannot be made is a 500 that says so.
        """
        broken = RelaySettings(baseURL="https://relay.example", authMode="jwt", jwtSecret="")
        response = self.ask(self.makeClient(broken))
        self.assertEqual(response.error(), (500, "internal_error"))
        self.assertEqual(response.json()["message"], "Failed to mint UDP relay token")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertCounted("error")

    def test_body(self) -> None:
        """
        The body means nothing but must be well-formed, which is found out first.
        """
        client = self.makeClient()
        headers = {b"Content-Type": b"application/json"}
        response = client.request(b"POST", "/udp-relay/token", headers, b"{")
        self.assertEqual(response.error(), (400, "bad_request"))
        response = client.request(b"POST", "/udp-relay/token", headers, b"[1]")
        self.assertEqual(response.error(), (403, "forbidden"))

    def test_get(self) -> None:
        """
        Only C{POST} gives tokens.
        """
        response = self.makeClient().request(b"GET", "/udp-relay/token")
        self.assertEqual(response.error(), (405, "method_not_allowed"))


class IsoTimeTests(SynchronousTestCase):
    """
    Tests for L{isoTime}.
    """

    def test_milliseconds(self) -> None:
        """
        There are always three decimals, cut and not rounded, and a C{Z}.
        """
        for seconds, text in (
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
            (1_700_000_000.001, "2023-11-14T22:13:20.001Z"),
            (1e18, "9999-12-31T23:59:59.999Z"),
        ):
            with self.subTest(seconds):
                self.assertEqual(isoTime(seconds), text)
