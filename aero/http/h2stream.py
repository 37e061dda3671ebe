# -*- test-case-name: aero.http.test.test_h2stream -*-
"""
One HTTP/2 stream, the channel of one request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes
from hpack import NeverIndexedHeaderTuple
from twisted.internet.interfaces import IConsumer, IProtocol, ITransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from aero.errors import Refused

from .h2head import methodOf, readHead
from .pull import PullDriver
from .request import BODY_BYTES, AeroRequest

if TYPE_CHECKING:
    from .http2 import HTTP2Connection

#: A producer is paused when this many bytes of its wait, and resumed when this few do.
_HIGH_WATER = 262_144
_LOW_WATER = 65_536

#: Headers that say how an HTTP/1 connection is used and are forbidden here.
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)

#: Headers whose values do not come again, or are secrets; in the compression table they would
#: only push out those that do.
_UNIQUE = frozenset((b"x-request-id", b"set-cookie"))

#: Lower-case spellings of header names seen so far; what a resource may set is bounded.
_lower: dict[bytes, bytes] = {}


@implementer(ITransport, IConsumer)
class Stream:
    """
    The channel of a request that came by HTTP/2.

    @ivar ended: Whether the client has sent the whole request.
    @ivar isReady: Whether the connection will ask for output.
    @ivar received: Bytes of body that are kept.
    """

    #: The request has no transport of its own.
    transport = None
    #: For whoever asks any channel to close after a response; streams end by themselves.
    persistent = True

    def __init__(self, connection: HTTP2Connection, streamId: int) -> None:
        self.connection = connection
        self.site = connection.site
        self.factory = connection.site
        self.streamId = streamId
        self.ended = False
        self.isReady = False
        self.received = 0
        self._request: AeroRequest | None = None
        self._limit = 0
        self._length: int | None = None
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._pending: deque[bytes] = deque()
        self._pendingBytes = 0
        self._offset = 0
        self._finished = False
        self._producer: Any = None
        self._producerPaused = False
        self._moved = True
        self._stalledSince = 0.0
        self._bodyDeadline: float | None = None

    # From the connection.

    def headersReceived(self, headers: Sequence[tuple[bytes, bytes]], ended: bool) -> None:
        """
        The head of the request is there.

        @param ended: Whether that is all of it.
        """
        self.ended = ended
        settings = self.site.settings
        request: AeroRequest = self.site.requestFactory(self)
        self._request = request
        try:
            head = readHead(headers, settings.maxHeaderBytes, settings.maxHeaders)
        except Refused as refused:
            request.headReceived(methodOf(headers), b"/", b"HTTP/2")
            request.gotLength(0)
            request.refuse(refused)
            return
        add = request.requestHeaders.addRawHeader
        for name, value in head.headers:
            add(name, value)
        request.headReceived(head.method, head.target, b"HTTP/2")
        if ended:
            request.gotLength(0)
            return
        try:
            self._limit = self.site.bodyLimit(request)
        except Exception:  # noqa: BLE001
            request.gotLength(0)
            request.processingFailed(Failure())
            return
        if head.length is not None and head.length > self._limit:
            request.gotLength(0)
            request.refuse(_bodyTooLarge())
            return
        request.gotLength(head.length)
        self._bodyDeadline = self.site.clock.seconds() + settings.bodyTimeout
        if head.expectsContinue:
            self.connection.h2.send_headers(self.streamId, [(b":status", b"100")])

    def bodyReceived(self, data: bytes) -> None:
        """
        A part of the body is there.
        """
        request = self._request
        if request is None or request.finished:
            return
        self.received += len(data)
        if not self.connection.keepBody(len(data)):
            request.refuse(self.connection.refuseBody())
        elif self.received > self._limit:
            request.refuse(_bodyTooLarge())
        else:
            request.handleContentChunk(data)

    def requestEnded(self) -> None:
        """
        The request is complete.
        """
        self.ended = True
        self._bodyDeadline = None
        request = self._request
        if request is not None and not request.finished:
            request.requestReceived(request.method, request.uri, request.clientproto)

    def connectionLost(self, reason: Failure) -> None:
        """
        The stream or its connection is gone.
        """
        self._pending.clear()
        self._pendingBytes = self._offset = 0
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)

    def expire(self, now: float, choked: bool) -> None:
        """
        End what has taken too long by now.

        @param choked: Whether the whole connection waits for the client, which is not the
            stream's fault.
        """
        if self._bodyDeadline is not None and now >= self._bodyDeadline:
            self._bodyDeadline = None
            request = self._request
            if request is not None and not request.finished:
                self.site.timedOut("body")
                request.refuse(
                    Refused(408, "request_timeout", "The request took too long", reason="timeout")
                )
        elif self._moved or choked or not self.hasOutput:
            self._moved = False
            self._stalledSince = now
        elif now >= self._stalledSince + self.site.settings.writeTimeout:
            self.site.timedOut("write")
            self.connection.reset(self, ErrorCodes.CANCEL)

    # To the connection.

    @property
    def hasOutput(self) -> bool:
        """
        Whether there is something to send, window or not.
        """
        return bool(self._headers is not None or self._pendingBytes or self._finished)

    def send(self, room: int) -> tuple[int, int]:
        """
        Give the machine what it can take.

        @param room: The most bytes to give.
        @return: How many bytes that was, and in how many frames.
        """
        h2, streamId = self.connection.h2, self.streamId
        frames = sent = 0
        if self._headers is not None:
            done = self._finished and not self._pendingBytes
            h2.send_headers(streamId, self._headers, end_stream=done)
            self._headers = None
            frames = 1
            if done:
                self._done()
                return 0, 1
        while sent < room:
            if not self._pendingBytes:
                if self._finished:
                    h2.send_data(streamId, b"", end_stream=True)
                    frames += 1
                    self._done()
                break
            frame = h2.max_outbound_frame_size
            size = min(h2.local_flow_control_window(streamId), max(frame, room - sent))
            if size <= 0:
                break
            piece = self._take(size, min(size, frame))
            done = self._finished and not self._pendingBytes
            frames += h2.sendBody(streamId, piece, done)
            sent += len(piece)
            if done:
                self._done()
                break
        if frames:
            self._moved = True
        if self._producerPaused and self._pendingBytes <= _LOW_WATER and self._producer is not None:
            self._producerPaused = False
            self._producer.resumeProducing()
        return sent, frames

    def _take(self, size: int, enough: int) -> bytes | memoryview:
        """
        Take bytes from the front of what is pending.

        @param size: The most to take.
        @param enough: So many are not joined with what follows them.
        """
        pending, first, offset = self._pending, self._pending[0], self._offset
        left = len(first) - offset
        if left > size:
            self._offset = offset + size
            self._pendingBytes -= size
            return memoryview(first)[offset : offset + size]
        if left >= enough:
            self._offset = 0
            self._pendingBytes -= left
            pending.popleft()
            return memoryview(first)[offset:]
        pieces: list[bytes | memoryview] = []
        taken = 0
        while pending and taken < size:
            first = pending[0]
            piece = memoryview(first)[self._offset : self._offset + size - taken]
            taken += len(piece)
            pieces.append(piece)
            if self._offset + len(piece) < len(first):
                self._offset += len(piece)
            else:
                self._offset = 0
                pending.popleft()
        self._pendingBytes -= taken
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _done(self) -> None:
        self._finished = False
        self.connection.streamDone(self)

    # The channel of a request.

    def getPeer(self) -> Any:
        """
        The address of the other end.
        """
        return self.connection.transport.getPeer()

    def getHost(self) -> Any:
        """
        The address of this end.
        """
        return self.connection.host

    def isSecure(self) -> bool:
        """
        Whether the connection is encrypted.
        """
        return self.connection.isSecure()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Write the head of the response.
        """
        fields = [(b":status", code)]
        for name, values in headers.getAllRawHeaders():
            lower = _lower.get(name)
            if lower is None:
                lower = name.lower()
                if len(_lower) < 1_000:
                    _lower[name] = lower
            if lower in _UNIQUE:
                fields.extend([NeverIndexedHeaderTuple(lower, value) for value in values])
            elif lower not in _HOP_BY_HOP:
                fields.extend([(lower, value) for value in values])
        request = self._request
        other = None if request is None else request.headerSet
        fields += self.site.headerFields if other is None else other.fields
        self._headers = fields
        self.connection.ready(self)

    def write(self, data: bytes) -> None:
        """
        Write a part of the response.
        """
        if not data or self._request is None:
            return
        self._pending.append(data)
        self._pendingBytes += len(data)
        self.connection.ready(self)
        if (
            self._producer is not None
            and not self._producerPaused
            and self._pendingBytes > _HIGH_WATER
        ):
            self._producerPaused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Write parts of the response.
        """
        self.write(b"".join(iovec))

    def requestDone(self, request: AeroRequest) -> None:
        """
        The response is complete.
        """
        self._request = None
        self._bodyDeadline = None
        self._finished = True
        self.connection.ready(self)

    def loseConnection(self) -> None:
        """
        Somebody wants no more of this stream.
        """
        self.connection.reset(self, ErrorCodes.CANCEL)

    def abortConnection(self) -> None:
        """
        The response cannot be completed.
        """
        self.connection.reset(self, ErrorCodes.INTERNAL_ERROR)

    def takeOver(self, request: AeroRequest, protocol: IProtocol, first: bytes) -> None:
        """
        A stream is no connection that could be taken over.
        """
        raise RuntimeError("an HTTP/2 stream cannot be taken over")

    # Back-pressure.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        A response is produced as the client takes it.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} produces already")
        if streaming:
            self._producer = producer
        else:
            assert self._request is not None
            self._producer = PullDriver(producer, self.site.clock, self._request.processingFailed)
            self._producer.start()

    def unregisterProducer(self) -> None:
        """
        The response is produced.
        """
        producer, self._producer = self._producer, None
        self._producerPaused = False
        if isinstance(producer, PullDriver):
            producer.stop()


def _bodyTooLarge() -> Refused:
    return Refused(413, "payload_too_large", "Request body is too large", reason=BODY_BYTES)
