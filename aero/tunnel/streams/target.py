# -*- test-case-name: aero.ws.test.test_mux -*-
"""
A stream of C{/tcp-mux} joined to a target somewhere else.

L{MuxTarget} is the protocol that a stream is connected to unless somebody gives another. It is
made when the dialling begins and connected to the stream when that is done; all queueing before
that is the stream's.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.net.pump import IdleTimer, TargetConnection
from aero.net.unsent import unsentBytes
from aero.wire.tcpmux import ErrorCode

from .stream import MuxStream


@implementer(IHalfCloseableProtocol, IPushProducer)
class MuxTarget(Protocol):
    """
    Passes bytes between a stream and a connection, both ways and at the pace of the slower.

    @ivar connection: What the dialer is to connect.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        pauseBytes: int,
        idleTimeout: float,
        finished: Callable[[], object],
        leave: Callable[[TargetConnection], object],
    ) -> None:
        """
        @param pauseBytes: How much may wait for the target before the stream keeps the rest.
        @param idleTimeout: Seconds without a byte after which the stream ends.
        @param finished: Called once, when nothing is left of the connection.
        @param leave: Called with the connection when its client is gone and what was accepted is
            still to be delivered.
        """
        self.connection = TargetConnection(self, clock, pauseBytes)
        self._clock = clock
        self._idleTimeout = idleTimeout
        self._finished = finished
        self._leaveIt = leave
        self._isIdle = False
        self._stream: MuxStream | None = None
        self._idle: IdleTimer | None = None
        self._lost = False

    # -- the stream

    def connectionMade(self) -> None:
        """
        The target is connected, and so is the stream.
        """
        stream: Any = self.transport
        self._stream = stream
        self._idle = IdleTimer(self._clock, self._idleTimeout, self._idled)
        stream.waiting = lambda: self.connection.waitingBytes
        stream.passedOn = self._progress
        stream.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent something.
        """
        if self._idle is not None:
            self._idle.touch()
        self.connection.write(data)

    def readConnectionLost(self) -> None:
        """
        The client sends no more.
        """
        self.connection.finish()

    def writeConnectionLost(self) -> None:
        """
        The client knows that the target sends no more.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The stream is over. Whatever ended in order is still delivered.
        """
        self._stream = None
        if self._idle is not None:
            self._idle.stop()
        connection = self.connection
        if not self._lost:
            self._leave(connection, reason)

    def _leave(self, connection: TargetConnection, reason: Failure) -> None:
        if not self._hasUnsent():
            self._finished()  # the system can take the rest at once, that is, nothing
        if self._isIdle or reason.check(error.ConnectionDone):
            self._leaveIt(connection)
        elif reason.check(error.ConnectionAborted):
            # The client gave up: the target sees an ordinary end.
            self._leaveIt(connection)
            transport: Any = connection.transport
            if transport is not None:
                transport.loseConnection()
        else:
            connection.abort()

    def pauseProducing(self) -> None:
        """
        The client takes no more.
        """
        self.connection.pauseReading()

    def resumeProducing(self) -> None:
        """
        The client has taken what there was.
        """
        self.connection.resumeReading()

    def stopProducing(self) -> None:
        """
        C{connectionLost} says it too.
        """

    # -- the target: aero.net.pump.Client

    def targetDataReceived(self, data: bytes) -> None:
        """
        The target sent something.
        """
        if self._idle is not None:
            self._idle.touch()
        if self._stream is not None:
            self._stream.write(data)

    def targetEnded(self) -> None:
        """
        The target sends no more.
        """
        if self._stream is not None:
            self._stream.unregisterProducer()
            self._stream.loseWriteConnection()

    def targetLost(self, clean: bool) -> None:
        """
        The connection is gone.
        """
        self._lost = True
        if not clean and self._stream is not None:
            self._stream.fail(ErrorCode.DIAL_FAILED, "dial failed")

    def targetPaused(self) -> None:
        """
        Too much waits for the target.
        """
        if self._stream is not None:
            self._stream.pauseProducing()

    def targetResumed(self) -> None:
        """
        The target has taken everything.
        """
        if self._stream is not None:
            self._stream.resumeProducing()

    def targetFlushed(self) -> None:
        """
        The target has everything, or is gone.
        """
        self._finished()

    # -- private

    def _idled(self) -> None:
        self._isIdle = True
        if self._stream is not None:
            self._stream.fail(ErrorCode.DIAL_FAILED, "TCP idle timeout")

    def _hasUnsent(self) -> bool:
        connection = self.connection
        return connection.waitingBytes > 0 or unsentBytes(connection.transport) > 0

    def _progress(self) -> object:
        """
        Different whenever the system has taken something of what waits: Twisted tells when
        everything was taken, and nothing before.
        """
        return self.connection.waitingBytes, unsentBytes(self.connection.transport)
