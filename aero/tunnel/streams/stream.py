# -*- test-case-name: aero.tunnel.streams.test.test_stream -*-
"""
One stream of C{/tcp-mux}, which is a transport for an ordinary protocol.

Theory of operation
===================

A stream has two queues. Data of the client waits in one until the protocol is there and wants
it; data of the protocol waits in the other until L{aero.tunnel.streams.sender} takes it, when the
WebSocket has room. The end of each direction is the last thing in its queue, so it cannot overtake
data. The protocol is connected when the target is; everything
that happened before, the client's end included, is then delivered in order.

L{aero.tunnel.streams.states} has the states. A stream is forgotten, and its id is free, when it is
finished or closed and its queues are empty.

The queue from the client is bounded by C{maxBytes}, what the protocol itself has not passed
on included; more is error 6. The queue to the client is bounded as any transport's is: its
producer is paused beyond C{pauseBytes}.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Callable, Iterable

from twisted.internet import error
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.net.muxleaving import congestedBytes
from aero.wire.tcpmux import CLOSE, DATA, ERROR, FIN, Error, ErrorCode, encodeClose, encodeFrame

from .owner import Owner, Sender
from .states import (
    CLOSED,
    CONNECTED,
    DROPPED,
    FINISHED,
    LOCAL_END,
    LOCAL_OPEN,
    OPENING,
    OPENING_ENDED,
    REMOTE_END,
    REMOTE_OPEN,
    TRANSITIONS,
)

#: The longest payload of a DATA frame to the client.
MAX_DATA_BYTES = 65_536

#: Bytes given to the protocol at once from the queue.
_DELIVERY_BYTES = 262_144


@implementer(ITransport, IConsumer, IPushProducer)
class MuxStream:
    """
    One stream.

    @ivar streamId: Its number on the wire.
    @ivar host: The target that the client asked for.
    @ivar port: Its port.
    @ivar state: One of the states of L{aero.tunnel.streams.states}.
    @ivar heard: When the client last sent data, by the owner's clock.
    @ivar waiting: Says how much the protocol has taken but not passed on; for protocols that
        are themselves a queue.
    @ivar passedOn: Something that is different whenever it has passed on some of that.
    """

    _log = Logger()

    disconnecting = False
    connected = True

    def __init__(
        self,
        owner: Owner,
        sender: Sender,
        streamId: int,
        host: str,
        port: int,
        *,
        peer: IAddress,
        maxBytes: int,
        pauseBytes: int,
    ) -> None:
        """
        @param peer: The client.
        @param maxBytes: How much may wait for the protocol.
        @param pauseBytes: How much may wait for the client before the producer is paused.
        """
        self.streamId = streamId
        self.host = host
        self.port = port
        self.state = OPENING
        self.heard = owner.clock.seconds()
        self.waiting: Callable[[], int] = _nothing
        self.passedOn: Callable[[], object] = _nothing
        self.protocol: Any = None
        self._owner = owner
        self._sender = sender
        self._peer = peer
        self._maxBytes = maxBytes
        self._pauseBytes = pauseBytes
        self._congestedBytes = congestedBytes(pauseBytes, maxBytes)
        self._incoming = bytearray()
        self._incomingEnds = False  # the client's end is still to be delivered
        self._delivering = False
        self._paused = self._congested = False
        self._outgoing = bytearray()
        self._last = b""  # the frames after what is in there
        self._endTold = False
        self._why = "finished"
        self._producer: Any = None
        self._producerPaused = False
        self._pulls = False
        self._forgotten = self._orphaned = False

    # -- the client

    @property
    def remoteOpen(self) -> bool:
        """
        Whether the client may still send data.
        """
        return self.state in REMOTE_OPEN

    @property
    def backlog(self) -> int:
        """
        How many bytes from the client were not passed on.
        """
        return len(self._incoming) + self.waiting()

    @property
    def isFull(self) -> bool:
        """
        Whether there is hardly room for more from the client.
        """
        return self.backlog > self._maxBytes // 2

    def progress(self) -> object:
        """
        Something that is different when less waits than did, no data having come since.
        """
        return len(self._incoming), self.passedOn()

    def remoteDataReceived(self, data: bytes) -> None:
        """
        The client sent data, and may: L{remoteOpen}.
        """
        if not data or self.disconnecting:
            return
        if self.state == OPENING or self._paused or self._delivering or self._incoming:
            self._incoming += data
            self._owner.queued("up", len(data))
        elif self.protocol is not None:
            self._call(self.protocol.dataReceived, data)
        if self._paused or self._incoming:
            backlog = self.backlog
            if backlog > self._maxBytes:
                self.fail(ErrorCode.STREAM_BUFFER_OVERFLOW, "stream buffered too much data")
            elif backlog > self._congestedBytes and not self._congested:
                self._congested = True
                self._owner.streamCongested(self)

    def remoteEnded(self) -> None:
        """
        The client sends no more: FIN. Once is enough.
        """
        if self._move(REMOTE_END):
            self._incomingEnds = True
            if self.state != OPENING_ENDED:
                self._deliver()

    def remoteReset(self) -> None:
        """
        The client wants to hear no more: RST.
        """
        self._drop("reset", error.ConnectionAborted())

    def carrierEnded(self) -> bool:
        """
        The WebSocket is gone: what was sent is delivered, now or when the target is connected.

        @return: Whether that was now.
        """
        self._orphaned = True
        self._paused = False
        if self.protocol is None and self._incoming and self.state != CLOSED:
            return False
        if self.protocol is not None and not self._delivering:
            while self._incoming and self.state != CLOSED:
                self._call(self.protocol.dataReceived, self._takeIncoming())
        self._drop("gone", error.ConnectionDone())
        return True

    def carrierLost(self) -> None:
        """
        The WebSocket is gone, and nothing of it is delivered.
        """
        self._drop("gone", error.ConnectionLost())

    # -- the target

    def connect(self, protocol: IProtocol) -> None:
        """
        Connect a protocol to the stream and give it what has come so far.
        """
        if not self._move(CONNECTED):
            return
        self.protocol = protocol
        self._call(protocol.makeConnection, self)
        if self._orphaned:
            self.carrierEnded()
        else:
            self._deliver()

    def fail(self, code: int, message: str) -> None:
        """
        End the stream with an ERROR. What the protocol wrote comes before it, except where
        the client broke a limit.
        """
        finished = self.state == FINISHED
        if not self._move(DROPPED):
            return
        frame = b""
        if not finished:  # else the client has forgotten the stream
            self._owner.errorSent(code)
            frame = encodeFrame(ERROR, self.streamId, Error(code, message).encode())
        self._dropIncoming()
        if code == ErrorCode.STREAM_BUFFER_OVERFLOW:
            self._dropOutgoing()
        self._finishWith(frame, "error")
        self._lose(Failure(error.ConnectionLost(message)))

    # -- ITransport

    def write(self, data: bytes) -> None:
        """
        Send data to the client.
        """
        if self.state not in LOCAL_OPEN or not data:
            return
        if not self._outgoing:
            sent = self._sender.sendData(self.streamId, data)
            if sent == len(data):
                return
            if sent:
                data = data[sent:]
        self._outgoing += data
        self._owner.queued("down", len(data))
        self._sender.enqueue(self)
        if self._producer is None or self._pulls or self._producerPaused:
            return
        if len(self._outgoing) > self._pauseBytes:
            self._producerPaused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(iovec))

    def loseWriteConnection(self) -> None:
        """
        Nothing more will be written: the client sees the end after the data, and may go on
        sending.
        """
        if self._move(LOCAL_END):
            self._finishWith(encodeFrame(CLOSE, self.streamId, encodeClose(FIN)), "finished")

    def loseConnection(self) -> None:
        """
        End both directions: what was written is still sent, what comes is dropped. The
        protocol's C{connectionLost} follows once that is done.
        """
        if self.state == CLOSED or self.disconnecting:
            return
        self.disconnecting = True
        self._dropIncoming()
        self.loseWriteConnection()
        self._settle()

    def abortConnection(self) -> None:
        """
        End the stream now. The protocol has no other word for it than that the target failed.
        """
        if self.state != CLOSED:
            self._dropOutgoing()
            self.fail(ErrorCode.DIAL_FAILED, "dial failed")

    def getPeer(self) -> IAddress:
        """
        The client.
        """
        return self._peer

    def getHost(self) -> IAddress:
        """
        The target that the client asked for.
        """
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return HostnameAddress(self.host.encode("utf-8"), self.port)
        kind = IPv4Address if address.version == 4 else IPv6Address
        return kind("TCP", str(address), self.port)

    # -- IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Have a producer paused while too much waits for the client.

        @raise RuntimeError: There is one.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.state not in LOCAL_OPEN:
            producer.stopProducing()
            return
        self._producer = producer
        self._pulls = not streaming
        self._producerPaused = False
        if self._pulls:
            self._pullLater()
        elif len(self._outgoing) > self._pauseBytes:
            self._producerPaused = True
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        There is no producer any more.
        """
        self._producer = None

    def _pullLater(self) -> None:
        self._owner.clock.callLater(0, self._pull)

    def _pull(self) -> None:
        """
        Ask a pull producer for more, one piece for each turn of the reactor.
        """
        if self._producer is None or not self._pulls or self.state not in LOCAL_OPEN:
            return
        if self._outgoing:
            self._producerPaused = True
            return
        self._call(self._producer.resumeProducing)
        self._pullLater()

    # -- IPushProducer, for the protocol as a consumer of what the client sends

    def pauseProducing(self) -> None:
        """
        Deliver nothing for now.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        Deliver again, first what waits.
        """
        if self._paused:
            self._paused = False
            self._deliver()

    def stopProducing(self) -> None:
        """
        The protocol wants nothing more.
        """
        self.loseConnection()

    # -- the sender

    @property
    def hasOutput(self) -> bool:
        """
        Whether there is something to send.
        """
        return bool(self._outgoing or self._last)

    def takeOutput(self, limit: int) -> list[bytes]:
        """
        Give the next frames, as it is this stream's turn.

        @param limit: The longest payload.
        """
        frames = []
        outgoing = self._outgoing
        if outgoing:
            piece = bytes(outgoing[:limit])
            del outgoing[:limit]
            self._owner.queued("down", -len(piece))
            frames.append(dataFrame(self.streamId, piece))
        if not outgoing and self._last:
            frames.append(self._last)
            self._last = b""
        return frames

    def outputTaken(self) -> None:
        """
        What L{takeOutput} gave was sent.
        """
        if not self.hasOutput and self.state not in LOCAL_OPEN:
            self._endSent()
        elif self._producerPaused and len(self._outgoing) <= self._pauseBytes // 2:
            if self._pulls and self._outgoing:
                return
            self._producerPaused = False
            if self._producer is not None:
                if self._pulls:
                    self._pullLater()
                else:
                    self._producer.resumeProducing()

    # -- private

    def _move(self, event: str) -> bool:
        """
        Change the state.

        @return: Whether the event has an effect in the state that was.
        """
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _deliver(self) -> None:
        """
        Give the protocol what waits, and the end after it.
        """
        if self._delivering:
            return
        self._delivering = True
        while self._incoming and not self._paused and self.state != CLOSED:
            self._call(self.protocol.dataReceived, self._takeIncoming())
        self._delivering = False
        if self._paused or self._incoming or self.state == CLOSED:
            return
        self._relieve()
        if self._incomingEnds:
            self._incomingEnds = False
            if self.disconnecting:
                pass
            elif IHalfCloseableProtocol.providedBy(self.protocol):
                self._call(self.protocol.readConnectionLost)
            else:
                self.loseConnection()
        self._settle()

    def _takeIncoming(self) -> bytes:
        data = bytes(self._incoming[:_DELIVERY_BYTES])
        del self._incoming[:_DELIVERY_BYTES]
        self._owner.queued("up", -len(data))
        return data

    def _dropIncoming(self) -> None:
        if self._incoming:
            self._owner.queued("up", -len(self._incoming))
            self._incoming.clear()
        self._relieve()

    def _dropOutgoing(self) -> None:
        if self._outgoing:
            self._owner.queued("down", -len(self._outgoing))
            self._outgoing.clear()
        self._last = b""

    def _relieve(self) -> None:
        if self._congested:
            self._congested = False
            self._owner.streamRelieved(self)

    def _finishWith(self, frame: bytes, why: str) -> None:
        """
        Send a last frame after everything else.
        """
        self._why = why
        if self._outgoing or self._last:
            self._last += frame
        elif frame:
            self._sender.send(frame)
            self._endSent()
        else:
            self._endSent()

    def _endSent(self) -> None:
        """
        The client has been told that this side is over.
        """
        if self.state == CLOSED:
            self._forget()
            return
        if self._endTold:
            return
        self._endTold = True
        protocol = self.protocol
        if not self.disconnecting and IHalfCloseableProtocol.providedBy(protocol):
            self._call(protocol.writeConnectionLost)
        self._settle()

    def _settle(self) -> None:
        """
        See whether everything has been said, in both directions or in the one that counts.
        """
        over = self.disconnecting or (self.state == FINISHED and not self._incomingEnds)
        if over and not self.hasOutput and not self._incoming and self.state not in LOCAL_OPEN:
            self._drop("finished", error.ConnectionDone())

    def _drop(self, why: str, reason: Exception) -> None:
        """
        End without a word to the client.
        """
        wasClosed = not self._move(DROPPED)
        self._dropIncoming()
        self._dropOutgoing()
        if not wasClosed:
            self._why = why
            self._lose(Failure(reason))
        self._forget()

    def _lose(self, reason: Failure) -> None:
        """
        Tell the protocol and its producer that it is over.
        """
        self.connected = False
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        self.waiting = self.passedOn = _nothing
        if protocol is not None:
            try:
                protocol.connectionLost(reason)
            except Exception:  # noqa: BLE001 - a user's protocol may raise anything
                self._log.failure("A protocol on a stream failed at its end")

    def _forget(self) -> None:
        if not self._forgotten:
            self._forgotten = True
            self._owner.streamForgotten(self, self._why)

    def _call(self, method: Callable[..., object], *arguments: object) -> None:
        """
        Call the protocol; a failure is the end of its stream, and of nothing else.
        """
        try:
            method(*arguments)
        except Exception:  # noqa: BLE001 - a user's protocol may raise anything
            self._log.failure("A protocol on a stream failed", protocol=type(self.protocol))
            self.abortConnection()


def dataFrame(streamId: int, payload: bytes) -> bytes:
    """
    A DATA frame.
    """
    return encodeFrame(DATA, streamId, payload)


def _nothing() -> int:
    """
    What waits for a protocol that keeps nothing.
    """
    return 0
