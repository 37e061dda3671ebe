# -*- test-case-name: aero.tunnel.datagrams.test.test_sessions -*-
"""
Sessions of the relay: what everything that a client opens is counted by (relay.md section 5).

A C{/udp} WebSocket, a WebRTC connection and a reservation each are one session of one pool. A
session that was admitted by a token has the token's C{sid} as its key, and a key has one
session at a time, wherever that was opened. Whoever took a session gives it back the moment
that its connection ends: clients reopen at once.

What a session may send is counted here as well, because a WebRTC session may open its channel
again and again, and shares the limit towards the client with its L2 tunnel.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Final

from twisted.internet.interfaces import IDelayedCall

from aero.errors import Refused
from aero.fleet.claims import Claims, Held, granted
from aero.fleet.store import Claim
from aero.metrics import Metrics
from aero.metrics import relay as rows
from aero.policy.datagramlimits import Bucket, OutboundLimits, Violations
from aero.policy.quota import Slots, addressKey
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings

#: How often an id is drawn again that a session has already.
_TRIES: Final = 3

#: Seconds after which a client may ask again for a session that another one has.
_RETRY: Final = 1.0

#: Told why a session ends that its owner did not end; the owner then closes what it is for.
SessionClosed = Callable[[str], None]


class RelaySession:
    """
    One session.

    @ivar id: 32 hexadecimal digits for logs and for the client; never the key.
    @ivar key: What other sessions are excluded by; C{None} for none.
    @ivar address: The client's IP address, empty where it is not known.
    @ivar isLive: Whether it still counts.
    @ivar address: The client, as L{aero.policy.quota.addressKey} names it.
    @ivar outbound: What it may send; C{None} where there is no limit.
    @ivar towardsClient: Bytes a second towards its client; C{None} for no limit.
    """

    __slots__ = (
        "_closed",
        "_expiry",
        "_held",
        "_sessions",
        "_violations",
        "address",
        "id",
        "isLive",
        "key",
        "outbound",
        "towardsClient",
    )

    def __init__(
        self,
        sessions: RelaySessions,
        ident: str,
        key: str | None,
        closed: SessionClosed,
        settings: UDPSettings,
        now: float,
        address: str,
        held: Held | None = None,
    ) -> None:
        self._held = held
        self.id = ident
        self.key = key
        self.isLive = True
        self.outbound = _outboundLimits(settings, now)
        rate = settings.maxClientBPS
        self.towardsClient = Bucket(rate, now) if rate > 0 else None
        self._sessions = sessions
        self._closed = closed
        self.address = address
        self._expiry: IDelayedCall | None = None
        self._violations = Violations(settings.hardCloseAfter, settings.violationWindow)

    @property
    def isShared(self) -> bool:
        """
        Whether other processes have a say about it.
        """
        return self._held is not None

    async def confirmed(self) -> None:
        """
        Wait until the other processes of the server agree, where there are any.

        @raise Refused: 409: one of them has a session with this key. This one was given back.
        """
        if not await granted(self._held, self.release):
            raise self._sessions._isActive()

    def violated(self, now: float) -> None:
        """
        A rate or quota refused something of this session; too much of it ends the session.
        """
        if self.isLive and self._violations.add(now):
            self._sessions.events.inc("session_hard_closed")
            self.end("session closed")

    def end(self, reason: str) -> None:
        """
        Give it back and tell its owner, who did not ask for it.
        """
        if self.isLive:
            self.release()
            self._closed(reason)

    def release(self) -> None:
        """
        Give it back; once is enough.
        """
        if self.isLive:
            self.isLive = False
            if self._expiry is not None and self._expiry.active():
                self._expiry.cancel()
            self._sessions._released(self)
            if self._held is not None:
                self._held.release()


class RelaySessions:
    """
    The sessions of one process.

    @ivar events: The relay's events, for everything that a session does.
    """

    def __init__(
        self,
        settings: SignalSettings,
        udp: UDPSettings,
        *,
        clock: Any,
        metrics: Metrics,
        randomness: Callable[[int], bytes] = os.urandom,
        claims: Claims | None = None,
    ) -> None:
        """
        @param claims: Where keys are agreed about with other processes.
        @param clock: The reactor.
        @param randomness: Gives so many bytes that nobody can guess.
        """
        self.events = metrics.events(rows.EVENTS)
        self._limit = settings.maxRelaySessions
        self._ttl = settings.preallocationTTL
        self._lifetime = settings.maxRelaySessionTime
        self._claims = claims
        self._perAddress = Slots(settings.maxRelaySessionsPerIP)
        self._settings = udp
        self._clock = clock
        self._metrics = metrics
        self._gauge = metrics.gauge(rows.SESSIONS)
        self._randomness = randomness
        self._live: dict[str, RelaySession] = {}
        self._byKey: dict[str, RelaySession] = {}
        self._reserved: dict[str, IDelayedCall] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, ident: object) -> bool:
        return ident in self._live

    def take(
        self,
        key: str | None,
        closed: SessionClosed,
        *,
        address: str = "",
        reservation: str | None = None,
        isOpen: bool = True,
    ) -> RelaySession:
        """
        Begin a session. Where other processes have a say, L{RelaySession.confirmed} tells what
        they say.

        @param key: See L{RelaySession.key}.
        @param closed: Called when the session ends by itself.
        @param address: The client's IP address.
        @param reservation: The id of a reservation with the same key, whose place and id the
            session takes. One that is not there any more, or is somebody else's, counts for
            nothing.
        @param isOpen: Whether something is open for it. A reservation is known to this process
            only, and would be in the way of its own session in another one.
        @raise Refused: 409 where the key has a session, else 503 where there are too many.
        """
        ident = self._consume(key, reservation)
        if key is not None and key in self._byKey:
            raise self._isActive()
        if 0 < self._limit <= len(self._live):
            self.events.inc("too_many_sessions")
            self._refused("limit")
            raise Refused(503, "too_many_sessions", "too many sessions", retryAfter=_RETRY)
        ident = ident or self._newId()
        place = addressKey(address)
        if not self._perAddress.acquire(place):
            self.events.inc("too_many_sessions")
            self._refused("address")
            raise Refused(503, "too_many_sessions", "too many sessions", retryAfter=_RETRY)
        now = self._clock.seconds()
        held = None
        if self._claims is not None and key is not None and isOpen:
            held = self._claims.hold(Claim("relay.session.lock", key, 1))
        session = RelaySession(self, ident, key, closed, self._settings, now, place, held)
        if self._lifetime:
            session._expiry = self._clock.callLater(self._lifetime, session.end, "session expired")
        self._live[session.id] = session
        if key is not None:
            self._byKey[key] = session
        self._gauge.inc()
        return session

    def reserve(self, key: str | None, *, address: str = "") -> str:
        """
        Hold a session for a while.

        @param address: The client's IP address.
        @return: Its id.
        @raise Refused: See L{take}.
        """
        session = self.take(key, self._reservationEnded, address=address, isOpen=False)
        self._reserved[session.id] = self._clock.callLater(
            self._ttl, self._reservationExpired, session
        )
        return session.id

    def endKey(self, key: str, reason: str) -> None:
        """
        End the session of a key, if it has one.
        """
        session = self._byKey.get(key)
        if session is not None:
            call = self._reserved.pop(session.id, None)
            if call is not None:
                call.cancel()
            session.end(reason)

    def stop(self) -> None:
        """
        End every session.
        """
        for call in self._reserved.values():
            call.cancel()
        self._reserved.clear()
        for session in list(self._live.values()):
            session.end("server is shutting down")

    # -- private

    def _consume(self, key: str | None, reservation: str | None) -> str | None:
        """
        Make room for the session that a reservation was for.
        """
        session = self._live.get(reservation or "")
        if session is None or session.id not in self._reserved or session.key != key:
            return None
        self._reserved.pop(session.id).cancel()
        session.release()
        return session.id

    def _isActive(self) -> Refused:
        self._refused("active")
        return Refused(409, "session_already_active", "session already active", retryAfter=_RETRY)

    def _newId(self) -> str:
        for _ in range(_TRIES):
            ident = self._randomness(16).hex()
            if ident not in self._live:
                return ident
        raise RuntimeError("the system's randomness repeats itself")

    def _refused(self, reason: str) -> None:
        self._metrics.counter(rows.SESSIONS_REFUSED, reason).inc()

    def _reservationExpired(self, session: RelaySession) -> None:
        self._reserved.pop(session.id, None)
        session.release()

    def _reservationEnded(self, reason: str) -> None:
        """
        Nothing is open for a reservation.
        """
        for ident in [ident for ident in self._reserved if ident not in self._live]:
            self._reserved.pop(ident).cancel()

    def _released(self, session: RelaySession) -> None:
        self._live.pop(session.id, None)
        self._perAddress.release(session.address)
        if session.key is not None:
            self._byKey.pop(session.key, None)
        self._gauge.dec()


def _outboundLimits(settings: UDPSettings, now: float) -> OutboundLimits | None:
    limits = (
        settings.maxPPS,
        settings.maxBPS,
        settings.maxPPSPerDestination,
        settings.maxUniqueDestinations,
    )
    if not any(limits):
        return None
    return OutboundLimits(
        now,
        perSecond=settings.maxPPS,
        bytesPerSecond=settings.maxBPS,
        perDestination=settings.maxPPSPerDestination,
        uniqueDestinations=settings.maxUniqueDestinations,
        maxDestinations=settings.maxDestinationBuckets,
    )
