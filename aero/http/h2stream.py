# -*- test-case-name: aero.http.test.test_h2stream -*-
"""
One HTTP/2 stream, the channel of one request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from h2.errors import ErrorCodes
from hpack import NeverIndexedHeaderTuple
from twisted.internet.interfaces import IConsumer, IProtocol, ITransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from aero.errors import Refused

from .bodyreader import bodyTooLarge
from .buffers import BODY_PART, noRoom, partFor
from .h2head import Malformed, listSize, methodOf, readHead
from .h2owner import StreamOwner
from .pull import PullDriver
from .request import AeroRequest

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
    @ivar wantsBody: Whether more of the body is of use.
    """

    #: The request has no transport of its own.
    transport = None
    #: For whoever asks any channel to close after a response; streams end by themselves.
    persistent = True

    def __init__(self, connection: StreamOwner[Stream], streamId: int) -> None:
        self.connection = connection
        self.site = connection.site
        self.factory = connection.site
        self.streamId = streamId
        self.ended = False
        self.isReady = False
        self.wantsBody = False
        self._received = 0
        self._share = connection.share()
        # Bytes of head and body that the share holds; what else it holds waits to be sent.
        self._kept = 0
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
        except Malformed as malformed:
            self._request = None
            self.connection.malformed(self, malformed.reason)
            return
        except Refused as refused:
            self._refuseHead(methodOf(headers), b"/", refused)
            return
        if ended and head.length:
            self._request = None
            self.connection.malformed(self, "framing")
            return
        size = listSize(headers)
        if not self._keep(size, partFor(size + self._besides())):
            self._refuseHead(head.method, head.target, noRoom())
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
            request.refuse(bodyTooLarge())
            return
        self._length = head.length
        self._keepsBody = self.site.keepsBody(request)
        self.wantsBody = True
        request.gotLength(head.length)
        self._bodyDeadline = self.site.clock.seconds() + settings.bodyTimeout
        if head.expectsContinue:
            self.connection.h2.send_headers(self.streamId, [(b":status", b"100")])

    def _refuseHead(self, method: bytes, target: bytes, refused: Refused) -> None:
        request = self._request
        assert request is not None
        request.headReceived(method, target, b"HTTP/2")
        request.gotLength(0)
        request.refuse(refused)

    def _besides(self) -> int:
        """
        What the other streams of the connection hold, as far as that matters: a connection that
        holds much leaves the last part of the limits to others.
        """
        if not self._share.isTight:
            return 0
        return sum(stream.held for stream in self.connection.streams.values())

    @property
    def held(self) -> int:
        """
        Bytes that wait on this stream.
        """
        return self._share.held

    def _keep(self, size: int, part: float) -> bool:
        if not self._share.take(size, part):
            return False
        self._kept += size
        return True

    def bodyReceived(self, data: bytes, ended: bool) -> None:
        """
        A part of the body is there.

        @param ended: Whether it is the last one.
        """
        self._received += len(data)
        length, request = self._length, self._request
        if length is not None and (self._received > length or (ended and self._received < length)):
            self.connection.malformed(self, "framing")
        elif request is None or request.finished or not data:
            pass
        elif self._received > self._limit:
            self._refuseBody(bodyTooLarge())
        elif not self._keepsBody:
            pass
        elif not self._keep(len(data), BODY_PART):
            self._refuseBody(noRoom())
        else:
            request.handleContentChunk(data)

    def _refuseBody(self, refused: Refused) -> None:
        self.wantsBody = False
        assert self._request is not None
        self._request.refuse(refused)

    def requestEnded(self) -> None:
        """
        The request is complete.
        """
        self.ended = True
        self.wantsBody = False
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
        self._share.close()
        self._kept = 0

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
            self._share.keep(self._kept + self._pendingBytes)
        low = 0 if self._share.isTight else _LOW_WATER
        if self._producerPaused and self._pendingBytes <= low and self._producer is not None:
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
        self._share.close()
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
        self._share.keep(self._kept + self._pendingBytes)
        self.connection.ready(self)
        high = 0 if self._share.isTight else _HIGH_WATER
        if self._producer is not None and not self._producerPaused and self._pendingBytes > high:
            self._producerPaused = True
            self._producer.pauseProducing()

    @property
    def isTight(self) -> bool:
        """
        Whether so much waits that a response should be produced in small pieces.
        """
        return self._share.isTight

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
        self.wantsBody = False
        self._finished = True
        self._kept = 0
        self._share.keep(self._pendingBytes)
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
