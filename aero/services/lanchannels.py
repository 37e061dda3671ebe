# -*- test-case-name: aero.services.test.test_lanchannels -*-
"""
The data channel C{l2} into the LANs of this process: the tunnel of C{/l2} with another carrier,
for the same clients (C{L2_BACKEND_WS_URL=internal}).

What decides is the authenticator of C{/l2}. It is shown what a backend behind the relay would be
shown: the cookies of the request that set the connection up, its origin, and the credential that
the relay admitted it with.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence
from urllib.parse import quote

from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.auth.l2modes import Credentials, Denied, L2Authenticator
from aero.errors import Refused
from aero.metrics import Events
from aero.tunnel.datagrams.peers import PeerRequest, TunnelCarrier
from aero.tunnel.datagrams.sessions import RelaySession
from aero.tunnel.ethernet.ends import TunnelPeer
from aero.tunnel.ethernet.permits import Permit, TunnelPermits
from aero.tunnel.ethernet.tunnel import L2Tunnel
from aero.tunnel.ethernet.tunnels import L2Tunnels


class LANChannels:
    """
    Opens tunnels. See L{aero.tunnel.datagrams.peers.TunnelOpener}.
    """

    _log = Logger(namespace="aero.l2")

    def __init__(
        self,
        tunnels: L2Tunnels,
        permits: TunnelPermits,
        authenticator: L2Authenticator,
        *,
        events: Events,
        now: Callable[[], float],
    ) -> None:
        """
        @param now: Gives the seconds since 1970.
        """
        self._tunnels = tunnels
        self._permits = permits
        self._authenticator = authenticator
        self._events = events
        self._now = now

    def openTunnel(
        self, session: RelaySession, request: PeerRequest, carrier: TunnelCarrier
    ) -> LANChannel | None:
        """
        See L{aero.tunnel.datagrams.peers.TunnelOpener}.
        """
        self._events.inc("l2_bridge_dials_total")
        found = self._authenticator.authenticate(credentials(request), self._now())
        if isinstance(found, Denied):
            self._refuse(session, found.reason)
            return None
        sid = None if found is None else found.sid
        try:
            permit = self._permits.acquire(request.address, sid)
        except Refused as refused:
            self._refuse(session, refused.reason)
            return None
        peer = TunnelPeer(request.address, sid, request.origin or None)
        return LANChannel(self._tunnels.buildTunnel(carrier, peer), permit)

    def _refuse(self, session: RelaySession, reason: str) -> None:
        self._events.inc("l2_bridge_dial_errors_total")
        self._log.warn(
            "a data channel gets no Ethernet ({reason})", reason=reason, session_id=session.id
        )


class LANChannel:
    """
    One tunnel and the permit for it. See L{aero.tunnel.datagrams.peers.Tunnel}.
    """

    def __init__(self, tunnel: L2Tunnel, permit: Permit) -> None:
        self._tunnel = tunnel
        self._permit = permit
        # Nothing stands between the channel and the tunnel where there are many.
        self.messagesReceived: Callable[[Sequence[bytes]], Any] = tunnel.messagesReceived
        self.pauseProducing = tunnel.pauseProducing
        self.resumeProducing = tunnel.resumeProducing
        tunnel.start()
        if permit.isShared:
            ensureDeferred(permit.confirmed()).addErrback(self._unconfirmed)

    def _unconfirmed(self, failure: Failure) -> None:
        """
        The session or the address has its share elsewhere.
        """
        self._tunnel.drain("quota_connections")

    def connectionLost(self, reason: str) -> None:
        """
        The channel is gone.
        """
        self._tunnel.connectionLost("lost")
        self._permit.release()


def credentials(request: PeerRequest) -> Credentials:
    """
    What the authenticator of C{/l2} is shown of a client of the relay.
    """
    origins = (request.origin.encode("utf-8"),) if request.origin else ()
    if not request.credential:
        return Credentials(cookies=request.cookies, origins=origins)
    value = quote(request.credential, safe="", errors="surrogateescape")
    return Credentials(
        cookies=request.cookies, query=f"token={value}&apiKey={value}", origins=origins
    )
