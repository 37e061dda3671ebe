# -*- test-case-name: aero.http.test.test_http2 -*-
"""
HTTP/2 on one connection, over the protocol machine of the C{h2} package.

L{HTTP2Connection} owns the transport: it feeds the machine, bounds what a client can make it
do, and writes what all streams have to say in few large writes, each stream in its turn.
L{Stream<aero.http.h2stream.Stream>} is the channel of one request.

What a client can ask for without asking for a response (resets, pings, settings, priorities,
window updates, empty frames) is paid from an allowance that grows slowly; a client that
overdraws it is told to calm down and disconnected.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error
from hyperframe.frame import GoAwayFrame
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, ISSLTransport, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.metrics import http as rows
from aero.net.proxied import hasProxyTLS
from aero.net.unsent import unsentBytes

from .door import Site
from .h2frames import DATA, Frame, FrameTooLarge, isZeroIncrement
from .h2head import validTrailers
from .h2intake import Intake
from .h2machine import Machine
from .h2rota import Rota
from .h2stream import Stream
from .request import AeroRequest

_log = Logger()

#: Bytes that a client may send ahead of our reading them, for each stream and in all.
_WINDOW = 1_048_576

#: Bytes that go to the transport in one write.
_BATCH = 131_072

#: Such writes before other connections get a turn, when the transport never says stop.
_BURST = 8

#: DATA on closed streams of fewer bytes is charged like a control frame.
_SMALL = 1_024

#: What one DATA frame of ours entitles the client to in frames that tell us of it.
_EARNED = 4

#: Seconds that a client has to read why its connection ends.
_LINGER = 2.0


@implementer(IPushProducer)
class HTTP2Connection:
    """
    One connection that speaks HTTP/2.

    @ivar streams: The streams that have something to receive or to send, by their ids.
    @ivar host: The address of this end.
    """

    transport: Any = None
    host: Any = None

    def __init__(self, site: Site[AeroRequest]) -> None:
        self.site = site
        self.streams: dict[int, Stream] = {}
        settings = site.settings
        self.h2 = Machine.forServer(
            maxStreams=settings.maxStreams, maxHeaderBytes=settings.maxHeaderBytes, window=_WINDOW
        )
        self._rota = Rota(self.streams)
        self._flushCall: IDelayedCall | None = None
        self._corked = False
        self._choked = False
        self._closing = False
        self._leaving = False
        self._lost = False
        # Answered streams whose clients are still sending, and when that is to end.
        self._unread: dict[int, float] = {}
        self._secure = False
        self._partialSince: float | None = None
        self._deadline: float | None = site.clock.seconds() + settings.idleTimeout
        self._writeDeadline: float | None = None
        self._unsent = 0
        self._dispatch: dict[type[Event], Callable[[Any], None]] = {
            RequestReceived: self._requestReceived,
            DataReceived: self._dataArrived,
            StreamEnded: self._streamEnded,
            StreamReset: self._streamReset,
            TrailersReceived: self._trailersReceived,
            WindowUpdated: self._windowUpdated,
            RemoteSettingsChanged: self._windowsChanged,
            ConnectionTerminated: self._clientLeaves,
        }

    # The protocol of the transport.

    def makeConnection(self, transport: ITransport) -> None:
        """
        A client is there and speaks HTTP/2.
        """
        self.transport = transport
        self._secure = ISSLTransport(transport, None) is not None or hasProxyTLS(transport)
        self.host = transport.getHost()
        site = self.site
        client, now = site.clientKey(transport), site.clock.seconds()
        self.share = partial(site.buffers.share, site.bufferKey(transport))
        self._intake = Intake(transport, self.share(), site.turns, client, self._takeFrames)
        self._control = site.controlFrames.forOne(client, now)
        self._resets = site.resets.forOne(client, now)
        self.transport.registerProducer(self, True)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(_WINDOW - 65_535)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """
        The client sent bytes.
        """
        if self._closing:
            return
        self._intake.add(data, self._choked)
        self._account()

    def _takeFrames(self) -> bool:
        """
        Take in what has arrived, until the turn is over.

        @return: Whether more can be taken now.
        """
        if self._choked:
            return False
        self._corked = True
        try:
            for frame in self._intake.slice():
                self._frameReceived(frame)
                if self._closing or self._choked:
                    break
        except FrameTooLarge:
            self._fail(ErrorCodes.FRAME_SIZE_ERROR)
        except H2Error:
            # The machine has a GOAWAY to send that says what was wrong.
            self.site.refused("http2")
            self._close(ConnectionLost("HTTP/2 protocol error"))
        except Exception:  # noqa: BLE001
            _log.failure("HTTP/2 connection failed")
            self._goAway(ErrorCodes.INTERNAL_ERROR)
            self._close(ConnectionLost("internal error"))
        finally:
            self._corked = False
        if self._closing:
            return False
        frames = self._intake.frames
        if not (frames.midHeaders or (frames.midFrame and not self.streams)):
            self._partialSince = None
        elif self._partialSince is None:
            self._partialSince = self.site.clock.seconds()
        self._account()
        self._flush()
        return not self._choked and frames.hasFrame

    def _frameReceived(self, frame: Frame) -> None:
        """
        Take one frame in.
        """
        h2, label, streamId = self.h2, frame.label, frame.streamId
        if frame.kind == DATA and len(frame.raw) < _SMALL:
            isOpen = streamId in self.streams or streamId in self._unread
            label = None if isOpen else "closed"
        if label is not None and not self._control.spend(1, self.site.clock.seconds()):
            self._calmDown(label)
            return
        if self._intake.frames.blockBytes > h2.decoder.max_header_list_size:
            self._calmDown("headers")
            return
        if isZeroIncrement(frame) and streamId in self.streams:
            self.reset(self.streams[streamId], ErrorCodes.PROTOCOL_ERROR)
            return
        for event in h2.receive_data(frame.raw):
            received = self._dispatch.get(event.__class__)
            if received is not None:
                received(event)
                if self._closing:
                    break

    def _account(self) -> None:
        """
        Count what waits on the connection itself; one that may not wait ends it.
        """
        if not self._closing and not self._intake.account(self._choked):
            self._fail(ErrorCodes.ENHANCE_YOUR_CALM)

    def _fail(self, code: ErrorCodes) -> None:
        """
        End the connection for what the client did.
        """
        self.site.refused("http2")
        self._goAway(code)
        self._close(ConnectionLost("HTTP/2 connection error"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The client is gone, and with it whatever its requests were doing.
        """
        self._lost = self._closing = True
        self._deadline = self._writeDeadline = self._partialSince = None
        if self._flushCall is not None:
            self._flushCall.cancel()
            self._flushCall = None
        self._dropStreams(reason)
        self._intake.close()

    def _dropStreams(self, reason: Failure) -> None:
        streams = list(self.streams.values())
        self.streams.clear()
        self._rota.clear()
        self._unread.clear()
        for stream in streams:
            stream.connectionLost(reason)

    # What the machine makes of it.

    def _requestReceived(self, event: RequestReceived) -> None:
        streamId = event.stream_id
        assert streamId is not None and event.headers is not None
        if self._leaving:
            self._resetQuietly(streamId, ErrorCodes.REFUSED_STREAM)
            return
        stream = Stream(self, streamId)
        self.streams[streamId] = stream
        self._deadline = None
        stream.headersReceived(event.headers, event.stream_ended is not None)

    def _dataArrived(self, event: DataReceived) -> None:
        streamId, data = event.stream_id, event.data
        assert streamId is not None and data is not None
        isEmpty = not data and event.stream_ended is None
        if isEmpty and not self._control.spend(1, self.site.clock.seconds()):
            self._calmDown("empty")
            return
        stream = self.streams.get(streamId)
        length = event.flow_controlled_length or 0
        if stream is not None and stream.wantsBody:
            self.h2.acknowledge_received_data(length, streamId)
        else:
            # The window of its stream closes, so that the client stops sending.
            self.h2.acknowledgeDropped(length)
        if stream is not None:
            stream.bodyReceived(data, event.stream_ended is not None)

    def _trailersReceived(self, event: TrailersReceived) -> None:
        stream = self.streams.get(event.stream_id or 0)
        if stream is not None and not validTrailers(event.headers or ()):
            self.malformed(stream, "header")

    def _streamEnded(self, event: StreamEnded) -> None:
        self._unread.pop(event.stream_id or 0, None)
        stream = self.streams.get(event.stream_id or 0)
        if stream is not None:
            stream.requestEnded()

    def _streamReset(self, event: StreamReset) -> None:
        self._unread.pop(event.stream_id or 0, None)
        stream = self.streams.pop(event.stream_id or 0, None)
        if stream is not None:
            stream.connectionLost(Failure(ConnectionDone("the client cancelled the request")))
        self._paidReset()
        self._streamsChanged()

    def _windowUpdated(self, event: WindowUpdated) -> None:
        if event.stream_id:
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                self.ready(stream)
        else:
            self._windowsChanged(event)

    def _windowsChanged(self, event: Event) -> None:
        for stream in self.streams.values():
            self.ready(stream)

    def _clientLeaves(self, event: ConnectionTerminated) -> None:
        self._close(ConnectionDone("the client closed the connection"))

    # Bounding what a client can ask for.

    def malformed(self, stream: Stream, reason: str) -> None:
        """
        End the stream of a request that is malformed (RFC 9113 section 8.1.1).
        """
        self.site.refused(reason)
        self.reset(stream, ErrorCodes.PROTOCOL_ERROR)

    def _paidReset(self) -> None:
        if not self._closing and not self._resets.spend(1, self.site.clock.seconds()):
            self._calmDown("reset")

    def _calmDown(self, kind: str) -> None:
        self.site.metrics.counter(rows.FLOODS, kind).inc()
        self._goAway(ErrorCodes.ENHANCE_YOUR_CALM)
        self._close(ConnectionLost(f"too many {kind} frames"))

    # Ending streams and the connection.

    def reset(self, stream: Stream, code: ErrorCodes) -> None:
        """
        End a stream before its response is complete.
        """
        if self.streams.pop(stream.streamId, None) is None:
            return
        self._resetQuietly(stream.streamId, code)
        stream.connectionLost(Failure(ConnectionLost("the stream was reset")))
        self._paidReset()
        self._streamsChanged()
        self._flushSoon()

    def _resetQuietly(self, streamId: int, code: ErrorCodes) -> None:
        # The client may have ended it first.
        with suppress(H2Error):
            self.h2.reset_stream(streamId, code)

    def streamDone(self, stream: Stream) -> None:
        """
        A response is complete and written.
        """
        del self.streams[stream.streamId]
        self._resets.earn(1)
        if not stream.ended:
            # The rest of the request is of no use (RFC 9113 section 8.1), but clients in the
            # field drop a response that comes together with a reset, so that comes later.
            self._unread[stream.streamId] = self.site.clock.seconds() + _LINGER
        self._streamsChanged()

    def _streamsChanged(self) -> None:
        if self.streams or self._closing:
            return
        if self._leaving:
            self._flushSoon()
        else:
            self._deadline = self.site.clock.seconds() + self.site.settings.idleTimeout

    def _goAway(self, code: ErrorCodes) -> None:
        """
        Say that no more requests are taken. The machine itself cannot say so and go on with
        those it has, so the frame is put behind what it has to send.
        """
        frame = GoAwayFrame(0, self.h2.highest_inbound_stream_id, int(code))
        if not self._lost:
            self.transport.write(self.h2.data_to_send() + frame.serialize())

    def _close(self, reason: Exception) -> None:
        """
        Close once what was said is written; whatever is in progress ends now.
        """
        if self._closing:
            return
        self._closing = True
        remaining = self.h2.data_to_send()
        if remaining:
            self.transport.write(remaining)
        self._dropStreams(Failure(reason))
        self._partialSince = self._writeDeadline = None
        self._expectClose()
        self.transport.unregisterProducer()
        self._intake.stop()
        self.transport.loseConnection()

    def _expectClose(self) -> None:
        self._unsent = unsentBytes(self.transport)
        self._intake.keep(self._unsent)
        wait = self.site.settings.writeTimeout if self._unsent else _LINGER
        self._deadline = self.site.clock.seconds() + wait

    def drain(self) -> None:
        """
        Finish the requests in progress, take no more, and close.
        """
        if self._leaving or self._closing:
            return
        self._leaving = True
        self._goAway(ErrorCodes.NO_ERROR)
        self._flushSoon()

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
            return
        if self._deadline is not None and now >= self._deadline:
            self._expired()
            return
        partial = self._partialSince
        if partial is not None and now >= partial + self.site.settings.headerTimeout:
            self.site.timedOut("header")
            self._goAway(ErrorCodes.PROTOCOL_ERROR)
            self._close(ConnectionLost("the request took too long"))
            return
        self._account()
        for streamId, deadline in tuple(self._unread.items()):
            if now >= deadline:
                del self._unread[streamId]
                self._resetQuietly(streamId, ErrorCodes.NO_ERROR)
                self._flushSoon()
        for stream in tuple(self.streams.values()):
            stream.expire(now, self._choked)

    def _expired(self) -> None:
        if not self._closing:
            self.site.timedOut("idle")
            self._goAway(ErrorCodes.NO_ERROR)
            self._close(ConnectionDone("idle"))
        elif self._progressed():
            self._expectClose()
        else:
            if self._unsent:
                self.site.timedOut("write")
            self._deadline = None
            self.transport.abortConnection()

    def _progressed(self) -> bool:
        before, self._unsent = self._unsent, unsentBytes(self.transport)
        return self._unsent < before

    # Writing.

    def ready(self, stream: Stream) -> None:
        """
        A stream may have something to send.
        """
        if self._rota.add(stream):
            self._flushSoon()

    def _flushSoon(self) -> None:
        """
        Write at the end of this turn, so that what is said in pieces goes out in one.
        """
        if self._flushCall is None and not self._corked and not self._choked and not self._lost:
            self._flushCall = self.site.clock.callLater(0, self._flushNow)

    def _flushNow(self) -> None:
        self._flushCall = None
        self._flush()

    def _flush(self) -> None:
        """
        Write what there is until the transport has enough, or it is somebody else's turn.
        """
        if self._closing:
            return
        # What producers write while they are resumed from here goes out from here.
        self._corked = True
        try:
            for _ in range(_BURST):
                if self._choked or self._closing:
                    break
                self._control.earn(self._rota.fill(_BATCH) * _EARNED)
                data = self.h2.data_to_send()
                if not data:
                    break
                self.transport.write(data)
                if self._choked:
                    self._account()
        finally:
            self._corked = False
        if self._rota:
            self._flushSoon()
        if self._leaving and not self.streams and not self._choked and not self._closing:
            self._close(ConnectionDone("drained"))

    def pauseProducing(self) -> None:
        """
        The transport has enough to write for now. Until that is written nothing is read either,
        because most of what a client sends makes us write.
        """
        if self._choked:
            return
        self._choked = True
        self._unsent = unsentBytes(self.transport)
        self._writeDeadline = self.site.clock.seconds() + self.site.settings.writeTimeout
        self._account()

    def resumeProducing(self) -> None:
        """
        The transport has written what it had.
        """
        if not self._choked:
            return
        self._choked = False
        self._writeDeadline = None
        self._account()
        self._flush()
        self._intake.goOn()

    def stopProducing(self) -> None:
        """
        The transport is gone; L{connectionLost} follows.
        """

    # For the channels.

    def isSecure(self) -> bool:
        """
        Whether the connection is encrypted.
        """
        return self._secure
