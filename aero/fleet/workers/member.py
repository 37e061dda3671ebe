# -*- test-case-name: tests.test_workers -*-
"""
What a worker knows of the server that it is a part of.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from aero.net.inherited import InheritedSockets

from .channel import Handler, WorkerChannel
from .supervisor import socketNames
from .worker import COUNT, FROM_SUPERVISOR, NUMBER, TO_SUPERVISOR


class Member:
    """
    A worker's side.

    @ivar number: Which of the workers this is, from 0.
    @ivar count: How many there are.
    @ivar sockets: The listening sockets that all of them share.
    @ivar channel: The conversation with the supervisor.
    """

    def __init__(self, number: int, count: int, sockets: InheritedSockets) -> None:
        self.number = number
        self.count = count
        self.sockets = sockets
        self._handlers: dict[str, Handler] = {}
        self.channel: WorkerChannel = _Channel(self._handlers)

    @classmethod
    def fromEnvironment(cls, environ: Mapping[str, str]) -> Member | None:
        """
        What the supervisor said; C{None} where there is none.
        """
        if NUMBER not in environ:
            return None
        sockets = []
        for name, descriptor in socketNames(environ):
            os.set_inheritable(descriptor, False)
            sockets.append((name, socket.socket(fileno=descriptor)))
        return cls(int(environ[NUMBER]), int(environ[COUNT]), InheritedSockets(sockets))

    def join(self, reactor: Any, lost: Callable[[], None]) -> None:
        """
        Begin to talk.

        @param lost: Called when the supervisor is gone: nobody looks after this worker any more.
        """
        channel: Any = self.channel
        channel.lost = lost
        for descriptor in (FROM_SUPERVISOR, TO_SUPERVISOR):
            os.set_inheritable(descriptor, False)
        connect: Any = StandardIO
        connect(channel, stdin=FROM_SUPERVISOR, stdout=TO_SUPERVISOR, reactor=reactor)

    def answer(self, question: str, handler: Handler) -> None:
        """
        Answer what the supervisor asks.
        """
        self._handlers[question] = handler

    def ready(self, lines: Sequence[str]) -> None:
        """
        Tell that this worker listens.

        @param lines: What it would print if it were alone.
        """
        self.channel.tell("ready", list(lines))

    def gatherMetrics(self) -> Deferred[bytes]:
        """
        The metrics of the whole server.
        """
        gathered: Deferred[bytes] = self.channel.ask("metrics").addCallback(str.encode)
        return gathered


class _Channel(WorkerChannel):
    """
    A channel that tells when it ends.
    """

    lost: Callable[[], None] | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        if self.lost is not None:
            self.lost()
