# -*- test-case-name: aero.http.test.test_channel -*-
"""
HTTP/1.1 on one connection.

L{Channel} is what L{AeroRequest} knows as its channel. It is not a subclass of Twisted's
C{HTTPChannel}, whose line-wise parser, limits, refusals and timeouts are private to it and
each of which would have to be replaced. A whole head is parsed at once, requests are answered
one at a time and in order, and the client is not read from while it does not read: a
connection holds at most one head, one body and L{READ_AHEAD} bytes of what follows.

Timeouts are absolute instants that L{expire} compares with the clock; a byte that trickles
in moves none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IConsumer,
    IProtocol,
    IPushProducer,
    ISSLTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from aero.errors import Refused
from aero.net.proxied import hasProxyTLS
from aero.net.unsent import unsentBytes

from .chunked import ChunkedDecoder
from .head import END, Head, bad, parseHead
from .pull import PullDriver
from .refusals import refusalMessage
from .request import BODY_BYTES, AeroRequest

if TYPE_CHECKING:
    from .connection import Connection
    from .site import AeroSite

#: Bytes that are read ahead of the request in progress, so that it is noticed when the client
#: leaves; then reading stops.
READ_AHEAD = 16_384

#: Seconds that a refused client has to read the refusal while what it sends is dropped
#: (gateway.md section 9.1).
LINGER = 2.0

# What the bytes that arrive are.
_HEAD, _BODY, _AHEAD, _DROPPED = range(4)

#: A line feed without its carriage return.
_BARE_LF = re.compile(rb"(?<!\r)\n")

#: What a request can begin with: a method, or an empty line that some clients send.
_FIRST_BYTES = frozenset(
    b"\r!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

#: Empty lines tolerated before a request line (RFC 9112 section 2.2).
_MAX_EMPTY_LINES = 2


@implementer(ITransport, IConsumer, IPushProducer)
class Channel:
    """
    One connection that speaks HTTP/1.

    @ivar transport: The TLS or TCP transport.
    @ivar persistent: Whether another request may follow the one in progress.
    """

    transport: Any = None
    persistent = True

    def __init__(self, site: AeroSite, connection: Connection) -> None:
        self.site = site
        # Twisted's Request tells its channel's factory of every finished response.
        self.factory = site
        self._connection = connection
        self._buffer = bytearray()
        self._reading = _HEAD
        self._searched = 0
        self._emptyLines = 0
        self._running = False
        self._request: AeroRequest | None = None
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._received = 0
        self._limit = 0
        self._bodyPending = False
        self._producer: Any = None
        self._secure = False
        # Asking the system for it at each request would be a twentieth of a short response.
        self._host: Any = None
        # Whether the transport has enough to write for now, and whether we stopped reading it.
        self._choked = False
        self._paused = False
        self._deadline: float | None = None
        self._kind = "idle"
        self._writeDeadline: float | None = None
        self._unsent = 0

    # The protocol of the transport.

    def makeConnection(self, transport: ITransport) -> None:
        """
        A client is there and speaks HTTP/1.
        """
        self.transport = transport
        self._secure = ISSLTransport(transport, None) is not None or hasProxyTLS(transport)
        self._expect("idle", self.site.settings.idleTimeout)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent bytes.
        """
        if self._reading == _DROPPED:
            return
        self._buffer += data
        if self._reading == _AHEAD:
            self._adjustReading()
        else:
            self._run()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client is gone.
        """
        self._reading = _DROPPED
        self._deadline = self._writeDeadline = None
        self._buffer.clear()
        self.stopProducing()
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)

    def _run(self) -> None:
        """
        Read as many requests as can be answered now.
        """
        if self._running:
            return
        self._running = True
        try:
            while self._buffer and not self._choked:
                if self._reading == _HEAD:
                    if not self._readHead():
                        break
                elif self._reading == _BODY:
                    if not self._readBody():
                        break
                else:
                    break
        except Refused as refused:
            self._refuse(refused)
        finally:
            self._running = False
        self._adjustReading()

    # Reading a request.

    def _readHead(self) -> bool:
        """
        Read one head.

        @return: Whether there is more to do with what has arrived.
        """
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            self._emptyLines += 1
            if self._emptyLines > _MAX_EMPTY_LINES:
                raise bad("Malformed request line")
            del buffer[:2]
            self._searched = 0
        if not buffer:
            return False
        limit = self.site.settings.maxHeaderBytes
        end = buffer.find(END, max(0, self._searched - 3))
        if (len(buffer) if end < 0 else end + len(END)) > limit:
            self._tooLarge(limit)
        if end < 0:
            self._checkPartialHead()
            return False
        head = parseHead(
            bytes(buffer[:end]), self.site.settings.maxHeaders, anyHost=self.site.anyHost
        )
        del buffer[: end + len(END)]
        self._searched = self._emptyLines = 0
        self._headReceived(head)
        return True

    def _tooLarge(self, limit: int) -> None:
        if self._buffer.find(b"\r\n", 0, limit) < 0:
            raise Refused(414, "url_too_long", "Request URL too long", reason="target")
        raise Refused(
            431, "headers_too_large", "Request header fields too large", reason="header-bytes"
        )

    def _checkPartialHead(self) -> None:
        """
        Refuse what can never become a head, and start the clock of the rest.
        """
        buffer = self._buffer
        if buffer[0] not in _FIRST_BYTES or _BARE_LF.search(buffer, max(0, self._searched - 1)):
            raise bad("This is not HTTP/1.1")
        self._searched = len(buffer)
        if self._kind != "header":
            self._expect("header", self.site.settings.headerTimeout)

    def _headReceived(self, head: Head) -> None:
        self.persistent = head.persistent
        request: AeroRequest = self.site.requestFactory(self)
        self._request = request
        add = request.requestHeaders.addRawHeader
        for name, value in head.headers:
            add(name, value)
        request.headReceived(head.method, head.target, head.version)
        if head.length == 0:
            request.gotLength(0)
            self._requestReceived()
            return
        self._bodyPending = True
        try:
            self._limit = self.site.bodyLimit(request)
        except Exception:  # noqa: BLE001
            self.persistent = False
            request.processingFailed(Failure())
            return
        if head.length is not None and head.length > self._limit:
            raise _bodyTooLarge()
        request.gotLength(head.length)
        self._received = 0
        self._left = head.length or 0
        self._decoder = ChunkedDecoder() if head.length is None else None
        self._reading = _BODY
        self._expect("body", self.site.settings.bodyTimeout)
        if head.expectsContinue and not self._buffer:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _readBody(self) -> bool:
        """
        Read a part of the body.

        @return: Whether there is more to do with what has arrived.
        """
        request, buffer = self._request, self._buffer
        assert request is not None
        if self._decoder is not None:
            pieces = self._decoder.decode(buffer)
            self._received += sum(map(len, pieces))
            if self._received > self._limit:
                raise _bodyTooLarge()
            for piece in pieces:
                request.handleContentChunk(piece)
            done = self._decoder.done
        else:
            piece = bytes(buffer[: self._left])
            del buffer[: len(piece)]
            self._left -= len(piece)
            request.handleContentChunk(piece)
            done = not self._left
        if done:
            self._decoder = None
            self._bodyPending = False
            self._requestReceived()
        return done

    def _requestReceived(self) -> None:
        """
        The request is complete: have it answered.
        """
        request = self._request
        assert request is not None
        self._reading = _AHEAD
        self._deadline = None
        self._kind = "answer"
        request.requestReceived(request.method, request.uri, request.clientproto)

    # Refusing and closing.

    def _refuse(self, refused: Refused) -> None:
        """
        Answer a request that is not read any further.
        """
        self.persistent = False
        self._reading = _DROPPED
        request = self._request
        if request is not None:
            self._bodyPending = True
            request.refuse(refused, close=True)
            return
        self.site.refused(refused.reason)
        self.transport.write(
            refusalMessage(
                refused,
                self.site.responseHeaders.pairs,
                self.site.newRequestId(),
                self.site.date(),
            )
        )
        self._close(linger=True)

    def _close(self, *, linger: bool = False) -> None:
        """
        Close once everything is written.

        @param linger: Whether the client may still be sending. Closing at once would make its
            system drop what we wrote (RFC 9112 section 9.6), so first only our side is closed
            and what arrives is dropped for a while.
        """
        self._reading = _DROPPED
        self._buffer.clear()
        self._writeDeadline = None
        self._unsent = unsentBytes(self.transport)
        self._expect("close", self.site.settings.writeTimeout if self._unsent else LINGER)
        self.transport.unregisterProducer()
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        if linger and not self._secure and hasattr(self.transport, "loseWriteConnection"):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def _expect(self, kind: str, seconds: float) -> None:
        self._kind = kind
        self._deadline = self.site.clock.seconds() + seconds

    def expire(self, now: float) -> None:
        """
        End what has taken too long by now.
        """
        if self._writeDeadline is not None and now >= self._writeDeadline:
            if self._progressed():
                self._writeDeadline = now + self.site.settings.writeTimeout
            else:
                self._writeDeadline = None
                self.site.timedOut("write")
                self.transport.abortConnection()
        elif self._deadline is not None and now >= self._deadline:
            self._expired(now)

    def _expired(self, now: float) -> None:
        kind, self._deadline = self._kind, None
        if kind == "close":
            if self._progressed():
                self._expect("close", self.site.settings.writeTimeout if self._unsent else LINGER)
                return
            if self._unsent:
                self.site.timedOut("write")
            self.transport.abortConnection()
            return
        self.site.timedOut(kind)
        if kind == "idle":
            self._close()
        else:
            self._refuse(
                Refused(408, "request_timeout", "The request took too long", reason="timeout")
            )

    def _progressed(self) -> bool:
        """
        Whether the client took any bytes since this was last asked.
        """
        before, self._unsent = self._unsent, unsentBytes(self.transport)
        return self._unsent < before

    def drain(self) -> None:
        """
        Finish the request in progress, if there is one, and close.
        """
        if self._reading == _HEAD and not self._buffer:
            self._close()

    # The channel of a request.

    def getPeer(self) -> Any:
        """
        The address of the other end.
        """
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """
        The address of this end.
        """
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host

    def isSecure(self) -> bool:
        """
        Whether the connection is encrypted.
        """
        return self._secure

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Write the head of the response.
        """
        parts = [version, b" ", code, b" ", reason, b"\r\n"]
        connection = headers.getRawHeaders(b"Connection")
        if connection is not None:
            if any(b"close" in value.lower() for value in connection):
                self.persistent = False
        elif not self.persistent or self.site.draining:
            self.persistent = False
            parts.append(b"Connection: close\r\n")
        for name, values in headers.getAllRawHeaders():
            for value in values:
                parts += (name, b": ", value, b"\r\n")
        request = self._request
        other = None if request is None else request.headerSet
        parts += (self.site.headerBlock if other is None else other.block, b"\r\n")
        self.transport.write(b"".join(parts))

    def write(self, data: bytes) -> None:
        """
        Write a part of the response.
        """
        if data:
            self.transport.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Write parts of the response.
        """
        self.transport.write(b"".join(iovec))

    def requestDone(self, request: AeroRequest) -> None:
        """
        The response is complete.
        """
        self._request = None
        if not self.persistent or self._bodyPending or self.site.draining:
            self._close(linger=self._bodyPending or bool(self._buffer))
            return
        self._reading = _HEAD
        self._expect("idle", self.site.settings.idleTimeout)
        if not self._running:
            self._run()

    def loseConnection(self) -> None:
        """
        Close once everything is written; the request in progress is not waited for.
        """
        if self._reading != _DROPPED:
            self.persistent = False
            self._close()

    def abortConnection(self) -> None:
        """
        Cut the connection.
        """
        self._reading = _DROPPED
        self._buffer.clear()
        self.transport.abortConnection()

    def takeOver(self, request: AeroRequest, protocol: IProtocol, first: bytes) -> None:
        """
        See L{AeroRequest.takeOver}.
        """
        if request is not self._request or self._reading != _AHEAD:
            raise RuntimeError("only a complete request that is not answered can be taken over")
        self._request = None
        self._reading = _DROPPED
        self._deadline = self._writeDeadline = None
        first += bytes(self._buffer)
        self._buffer.clear()
        self.unregisterProducer()
        transport = self.transport
        transport.unregisterProducer()
        request.takenOver()
        self.site.upgraded(request)
        self._connection.occupy(protocol)
        protocol.makeConnection(transport)
        if self._paused:
            self._paused = False
            transport.resumeProducing()
        if first:
            protocol.dataReceived(first)

    # Back-pressure: a producer of the response, the transport, and between them this.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        A response is produced as the client takes it.
        """
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} produces already")
        if not streaming:
            request = self._request
            assert request is not None
            producer = PullDriver(producer, self.site.clock, request.processingFailed)
        self._producer = producer
        if self._choked:
            producer.pauseProducing()
        if isinstance(producer, PullDriver):
            producer.start()

    def unregisterProducer(self) -> None:
        """
        The response is produced.
        """
        producer, self._producer = self._producer, None
        if isinstance(producer, PullDriver):
            producer.stop()

    def pauseProducing(self) -> None:
        """
        The transport has enough to write for now.
        """
        self._choked = True
        self._unsent = unsentBytes(self.transport)
        self._writeDeadline = self.site.clock.seconds() + self.site.settings.writeTimeout
        if self._producer is not None:
            self._producer.pauseProducing()
        self._adjustReading()

    def resumeProducing(self) -> None:
        """
        The transport has written what it had.
        """
        self._choked = False
        self._writeDeadline = None
        if self._producer is not None:
            self._producer.resumeProducing()
        if self._buffer and self._reading in (_HEAD, _BODY):
            self._run()
        self._adjustReading()

    def stopProducing(self) -> None:
        """
        The transport is gone, so nothing more can be produced.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    def _adjustReading(self) -> None:
        """
        Read from the client exactly while what it sends has a place and its answers are taken.
        """
        if self._reading == _DROPPED:
            return
        ahead = self._reading == _AHEAD
        full = len(self._buffer) > READ_AHEAD if ahead else self._choked
        if full != self._paused:
            self._paused = full
            if full:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()


def _bodyTooLarge() -> Refused:
    return Refused(413, "payload_too_large", "Request body is too large", reason=BODY_BYTES)
