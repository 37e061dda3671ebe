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
    1009                            a WebSocket frame or message is too long

after which nothing that the client sent is looked at, and all streams are dropped. When the
client closes in order, what it sent before still reaches the targets.
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
from aero.net.prompt import readMore
from aero.tunnel.slots import Lease
from aero.tunnel.streams.pressure import UploadPressure
from aero.tunnel.streams.sender import FairSender
from aero.tunnel.streams.states import CLOSED
from aero.tunnel.streams.stream import MuxStream, congestedBytes
from aero.tunnel.streams.target import MuxTarget
from aero.wire import tcpmux
from aero.wire.fieldlist import elements
from aero.wire.tcpmux import SUBPROTOCOL, Error, ErrorCode, Frame, FrameDecoder, Open
from aero.wire.websocket import ABNORMAL, PROTOCOL_ERROR

from .dialling import DiallingEndpoint, DiallingParts
from .handshake import Accepted
from .protocol import AeroWebSocketProtocol, Closed

#: Bytes of replies that may wait for a client that does not read.
_MAX_REPLY_BYTES = 65_536
#: Who stopped reading the client: slow targets, or replies that it does not read.
_BY_TARGETS, _BY_REPLIES = 1, 2

_MAX_OFFER_BYTES, _MAX_OFFERS = 4_096, 32
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

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
        self._decoder = FrameDecoder(endpoint.settings.maxFramePayloadBytes, stream=True)
        self._sender = FairSender(self.sendMessages, lambda: self._sendingIsPaused)
        self._pressure = UploadPressure(
            self.clock,
            self.streams.values,
            pause=self._targetsPaused,
            resume=self._targetsResumed,
            gaveUp=endpoint.stalled.inc,
        )
        self._receiving: MuxStream | None = None
        self._holds = 0
        self._over = False
        address = IPv6Address if ":" in self.client.ip else IPv4Address
        self._peer = address("TCP", self.client.ip, 0)

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        """
        Bytes of the frame stream. Extend L{streamRequested} instead.
        """
        decoder = self._decoder
        sender = self._sender
        sender.cork()
        for frame in decoder.receive(payload):
            if frame.kind == tcpmux.DATA:
                self._dataReceived(frame)
            else:
                self._controlReceived(frame)
            if self._over:
                return
        sender.uncork()
        if decoder.failed:
            self.failConnection(PROTOCOL_ERROR)
            return
        self._pressure.readHandled()
        if sender.repliedBytes > _MAX_REPLY_BYTES and self._sendingIsPaused:
            self._hold(_BY_REPLIES)

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close the session because of something the client did, or that went wrong here; all
        streams are dropped.
        """
        super().failConnection(code, reason)
        self._end(inOrder=False)

    def peerClosed(self) -> None:
        """
        The client sends no more; the targets get what it has sent.
        """
        self._end(inOrder=not self.failedByMe)

    def sessionEnded(self, closed: Closed) -> None:
        """
        The connection is gone.
        """
        self._end(inOrder=closed.code != ABNORMAL and not self.failedByMe)

    def resumeProducing(self) -> None:
        """
        The client has taken everything: the streams send what they have, in turn.
        """
        super().resumeProducing()
        if not self._over:
            self._sender.resumed()
            self._unhold(_BY_REPLIES)

    def _end(self, *, inOrder: bool) -> None:
        if self._over:
            return
        self._over = True
        self._sender.uncork()
        self._pressure.stop()
        for stream in list(self.streams.values()):
            if inOrder:
                stream.carrierEnded()
            else:
                stream.carrierLost()
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
        refused = _refusalIn(approval)
        if refused is not None:
            self._sendError(streamId, *_errorFor(refused))
            return
        assert self.session is not None
        lease = endpoint.slots.acquire(self.session.sid, self.client.ip)
        if lease is None:
            _giveUp(approval)
            self._sendError(streamId, ErrorCode.STREAM_LIMIT_EXCEEDED, _NO_SLOT)
            return
        self._open(streamId, wanted, approval, lease)

    def frame_CLOSE(self, streamId: int, payload: bytes) -> None:
        """
        The client ends its side of a stream, or the stream.
        """
        stream = self._find(streamId)
        if stream is None:
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
            _giveUp(approval)
        settings = self.endpoint.settings
        target = MuxTarget(
            self.clock,
            pauseBytes=congestedBytes(settings.pauseBytes, settings.maxStreamBufferBytes),
            idleTimeout=settings.idleTimeout,
            finished=lease.release,
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
        if isinstance(problem, Refused):
            stream.fail(*_errorFor(problem))
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
        self.endpoint.streamEnded(stream, why)

    def errorSent(self, code: int) -> None:
        """
        Count an error.
        """
        self.endpoint.metrics.counter(rows.ERRORS, str(int(code))).inc()

    def queued(self, direction: str, change: int) -> None:
        """
        Count what waits.
        """
        self.endpoint.queueBytes[direction].inc(change)


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


def offeredProtocols(lines: Sequence[bytes]) -> list[str]:
    """
    Read C{Sec-WebSocket-Protocol} (section 13.1).

    @param lines: Its lines, unmerged.
    @return: The names offered; none where the header is absent or empty.
    @raise Refused: It is too long, or not a list of tokens.
    """
    if sum(map(len, lines)) > _MAX_OFFER_BYTES:
        names = None
    else:
        names = [name.decode("latin-1") for name in elements(lines)]
    if names is None or len(names) > _MAX_OFFERS or not all(map(_TOKEN.issuperset, names)):
        raise Refused(
            400, "bad_request", "Invalid Sec-WebSocket-Protocol header", reason="subprotocol"
        )
    return names


def _refusalIn(approval: Deferred[ApprovedTarget]) -> Refused | None:
    """
    The refusal of the policy, where it did not even have to ask for the name.
    """
    result = getattr(approval, "result", None)
    if isinstance(result, Failure) and isinstance(result.value, Refused):
        refused = result.value
        if refused.reason != "lookup":
            _giveUp(approval)
            return refused
    return None


def _giveUp(approval: Deferred[ApprovedTarget]) -> None:
    """
    Whatever comes of an approval, nobody wants it any more.
    """
    approval.addErrback(lambda failure: None)
    approval.cancel()


def _errorFor(refused: Refused) -> tuple[int, str]:
    """
    The error that a refusal is on a stream (section 11.4).
    """
    if refused.reason == "lookup":
        return ErrorCode.DIAL_FAILED, "dial failed"
    if refused.reason == "slots":
        return ErrorCode.STREAM_LIMIT_EXCEEDED, refused.message
    if refused.reason == "config":
        return ErrorCode.DIAL_FAILED, refused.message
    if refused.status == 400:
        return ErrorCode.PROTOCOL_ERROR, refused.message
    return ErrorCode.POLICY_DENIED, refused.message
