# -*- test-case-name: aero.tunnel.test.test_slots -*-
"""
How many connections to targets a session, and a client address, may have at once.

C{/tcp} and C{/tcp-mux} share the count (gateway.md sections 12.3 and 13.6).
"""

from __future__ import annotations

from aero.fleet.claims import Claims, Held, granted
from aero.fleet.store import Claim
from aero.metrics import Metrics
from aero.metrics import tcp as rows
from aero.policy.budget import Budget
from aero.policy.quota import Slots, addressKey
from aero.settings.tcp import TCPSettings


class Lease:
    """
    One slot that is held.
    """

    __slots__ = ("_held", "_ip", "_sid", "_slots")

    def __init__(self, slots: TunnelSlots, sid: str, ip: str, held: Held | None) -> None:
        self._slots: TunnelSlots | None = slots
        self._sid = sid
        self._ip = ip
        self._held = held

    async def confirmed(self) -> bool:
        """
        Wait until the other processes of the server agree, where there are any.

        @return: Whether it is held; if not, it was given back.
        """
        return await granted(self._held, self.release)

    def release(self) -> None:
        """
        Give it back; once is enough.
        """
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._release(self._sid, self._ip)
        if self._held is not None:
            self._held.release()


class TunnelSlots:
    """
    The slots of all sessions.
    """

    def __init__(
        self,
        settings: TCPSettings,
        metrics: Metrics,
        claims: Claims | None = None,
        sockets: Budget | None = None,
    ) -> None:
        """
        @param claims: Where slots are agreed about with other processes.
        @param sockets: The sockets that all clients share.
        """
        self._sockets = Budget(0) if sockets is None else sockets
        self._limits = settings.maxConnections, settings.maxConnectionsPerIP
        self._claims = claims
        self._bySession = Slots(settings.maxConnections)
        self._byAddress = Slots(settings.maxConnectionsPerIP)
        self._metrics = metrics

    def acquire(self, sid: str, ip: str) -> Lease | None:
        """
        Take a slot. Where other processes have a say, L{Lease.confirmed} tells what they say.

        @param sid: The session.
        @param ip: The effective client address.
        @return: C{None} when either of them has its share, or there are no more sockets.
        """
        key = addressKey(ip)
        if not self._bySession.acquire(sid):
            self._metrics.counter(rows.TCP_SLOTS_REFUSED, "session").inc()
            return None
        if not self._byAddress.acquire(key):
            self._bySession.release(sid)
            self._metrics.counter(rows.TCP_SLOTS_REFUSED, "address").inc()
            return None
        if not self._sockets.take(key, 1):
            self._bySession.release(sid)
            self._byAddress.release(key)
            self._metrics.counter(rows.TCP_SLOTS_REFUSED, "sockets").inc()
            return None
        held = None
        if self._claims is not None:
            ofSession, ofAddress = self._limits
            held = self._claims.hold(
                Claim("tcp.session", sid, ofSession), Claim("tcp.address", key, ofAddress)
            )
        return Lease(self, sid, key, held)

    def held(self, sid: str) -> int:
        """
        How many slots a session holds.
        """
        return self._bySession.held(sid)

    def _release(self, sid: str, key: str) -> None:
        self._sockets.add(key, -1)
        self._bySession.release(sid)
        self._byAddress.release(key)
