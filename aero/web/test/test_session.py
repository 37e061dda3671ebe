"""
Tests for L{aero.web.session}.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from aero.auth.jwt import verifyRelayToken
from aero.auth.revocations import Revocations
from aero.auth.sessions import Sessions
from aero.http.router import Router
from aero.metrics import ROWS, Metrics, sessions
from aero.policy.clientaddress import ClientAddresses
from aero.settings.dns import DNSSettings
from aero.settings.l2 import L2Settings
from aero.settings.relay import RelaySettings
from aero.settings.session import SessionSettings
from aero.settings.tcp import TCPSettings
from aero.testing.web import WebClient, WebResponse
from aero.web.relaytoken import RelayCredentials
from aero.web.session import SessionEndpoint

#: A moment with milliseconds, in seconds since 1970.
NOW = 1_700_000_000.655

JSON_TYPE = {b"Content-Type": b"application/json"}

RELAY_URL = "https://relay.example/prefix"


def cookieOf(response: WebResponse) -> bytes:
    """
    The session cookie of a response, as a browser sends it back.
    """
    line = response.header(b"Set-Cookie")
    assert line is not None
    return line.partition(b";")[0]


class SessionEndpointTests(SynchronousTestCase):
    """
    Tests for L{SessionEndpoint}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.metrics = Metrics(ROWS)
        self.revoked = Revocations()
        self.sessions = Sessions(["secret"], 86_400, "Lax", self.revoked)

    def makeClient(
        self,
        *,
        base: str = "/",
        settings: SessionSettings | None = None,
        relay: RelaySettings | None = None,
        credentials: RelayCredentials | None = None,
        trust: bool = False,
        **changes: Any,
    ) -> WebClient:
        """
        A client of a site with one endpoint, all settings at their defaults but for changes.
        """
        settings = SessionSettings() if settings is None else settings
        if settings.sameSite != "Lax":
            self.sessions = Sessions(["secret"], settings.ttl, settings.sameSite)
        router = Router(base=base)
        endpoint = SessionEndpoint(
            self.sessions,
            self.metrics,
            self.clock.seconds,
            settings=settings,
            tcp=changes.pop("tcp", TCPSettings()),
            dns=DNSSettings(),
            l2=changes.pop("l2", L2Settings()),
            relay=RelaySettings() if relay is None else relay,
            credentials=credentials,
            base=base,
            **changes,
        )
        router.addResource("/session", endpoint)
        return WebClient(
            router,
            clock=self.clock,
            metrics=self.metrics,
            clientAddresses=ClientAddresses(trust=trust, networks=(), terminatesTLS=False),
        )

    def test_description(self) -> None:
        """
        A new session is a 201 that nobody may store, with everything a client has to know, in
        the order of the specification.
        """
        response = self.makeClient().request(b"POST", "/session")
        self.assertEqual(response.status, 201)
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        self.assertEqual(
            response.text(),
            '{"session":{"expiresAt":"2023-11-15T22:13:20.655Z"},'
            '"endpoints":{"tcp":"/tcp","dnsQuery":"/dns-query","tcpMux":"/tcp-mux",'
            '"dnsJson":"/dns-json","l2":"/l2","udpRelayToken":"/udp-relay/token"},'
            '"limits":{"tcp":{"maxConnections":64,"maxMessageBytes":1048576,'
            '"connectTimeoutMs":10000,"idleTimeoutMs":300000},'
            '"dns":{"maxQueryBytes":4096},'
            '"l2":{"maxFramePayloadBytes":2048,"maxControlPayloadBytes":256}}}',
        )

    def test_services(self) -> None:
        """
        The client is told which roles the process runs.
        """
        client = self.makeClient(services=("edge", "gateway"))
        value = client.request(b"POST", "/session").json()
        self.assertEqual(value["services"], ["edge", "gateway"])

    def test_limits(self) -> None:
        """
        Limits that the operator set are the ones that clients are told.
        """
        client = self.makeClient(
            l2=L2Settings(maxFramePayload=9_000, maxControlPayload=321),
            tcp=TCPSettings(maxConnections=3, connectTimeout=0.25, idleTimeout=1.001),
        )
        limits = client.request(b"POST", "/session").json()["limits"]
        self.assertEqual(
            limits["l2"], {"maxFramePayloadBytes": 9_000, "maxControlPayloadBytes": 321}
        )
        self.assertEqual(
            limits["tcp"],
            {
                "maxConnections": 3,
                "maxMessageBytes": 1_048_576,
                "connectTimeoutMs": 250,
                "idleTimeoutMs": 1_001,
            },
        )

    def test_base(self) -> None:
        """
        Both spellings of the path are answered, and both tell paths under the base.
        """
        client = self.makeClient(base="/base")
        for target in ("/session", "/base/session"):
            endpoints = client.request(b"POST", target).json()["endpoints"]
            self.assertEqual((endpoints["l2"], endpoints["tcp"]), ("/base/l2", "/base/tcp"))

    def test_cookie(self) -> None:
        """
        The cookie has the attributes of the specification in their order, and holds a session
        that ends with the whole second.
        """
        response = self.makeClient().request(b"POST", "/session")
        cookie, _, attributes = (response.header(b"Set-Cookie") or b"").partition(b"; ")
        self.assertEqual(attributes, b"Max-Age=86400; Path=/; HttpOnly; SameSite=Lax")
        session = self.sessions.fromCookies([cookie], NOW)
        assert session is not None
        self.assertEqual(session.expires, 1_700_086_400)

    def test_secure(self) -> None:
        """
        The cookie is C{Secure} over TLS, or where a trusted proxy says that it was TLS.
        """
        proto = {b"X-Forwarded-Proto": b" HTTPS , http"}
        for trust, secure, headers, expected in (
            (False, True, {}, True),
            (False, False, proto, False),
            (True, False, proto, True),
            (True, False, {b"X-Forwarded-Proto": b"http"}, False),
        ):
            with self.subTest((trust, secure, headers)):
                client = self.makeClient(trust=trust)
                for method in (b"POST", b"GET"):
                    response = client.request(method, "/session", headers, secure=secure)
                    line = response.header(b"Set-Cookie") or b""
                    self.assertEqual(line.endswith(b"; Secure"), expected)

    def test_renewal(self) -> None:
        """
        Who brings a valid cookie keeps the session and gets a later end.
        """
        client = self.makeClient()
        first = cookieOf(client.request(b"POST", "/session"))
        self.clock.advance(1_000)
        second = cookieOf(client.request(b"POST", "/session", {b"Cookie": b"x=y; " + first}))
        before = self.sessions.fromCookies([first], NOW)
        after = self.sessions.fromCookies([second], NOW)
        assert before is not None and after is not None
        self.assertEqual((before.sid, before.expires + 1_000), (after.sid, after.expires))
        self.assertEqual(self.metrics.value(sessions.SESSIONS_CREATED), 1)
        self.assertEqual(self.metrics.value(sessions.SESSIONS_RENEWED), 1)

    def test_notRenewed(self) -> None:
        """
        An expired, forged or revoked cookie begins a new session.
        """
        client = self.makeClient()
        first = cookieOf(client.request(b"POST", "/session"))
        old = self.sessions.fromCookies([first], NOW)
        assert old is not None
        self.revoked.revoke(old.sid, NOW + 500_000, NOW)
        forged = Sessions(["other"], 86_400, "Lax").renew(None, NOW, False)[1].partition(b";")[0]
        for cookie in (first, forged, b"aero_session="):
            with self.subTest(cookie):
                response = client.request(b"POST", "/session", {b"Cookie": cookie})
                new = self.sessions.fromCookies([cookieOf(response)], NOW)
                assert new is not None
                self.assertNotEqual(new.sid, old.sid)
        self.assertEqual(self.metrics.value(sessions.SESSIONS_CREATED), 4)

    def test_get(self) -> None:
        """
        C{GET} and C{HEAD} set the cookie too, and nobody may store that.
        """
        client = self.makeClient()
        response = client.request(b"GET", "/session")
        self.assertEqual((response.status, response.json()), (200, {"ok": True}))
        for one in (response, client.request(b"HEAD", "/session")):
            self.assertEqual(one.header(b"Cache-Control"), b"no-store")
            self.assertIsNotNone(self.sessions.fromCookies([cookieOf(one)], NOW))

    def test_goodBodies(self) -> None:
        """
        No body, any JSON object, and a DNS message are fine.
        """
        client = self.makeClient()
        for headers, body in (
            ({}, b""),
            (JSON_TYPE, b"{}"),
            (JSON_TYPE, b'{"anything":[1]}'),
            ({b"Content-Type": b"application/dns-message"}, b"\0"),
        ):
            with self.subTest(body):
                self.assertEqual(client.request(b"POST", "/session", headers, body).status, 201)

    def test_badBodies(self) -> None:
        """
        Any other body is refused, sets no cookie, and is counted.
        """
        client = self.makeClient()
        text = {b"Content-Type": b"text/plain"}
        attempts = [
            (JSON_TYPE, b"[]", 400),
            (JSON_TYPE, b'"x"', 400),
            (JSON_TYPE, b"1", 400),
            (JSON_TYPE, b"null", 400),
            (JSON_TYPE, b"", 400),
            (JSON_TYPE, b"{", 400),
            (text, b"{}", 400),
            (text, b"", 400),
            ({b"Content-Type": b"text/html"}, b"x", 415),
        ]
        for headers, body, status in attempts:
            with self.subTest(body):
                response = client.request(b"POST", "/session", headers, body)
                self.assertEqual(response.error()[0], status)
                self.assertIsNone(response.header(b"Set-Cookie"))
        refused = self.metrics.value(sessions.SESSIONS_REFUSED, "body")
        self.assertEqual(refused, len(attempts))
        message = client.request(b"POST", "/session", JSON_TYPE, b"[]").json()["message"]
        self.assertEqual(message, "Request body must be a JSON object")

    def test_largeBody(self) -> None:
        """
        A body that is larger than anything a client has to say is a 413, before it is read.
        """
        client = self.makeClient(base="/base")
        fits = b"{" + b" " * 65_534 + b"}"
        self.assertEqual(client.request(b"POST", "/session", JSON_TYPE, fits).status, 201)
        for target in ("/session", "/base/session"):
            exchange = client.start(b"POST", target, {**JSON_TYPE, b"Content-Length": b"65537"})
            self.assertEqual(exchange.response().error(), (413, "payload_too_large"))

    def test_newSessionsLimited(self) -> None:
        """
        One address may begin so many sessions a minute and is then told when to come back;
        renewing is never refused, nor is another address.
        """
        client = self.makeClient(settings=SessionSettings(newPerMinutePerIP=2))
        cookie = cookieOf(client.request(b"POST", "/session"))
        self.assertEqual(client.request(b"GET", "/session").status, 200)
        for method in (b"POST", b"GET"):
            limited = client.request(method, "/session", peer="::ffff:192.0.2.7")
            self.assertEqual(limited.error(), (429, "too_many_requests"))
            self.assertEqual(limited.header(b"Retry-After"), b"30")
            self.assertIsNone(limited.header(b"Set-Cookie"))
        for _ in range(5):
            renewed = client.request(b"POST", "/session", {b"Cookie": cookie})
            self.assertEqual(renewed.status, 201)
        self.assertEqual(client.request(b"POST", "/session", peer="192.0.2.8").status, 201)
        self.assertEqual(self.metrics.value(sessions.SESSIONS_REFUSED, "rate"), 2)
        self.clock.advance(30)
        self.assertEqual(client.request(b"POST", "/session").status, 201)

    def test_unlimited(self) -> None:
        """
        Zero is no limit on new sessions.
        """
        client = self.makeClient(settings=SessionSettings(newPerMinutePerIP=0))
        for _ in range(200):
            self.assertEqual(client.request(b"GET", "/session").status, 200)

    def test_sameSiteNone(self) -> None:
        """
        C{SameSite=None} without TLS works, and is warned of once.
        """
        warnings: list[LogEvent] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_level") is LogLevel.warn:
                warnings.append(event)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        client = self.makeClient(settings=SessionSettings(sameSite="None"))
        client.request(b"POST", "/session", secure=True)
        self.assertEqual(warnings, [])
        for _ in range(3):
            response = client.request(b"POST", "/session")
            self.assertIn(b"SameSite=None", response.header(b"Set-Cookie") or b"")
        self.assertEqual(len(warnings), 1)

    def test_ended(self) -> None:
        """
        C{DELETE} ends the session in all its cookies and makes the browser forget it; what the
        cookie names from then on is a new session.
        """
        client = self.makeClient()
        cookie = cookieOf(client.request(b"POST", "/session"))
        session = self.sessions.fromCookies([cookie], NOW)
        assert session is not None
        response = client.request(b"DELETE", "/session", {b"Cookie": cookie})
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(response.header(b"Cache-Control"), b"no-store")
        self.assertEqual(
            response.header(b"Set-Cookie"),
            b"aero_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax",
        )
        self.assertIsNone(self.sessions.fromCookies([cookie], NOW))
        again = cookieOf(client.request(b"POST", "/session", {b"Cookie": cookie}))
        renewed = self.sessions.fromCookies([again], NOW)
        assert renewed is not None
        self.assertNotEqual(renewed.sid, session.sid)
        self.assertEqual(self.metrics.value(sessions.SESSIONS_ENDED, "client"), 1)

    def test_nothingToEnd(self) -> None:
        """
        Without a session there is nothing to end, and that is no mistake.
        """
        client = self.makeClient()
        for headers in ({}, {b"Cookie": b"aero_session=old.cookie"}):
            self.assertEqual(client.request(b"DELETE", "/session", headers).status, 204)
        self.assertEqual(self.metrics.value(sessions.SESSIONS_ENDED, "client"), 0)

    def test_noRelay(self) -> None:
        """
        Without a relay there is no word of one.
        """
        self.assertNotIn("udpRelay", self.makeClient().request(b"POST", "/session").json())

    def test_relayOpen(self) -> None:
        """
        A relay that asks nobody for anything comes without a token. Its scheme is kept.
        """
        for url in (RELAY_URL, "ws://relay.example", "wss://relay.example"):
            client = self.makeClient(relay=RelaySettings(baseURL=url))
            self.assertEqual(
                client.request(b"POST", "/session").json()["udpRelay"],
                {
                    "baseUrl": url,
                    "authMode": "none",
                    "endpoints": {
                        "webrtcSignal": "/webrtc/signal",
                        "webrtcOffer": "/webrtc/offer",
                        "udp": "/udp",
                        "webrtcIce": "/webrtc/ice",
                    },
                },
            )

    def test_relayKey(self) -> None:
        """
        With C{api_key} the token is the key.
        """
        relay = RelaySettings(baseURL=RELAY_URL, authMode="api_key", apiKey="key")
        value = self.makeClient(relay=relay).request(b"POST", "/session").json()["udpRelay"]
        self.assertEqual((value["authMode"], value["token"]), ("api_key", "key"))
        self.assertEqual(value["expiresAt"], "2023-11-14T22:18:20.655Z")

    def test_relayToken(self) -> None:
        """
        With C{jwt} the token is for the very session of the cookie, the page's origin and the
        configured relay, and ends when the answer says.
        """
        relay = RelaySettings(
            baseURL=RELAY_URL,
            authMode="jwt",
            jwtSecret="relay secret",
            tokenTTL=60,
            audience="udp",
            issuer="aero",
        )
        client = self.makeClient(base="/base", relay=relay)
        response = client.request(b"POST", "/session", {b"Origin": b"HTTP://LocalHost:80"})
        value = response.json()["udpRelay"]
        claims = verifyRelayToken("relay secret", value["token"], NOW)
        session = self.sessions.fromCookies([cookieOf(response)], NOW)
        assert claims is not None and session is not None
        self.assertEqual(claims.sid, session.sid)
        self.assertEqual(
            (claims.origin, claims.audience, claims.issuer), ("http://localhost", "udp", "aero")
        )
        self.assertEqual(claims.expires - claims.issued, 60)
        ends = datetime.fromisoformat(value["expiresAt"]).timestamp()
        self.assertEqual(ends, claims.expires)
        self.assertEqual(value["endpoints"]["udp"], "/udp")

    def test_relayFails(self) -> None:
        """
        A session is given even when its relay token cannot be made; the relay is left out.
        """
        # An empty key is what settings refuse to load.
        relay = RelaySettings(baseURL=RELAY_URL, authMode="jwt", jwtSecret="")
        response = self.makeClient(relay=relay).request(b"POST", "/session")
        self.assertEqual(response.status, 201)
        self.assertNotIn("udpRelay", response.json())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_largeTTL(self) -> None:
        """
        A session may outlive the calendar.
        """
        client = self.makeClient(settings=SessionSettings(ttl=10**15))
        value = json.loads(client.request(b"POST", "/session").body)
        self.assertEqual(value["session"]["expiresAt"], "9999-12-31T23:59:59.999Z")
