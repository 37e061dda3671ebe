# -*- test-case-name: aero.net.test.test_listeners -*-
"""
Listening sockets, bound before the process drops privileges and with a clear sentence when
that fails.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort, IReactorSocket
from twisted.logger import Logger

from aero.errors import StartError

#: Connections the kernel keeps waiting; Linux caps it at C{net.core.somaxconn}.
BACKLOG = 1024


class Listener(Service):
    """
    One port on one or more addresses, for one factory.

    @ivar ports: The listening ports, there while the service runs.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorSocket,
        factory: Any,
        *,
        addresses: Sequence[str],
        port: int,
        option: str,
        bound: Sequence[socket.socket] = (),
    ) -> None:
        """
        @param factory: An L{IProtocolFactory<twisted.internet.interfaces.IProtocolFactory>}.
        @param addresses: IP addresses. One that this machine does not have is passed over as
            long as another of them works, because a host without IPv6 is ordinary.
        @param port: The port number, or 0 for any free one.
        @param option: The option that chooses the port, for the error message.
        @param bound: Listening sockets from outside, to be used instead of address and port.
        """
        self._reactor = reactor
        self._factory = factory
        self._addresses = addresses
        self._port = port
        self._option = option
        self._sockets: list[socket.socket] = list(bound)
        self.ports: list[IListeningPort] = []

    def privilegedStartService(self) -> None:
        """
        Bind the sockets; ports below 1024 need this to happen early.

        @raise StartError: No address could be bound, or one is taken.
        """
        super().privilegedStartService()
        if self._sockets:
            return
        missing: list[str] = []
        for address in self._addresses:
            bound = self._bind(address)
            if bound is None:
                missing.append(address)
            else:
                self._sockets.append(bound)
        if not self._sockets:
            raise StartError(
                f"cannot listen on {' or '.join(missing)}: this machine has no such address;"
                " choose with --bind"
            )

    def startService(self) -> None:
        """
        Accept connections.
        """
        super().startService()
        if not self._sockets:
            self.privilegedStartService()
        for bound in self._sockets:
            port: Any = self._reactor.adoptStreamPort(bound.fileno(), bound.family, self._factory)
            self.ports.append(port)
            bound.close()
        self._sockets = []

    def stopService(self) -> Deferred[Any]:
        """
        Accept no more; connections already there go on.
        """
        super().stopService()
        ports, self.ports = self.ports, []
        return DeferredList([port.stopListening() or _done() for port in ports], consumeErrors=True)

    def _bind(self, address: str) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            bound = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                return None
            raise
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Each family has its own socket, so that both can be asked for by name.
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((address, self._port))
            bound.listen(BACKLOG)
            bound.setblocking(False)
        except OSError as error:
            bound.close()
            if error.errno == errno.EADDRNOTAVAIL:
                return None
            raise StartError(self._sentence(address, error)) from error
        return bound

    def _sentence(self, address: str, error: OSError) -> str:
        where = f"port {self._port} on {address}"
        if error.errno == errno.EADDRINUSE:
            return (
                f"cannot listen on {where}: another program uses it;"
                f" choose another with --{self._option}"
            )
        if error.errno == errno.EACCES:
            return (
                f"cannot listen on {where}: ports below 1024 need the right to bind them"
                f" (CAP_NET_BIND_SERVICE or root); choose another with --{self._option}"
            )
        return f"cannot listen on {where}: {error.strerror}; choose another with --{self._option}"


def _done() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done
