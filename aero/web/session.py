# -*- test-case-name: aero.web.test.test_session -*-
"""
C{POST /session}: the session cookie, and everything a client has to know
(gateway.md sections 4.4, 5.5 and 5.6).
"""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from twisted.logger import Logger

from aero.auth.sessions import Session, Sessions
from aero.errors import Refused
from aero.http.bodies import DNS, MAX_IGNORED_BODY_BYTES, readBody
from aero.http.credentials import originOf, sessionOf
from aero.http.endpoint import Endpoint
from aero.http.replies import Header, replyEmpty, replyJSON
from aero.http.request import AeroRequest
from aero.metrics import Metrics, sessions
from aero.policy.quota import MakeBuckets, addressKey, localBuckets
from aero.settings.dns import DNSSettings
from aero.settings.l2 import L2Settings
from aero.settings.relay import RelaySettings
from aero.settings.session import SessionSettings
from aero.settings.tcp import TCPSettings

from .relaytoken import RelayCredentials, isoTime

#: What a session says never depends on anything but its moment.
_NO_STORE: list[Header] = [(b"Cache-Control", b"no-store")]


class SessionEndpoint(Endpoint):
    """
    C{POST /session} begins a session or renews the one of the cookie; C{GET /session} does
    the same for people who only want to see that it works. C{DELETE /session} ends it, in all
    its cookies, and closes its tunnels.

    A renewed session keeps its id. Only new ones are limited for each client address:
    they are what costs state elsewhere, and a page that renews must never be turned away.
    """

    maxBodyBytes: int
    _log = Logger()

    def __init__(
        self,
        sessions: Sessions,
        metrics: Metrics,
        now: Callable[[], float],
        *,
        settings: SessionSettings,
        tcp: TCPSettings,
        dns: DNSSettings,
        l2: L2Settings,
        relay: RelaySettings,
        credentials: RelayCredentials | None = None,
        services: Sequence[str] = (),
        datagrams: bool = True,
        base: str = "/",
        maxBodyBytes: int = MAX_IGNORED_BODY_BYTES,
        makeBuckets: MakeBuckets = localBuckets,
    ) -> None:
        """
        @param now: The current time in seconds since the epoch.
        @param credentials: Of the relay; made from its settings by default.
        @param services: The names of the roles that this process runs, as clients are told.
        @param datagrams: Whether the relay of this process lets any datagram through.
        @param base: The path of the public base URL, which all endpoints are told with.
        """
        super().__init__()
        self._sessions = sessions
        self._metrics = metrics
        self._now = now
        self._ttl = settings.ttl
        self._insecureWarning = settings.sameSite == "None"
        self._credentials = RelayCredentials(relay) if credentials is None else credentials
        self.maxBodyBytes = maxBodyBytes
        perMinute = settings.newPerMinutePerIP
        self._newSessions = makeBuckets("sessions", perMinute / 60, perMinute)
        self._endpoints = endpointPaths(base)
        self._limits: dict[str, Mapping[str, object]] = {**limits(tcp, dns, l2)}
        if not datagrams:
            self._limits["udp"] = {"destinations": "none"}
        self._services = list(services)

    def render_POST(self, request: AeroRequest) -> int:
        """
        Answer with the whole description.

        @raise Refused: 400 where the body is not what it should be; 429 where this address
            began too many sessions.
        """
        self._checkBody(request)
        now = self._now()
        session = self._renew(request, now)
        value: dict[str, object] = {
            "session": {"expiresAt": isoTime(now + self._ttl)},
            "endpoints": self._endpoints,
            "limits": self._limits,
        }
        if self._services:
            value["services"] = self._services
        if self._credentials.configured:
            try:
                value["udpRelay"] = self._credentials.describe(session.sid, originOf(request), now)
            except Exception:  # noqa: BLE001
                # The session itself is worth having without the relay.
                self._log.failure("Relay credentials could not be made for a session")
        return replyJSON(request, 201, value, headers=_NO_STORE)

    def render_GET(self, request: AeroRequest) -> int:
        """
        Answer C{{"ok": true}}, with the cookie.
        """
        self._renew(request, self._now())
        return replyJSON(request, 200, {"ok": True}, headers=_NO_STORE)

    def render_DELETE(self, request: AeroRequest) -> int:
        """
        End the session of the cookie, if there is one, and have the browser forget it.
        """
        now = self._now()
        session = sessionOf(request, self._sessions, now)
        if session is not None:
            self._sessions.end(session.sid, now)
            self._metrics.counter(sessions.SESSIONS_ENDED, "client").inc()
        cookie = self._sessions.forgetting(request.client.secure)
        return replyEmpty(request, headers=[*_NO_STORE, (b"Set-Cookie", cookie)])

    def _checkBody(self, request: AeroRequest) -> None:
        try:
            body = readBody(request, self.maxBodyBytes)
            if body.type not in (None, DNS) and not isinstance(body.value, dict):
                raise Refused(
                    400, "bad_request", "Request body must be a JSON object", reason="body"
                )
        except Refused as refused:
            self._count(refused.reason)
            raise

    def _renew(self, request: AeroRequest, now: float) -> Session:
        """
        Begin or renew the session of a request, and set its cookie.
        """
        client = request.client
        current = sessionOf(request, self._sessions, now)
        if current is None:
            wait = self._newSessions.take(addressKey(client.ip), now)
            if wait:
                self._count("rate")
                raise Refused(
                    429,
                    "too_many_requests",
                    "Too many new sessions",
                    reason="rate",
                    retryAfter=wait,
                )
        session, cookie = self._sessions.renew(current, now, client.secure)
        row = sessions.SESSIONS_CREATED if current is None else sessions.SESSIONS_RENEWED
        self._metrics.counter(row).inc()
        if self._insecureWarning and not client.secure:
            self._insecureWarning = False
            self._log.warn(
                "SESSION_COOKIE_SAMESITE=None without TLS: browsers refuse that session cookie"
            )
        request.responseHeaders.addRawHeader(b"Set-Cookie", cookie)
        return session

    def _count(self, reason: str) -> None:
        self._metrics.counter(sessions.SESSIONS_REFUSED, reason).inc()


def endpointPaths(base: str) -> dict[str, str]:
    """
    Where the services of a site are, with the path of its base URL.
    """
    prefix = base.rstrip("/")
    return {
        "tcp": f"{prefix}/tcp",
        "dnsQuery": f"{prefix}/dns-query",
        "tcpMux": f"{prefix}/tcp-mux",
        "dnsJson": f"{prefix}/dns-json",
        "l2": f"{prefix}/l2",
        "udpRelayToken": f"{prefix}/udp-relay/token",
    }


def limits(tcp: TCPSettings, dns: DNSSettings, l2: L2Settings) -> dict[str, dict[str, int]]:
    """
    The limits that a client keeps to, in the units of their names.
    """
    return {
        "tcp": {
            "maxConnections": tcp.maxConnections,
            "maxMessageBytes": tcp.maxMessageBytes,
            "connectTimeoutMs": round(tcp.connectTimeout * 1000),
            "idleTimeoutMs": round(tcp.idleTimeout * 1000),
        },
        "dns": {"maxQueryBytes": dns.maxQueryBytes},
        "l2": {
            "maxFramePayloadBytes": l2.maxFramePayload,
            "maxControlPayloadBytes": l2.maxControlPayload,
        },
    }
