# -*- test-case-name: aero.tunnel.ethernet.test.test_tunnel -*-
"""
What the Ethernet tunnels of a process share, and which of them are open.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from aero.lan.peer import FramePort, GuestPeer
from aero.log import blurred
from aero.metrics import Metrics
from aero.metrics import l2 as rows
from aero.net.commons import Commons
from aero.settings.l2 import L2Settings

from .capture import Captures
from .counts import TunnelCounts
from .ends import LANPort, TunnelPeer, TunnelTransport
from .tunnel import L2Tunnel

_log = Logger(namespace="aero.l2")


class LANs(Protocol):
    """
    Makes LANs: L{aero.lan.factory.LANFactory}, or L{aero.testing.l2.MemoryLANs}.
    """

    def buildLAN(self, peer: GuestPeer, port: FramePort) -> LANPort:
        """
        Make the LAN of one guest.
        """


class L2Tunnels:
    """
    Makes tunnels, and ends them all when the process stops.

    @ivar open: The tunnels now.
    """

    def __init__(
        self,
        settings: L2Settings,
        lans: LANs,
        *,
        clock: IReactorTime,
        metrics: Metrics,
        captures: Captures,
        fullAddresses: bool = False,
        commons: Commons | None = None,
    ) -> None:
        """
        @param clock: The reactor.
        @param commons: What all clients share.
        @param fullAddresses: Whether client addresses are logged whole.
        """
        self.settings = settings
        self.clock = clock
        self.captures = captures
        self.commons = Commons(clock, metrics) if commons is None else commons
        self.counts = TunnelCounts(metrics)
        self.open: set[L2Tunnel] = set()
        self._lans = lans
        self._fullAddresses = fullAddresses
        self._number = 0
        self._idle: list[Deferred[None]] = []

    def buildTunnel(self, transport: TunnelTransport, peer: TunnelPeer) -> L2Tunnel:
        """
        Make the tunnel of a carrier that is open; L{L2Tunnel.start} begins.
        """
        return L2Tunnel(transport, self, peer)

    def drain(self) -> Deferred[Any]:
        """
        Close every tunnel.

        @return: Fires when the last one is gone and its capture written.
        """
        for tunnel in list(self.open):
            tunnel.drain()
        return DeferredList([self._whenIdle(), self.captures.whenIdle()])

    def endSession(self, sid: str) -> None:
        """
        Close the tunnels of a session that ended before its time, and reset their connections.
        """
        for tunnel in list(self.open):
            if tunnel.peer.session == sid:
                tunnel.revoke()

    # -- what tunnels call

    def nextNumber(self) -> int:
        """
        The number of a new tunnel.
        """
        self._number += 1
        return self._number

    def buildLAN(self, tunnel: L2Tunnel) -> LANPort:
        """
        Make the LAN of a tunnel.
        """
        peer = tunnel.peer
        guest = GuestPeer(str(tunnel.number), peer.address, peer.session, peer.origin)
        return self._lans.buildLAN(guest, tunnel)

    def opened(self, tunnel: L2Tunnel) -> None:
        """
        A tunnel began.
        """
        self.open.add(tunnel)
        self.counts.active.inc()
        self.counts.opened.inc()
        address = tunnel.peer.address
        _log.info(
            "session opened (tunnel {tunnel_id}, client {client_ip})",
            tunnel_id=tunnel.number,
            session_id=tunnel.peer.session or "",
            client_ip=address if self._fullAddresses else blurred(address),
        )

    def closed(self, tunnel: L2Tunnel, reason: str) -> None:
        """
        A tunnel ended.
        """
        if tunnel not in self.open:
            return
        self.open.discard(tunnel)
        self.counts.active.dec()
        self.counts.count(rows.CLOSED, reason)
        _log.info(
            "session closed (tunnel {tunnel_id}, {reason})",
            tunnel_id=tunnel.number,
            session_id=tunnel.peer.session or "",
            reason=reason,
        )
        if not self.open:
            waiting, self._idle = self._idle, []
            for waiter in waiting:
                waiter.callback(None)

    def _whenIdle(self) -> Deferred[None]:
        if not self.open:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._idle.append(waiter)
        return waiter
