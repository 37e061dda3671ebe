# -*- test-case-name: aero.lan.test.test_transport -*-
"""
A TCP connection of the guest as a Twisted transport.

What a Twisted programmer expects of a socket holds here too:

  - The guest's window is what the protocol takes: data counts as taken when C{dataReceived}
    has returned, so a protocol that pauses its transport stops the guest, and nothing waits
    here beyond the stack's receive buffer.
  - A producer is paused when the send buffer of the stack is full, and resumed when half of
    it is empty again.
  - The two directions end on their own, for protocols that provide
    C{IHalfCloseableProtocol}. For others the guest's end is the end, once everything that was
    written has been sent.
  - C{loseConnection} sends what was written, then the end of the stream, and the protocol is
    told C{ConnectionDone} without waiting for the guest. However slowly the guest takes it, it
    gets everything, unless it takes nothing at all for L{GuestConnection.lingerTimeout}
    seconds. What it still sends is dropped, for as long again, and refused after that.
  - No method calls back into the protocol before it has returned.

L{GuestConnection.accept} and L{GuestConnection.reject} are new: whoever gets a connection
before it is answered, as NAT does, decides how.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Iterable

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.stack.commands import (
    AbortTCP,
    AcceptTCP,
    CloseTCP,
    RejectTCP,
    SendTCP,
)

from .buffers import Buffered
from .driver import StackDriver
from .lost import GuestLost


@implementer(ITCPTransport, IPushProducer, IConsumer)
class GuestConnection(Buffered):
    """
    One connection, in either direction.

    @ivar number: Its number in the stack.
    @ivar sent: Bytes written for the guest.
    @ivar received: Bytes that the protocol got from it.
    @ivar protocol: The protocol, once there is one.
    @ivar clientFactory: What made it, where it connects to the guest.
    """

    #: Seconds that the guest may go on sending to a connection that was closed, once it has
    #: everything; and those for which it may take nothing before.
    lingerTimeout = 30.0
    #: Seconds between two looks at what a guest has taken of a connection that was closed.
    lingerInterval = 5.0
    #: Seconds between two looks whether a connection that is to be reset is empty.
    resetInterval = 0.05

    TLS = False
    disconnecting = False

    _log = Logger()

    def __init__(
        self,
        driver: StackDriver,
        number: int,
        host: IPv4Address,
        peer: IPv4Address,
        forget: Callable[[int], None],
        sendBuffer: int = 262_144,
    ) -> None:
        """
        @param host: The end that is not the guest.
        @param sendBuffer: Bytes of the stack's buffer for each connection.
        @param forget: Called with the number when nothing more can happen.
        """
        self.number = number
        self.sent = 0
        self.received = 0
        self.connected = False
        self.protocol: Any = None
        self.clientFactory: Any = None
        self._driver = driver
        self._host = host
        self._peer = peer
        self._forget = forget
        self._queue: deque[bytes] = deque()
        self._readPaused = False
        self._delivering = False
        self._guestEnded = False
        self._endTold = False
        self._closing = False
        self._endAfterProducer = False
        self._finSent = False
        self._closed = False
        self._over: Failure | None = None
        self._detached = False
        self._linger: IDelayedCall | None = None
        self._sendBuffer = sendBuffer
        self._lingerBy = 0.0
        self._lingerRoom = 0
        self._producer: Any = None
        self._streaming = True
        self._producerPaused = False
        self._pulling = False

    def __repr__(self) -> str:
        return f"<GuestConnection {self.number} to {self._host.host}:{self._host.port}>"

    def logPrefix(self) -> str:
        """
        For log lines.
        """
        return f"GuestConnection,{self.number}"

    # -- answering a request

    def accept(self) -> None:
        """
        Answer the guest's SYN.
        """
        self._driver.apply(AcceptTCP(self.number))

    def reject(self, reason: str, kind: int = 0, code: int = 0, teller: int = 0) -> None:
        """
        Refuse the guest's connection. The protocol hears C{connectionLost}.

        @param reason: One that C{RejectTCP} knows; the other arguments are its as well.
        """
        if self._over is None:
            self._driver.apply(RejectTCP(self.number, reason, kind, code, teller))
            self._end(GuestLost("rejected"))

    # -- ITransport

    def write(self, data: bytes) -> None:
        """
        Send data to the guest, after what was written before.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        if not data or self._finSent or self._over is not None:
            return
        self.sent += len(data)
        self._driver.apply(SendTCP(self.number, bytes(data)))
        producer = self._producer
        if producer is not None and not self._producerPaused and self.isFull():
            self._producerPaused = True
            if self._streaming:
                producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Send several pieces of data.
        """
        self.write(b"".join(iovec))

    def loseConnection(self, _connDone: object = None) -> None:
        """
        Send what was written, then the end of the stream, and forget the guest. A producer
        finishes first.
        """
        if self._closing or self._over is not None:
            return
        self._closing = self.disconnecting = True
        if self._producer is None:
            self._finish()

    def loseWriteConnection(self) -> None:
        """
        Send what was written, then the end of the stream; the guest may go on. A producer
        finishes first.
        """
        if self._finSent or self._closing or self._over is not None:
            return
        if self._producer is not None:
            self._endAfterProducer = True
            return
        self._sendFin()
        self._driver.callSoon(self._tellWriteLost)

    def abortConnection(self) -> None:
        """
        Reset the connection; what waits in either direction is lost.
        """
        if self._over is None:
            self._driver.apply(AbortTCP(self.number))
            self._end(error.ConnectionAborted())

    def getPeer(self) -> IPv4Address:
        """
        The guest's end.
        """
        return self._peer

    def getHost(self) -> IPv4Address:
        """
        The other end, as the guest sees it.
        """
        return self._host

    def resetConnection(self) -> None:
        """
        Reset the connection once the guest has what was written, as data that came before a
        reset reaches a program; after L{lingerTimeout} at the latest.
        """
        self._producer = None
        self._lingerBy = self._driver.clock.seconds() + self.lingerTimeout
        self._resetWhenSent()

    # -- ITCPTransport: there is no system socket that these would be about

    def getTcpNoDelay(self) -> bool:
        """
        Data is never held back to wait for more.
        """
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Nothing: see L{getTcpNoDelay}.
        """

    def getTcpKeepAlive(self) -> bool:
        """
        The stack probes silent guests, as its settings say.
        """
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Nothing: see L{getTcpKeepAlive}.
        """

    # -- producer of what the guest sends

    def pauseProducing(self) -> None:
        """
        Take no more from the guest, whose window then closes.
        """
        self._readPaused = True

    def resumeProducing(self) -> None:
        """
        Take data again.
        """
        if self._readPaused:
            self._readPaused = False
            if self._queue or self._guestEnded or self._over is not None:
                self._driver.callSoon(self._deliver)

    def stopProducing(self) -> None:
        """
        The protocol wants no more at all.
        """
        self.loseConnection()

    # -- consumer of what goes to the guest

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let a producer write, as fast as the guest takes it.

        @raise RuntimeError: There is one already.
        """
        if self._producer is not None:
            raise RuntimeError("Cannot register a producer: there is one already")
        if self._over is not None or self._finSent:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producerPaused = False
        if not streaming:
            self._pullSoon()
        elif self.isFull():
            self._producerPaused = True
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        The producer has written everything.
        """
        self._producer = None
        if self._over is not None:
            return
        if self._closing:
            self._finish()
        elif self._endAfterProducer:
            self._endAfterProducer = False
            self.loseWriteConnection()

    # -- from the LAN

    def connect(self, protocol: Any) -> None:
        """
        Begin: the protocol gets this as its transport.
        """
        self.protocol = protocol
        self.connected = True
        self._call(protocol.makeConnection, self)

    def dataReceived(self, data: bytes) -> None:
        """
        The guest sent something.
        """
        if self._detached or self._over is not None:
            self.consumed(len(data))
            return
        self._queue.append(data)
        if not self._readPaused and not self._delivering and self.connected:
            self._deliver()

    def readClosed(self) -> None:
        """
        The guest sends nothing more.
        """
        self._guestEnded = True
        if not self._readPaused and not self._delivering and self.connected:
            self._deliver()

    def writeReady(self) -> None:
        """
        Half of the send buffer is empty again.
        """
        if self._producer is None:
            return
        if not self._streaming:
            self._pullSoon()
        elif self._producerPaused:
            self._producerPaused = False
            self._call(self._producer.resumeProducing)

    def closed(self, reason: str) -> None:
        """
        The connection is over.

        @param reason: As C{TCPClosed} has it.
        """
        self._closed = True
        self._cancelLinger()
        if self._detached:
            self._forget(self.number)
        if self._over is not None:
            return
        if reason == "done":
            self._over = Failure(error.ConnectionDone())
            if not self._readPaused:
                self._deliver()
        else:
            self._end(GuestLost(reason))

    def tunnelEnded(self, deliver: bool) -> None:
        """
        The whole guest is gone.

        @param deliver: Whether the protocol gets all that was acknowledged, paused or not.
        """
        while deliver and self._queue and self.connected and not self._delivering:
            self._readPaused = False
            self._deliver()
        lost = GuestLost("tunnel" if deliver else "revoked")
        self.closed(lost.reason)
        if not self._detached:  # it may have ended in order while the protocol paused
            self._over = self._over if deliver else Failure(lost)
            self._end(lost)

    # -- private

    def _deliver(self) -> None:
        """
        Give the protocol what waits for it, as long as it takes it: data, the guest's end, and
        the end of the connection.
        """
        if self._delivering or self._detached:
            return
        self._delivering = True
        try:
            queue = self._queue
            while queue and not self._readPaused:
                data = queue.popleft()
                self.received += len(data)
                self._call(self.protocol.dataReceived, data)
                # Also when that ended the connection: it is what opens the window.
                self.consumed(len(data))
                if self._detached:
                    return
            if queue or self._readPaused:
                return
            if self._guestEnded and not self._endTold:
                self._endTold = True
                self._tellReadLost()
            if self._over is not None:
                self._tellLost()
        finally:
            self._delivering = False

    def _tellReadLost(self) -> None:
        if self._closing:
            return
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None:
            self._call(half.readConnectionLost)
        elif self._over is None:
            self._sendFin()
            self._over = Failure(error.ConnectionDone())

    def _tellWriteLost(self) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None and not self._detached:
            self._call(half.writeConnectionLost)

    def _sendFin(self) -> None:
        if not self._finSent:
            self._finSent = True
            self._driver.apply(CloseTCP(self.number))

    def _finish(self) -> None:
        """
        Everything is written: the guest gets the end, the protocol hears of it.
        """
        self._sendFin()
        self._end(error.ConnectionDone())
        if self._linger is None:
            self._lingerBy = self._driver.clock.seconds() + self.lingerTimeout
            self._lingerRoom = self.room()
            self._lingerOn()

    def _lingerOn(self) -> None:
        """
        Look again: in a while if the guest has everything, soon if not.
        """
        wait = self._lingerBy - self._driver.clock.seconds()
        if self._lingerRoom < self._sendBuffer:
            wait = min(wait, self.lingerInterval)
        self._linger = self._driver.clock.callLater(max(0.0, wait), self._lingered)

    def _lingered(self) -> None:
        self._linger = None
        now = self._driver.clock.seconds()
        room = self.room()
        if room > self._lingerRoom:
            self._lingerRoom = room
            self._lingerBy = now + self.lingerTimeout
        if now >= self._lingerBy:
            self._driver.apply(AbortTCP(self.number))
        else:
            self._lingerOn()

    def _resetWhenSent(self) -> None:
        self._linger = None
        if self._over is not None:
            return
        clock = self._driver.clock
        if self.room() >= self._sendBuffer or clock.seconds() >= self._lingerBy:
            self.abortConnection()
        else:
            self._linger = clock.callLater(self.resetInterval, self._resetWhenSent)

    def _cancelLinger(self) -> None:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._linger = None

    def _end(self, reason: Exception) -> None:
        """
        The connection is over for the protocol, which hears of it in a moment.
        """
        if self._over is None:
            self._over = Failure(reason)
        self._endTold = True
        for data in self._queue:
            self.consumed(len(data))
        self._queue.clear()
        self._driver.callSoon(self._tellLost)

    def _tellLost(self) -> None:
        if self._detached:
            return
        self._detached = True
        self.connected = False
        if self._closed:
            self._forget(self.number)
        producer, self._producer = self._producer, None
        if producer is not None:
            self._call(producer.stopProducing)
        if self.protocol is not None and self._over is not None:
            try:
                self.protocol.connectionLost(self._over)
            except Exception:  # noqa: BLE001
                self._log.failure("A protocol in a guest's LAN failed at its end")

    def _pullSoon(self) -> None:
        if not self._pulling:
            self._pulling = True
            self._driver.callSoon(self._pull)

    def _pull(self) -> None:
        """
        Ask a pull producer for more, once a turn, while there is room.
        """
        self._pulling = False
        producer = self._producer
        if producer is None or self._streaming or self._over is not None or self.room() <= 0:
            return
        self._call(producer.resumeProducing)
        if self._producer is producer and self.room() > 0:
            self._pullSoon()

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """
        Call into the protocol. If it fails, its connection is reset, as a reactor does.
        """
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001
            self._log.failure("A protocol in a guest's LAN failed")
            if self._over is None:
                self._driver.apply(AbortTCP(self.number))
                self._end(error.ConnectionAborted())
