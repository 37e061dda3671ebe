# -*- test-case-name: aero.net.test.test_pump -*-
"""
The connection to a target, as the thing in the middle of a tunnel sees it.

L{TargetConnection} joins a target to whoever stands for the client, a L{Client}. Its rules:

  - Data flows both ways until each side has said that nothing more will come from it; the end
    of one direction leaves the other alone.
  - What waits for the target is counted. Beyond a threshold the client is told to pause, and
    to go on once everything is gone; the threshold is a bound as long as it obeys.
  - The target is read only while the client takes what it sends.

None of this sets a timer for each chunk: L{IdleTimer} keeps one, and a time stamp.
"""

from __future__ import annotations

from typing import Any, Callable, Protocol

from twisted.internet import protocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from .prompt import directWriter, readMore
from .unsent import undeliveredBytes, unsentBytes


class Client(Protocol):
    """
    The other end of a tunnel.
    """

    def targetDataReceived(self, data: bytes) -> None:
        """
        The target sent something.
        """
        ...

    def targetEnded(self) -> None:
        """
        The target will send no more; it may still take data.
        """
        ...

    def targetLost(self, clean: bool) -> None:
        """
        The connection is gone.

        @param clean: Whether both directions had ended in order.
        """
        ...

    def targetPaused(self) -> None:
        """
        Too much waits for the target: send no more for now.
        """
        ...

    def targetResumed(self) -> None:
        """
        Nothing waits for the target any more.
        """
        ...

    def targetFlushed(self) -> None:
        """
        After L{TargetConnection.finish}: the target's system has everything, or it is gone.
        """
        ...


