# -*- test-case-name: aero.http.test.test_connection -*-
"""
One client connection, and who is listening to it now.

A connection begins with nobody: over TLS it is known only after the handshake whether the
client speaks HTTP/1.1 or HTTP/2, and an HTTP/1.1 connection may be taken over by a WebSocket
later. L{Connection} stays the transport's protocol all that time, so the site can count it,
and binds the occupant's C{dataReceived} as its own, so there is no layer in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    ISSLTransport,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.metrics import http as rows

from .channel import Channel
from .door import Site
from .http2 import HTTP2Connection
from .request import AeroRequest

#: Seconds from its beginning that a connection is left alone by a site that drains: time for the
#: handshake and the first request of a client on the other side of the world.
NEWCOMER = 2.0


class Occupant(Protocol):
    """
    An HTTP implementation on a connection.
    """

    @property
    def dataReceived(self) -> Callable[[bytes], object]:
        """
        What takes the bytes that arrive.
        """

    def makeConnection(self, transport: ITransport) -> None:
        """
        The connection is there.
        """

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone.
        """

    def expire(self, now: float) -> None:
        """
        Close what has taken too long by now.
        """

    def drain(self) -> None:
        """
        Finish what is in progress and close.
        """


class ConnectionSite(Site[AeroRequest], Protocol):
    """
    A site as its connections use it.
    """

    def connectionOpened(self, connection: Connection) -> None:
        """
        A client connected.
        """

    def connectionClosed(self, connection: Connection) -> None:
        """
        A client is gone.
        """


@implementer(IProtocol, IHandshakeListener)
class Connection:
    """
    The protocol of one client's transport.
    """

    transport: Any = None
    _http: Occupant | None = None
    _occupant: Any = None
    _deadline = 0.0
    _opened = 0.0
    _leaving: IDelayedCall | None = None

    def __init__(self, site: ConnectionSite) -> None:
        self.site = site

    def makeConnection(self, transport: ITransport) -> None:
        """
        A client connected.
        """
        self.transport = transport
        self._opened = self.site.clock.seconds()
        self.connectionMade()

    def connectionMade(self) -> None:
        """
        A client connected; over TLS the handshake is still to come.
        """
        transport = self.transport
        self.site.connectionOpened(self)
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        if hasattr(getattr(transport, "factory", None), "handshakeTimeout"):
            # It bounds its handshake itself, by a setting of its own.
            self._deadline = math.inf
        else:
            self._deadline = self.site.clock.seconds() + self.site.settings.headerTimeout
        if ISSLTransport(transport, None) is None:
            self._begin()

    def handshakeCompleted(self) -> None:
        """
        The TLS handshake is done, so it is known which HTTP to speak.
        """
        if self._occupant is None:
            self._begin()

    def dataReceived(self, data: bytes) -> None:
        """
        The first bytes arrived on a transport that does not tell of its handshake.
        """
        self._begin()
        self._occupant.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client is gone.
        """
        self.site.connectionClosed(self)
        leaving, self._leaving = self._leaving, None
        if leaving is not None and leaving.active():
            leaving.cancel()
        occupant, self._occupant, self._http = self._occupant, None, None
        # The bound method would keep the occupant, and the occupant this, alive.
        self.__dict__.pop("dataReceived", None)
        if occupant is not None:
            occupant.connectionLost(reason)

    def _begin(self) -> None:
        http: Occupant
        if getattr(self.transport, "negotiatedProtocol", None) == b"h2":
            self.site.metrics.counter(rows.PROTOCOLS, "h2").inc()
            http = HTTP2Connection(self.site)
        else:
            self.site.metrics.counter(rows.PROTOCOLS, "http/1.1").inc()
            http = Channel(self.site, self)
        self._http = http
        self.occupy(http)
        http.makeConnection(self.transport)

    def occupy(self, occupant: Any) -> None:
        """
        From now on the occupant gets what arrives, and is told of the end.

        @param occupant: An L{IProtocol}, which is not connected by this.
        """
        if occupant is not self._http:
            self._http = None
        self._occupant = occupant
        self.dataReceived = occupant.dataReceived  # type: ignore[method-assign]

    def expire(self, now: float) -> None:
        """
        Close what has taken too long by now.
        """
        if self._http is not None:
            self._http.expire(now)
        elif self._occupant is None and now >= self._deadline:
            self._deadline = math.inf
            self.site.timedOut("handshake")
            self.transport.abortConnection()

    def drain(self) -> None:
        """
        Finish what is in progress and close; whoever took the connection over does so itself. A
        client that has only just connected gets its answer first: it cannot know.
        """
        young = self._opened + NEWCOMER - self.site.clock.seconds()
        if young > 0:
            self._leaving = self.site.clock.callLater(young, self._drain)
        else:
            self._drain()

    def _drain(self) -> None:
        if self._http is not None:
            self._http.drain()
        elif self._occupant is None:
            self.transport.abortConnection()

    def abort(self) -> None:
        """
        Cut the connection.
        """
        self.transport.abortConnection()
