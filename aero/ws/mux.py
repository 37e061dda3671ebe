# -*- test-case-name: aero.ws.test.test_mux -*-
"""
C{/tcp-mux}: many TCP connections in one WebSocket (gateway.md section 13).

The messages of the client, whatever their boundaries, are one stream of frames
(L{aero.wire.tcpmux}). OPEN makes a L{MuxStream}, which is connected to a target once the policy
has approved it, its name is resolved and the dial is done; or to a protocol that
L{MuxProtocol.streamRequested} gives.

Nothing that happens to a stream closes the WebSocket. These do::

    1001  server is shutting down   the process stops
    1002                            a WebSocket frame breaks the rules, or a mux frame is too long
    1003                            a text message
    1008  too many messages without effect     see aero.net.allowance
    1009                            a WebSocket frame or message is too long

after which nothing that the client sent is looked at. However the WebSocket ends, the bytes that
were accepted before are delivered, within the limits of L{aero.net.deliveries}; only 1008 resets
the connections to the targets.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import Any, ClassVar, Sequence, Unpack

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from aero.errors import DecodeError, Refused
from aero.metrics import mux as rows
from aero.net.dialer import ApprovedTarget
from aero.net.happyeyeballs import DialFailed
from aero.net.muxleaving import LeavingStream, congestedBytes
from aero.net.prompt import readMore
from aero.tunnel.slots import Lease
from aero.tunnel.streams.pressure import UploadPressure
from aero.tunnel.streams.sender import FairSender
from aero.tunnel.streams.states import CLOSED
from aero.tunnel.streams.stream import MuxStream
from aero.tunnel.streams.target import MuxTarget
from aero.wire import tcpmux
from aero.wire.tcpmux import SUBPROTOCOL, Error, ErrorCode, Frame, FrameDecoder, Open
from aero.wire.websocket import BINARY, POLICY_VIOLATION, PROTOCOL_ERROR, Event

from .dialling import DiallingEndpoint, DiallingParts
from .handshake import Accepted
from .muxopening import errorFor, giveUp, refusalIn
from .offers import offeredProtocols
from .protocol import AeroWebSocketProtocol, Closed

#: Bytes of replies that may wait for a client that does not read.
_MAX_REPLY_BYTES = 65_536
#: Why the client is not read: slow targets, replies that it does not read, memory that is used up.
_BY_TARGETS, _BY_REPLIES, _BY_MEMORY = 1, 2, 4
#: Bytes that may wait of a client that is read again although memory is used up.
_FREE = 65_536

#: Events of this endpoint's own: a mux frame, and one that breaks the rules.
_FRAME, _FAILED = 0x100, 0x101
#: Frames that lead to nothing by themselves.
_WITHOUT_EFFECT = (tcpmux.PING, tcpmux.PONG, tcpmux.ERROR)


#: What a stream is told whose session or address has its share of connections.
_NO_SLOT = "session max connections exceeded"


class MuxProtocol(AeroWebSocketProtocol):
    """
    One WebSocket with its streams. Extend it to give some targets a protocol of your own.

    @ivar endpoint: The endpoint it belongs to.
    @ivar streams: The streams by their id.
    """

    streaming: ClassVar[bool] = True

    endpoint: MuxEndpoint
    streams: dict[int, MuxStream]

    # -- what users extend

    def streamRequested(self, host: str, port: int) -> Any:
        """
        The client asks for a target that the policy has nothing against so far. May return a
        Deferred or a coroutine.

        @param host: As the client wrote it.
        @return: A protocol to be connected to the stream instead of dialling; or C{None}.
        @raise Refused: The stream ends with the message and error 1.
        """

    # -- the WebSocket

    def sessionStarted(self) -> None:
        """
        The WebSocket is open.
        """
        endpoint = self.endpoint
        readMore(self.transport)
        self.flushTimeout = endpoint.settings.idleTimeout
        self.streams = {}
        self._openings: dict[MuxStream, Deferred[None]] = {}
        self._leaving: dict[MuxStream, LeavingStream] = {}
        self._decoder = FrameDecoder(endpoint.settings.maxFramePayloadBytes, stream=True)
        self._sender = FairSender(self.sendMessages, lambda: self._sendingIsPaused)
        self._pressure = UploadPressure(
            self.clock,
            self.streams.values,
            pause=self._targetsPaused,
            resume=self._targetsResumed,
            gaveUp=endpoint.stalled.inc,
        )
        self._waiting = self.factory.commons.waiting.share(self._key)
        self._receiving: MuxStream | None = None
        self._holds = 0
        self._over = False
        address = IPv6Address if ":" in self.client.ip else IPv4Address
        self._peer = address("TCP", self.client.ip, 0)

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        """
        Bytes of the frame stream. Extend L{streamRequested} instead.
        """
        self.eventsReceived(self.expand([(BINARY, payload)]))

    def expand(self, events: list[Event]) -> Sequence[Event]:
        """
        Cut messages into mux frames, of which one message may hold thousands.
        """
        found: list[Any] = []
        decoder = self._decoder
        for event in events:
            if event[0] != BINARY:
                found.append(event)
                continue
            self.factory.messagesUp.inc()
            self.factory.bytesUp.inc(len(event[1]))
            found += [(_FRAME, frame) for frame in decoder.receive(event[1])]
            if decoder.failed:
                found.append((_FAILED, b""))
                break
        return found

    def eventsReceived(self, events: Sequence[Any]) -> None:
        """
        Take mux frames, and the other events between them.
        """
        sender = self._sender
        sender.cork()
        for event in events:
            kind, frame = event
            if kind != _FRAME:
                sender.uncork()
                if kind == _FAILED:
                    self.failConnection(PROTOCOL_ERROR)
                else:
                    super().eventsReceived((event,))
                sender.cork()
            elif frame.kind == tcpmux.DATA:
                self._dataReceived(frame)
            else:
                self._controlReceived(frame)
            if self._over or self._discarding:
                break
        sender.uncork()
        if self._over:
            return
        self._pressure.readHandled()
        if sender.repliedBytes > _MAX_REPLY_BYTES and self._sendingIsPaused:
            self._hold(_BY_REPLIES)

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close the session because of something the client did, or that went wrong here.
        """
        super().failConnection(code, reason)
        self._end(deliver=code != POLICY_VIOLATION)

    def peerClosed(self) -> None:
        """
        The client sends no more; the targets get what it has sent.
        """
        self._end()

    def sessionEnded(self, closed: Closed) -> None:
        """
        The connection is gone.
        """
        self._end()

    def resumeProducing(self) -> None:
        """
        The client has taken everything: the streams send what they have, in turn.
        """
        super().resumeProducing()
        if not self._over:
            self._sender.resumed()
            self._unhold(_BY_REPLIES)

    def _end(self, deliver: bool = True) -> None:
        if self._over:
            return
        self._over = True
        self._sender.uncork()
        self._pressure.stop()
        for stream in list(self.streams.values()):
            if not deliver:
                stream.carrierLost()
            elif not stream.carrierEnded():
                leaving = self._leaving[stream] = LeavingStream(stream)
                self.endpoint.deliveries.leave(leaving, self.client.ip)
        self._sender.clear()

    def _hold(self, who: int) -> None:
        self._holds |= who
        self.pauseReading()

    def _unhold(self, who: int) -> None:
        if self._holds:
            self._holds &= ~who
            if not self._holds:
                self.resumeReading()

    def _targetsPaused(self) -> None:
        self._hold(_BY_TARGETS)

    def _targetsResumed(self) -> None:
        self._unhold(_BY_TARGETS)

    # -- frames from the client

    def _dataReceived(self, frame: Frame) -> None:
        """
        Data of a stream, or one more piece of it. What is wrong with a frame is said once.
        """
        if frame.begins:
            if not frame.payload and not self.mayGoOn():
                return
            stream = self._find(frame.streamId)
            if stream is None:
                self._sendError(frame.streamId, ErrorCode.UNKNOWN_STREAM, "unknown stream")
            elif not stream.remoteOpen:
                stream = None
                self._sendError(
                    frame.streamId, ErrorCode.PROTOCOL_ERROR, "stream is half-closed (client FIN)"
                )
            self._receiving = stream
        else:
            stream = self._receiving
        if stream is not None and stream.remoteOpen:
            stream.heard = self.clock.seconds()
            stream.remoteDataReceived(frame.payload)

    def _controlReceived(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == tcpmux.OPEN:
            self.frame_OPEN(frame.streamId, frame.payload)
        elif kind == tcpmux.CLOSE:
            self.frame_CLOSE(frame.streamId, frame.payload)
        elif kind in _WITHOUT_EFFECT and not self.mayGoOn():
            return
        elif kind == tcpmux.PING:
            self._sender.send(tcpmux.encodeFrame(tcpmux.PONG, frame.streamId, frame.payload))
        elif kind not in (tcpmux.PONG, tcpmux.ERROR):
            self._sendError(frame.streamId, ErrorCode.PROTOCOL_ERROR, f"Unknown msg_type {kind}")

    def frame_OPEN(self, streamId: int, payload: bytes) -> None:
        """
        The client wants a stream. The checks are in the order of section 13.4.
        """
        endpoint = self.endpoint
        if streamId == 0:
            self._sendError(0, ErrorCode.PROTOCOL_ERROR, "stream_id=0 is reserved")
            return
        if streamId in self.streams:
            self._sendError(streamId, ErrorCode.PROTOCOL_ERROR, "stream_id already exists")
            return
        if len(self.streams) >= endpoint.settings.maxStreams:
            self._sendError(streamId, ErrorCode.STREAM_LIMIT_EXCEEDED, "max streams exceeded")
            return
        try:
            wanted = Open.decode(payload)
        except DecodeError:
            self._sendError(streamId, ErrorCode.PROTOCOL_ERROR, "Invalid OPEN payload")
            return
        approval = ensureDeferred(endpoint.dialer.approve(wanted.host, wanted.port))
        refused = refusalIn(approval)
        if refused is not None:
            self._sendError(streamId, *errorFor(refused))
            return
        assert self.session is not None
        lease = endpoint.slots.acquire(self.session.sid, self.client.ip)
        if lease is None:
            giveUp(approval)
            self._sendError(streamId, ErrorCode.STREAM_LIMIT_EXCEEDED, _NO_SLOT)
            return
        self._open(streamId, wanted, approval, lease)

    def frame_CLOSE(self, streamId: int, payload: bytes) -> None:
        """
        The client ends its side of a stream, or the stream.
        """
        stream = self._find(streamId)
        if stream is None:
            self.mayGoOn()
            return
        try:
            flags = tcpmux.decodeClose(payload)
        except DecodeError:
            self._sendError(streamId, ErrorCode.PROTOCOL_ERROR, "Invalid CLOSE payload")
            return
        if flags & tcpmux.RST:
            stream.remoteReset()
        elif flags & tcpmux.FIN:
            stream.remoteEnded()

    def _find(self, streamId: int) -> MuxStream | None:
        """
        A stream that the client may still speak of.
        """
        stream = self.streams.get(streamId)
        return None if stream is None or stream.state == CLOSED else stream

    def _sendError(self, streamId: int, code: int, message: str) -> None:
        if not self.mayGoOn():
            return
        self.errorSent(code)
        payload = Error(code, message).encode()
        self._sender.send(tcpmux.encodeFrame(tcpmux.ERROR, streamId, payload))

    # -- a stream begins

    def _open(
        self, streamId: int, wanted: Open, approval: Deferred[ApprovedTarget], lease: Lease
    ) -> None:
        settings = self.endpoint.settings
        stream = MuxStream(
            self,
            self._sender,
            streamId,
            wanted.host,
            wanted.port,
            peer=self._peer,
            maxBytes=settings.maxStreamBufferBytes,
            pauseBytes=settings.pauseBytes,
        )
        self.streams[streamId] = stream
        self.endpoint.streamOpened()
        opening = ensureDeferred(self._establish(stream, approval, lease))
        self._openings[stream] = opening
        opening.addErrback(self._openingFailed, stream, lease)
        opening.addBoth(lambda _: self._openings.pop(stream, None))

    async def _establish(
        self, stream: MuxStream, approval: Deferred[ApprovedTarget], lease: Lease
    ) -> None:
        """
        Find out what the stream is to be connected to, and do it.
        """
        try:
            protocol = self.streamRequested(stream.host, stream.port)
            if isawaitable(protocol):
                protocol = await protocol
            if not await lease.confirmed():
                raise Refused(429, "too_many_requests", _NO_SLOT, reason="slots")
            if protocol is not None:
                self._connect(stream, protocol, lease)
                return
            approved = await approval
        finally:
            giveUp(approval)
        settings = self.endpoint.settings
        target = MuxTarget(
            self.clock,
            pauseBytes=congestedBytes(settings.pauseBytes, settings.maxStreamBufferBytes),
            idleTimeout=settings.idleTimeout,
            finished=lease.release,
            leave=lambda left: self.endpoint.deliveries.leave(left, self.client.ip),
        )
        await self.endpoint.dialer.connect(approved, target.connection)
        stream.connect(target)

    def _connect(self, stream: MuxStream, protocol: IProtocol, lease: Lease) -> None:
        """
        Connect a stream to a protocol that holds no connection of ours.
        """
        stream.connect(protocol)
        if stream.state == CLOSED:
            lease.release()
        else:
            self.endpoint.leases[stream] = lease

    def _openingFailed(self, failure: Failure, stream: MuxStream, lease: Lease) -> None:
        lease.release()
        problem = failure.value
        if not isinstance(problem, CancelledError) and not self.mayGoOn():
            return
        if isinstance(problem, Refused):
            stream.fail(*errorFor(problem))
        elif isinstance(problem, DialFailed) and problem.reason == "timeout":
            stream.fail(ErrorCode.DIAL_FAILED, "TCP connect timeout")
        else:
            if not isinstance(problem, (DialFailed, CancelledError)):
                self._log.failure("Opening a stream failed", failure=failure)
            stream.fail(ErrorCode.DIAL_FAILED, "dial failed")

    # -- what the streams say: aero.tunnel.streams.stream.Owner

    def streamCongested(self, stream: MuxStream) -> None:
        """
        More waits for the stream's target than should.
        """
        self._pressure.streamCongested(stream)

    def streamRelieved(self, stream: MuxStream) -> None:
        """
        Nothing waits for it any more.
        """
        self._pressure.streamRelieved(stream)

    def streamForgotten(self, stream: MuxStream, why: str) -> None:
        """
        The stream is over, and its id free.
        """
        if self.streams.get(stream.streamId) is stream:
            del self.streams[stream.streamId]
        opening = self._openings.pop(stream, None)
        if opening is not None:
            opening.cancel()
        leaving = self._leaving.pop(stream, None)
        if leaving is not None:
            leaving.forgotten(why == "error")
        self.endpoint.streamEnded(stream, why)

    def errorSent(self, code: int) -> None:
        """
        Count an error.
        """
        self.endpoint.metrics.counter(rows.ERRORS, str(int(code))).inc()

    def queued(self, direction: str, change: int) -> None:
        """
        Count what waits. A client beyond its share of the memory is not read until it has some.
        """
        self.endpoint.queueBytes[direction].inc(change)
        fits = self._waiting.hold(self._waiting.held + change)
        if not fits and direction == "up" and not self._over:
            self._hold(_BY_MEMORY)
        if self._holds & _BY_MEMORY and self._waiting.held <= _FREE:
            self._unhold(_BY_MEMORY)


class MuxEndpoint(DiallingEndpoint):
    """
    The endpoint C{/tcp-mux}.

    @ivar leases: The slots of streams that are connected to a protocol of our own.
    """

    label = "tcp-mux"

    def __init__(
        self,
        path: str = "/tcp-mux",
        protocol: type[MuxProtocol] = MuxProtocol,
        **parts: Unpack[DiallingParts],
    ) -> None:
        super().__init__(path, protocol, **parts)
        metrics = self.metrics
        self.leases: dict[MuxStream, Lease] = {}
        self.stalled = metrics.counter(rows.STALLED)
        self.queueBytes = {
            direction: metrics.gauge(rows.QUEUE_BYTES, direction) for direction in ("up", "down")
        }
        self._streams = metrics.gauge(rows.STREAMS)
        self._opened = metrics.counter(rows.OPENED)

    def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
        """
        Check that the client speaks the protocol.
        """
        if SUBPROTOCOL not in offeredProtocols(accepted.offered):
            raise Refused(
                400,
                "bad_request",
                f"Missing required subprotocol: {SUBPROTOCOL}",
                reason="subprotocol",
            )
        session = self.buildProtocol(accepted.withSubprotocol(SUBPROTOCOL))
        assert isinstance(session, MuxProtocol)
        session.endpoint = self
        return session

    def streamOpened(self) -> None:
        """
        Count a stream.
        """
        self._opened.inc()
        self._streams.inc()

    def streamEnded(self, stream: MuxStream, why: str) -> None:
        """
        Count its end.
        """
        self._streams.dec()
        self.metrics.counter(rows.CLOSED, why).inc()
        lease = self.leases.pop(stream, None)
        if lease is not None:
            lease.release()
