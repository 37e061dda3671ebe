# -*- test-case-name: aero.net.test.test_listeners -*-
"""
Listening sockets, bound before the process drops privileges.
"""

from __future__ import annotations

import socket
from typing import Any, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IListeningPort, IReactorSocket
from twisted.logger import Logger

from .binding import Binding


class Listener(Service):
    """
    The sockets of one binding, for one factory.

    @ivar ports: The listening ports, there while the service runs.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorSocket,
        factory: Any,
        binding: Binding,
        bound: Sequence[socket.socket] = (),
        announced: bool = False,
    ) -> None:
        """
        @param factory: An L{IProtocolFactory<twisted.internet.interfaces.IProtocolFactory>}.
        @param bound: Listening sockets from outside, to be used instead of binding any.
        @param announced: Whether another process logs that the sockets listen.
        """
        self._reactor = reactor
        self._factory = factory
        self._binding = binding
        self._sockets: list[socket.socket] = list(bound)
        self._announced = announced
        self.ports: list[IListeningPort] = []

    def privilegedStartService(self) -> None:
        """
        Bind the sockets; ports below 1024 need this to happen early.

        @raise StartError: No address could be bound, or one is taken.
        """
        super().privilegedStartService()
        if not self._sockets:
            self._sockets = self._binding.bind()

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
            if not self._announced:
                self._log.info("{line}", line=self._binding.describe(bound))
            bound.close()
        self._sockets = []

    def stopService(self) -> Deferred[Any]:
        """
        Accept no more; connections already there go on.
        """
        super().stopService()
        ports, self.ports = self.ports, []
        return DeferredList([port.stopListening() or _done() for port in ports], consumeErrors=True)


def _done() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done
