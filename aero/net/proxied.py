# -*- test-case-name: aero.net.test.test_proxied -*-
"""
Connections through proxies that say for whom they connect (L{aero.wire.proxyprotocol}).

L{ProxiedFactory} is the outermost factory of a listener, so that everything within counts, limits
and logs the client and not the proxy. Only who connects decides whether a header is read: from a
trusted network there has to be one, from anywhere else none is believed. Guessing by the first
bytes would let every stranger choose an address.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.errors import DecodeError
from aero.metrics import Metrics
from aero.metrics import http as rows
from aero.wire.proxyprotocol import PREFIX, SIGNATURE, parseProxyHeader


@implementer(IProtocolFactory)
class ProxiedFactory:
    """
    Reads the headers of trusted proxies, and gives each connection to the factory within under the
    address of its client.
    """

    def __init__(
        self,
        factory: IProtocolFactory,
        *,
        believes: Callable[[str], bool],
        required: bool,
        timeout: float,
        maxWaiting: int,
        metrics: Metrics,
        clock: IReactorTime,
    ) -> None:
        """
        @param believes: Whether the header of a peer with this address is to be read.
        @param required: Whether nobody else may connect.
        @param timeout: Seconds that a proxy has for its header.
        @param maxWaiting: Connections that may wait for their header at once; the factory within
            counts them from then on.
        """
        self.wrappedFactory = factory
        self.timeout = timeout
        self.clock = clock
        self.waiting = 0
        self._believes = believes
        self._required = required
        self._maxWaiting = maxWaiting
        self._metrics = metrics

    def doStart(self) -> None:
        """
        A listener starts.
        """
        self.wrappedFactory.doStart()

    def doStop(self) -> None:
        """
        A listener stopped.
        """
        self.wrappedFactory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """
        Accept a connection.

        @return: C{None} for one that may not connect; the listener then closes it.
        """
        if self._believes(getattr(addr, "host", None) or ""):
            if self.waiting < self._maxWaiting:
                return _Proxied(self)
            self.count("limit")
            return None
        if self._required:
            self.count("untrusted")
            return None
        protocol = self.wrappedFactory.buildProtocol(addr)  # type: ignore[arg-type]
        return None if protocol is None else _Direct(self, protocol)

    def count(self, outcome: str) -> None:
        """
        Count what became of a header.
        """
        self._metrics.counter(rows.PROXY_HEADERS, outcome).inc()


class _Layered(Protocol):
    """
    Passes everything on to a protocol within, once there is one, with nothing in between.
    """

    transport: Any
    inner: IProtocol | None = None

    def enter(self, inner: IProtocol) -> None:
        """
        Hand the connection to a protocol.
        """
        self.inner = inner
        self.dataReceived = inner.dataReceived  # type: ignore[method-assign]
        inner.makeConnection(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        inner, self.inner = self.inner, None
        # The bound method would keep both alive.
        self.__dict__.pop("dataReceived", None)
        if inner is not None:
            inner.connectionLost(reason)


class _Direct(_Layered):
    """
    A connection without a proxy. One that pretends to have one ends here.
    """

    def __init__(self, factory: ProxiedFactory, protocol: IProtocol) -> None:
        self._factory = factory
        self._protocol = protocol

    def connectionMade(self) -> None:
        """
        The protocol has the connection from the beginning, its timeouts included.
        """
        first = self._firstReceived
        self.enter(self._protocol)
        self.dataReceived = first  # type: ignore[method-assign]

    def _firstReceived(self, data: bytes) -> None:
        if data.startswith((PREFIX, SIGNATURE)):
            self._factory.count("untrusted")
            self.transport.abortConnection()
            return
        self.dataReceived = self._protocol.dataReceived  # type: ignore[method-assign]
        self._protocol.dataReceived(data)


class _Proxied(_Layered):
    """
    A connection of a trusted proxy.
    """

    def __init__(self, factory: ProxiedFactory) -> None:
        self._factory = factory
        self._buffer = b""
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        A proxy connected, and has a moment to say for whom.
        """
        self._factory.waiting += 1
        self._timer = self._factory.clock.callLater(self._factory.timeout, self._late)

    def dataReceived(self, data: bytes) -> None:
        """
        A part of the header.
        """
        if self._timer is None:
            return
        self._buffer += data
        try:
            header = parseProxyHeader(self._buffer)
        except DecodeError:
            self._refuse("malformed")
            return
        if header is None:
            return
        self._factory.count("local" if header.source is None else f"v{header.version}")
        rest, self._buffer = self._buffer[header.size :], b""
        self._headerRead()
        peer = self.transport.getPeer()
        if header.source is not None:
            peer = _tcpAddress(*header.source)
            # Everything within asks the transport who is there.
            self.transport.getPeer = lambda: peer
            self.transport.clientUsesTLS = header.secure
        inner = self._factory.wrappedFactory.buildProtocol(peer)
        if inner is None:
            self.transport.abortConnection()
            return
        self.enter(inner)
        if rest and self.inner is not None:
            inner.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The proxy is gone.
        """
        if self._timer is not None:
            self._headerRead()
            self._factory.count("closed")
        super().connectionLost(reason)

    def _headerRead(self) -> None:
        self._factory.waiting -= 1
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _late(self) -> None:
        self._refuse("timeout")

    def _refuse(self, outcome: str) -> None:
        self._headerRead()
        self._factory.count(outcome)
        self.transport.abortConnection()


def hasProxyTLS(transport: Any) -> bool:
    """
    Whether a proxy said of the client of a connection that it uses TLS.
    """
    return getattr(transport, "clientUsesTLS", False) is True


def _tcpAddress(host: str, port: int) -> IPv4Address | IPv6Address:
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)
