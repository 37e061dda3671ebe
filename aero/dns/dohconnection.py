# -*- test-case-name: aero.dns.test.test_dohhttp2 -*-
"""
One HTTP/2 connection to an upstream, over the protocol machine of the C{h2} package; Twisted
has no client for it.

Each message is a stream of its own, so a slow answer holds up no other. What is not sent yet
waits for its turn: a message for a stream, where the upstream allows few at once, and its
bytes for the upstream's window. The upstream may send as much as answers take, and a little
more; one that sends without being asked is hung up on.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Any, Callable, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error, StreamClosedError
from h2.settings import SettingCodes, Settings
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from .dohpost import problemWith
from .exchange import ExchangeFailed
from .sharing import LOST

#: Seconds that a connection stays open without a question.
IDLE: Final = 30.0
#: Bytes of a response's headers.
MAX_HEADER_BYTES: Final = 16_384
#: Bytes that an upstream may send beside the body of each answer, and to begin with.
_ALLOWANCE: Final = 65_536

Fields = list[tuple[bytes, bytes]]


class _Posted:
    """
    A message on its way, and what came for it.
    """

    __slots__ = ("answer", "mark", "parts", "size", "unsent")

    def __init__(self, message: bytes, mark: int, answer: Deferred[bytes]) -> None:
        self.unsent = message
        self.mark = mark
        self.answer = answer
        self.parts: list[bytes] | None = None
        self.size = 0


@implementer(IHandshakeListener)
class DoHConnection(Protocol):
    """
    The connection. It is used once L{ready} has fired.

    @ivar ready: Fires with whether the upstream chose HTTP/2, once it has said what it allows;
        or fails.
    """

    def __init__(
        self,
        fields: Fields,
        *,
        clock: IReactorTime,
        maxSize: int,
        lost: Callable[[DoHConnection], None],
    ) -> None:
        """
        @param fields: The head of each request, but for the length of its body.
        @param maxSize: Bytes of an answer; no more is read.
        @param lost: Called once, when nothing more can be asked.
        """
        self.ready: Deferred[bool] = Deferred(lambda _: self.abort())
        self._fields = fields
        self._clock = clock
        self._maxSize = maxSize
        self._lost = lost
        self._usable = False
        self._posted: dict[int, _Posted] = {}
        self._waiting: deque[_Posted] = deque()
        self._received = 0
        self._allowed = _ALLOWANCE
        self._idle: IDelayedCall | None = None
        self._failed = LOST
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_BYTES,
            },
        )
        self._h2.decoder.max_header_list_size = MAX_HEADER_BYTES

    # What is asked.

    def post(self, message: bytes) -> Deferred[bytes]:
        """
        Post a message.

        @return: See L{Poster.post<aero.dns.dohpost.Poster.post>}. Cancelling it gives the
            connection up where nothing came since.
        """
        if not self._usable:
            raise ExchangeFailed(LOST, "the connection was closed")
        answer: Deferred[bytes] = Deferred(lambda _: self._gaveUp(posted))
        posted = _Posted(message, self._received, answer)
        self._waiting.append(posted)
        self._stopIdling()
        self._flush()
        return answer

    def rest(self) -> None:
        """
        Close after a while unless something is asked.
        """
        if self._usable and not self._posted and not self._waiting and self._idle is None:
            self._idle = self._clock.callLater(IDLE, self._close)

    def abort(self) -> None:
        """
        Close at once; what is asked fails.
        """
        self._retire()
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        self._failAll()

    # The protocol of the transport.

    def handshakeCompleted(self) -> None:
        """
        It is known now which HTTP the upstream speaks.
        """
        transport: Any = self.transport
        speaks = transport.negotiatedProtocol == b"h2"
        if speaks:
            self._usable = True
            self._h2.initiate_connection()
            self._flush()
        else:
            self.ready.callback(False)
            transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """
        The upstream sent bytes.
        """
        if not self._usable:
            return
        self._received += len(data)
        self._allowed -= len(data)
        if self._allowed < 0:
            self._failed = "flood"
            self.abort()
            return
        try:
            for event in self._h2.receive_data(data):
                self._happened(event)
                if not self._usable:
                    return
        except H2Error:
            self._failed = "http"
            self.abort()
            return
        self._flush()
        self.rest()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The upstream closed, or the network failed.
        """
        self._retire()
        self._failAll()
        if not self.ready.called:
            self.ready.errback(reason)

    # What the machine makes of it.

    def _happened(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            if not self.ready.called:
                self.ready.callback(True)
        elif isinstance(event, ConnectionTerminated):
            # The machine takes nothing more after that, not even what was asked before.
            self.abort()
        elif isinstance(event, ResponseReceived):
            self._headReceived(event.stream_id, event.headers)
        elif isinstance(event, DataReceived):
            self._bodyReceived(event)
        elif isinstance(event, StreamEnded):
            self._ended(event.stream_id)
        elif isinstance(event, StreamReset):
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            self._fail(event.stream_id, LOST if refused else "http", "the stream was reset")

    def _headReceived(self, streamId: int, headers: Any) -> None:
        posted = self._posted.get(streamId)
        if posted is None:
            return
        status, types = 0, []
        for name, value in headers:
            if name == b":status" and len(value) == 3 and value.isdigit():
                status = int(value)
            elif name == b"content-type":
                types.append(bytes(value))
        problem = problemWith(status, types)
        if problem is None:
            posted.parts = []
        else:
            self._drop(streamId, problem)

    def _bodyReceived(self, event: DataReceived) -> None:
        if event.flow_controlled_length:
            with suppress(StreamClosedError):
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        posted = self._posted.get(event.stream_id)
        if posted is None or posted.parts is None:
            return
        posted.size += len(event.data)
        posted.parts.append(event.data)
        if posted.size > self._maxSize:
            self._drop(event.stream_id, "size")

    def _ended(self, streamId: int) -> None:
        posted = self._posted.pop(streamId, None)
        if posted is None:
            return
        if posted.unsent:
            # Answered before it was asked in full; the rest is of no use.
            self._reset(streamId)
        self._allow()
        posted.answer.callback(b"".join(posted.parts or ()))

    def _drop(self, streamId: int, problem: str) -> None:
        self._reset(streamId)
        self._fail(streamId, problem)

    def _fail(self, streamId: int, reason: str, message: str = "") -> None:
        posted = self._posted.pop(streamId, None)
        if posted is not None:
            self._allow()
            posted.answer.errback(ExchangeFailed(reason, message))

    def _allow(self) -> None:
        """
        Reckon anew how much may come.
        """
        self._allowed = _ALLOWANCE + len(self._posted) * (self._maxSize + _ALLOWANCE)

    def _reset(self, streamId: int) -> None:
        # The upstream may have ended it first.
        with suppress(H2Error):
            self._h2.reset_stream(streamId, ErrorCodes.CANCEL)

    def _gaveUp(self, posted: _Posted) -> None:
        """
        Nobody waits for an answer any more.
        """
        if posted in self._waiting:
            self._waiting.remove(posted)
        else:
            streamId = next(one for one, other in self._posted.items() if other is posted)
            del self._posted[streamId]
            if posted.mark == self._received:
                self.abort()
                return
            self._reset(streamId)
            self._flush()
        self.rest()

    # Sending.

    def _flush(self) -> None:
        """
        Send what may be sent.
        """
        try:
            for streamId, posted in self._posted.items():
                if posted.unsent:
                    self._send(streamId, posted)
            while self._waiting and self._mayOpen():
                streamId = self._h2.get_next_available_stream_id()
                posted = self._waiting.popleft()
                length = (b"content-length", b"%d" % len(posted.unsent))
                self._h2.send_headers(streamId, [*self._fields, length])
                self._posted[streamId] = posted
                self._allow()
                self._send(streamId, posted)
        except H2Error:
            # There are no more ids for streams.
            self.abort()
            return
        self._flushLast()

    def _mayOpen(self) -> bool:
        return self._h2.open_outbound_streams < self._h2.remote_settings.max_concurrent_streams

    def _send(self, streamId: int, posted: _Posted) -> None:
        room = min(self._h2.local_flow_control_window(streamId), self._h2.max_outbound_frame_size)
        part, posted.unsent = posted.unsent[: max(0, room)], posted.unsent[max(0, room) :]
        if part:
            self._h2.send_data(streamId, part, end_stream=not posted.unsent)

    def _flushLast(self) -> None:
        data = self._h2.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    # The end.

    def _close(self) -> None:
        self._idle = None
        self._retire()
        with suppress(H2Error):
            self._h2.close_connection()
        self._flushLast()
        if self.transport is not None:
            self.transport.loseConnection()

    def _retire(self) -> None:
        self._stopIdling()
        if self._usable:
            self._usable = False
            self._lost(self)

    def _failAll(self) -> None:
        asked = [*self._posted.values(), *self._waiting]
        self._posted.clear()
        self._waiting.clear()
        for one in asked:
            one.answer.errback(ExchangeFailed(self._failed, "the connection was closed"))

    def _stopIdling(self) -> None:
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = None