class IdleTimer:
    """
    Notices when nothing has happened for a while.
    """

    __slots__ = ("_call", "_clock", "_expired", "_last", "_seconds", "_timeout")

    def __init__(self, clock: IReactorTime, timeout: float, expired: Callable[[], object]) -> None:
        """
        @param timeout: Seconds; begins now.
        """
        self._clock = clock
        self._seconds = clock.seconds
        self._timeout = timeout
        self._expired = expired
        self._last = clock.seconds()
        self._call: IDelayedCall | None = clock.callLater(timeout, self._check)

    def touch(self) -> None:
        """
        Something happened.
        """
        self._last = self._seconds()

    def stop(self) -> None:
        """
        It does not matter any more.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _check(self) -> None:
        left = self._last + self._timeout - self._seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._check)
        else:
            self._call = None
            self._expired()


@implementer(IHalfCloseableProtocol, IPushProducer)
class TargetConnection(protocol.Protocol):
    """
    The connection to a target. It can be written to before it is there.

    @ivar waitingBytes: Bytes known to wait for the target. Less than the transport's own
        buffer size is not counted.
    @ivar isOver: Whether the connection is gone, or was dropped before it was there.
    @ivar isClean: Whether it is gone after both directions had ended in order.
    """

    #: Seconds that a target has to end its side once ours has ended and the client is gone.
    lingerTimeout = 10.0

    def __init__(self, client: Client, clock: IReactorTime, pauseBytes: int) -> None:
        """
        @param pauseBytes: How much may wait before the client is told to pause.
        """
        self.waitingBytes = 0
        self.isOver = False
        self.isClean = False
        self._client: Client | None = client
        self._clock = clock
        self._pauseBytes = pauseBytes
        self._early: list[bytes] = []
        self._connected = False
        self._congested = False
        self._clientPaused = False
        self._readingPaused = False
        self._finishing = False
        self._flushed = False
        self._ended = False
        self._discarding = False
        self._aborted = False
        self._lingering: IDelayedCall | None = None
        self._deliverBy = 0.0
        self._over: Callable[[], object] = _nothing

    # -- for the client

    @property
    def undelivered(self) -> int:
        """
        Bytes that the target's system has not acknowledged, as far as they are known.
        """
        if self.isOver:
            return 0
        left = undeliveredBytes(self.transport) if self._connected else 0
        return left or (0 if self._flushed else self.waitingBytes)

    @property
    def isDelivered(self) -> bool:
        """
        After L{detach}: whether the target's system has everything, or never will.
        """
        return self.isOver or (self._flushed and not self.undelivered)

    def write(self, data: bytes) -> None:
        """
        Send data to the target, now or when the connection is there.
        """
        if self._finishing:
            return
        if self._connected:
            self._write(data)
            if not self._congested:
                return
            self.waitingBytes += len(data)
        else:
            self._early.append(data)
            self.waitingBytes += len(data)
        if self.waitingBytes > self._pauseBytes:
            self.pauseClient()

    def pauseClient(self) -> None:
        """
        Have the client wait until nothing waits for the target any more.
        """
        if self.waitingBytes and not self._clientPaused:
            self._clientPaused = True
            if self._client is not None:
                self._client.targetPaused()

    def finish(self) -> None:
        """
        Nothing more will be written: the target sees the end of the stream after the data.
        """
        if self._finishing:
            return
        self._finishing = True
        if self._connected:
            self._endWriting()

    def detach(self, timeout: float, over: Callable[[], object] | None = None) -> None:
        """
        The client is gone and cannot be told anything more, except for the last time that
        everything arrived. The rest of its data is still delivered, what the target sends is
        read and dropped, and the connection ends when the target ends it.

        @param timeout: Seconds that delivery may take.
        @param over: Called when the connection is gone.
        """
        self._over = over or _nothing
        if self.isOver:
            self._over()
            return
        self.resumeReading()
        self._discarding = True
        self.finish()
        if self._lingering is None:
            self._deliverBy = self._clock.seconds() + timeout
            wait = self.lingerTimeout if self._flushed else timeout
            self._lingering = self._clock.callLater(wait, self._lingered)

    def leave(self) -> None:
        """
        The client is gone, and there is no time: end the connection in order where nothing waits
        in this process, so that the system delivers the rest, and drop it otherwise.
        """
        self._discarding = True
        self.finish()
        hasAll = self._flushed or not (self._congested or unsentBytes(self.transport))
        if self._connected and hasAll:
            self._close()
        else:
            self.abort()

    def abort(self) -> None:
        """
        Drop the connection; what waits is lost.
        """
        self._early = []
        self._aborted = self._finishing = self._discarding = True
        if self._connected:
            transport: Any = self.transport
            transport.abortConnection()
        else:
            self._ended = True
            self._isOver()

    def pauseReading(self) -> None:
        """
        Stop reading the target, so that TCP makes it wait.
        """
        if not self._readingPaused and not self._discarding:
            self._readingPaused = True
            if self._connected and not self._ended:
                transport: Any = self.transport
                transport.pauseProducing()

    def resumeReading(self) -> None:
        """
        Read the target again.
        """
        if self._readingPaused:
            self._readingPaused = False
            if self._connected and not self._ended:
                transport: Any = self.transport
                transport.resumeProducing()

    # -- from the transport

    def connectionMade(self) -> None:
        """
        The target is there: send it what has come so far.
        """
        transport: Any = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        readMore(transport)
        self._connected = True
        if self._aborted:
            transport.abortConnection()
            return
        transport.registerProducer(self, True)
        self._writeDirectly = directWriter(transport)
        if self._readingPaused:
            transport.pauseProducing()
        early, self._early = self._early, []
        if early:
            self.waitingBytes = 0
            data = b"".join(early)
            self._write(data)
            if self._congested:
                self.waitingBytes = len(data)
            elif self._clientPaused:
                self._resumeClient()
        if self._finishing:
            self._endWriting()

    def dataReceived(self, data: bytes) -> None:
        """
        The target sent something.
        """
        if self._client is not None and not self._discarding:
            self._client.targetDataReceived(data)

    def readConnectionLost(self) -> None:
        """
        The target ended its side.
        """
        self._ended = True
        if self._client is not None and not self._discarding:
            self._client.targetEnded()
        if self._flushed:
            self._close()

    def writeConnectionLost(self) -> None:
        """
        Everything was handed to the system, and the end of the stream after it.
        """
        self._flushed = True
        if self._lingering is not None and self._lingering.active():
            self._lingering.reset(self.lingerTimeout)
        client = self._client
        if client is not None:
            client.targetFlushed()
        if self._ended:
            self._close()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """
        The connection is gone.
        """
        clean = self.isClean = self._ended and self._flushed
        self._connected = False
        self._ended = True
        self._finishing = True
        self._isOver()
        client, self._client = self._client, None
        if client is None:
            return
        if not self._flushed:
            self._flushed = True
            client.targetFlushed()
        if not self._discarding:
            client.targetLost(clean)

    # -- producer of the transport

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        self._congested = True

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.
        """
        self._congested = False
        self.waitingBytes = 0
        if self._clientPaused:
            self._resumeClient()

    def stopProducing(self) -> None:
        """
        The transport is gone; C{connectionLost} says so too.
        """

    # -- private

    def _write(self, data: bytes) -> None:
        transport: Any = self.transport
        if not self._congested:
            # Past the transport's buffer, which would have the reactor watch for room that is
            # there already.
            taken = self._writeDirectly(memoryview(data))
            if taken == len(data):
                return
            if taken:
                data = data[taken:]
        transport.write(data)

    def _endWriting(self) -> None:
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseWriteConnection()

    def _close(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()

    def _lingered(self) -> None:
        """
        The target had its time. What its system has acknowledged stays with it only if the
        connection is closed and not reset.
        """
        self._lingering = None
        left = self.undelivered
        wait = self._deliverBy - self._clock.seconds()
        if self._flushed and left and wait > 0:
            wait = min(wait, self.lingerTimeout)
            self._lingering = self._clock.callLater(wait, self._lingered)
        elif self._flushed and not left:
            self._close()
        else:
            self.abort()

    def _isOver(self) -> None:
        """
        Nothing more happens.
        """
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        if not self.isOver:
            self.isOver = True
            self._over()

    def _resumeClient(self) -> None:
        self._clientPaused = False
        if self._client is not None:
            self._client.targetResumed()


def _nothing() -> None:
    """
    Nobody asked to be told.
    """
