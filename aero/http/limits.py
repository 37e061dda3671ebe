# -*- test-case-name: aero.http.test.test_limits -*-
"""
How many connections there may be.

One L{ConnectionLimits} is shared by all listeners. Its L{LimitedFactory} is the outermost
factory of a listener, outside TLS, so that a connection too many is closed when it is accepted
and costs no handshake.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.metrics import Metrics
from aero.metrics import http as rows
from aero.policy.quota import Slots, addressKey
from aero.settings.http import HTTPSettings

_log = Logger()


class ConnectionLimits:
    """
    The connections that all listeners hold together.

    @ivar open: How many there are.
    """

    def __init__(
        self,
        settings: HTTPSettings,
        metrics: Metrics,
        changed: Callable[[int], object] = lambda open: None,
    ) -> None:
        """
        @param changed: Called with the number of connections after each change.
        """
        self.open = 0
        self._changed = changed
        self._most = settings.maxConnections
        self._perAddress = (
            Slots(settings.maxConnectionsPerIP) if settings.maxConnectionsPerIP else None
        )
        self._metrics = metrics

    def wrap(self, factory: IProtocolFactory, listener: str) -> LimitedFactory:
        """
        Make a factory whose connections count.

        @param factory: The factory of a listener, the one that speaks TLS if it does.
        @param listener: Its name for metrics, such as C{https}.
        """
        return LimitedFactory(self, factory, self._metrics.gauge(rows.CONNECTIONS, listener))

    def admit(self, key: str | None) -> bool:
        """
        Take the slot of a new connection.

        @param key: What is counted as one client; C{None} where there is no address.
        @return: Whether there was one.
        """
        if self.open >= self._most:
            self._metrics.counter(rows.CONNECTIONS_REFUSED, "total").inc()
            return False
        if self._perAddress is not None and key is not None and not self._perAddress.acquire(key):
            self._metrics.counter(rows.CONNECTIONS_REFUSED, "address").inc()
            return False
        self.open += 1
        self._changed(self.open)
        return True

    def release(self, key: str | None) -> None:
        """
        Give the slot back.
        """
        self.open -= 1
        self._changed(self.open)
        if self._perAddress is not None and key is not None:
            self._perAddress.release(key)


@implementer(IProtocolFactory)
class LimitedFactory:
    """
    A factory that accepts no more connections than there may be.
    """

    def __init__(self, limits: ConnectionLimits, factory: IProtocolFactory, gauge: Any) -> None:
        self.limits = limits
        self.wrappedFactory = factory
        self.gauge = gauge

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

        @return: C{None} where it is one too many; the listener then closes it.
        """
        host = getattr(addr, "host", None)
        key = addressKey(host) if host else None
        if not self.limits.admit(key):
            return None
        try:
            protocol = self.wrappedFactory.buildProtocol(addr)  # type: ignore[arg-type]
        except Exception:
            self.limits.release(key)
            raise
        if protocol is None:
            self.limits.release(key)
            return None
        self.gauge.inc()
        return Counted(self, key, protocol)


@implementer(IProtocol)
class Counted:
    """
    The protocol of one counted connection: everything is the wrapped one's business but the
    end, which frees the slot.
    """

    transport: Any = None

    def __init__(self, factory: LimitedFactory, key: str | None, protocol: IProtocol) -> None:
        self._factory = factory
        self._key = key
        self.wrappedProtocol = protocol

    def logPrefix(self) -> str:
        """
        What the log calls the connection.
        """
        return self._factory.wrappedFactory.__class__.__name__

    def makeConnection(self, transport: ITransport) -> None:
        """
        The connection is there. The wrapped protocol gets the transport itself, so what it
        sees is the real peer and nothing stands between them when it writes.
        """
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """
        See L{makeConnection}.
        """
        self.wrappedProtocol.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent bytes.
        """
        self.wrappedProtocol.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, and its slot is free.
        """
        self._factory.limits.release(self._key)
        self._factory.gauge.dec()
        self.wrappedProtocol.connectionLost(reason)
