# -*- test-case-name: aero.web.test.test_relaytoken -*-
"""
Credentials for the UDP relay: as a part of every session, and anew from
C{POST /udp-relay/token} (gateway.md section 6).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Callable

from twisted.logger import Logger

from aero.auth.jwt import mintRelayToken
from aero.auth.sessions import Sessions
from aero.errors import Refused
from aero.http.bodies import MAX_IGNORED_BODY_BYTES, readBody
from aero.http.credentials import requireOrigin, requireSession
from aero.http.endpoint import Endpoint
from aero.http.replies import replyJSON
from aero.http.request import AeroRequest
from aero.metrics import Metrics, sessions
from aero.policy.quota import MakeBuckets, localBuckets
from aero.settings.relay import RelaySettings

#: Where the relay answers, below its own base URL (gateway.md section 6.1).
RELAY_ENDPOINTS = {
    "webrtcSignal": "/webrtc/signal",
    "webrtcOffer": "/webrtc/offer",
    "udp": "/udp",
    "webrtcIce": "/webrtc/ice",
}

#: Tokens a second for one session, and how many it may take at once (section 6.3, row 5).
TOKEN_RATE = 1.0
TOKEN_BURST = 5.0

#: The last millisecond of the year 9999, beyond which there is no date to write.
_LAST_MILLISECOND = 253_402_300_799_999


class RelayCredentials:
    """
    Gives clients what the relay asks them for.

    @ivar configured: Whether there is a relay to give credentials for.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self.configured = bool(settings.baseURL)

    def describe(self, sid: str, origin: str | None, now: float) -> dict[str, object]:
        """
        The C{udpRelay} object of a session: where the relay is, and a credential for it.
        """
        credential = self.issue(sid, origin, now)
        return {
            "baseUrl": self._settings.baseURL.removesuffix("/"),
            "authMode": credential.pop("authMode"),
            "endpoints": RELAY_ENDPOINTS,
            **credential,
        }

    def issue(self, sid: str, origin: str | None, now: float) -> dict[str, str]:
        """
        A credential.

        @param sid: The session it is for.
        @param origin: The normalised origin of the page, if the browser told.
        @param now: The current time in seconds.
        @return: The keys C{authMode}, and C{token} and C{expiresAt} unless the relay asks
            nobody for anything.
        """
        settings = self._settings
        if settings.authMode == "none":
            return {"authMode": "none"}
        if settings.authMode == "api_key":
            token, expires = settings.apiKey, now + settings.tokenTTL
        else:
            token, claims = mintRelayToken(
                settings.jwtSecret,
                sid,
                now=now,
                ttl=settings.tokenTTL,
                origin=origin,
                audience=settings.audience,
                issuer=settings.issuer,
            )
            expires = claims.expires
        return {"authMode": settings.authMode, "token": token, "expiresAt": isoTime(expires)}


class RelayTokenEndpoint(Endpoint):
    """
    C{POST /udp-relay/token}: a fresh credential for a page that has a session.

    The checks come in the order of gateway.md section 6.3, each with its own answer.
    """

    maxBodyBytes: int
    _log = Logger()

    def __init__(
        self,
        credentials: RelayCredentials,
        sessions: Sessions,
        metrics: Metrics,
        now: Callable[[], float],
        *,
        maxBodyBytes: int = MAX_IGNORED_BODY_BYTES,
        makeBuckets: MakeBuckets = localBuckets,
    ) -> None:
        """
        @param now: The current time in seconds since the epoch.
        """
        super().__init__()
        self._credentials = credentials
        self._sessions = sessions
        self._metrics = metrics
        self._now = now
        self.maxBodyBytes = maxBodyBytes
        self._buckets = makeBuckets("relay.token", TOKEN_RATE, TOKEN_BURST)

    def render_POST(self, request: AeroRequest) -> int:
        """
        Answer with a credential.
        """
        readBody(request, self.maxBodyBytes)
        try:
            credential = self._issue(request)
        except Refused as refused:
            self._count(refused.reason)
            raise
        self._count("ok")
        return replyJSON(request, 200, credential, headers=[(b"Cache-Control", b"no-store")])

    def _issue(self, request: AeroRequest) -> dict[str, str]:
        if not self._credentials.configured:
            raise Refused(404, "not_found", "UDP relay not configured", reason="off")
        origin = requireOrigin(request)
        now = self._now()
        session = requireSession(request, self._sessions, now)
        wait = self._buckets.take(session.sid, now)
        if wait:
            raise Refused(
                429, "too_many_requests", "Rate limit exceeded", reason="rate", retryAfter=wait
            )
        try:
            return self._credentials.issue(session.sid, origin, now)
        except Exception:  # noqa: BLE001
            self._log.failure("A relay token could not be minted")
            raise Refused(
                500, "internal_error", "Failed to mint UDP relay token", reason="error"
            ) from None

    def _count(self, result: str) -> None:
        self._metrics.counter(sessions.RELAY_TOKENS, result).inc()


def isoTime(seconds: float) -> str:
    """
    A time in UTC with milliseconds, as C{2026-11-23T13:43:14.655Z}.
    """
    milliseconds = min(math.floor(seconds * 1000), _LAST_MILLISECOND)
    whole, rest = divmod(milliseconds, 1000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:03d}Z"
