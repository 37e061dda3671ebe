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

from collections.abc import Iterable
from typing import Any

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

from .bodyreader import BodyReader
from .buffers import BODY_PART, noRoom, partFor
from .door import Occupied, Site
from .h1response import Ends, closes, responseHead
from .head import END, Head, bad, checkPartialHead, headTooLarge, parseHead
from .pull import PullDriver
from .refusals import refusalMessage
from .request import AeroRequest

#: Bytes that are read ahead of the request in progress, so that it is noticed when the client
#: leaves; then reading stops.
READ_AHEAD = 16_384

#: Seconds that a refused client has to read the refusal while what it sends is dropped
#: (gateway.md section 9.1).
LINGER = 2.0

# What the bytes that arrive are.
_HEAD, _BODY, _AHEAD, _DROPPED = range(4)

#: Empty lines tolerated before a request line (RFC 9112 section 2.2).
_MAX_EMPTY_LINES = 2


@implementer(ITransport, IConsumer, IPushProducer)
class Channel(Ends):
    """
    One connection that speaks HTTP/1.

    @ivar transport: The TLS or TCP transport.
    @ivar persistent: Whether another request may follow the one in progress.
    """

    persistent = True

    def __init__(self, site: Site[AeroRequest], connection: Occupied) -> None:
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
        self._body: BodyReader | None = None
        self._bodyPending = False
        self._producer: Any = None
        # Whether the transport has enough to write for now, and whether we stopped reading it.
        self._choked = False
        self._paused = False
        self._deadline: float | None = None
        self._kind = "idle"
        self._writeDeadline: float | None = None
        self._unsent = 0
        # Bytes of the head and body of the request in progress.
        self._kept = 0

    # The protocol of the transport.

    def makeConnection(self, transport: ITransport) -> None:
        """
        A client is there and speaks HTTP/1.
        """
        self.transport = transport
        self._secure = ISSLTransport(transport, None) is not None or hasProxyTLS(transport)
        self._share = self.site.buffers.share(self.site.bufferKey(transport))
        self._seat = self.site.turns.seat(self.site.clientKey(transport), self._run)
        self._expect("idle", self.site.settings.idleTimeout)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent bytes.
        """
        if self._reading == _DROPPED:
            return
        self._buffer += data
        if self._reading == _AHEAD or self._choked:
            self._adjustReading()
        else:
            self._seat.run()
            if self._seat.isWaiting:
                self._adjustReading()

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
        self._seat.close()
        self._share.close()

    def _run(self) -> bool:
        """
        Read as many requests as can be answered in this turn.

        @return: Whether more of them can be answered now.
        """
        if self._running:
            return False
        self._running = True
        more = False
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
                if self.site.turns.isOver():
                    more = bool(self._buffer) and self._reading in (_HEAD, _BODY)
                    break
            held = self._held()
            if self._reading in (_HEAD, _BODY) and not self._share.resize(held, partFor(held)):
                raise noRoom()
        except Refused as refused:
            more = False
            self._refuse(refused)
        finally:
            self._running = False
        self._adjustReading()
        return more

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
            raise headTooLarge(buffer, limit)
        if end < 0:
            self._checkPartialHead()
            return False
        head = parseHead(
            bytes(buffer[:end]), self.site.settings.maxHeaders, anyHost=self.site.anyHost
        )
        self._kept = end + len(END)
        del buffer[: self._kept]
        self._searched = self._emptyLines = 0
        self._headReceived(head)
        return True

    def _checkPartialHead(self) -> None:
        """
        Refuse what can never become a head, and start the clock of the rest.
        """
        checkPartialHead(self._buffer, self._searched)
        self._searched = len(self._buffer)
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
        held = self._held()
        if not self._share.resize(held, partFor(held)):
            raise noRoom()
        if head.length == 0:
            request.gotLength(0)
            self._requestReceived()
            return
        self._bodyPending = True
        try:
            limit, keeps = self.site.bodyLimit(request), self.site.keepsBody(request)
        except Exception:  # noqa: BLE001
            self.persistent = False
            request.processingFailed(Failure())
            return
        self._body = BodyReader(head.length, limit, keeps=keeps)
        request.gotLength(head.length)
        self._reading = _BODY
        self._expect("body", self.site.settings.bodyTimeout)
        if head.expectsContinue and not self._buffer:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _readBody(self) -> bool:
        """
        Read a part of the body.

        @return: Whether there is more to do with what has arrived.
        """
        request, body = self._request, self._body
        assert request is not None and body is not None
        piece = body.read(self._buffer)
        if piece:
            self._kept += len(piece)
            if not self._share.resize(self._held(), BODY_PART):
                raise noRoom()
            request.handleContentChunk(piece)
        if body.done:
            self._body = None
            self._bodyPending = False
            self._requestReceived()
        return body.done

    def _held(self) -> int:
        """
        Bytes that wait on this connection.
        """
        unsent = unsentBytes(self.transport) if self._choked or self._kind == "close" else 0
        return len(self._buffer) + self._kept + unsent

    @property
    def isTight(self) -> bool:
        """
        Whether so much waits that a response should be produced in small pieces.
        """
        return self._share.isTight

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
        self._seat.close()
        self._share.keep(self._unsent)
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
        self._share.keep(self._held())
        return self._unsent < before

    def drain(self) -> None:
        """
        Finish the request in progress, if there is one, and close.
        """
        if self._reading == _HEAD and not self._buffer:
            self._close()

    # The channel of a request.

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Write the head of the response.
        """
        said = closes(headers)
        if said or (said is None and self.site.draining):
            self.persistent = False
        request = self._request
        other = None if request is None else request.headerSet
        block = self.site.headerBlock if other is None else other.block
        close = said is None and not self.persistent
        self.transport.write(responseHead((version, code, reason), headers, block, close=close))

    def write(self, data: bytes) -> None:
        """
        Write a part of the response.
        """
        if data:
            self.transport.write(data)
            if self._choked:
                self._share.keep(self._held())

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
        self._kept = 0
        if not self.persistent or self._bodyPending or self.site.draining:
            self._close(linger=self._bodyPending or bool(self._buffer))
            return
        self._reading = _HEAD
        self._expect("idle", self.site.settings.idleTimeout)
        if not self._running:
            self._share.keep(self._held())
            self._seat.run()

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
        self._seat.close()
        self._share.close()
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
        self._share.keep(self._held())
        if self._producer is not None:
            self._producer.pauseProducing()
        self._adjustReading()

    def resumeProducing(self) -> None:
        """
        The transport has written what it had.
        """
        self._choked = False
        self._writeDeadline = None
        self._share.keep(self._held())
        if self._producer is not None:
            self._producer.resumeProducing()
        if self._buffer and self._reading in (_HEAD, _BODY):
            self._seat.run()
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
        many = len(self._buffer) > READ_AHEAD
        if self._reading == _AHEAD:
            self._share.keep(self._held())
            full = many
        else:
            full = self._choked or (many and self._seat.isWaiting)
        if full != self._paused:
            self._paused = full
            if full:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()
