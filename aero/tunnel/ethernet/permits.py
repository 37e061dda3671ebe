# -*- test-case-name: aero.tunnel.ethernet.test.test_permits -*-
"""
How many tunnels a client address, the process and a session may have at once (l2.md section 5,
rows 12 to 14).
"""

from __future__ import annotations

from aero.errors import Refused
from aero.fleet.claims import Claims, Held, granted
from aero.fleet.store import Claim
from aero.metrics import CounterRow, Metrics
from aero.metrics import l2 as rows
from aero.policy.quota import Slots, addressKey
from aero.settings.l2 import L2Settings

#: Seconds after which a client may ask again: nobody knows when a permit is given back.
RETRY = 1.0


class Permit:
    """
    The right to one tunnel.
    """

    __slots__ = ("_held", "_key", "_permits", "_sid")

    def __init__(
        self, permits: TunnelPermits, key: str, sid: str | None, held: Held | None
    ) -> None:
        self._permits: TunnelPermits | None = permits
        self._key = key
        self._sid = sid
        self._held = held

    @property
    def isShared(self) -> bool:
        """
        Whether other processes have a say.
        """
        return self._held is not None

    async def confirmed(self) -> None:
        """
        Wait until the other processes of the server agree, where there are any.

        @raise Refused: They do not; the permit was given back.
        """
        permits = self._permits
        if not await granted(self._held, self.release) and permits is not None:
            raise permits._refusedElsewhere(self._sid)

    def release(self) -> None:
        """
        Give it back; once is enough.
        """
        permits, self._permits = self._permits, None
        if permits is not None:
            permits._release(self._key, self._sid)
        if self._held is not None:
            self._held.release()


class TunnelPermits:
    """
    All permits.
    """

    def __init__(
        self, settings: L2Settings, metrics: Metrics, claims: Claims | None = None
    ) -> None:
        """
        @param claims: Where permits for addresses and sessions are agreed about with other
            processes; the limit of the process is of this process.
        """
        self._limits = settings.maxConnectionsPerIP, settings.maxConnectionsPerSession
        self._claims = claims
        self._byAddress = Slots(settings.maxConnectionsPerIP)
        self._all = Slots(settings.maxConnections)
        self._bySession = Slots(settings.maxConnectionsPerSession)
        self._metrics = metrics

    def acquire(self, address: str, sid: str | None) -> Permit:
        """
        Take a permit, or nothing at all.

        @param address: The client's IP address; IPv6 ones share the permits of their /64.
        @param sid: The session; without one nothing is counted for it.
        @raise Refused: 429, with the reason C{ip}, C{process} or C{session}.
        """
        key = addressKey(address)
        if not self._byAddress.acquire(key):
            self._count(rows.REJECT_PER_IP)
            raise _refused("max connections per ip exceeded", "ip")
        if not self._all.acquire(""):
            self._byAddress.release(key)
            self._count(rows.REJECT_MAX_CONNECTIONS)
            raise _refused("max connections exceeded", "process")
        if sid is not None and not self._bySession.acquire(sid):
            self._byAddress.release(key)
            self._all.release("")
            raise self._refusedForSession()
        held = None
        if self._claims is not None:
            ofAddress, ofSession = self._limits
            held = self._claims.hold(
                Claim("l2.address", key, ofAddress),
                Claim("l2.session", sid or "", ofSession if sid is not None else 0),
            )
        return Permit(self, key, sid, held)

    @property
    def held(self) -> int:
        """
        How many there are now.
        """
        return self._all.held("")

    def _refusedForSession(self) -> Refused:
        self._count(
            rows.REJECT_PER_SESSION,
            rows.REJECT_MAX_TUNNELS_PER_SESSION,
            rows.SESSION_DENIED,
        )
        return _refused("quota_connections: max connections per session exceeded", "session")

    def _refusedElsewhere(self, sid: str | None) -> Refused:
        """
        Which of the limits it was matters little to the client; a session's is the usual one.
        """
        if sid is not None and self._limits[1] > 0:
            return self._refusedForSession()
        self._count(rows.REJECT_PER_IP)
        return _refused("max connections per ip exceeded", "ip")

    def _release(self, key: str, sid: str | None) -> None:
        self._byAddress.release(key)
        self._all.release("")
        if sid is not None:
            self._bySession.release(sid)

    def _count(self, *counters: CounterRow) -> None:
        for row in (rows.UPGRADE_REJECTED, *counters):
            self._metrics.counter(row).inc()


def _refused(body: str, reason: str) -> Refused:
    return Refused(429, "too_many_requests", body, reason=reason, retryAfter=RETRY)
