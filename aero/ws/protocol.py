# -*- test-case-name: aero.ws.test.test_protocol -*-
"""
The WebSocket protocol that every endpoint extends.

Theory of operation
===================

The opening handshake is over before an instance exists: L{aero.ws.endpoint} has checked the
request, and hands the connection over with the bytes of the 101 still to be written. From
there L{aero.wire.websocket.FrameReader} takes the place of Autobahn's own frame intake, which
costs several copies and a dozen calls for each frame, and every timer runs on the clock that
the endpoint was given instead of on the process-wide one.

A session is I{open}, then I{closing} from the moment a close frame was sent, then I{closed}.
What arrives while it is closing is discarded after a violation or an answered close, and
still delivered after an orderly close of ours, until the client's own close frame.

Both directions push back. The transport pauses this object when its buffer is full: that is
L{sendingPaused}, upon which a subclass stops its source. A subclass whose sink is slow calls
L{pauseReading}. Replies to pings are the one thing that is sent without being asked, so a
client that sends pings and reads nothing is not read either once the replies add up.

Autobahn's C{onOpen}, C{onMessage} and C{onClose} are not called; extend C{sessionOpened},
C{messageReceived} and C{sessionClosed}.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Sequence

from autobahn.twisted.websocket import WebSocketServerProtocol
from twisted.internet.interfaces import (
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.auth.sessions import Session
from aero.net.prompt import promptWriter
from aero.net.unsent import Farewell
from aero.policy.clientaddress import Client
from aero.policy.quota import addressKey
from aero.wire.websocket import (
    ABNORMAL,
    BINARY,
    CLOSE,
    NORMAL,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    UNSUPPORTED_DATA,
    Event,
    FrameReader,
    closePayload,
    frameHeader,
    parseClose,
)

from .closing import Closed as Closed
from .handshake import Accepted
from .hooks import Hooks
from .intake import Intake, NoTransport
from .liveness import Liveness
from .masking import unmask
from .turntaking import BY_TURN, TurnTaking

if TYPE_CHECKING:
    from .endpoint import WebSocketFactory

#: Bytes of replies to pings that may wait for a client that does not read.
_MAX_REPLY_BYTES = 65_536
#: Payloads from this size on are written at once and without copying them to their header.
_LARGE = 4_096
#: Why the client is not read: the subclass, or the unread replies to pings.
_BY_SUBCLASS, _BY_REPLIES = 1, 2


@implementer(IPushProducer)
class AeroWebSocketProtocol(TurnTaking, Hooks, WebSocketServerProtocol):  # type: ignore[misc]
    """
    One WebSocket session. Extend it.

    Overridable: L{sessionOpened}, L{messageReceived}, L{closeReceived}, L{sessionClosed},
    L{sendingPaused}, L{sendingResumed}. An exception in any of them, or in the Deferred or
    coroutine that it returns, is logged once and closes the session with 1011; a L{Refused}
    closes it with 1008 and its message.

    @cvar acceptsText: Whether text messages are welcome; otherwise one closes with 1003.
    @cvar streaming: Whether C{messageReceived} gets binary messages in pieces, as they come,
        for protocols to which message boundaries mean nothing.
    @cvar portion: Frames that are handled before the time is looked at.
    @cvar closeTimeout: Seconds that a client has to end the connection after the last close
        frame, and in which it may take nothing of what was sent before.
    @cvar flushTimeout: The same after an orderly close of ours, when data may be on its way; no
        close takes longer.
    @ivar session: The session of the cookie, or C{None} where the endpoint needs none.
    @ivar client: The effective client address.
    @ivar request: What the endpoint learnt from the request, L{Accepted}.
    @ivar clock: The clock to use for timers.
    @ivar response: The whole 101, to be written first.
    """

    # Autobahn copies its options to every instance and prints them for a debug log that
    # nobody reads, which takes longer than all the rest of a handshake.
    CONFIG_ATTRS: ClassVar[tuple[str, ...]] = ()
    tcpNoDelay = True
    trackTimings = False
    openHandshakeTimeout = 0

    acceptsText: ClassVar[bool] = False
    streaming: ClassVar[bool] = False
    portion: ClassVar[int] = 64
    closeTimeout: float = 2.0
    flushTimeout: float = 30.0

    factory: WebSocketFactory
    transport: Any
    session: Session | None
    client: Client
    clock: IReactorTime

    # -- what the endpoint does

    def handshakeAccepted(self, accepted: Accepted) -> None:
        """
        The request was found good; the connection follows.
        """
        self.request = accepted
        self.session = accepted.session
        self.client = accepted.client
        self.clock = self.factory.clock
        self.response = b""
        self._opened = False
        self._closing = False
        self._discarding = False
        self._closed = Closed(ABNORMAL, "", False)
        self._key = addressKey(self.client.ip)
        self._intake = Intake(
            self,
            FrameReader(self.factory.maxMessageBytes, stream=self.streaming, unmask=unmask),
            self.factory.commons.turns.turn(self._key),
        )
        self._pauses = 0
        self._sendingIsPaused = False
        self._replyBytes = 0
        self._liveness = Liveness(
            self.clock,
            self.factory.pingInterval,
            self.factory.pingTimeout,
            ping=self._ping,
            isRead=lambda: not self._pauses,
            giveUp=self._pingTimedOut,
        )
        self._farewell: Farewell | None = None

    def handshakeAbandoned(self) -> None:
        """
        The connection does not follow after all. Called instead of C{connectionMade}.
        """

    def connectionMade(self) -> None:
        """
        The connection is ours: write the 101 and begin.
        """
        transport = self.transport
        # Not C{super}'s: it collects TLS channel ids and certificates that only WAMP uses.
        self._connectionMade()
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        transport.write(self.response)
        self.response = b""
        self.state = self.STATE_OPEN
        self.websocket_protocol_in_use = self.request.subprotocol
        transport.registerProducer(self, True)
        self._writeNow = promptWriter(transport)
        self._opened = True
        self.factory.sessionStarted(self)
        self._liveness.start()
        self.sessionStarted()
        self._call(self.sessionOpened)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, whatever the reason.
        """
        self._liveness.stop()
        if self._farewell is not None:
            self._farewell.stop()
        if self._intake.waits:
            self.transport = NoTransport()
            self._writeNow = self.transport.resumeProducing
        self._intake.finish(partial(self._lost, reason))

    def _lost(self, reason: Failure) -> None:
        """
        Everything that came before was handled.
        """
        if self._farewell is not None:
            self._farewell.stop()
        self._closing = self._discarding = True
        self.wasClean = self._closed.clean
        if not self.wasClean:
            self.droppedByMe = True  # Autobahn would otherwise warn about every tab closed
        self._connectionLost(reason)
        if self._opened:
            self._opened = False
            self.factory.sessionEnded(self, self._closed)
            self.sessionEnded(self._closed)
            self._call(self.sessionClosed, self._closed)
        else:
            self.handshakeAbandoned()

    # -- what aero's own subclasses extend, so that the hooks stay free for users

    def sessionStarted(self) -> None:
        """
        Before L{sessionOpened}.
        """

    def peerClosed(self) -> None:
        """
        Before L{closeReceived}.
        """

    def sessionEnded(self, closed: Closed) -> None:
        """
        Before L{sessionClosed}.
        """

    # -- what users extend

    def sessionOpened(self) -> Any:
        """
        The session is open: messages may be sent, and will arrive.
        """

    def messageReceived(self, payload: bytes, isBinary: bool) -> Any:
        """
        The client sent a message, or with C{streaming} a piece of one.

        @param isBinary: False for text, whose payload is known to be UTF-8.
        """

    def closeReceived(self, code: int, reason: str) -> Any:
        """
        The client closed the session; nothing more will come from it. The connection ends
        soon, and L{sessionClosed} follows then.

        @param code: Its close code, 1005 where it gave none.
        """

    def sessionClosed(self, reason: Closed) -> Any:
        """
        The connection is gone. Called exactly once for every L{sessionOpened}.
        """

    def sendingPaused(self) -> Any:
        """
        The client takes no more for now: stop sending until L{sendingResumed}.
        """

    def sendingResumed(self) -> Any:
        """
        Everything sent so far was taken: go on.
        """

    # -- what users call

    @property
    def isOpen(self) -> bool:
        """
        Whether messages can still be sent.
        """
        return self._opened and not self._closing

    @property
    def sendingIsPaused(self) -> bool:
        """
        Whether the last of L{sendingPaused} and L{sendingResumed} was the former.
        """
        return self._sendingIsPaused

    def sendMessage(
        self,
        payload: bytes,
        isBinary: bool = False,
        fragmentSize: int | None = None,
        sync: bool = False,
        doNotCompress: bool = False,
    ) -> None:
        """
        Send one message, as one frame. After the close it is dropped.

        @param fragmentSize: As C{sync} and C{doNotCompress}, part of Autobahn's signature
            and without effect.
        """
        self.sendFrame(BINARY if isBinary else TEXT, payload)

    def sendMessages(self, payloads: Sequence[bytes | memoryview]) -> None:
        """
        Send several binary messages with one write.
        """
        if self._closing or not self._opened:
            return
        size = 0
        pieces: list[bytes | memoryview] = []
        for payload in payloads:
            size += len(payload)
            pieces.append(frameHeader(BINARY, len(payload)))
            pieces.append(payload)
        self.transport.write(b"".join(pieces))
        self._liveness.sentAt = self.clock.seconds()
        self.factory.messagesDown.inc(len(payloads))
        self.factory.bytesDown.inc(size)

    def sendFrame(
        self, opcode: int, payload: bytes = b"", *unused: Any, **unsupported: Any
    ) -> None:
        """
        Send one frame, final and unmasked. Autobahn's further arguments have no effect.
        """
        if self._closing or not self._opened:
            return
        size = len(payload)
        self._liveness.sentAt = self.clock.seconds()
        if size < _LARGE:
            self.transport.write(frameHeader(opcode, size) + payload)
        else:
            # The transport joins what it is given, so there is no need to copy it here.
            paused = self._sendingIsPaused
            self.transport.writeSequence((frameHeader(opcode, size), payload))
            if not paused:
                self._writeNow()
        if opcode < CLOSE:
            self.factory.messagesDown.inc()
            self.factory.bytesDown.inc(size)

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """
        Close the session in order: everything sent before arrives first, and what the client
        sends until it has read the close frame is still delivered.

        @param code: 1000 by default; any code of the IANA registry that may be sent.
        @param reason: One line, cut at 123 bytes.
        """
        self._close(NORMAL if code is None else code, reason or "", discard=False)

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close the session because of something the client did, or that went wrong here.
        Nothing that the client sent after it is looked at.
        """
        self._close(code, reason, discard=True)

    def abort(self) -> None:
        """
        Drop the connection now.
        """
        self._closing = self._discarding = True
        if self._farewell is not None:
            self._farewell.cut()
        else:
            self.transport.abortConnection()

    def pauseReading(self) -> None:
        """
        Stop reading the client, so that TCP makes it wait.
        """
        self._pause(_BY_SUBCLASS)

    def resumeReading(self) -> None:
        """
        Read the client again.
        """
        self._resume(_BY_SUBCLASS)

    # -- bytes from the client

    def dataReceived(self, data: bytes) -> None:
        """
        Take the frames of one read.
        """
        self._liveness.received()
        if not self._discarding:
            self._intake.dataReceived(data)

    def eventsReceived(self, events: Sequence[Event]) -> None:
        """
        Take some of what a read completed: opcodes and payloads, in order. For aero's own.
        """
        messages = size = 0
        for opcode, payload in events:
            if (opcode >= PING or (not payload and opcode != CLOSE)) and not self.mayGoOn():
                break
            if opcode == BINARY:
                messages += 1
                size += len(payload)
                self._deliver(payload, True)
            elif opcode == TEXT:
                messages += 1
                size += len(payload)
                self._textReceived(payload)
            elif opcode == PING:
                self.pingReceived(payload)
            elif opcode == CLOSE:
                self.closeFrameReceived(payload)
            if self._discarding:
                break
        if messages:
            self.factory.messagesUp.inc(messages)
            self.factory.bytesUp.inc(size)

    def violationReceived(self, code: int, why: str) -> None:
        """
        The client broke a rule of the framing, after the events before. For aero's own, too.

        @param code: The close code that says so.
        """
        self.failConnection(code, "")

    def _deliver(self, payload: bytes, isBinary: bool) -> None:
        try:
            result = self.messageReceived(payload, isBinary)
        except Exception:  # noqa: BLE001 - a user's hook may raise anything
            self._hookFailed(Failure())
        else:
            if result is not None:
                self._watch(result)

    def _textReceived(self, payload: bytes) -> None:
        if not self.acceptsText:
            self.failConnection(UNSUPPORTED_DATA)
            return
        try:
            payload.decode("utf-8")
        except UnicodeDecodeError:
            self.failConnection(1007)
            return
        self._deliver(payload, False)

    def pingReceived(self, payload: bytes) -> None:
        """
        Answer a ping.
        """
        self.sendFrame(PONG, payload)
        if self._sendingIsPaused:
            self._replyBytes += len(payload) + 2
            if self._replyBytes > _MAX_REPLY_BYTES:
                self._pause(_BY_REPLIES)

    def closeFrameReceived(self, payload: bytes) -> None:
        """
        Answer a close frame, or take it as the answer to ours.
        """
        parsed = parseClose(payload)
        if parsed is None:
            self.failConnection(PROTOCOL_ERROR)
            return
        code, reason = parsed
        self.remoteCloseCode, self.remoteCloseReason = code, reason
        if self._closing:
            self._closed = Closed(self._closed.code, self._closed.reason, True)
            self._discarding = True
            self.transport.loseConnection()  # both close frames were seen
        else:
            self._closed = Closed(code, reason, True)
            self._finish(payload, discard=True)
        self.peerClosed()
        self._call(self.closeReceived, code, reason)

    # -- the end

    def _close(self, code: int, reason: str, *, discard: bool, patience: float = 0.0) -> None:
        if not self._opened:
            return
        if self._closing:
            self._discarding = self._discarding or discard
            return
        self._closed = Closed(code, reason, False)
        self.closedByMe, self.failedByMe = True, discard
        self.localCloseCode, self.localCloseReason = code, reason
        self._finish(closePayload(code, reason), discard, patience)

    def _finish(self, payload: bytes, discard: bool, patience: float = 0.0) -> None:
        """
        Send the close frame and the end of the stream; allow some seconds for the rest.
        """
        self.sendFrame(CLOSE, payload)
        self._closing = True
        self._discarding = discard
        self.state = self.STATE_CLOSING
        transport = self.transport
        transport.unregisterProducer()
        self._sendingIsPaused = False
        if ISSLTransport.providedBy(transport):
            transport.loseConnection()  # the end of TLS's writing side only: reading goes on
        else:
            transport.loseWriteConnection()
        if discard and self._pauses:
            # The end of the connection is only seen by reading.
            self._pauses = 0
            transport.resumeProducing()
        settle = self.closeTimeout if discard else self.flushTimeout
        self._farewell = Farewell(transport, self.clock, settle, patience, self.flushTimeout)

    # -- producer of the transport

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        if not self._sendingIsPaused:
            self._sendingIsPaused = True
            self._replyBytes = 0
            self._call(self.sendingPaused)

    def resumeProducing(self) -> None:
        """
        The transport's buffer is empty.
        """
        self._liveness.progressed()
        if self._sendingIsPaused:
            self._sendingIsPaused = False
            self._replyBytes = 0
            self._resume(_BY_REPLIES)
            self._call(self.sendingResumed)

    def stopProducing(self) -> None:
        """
        The transport is gone; C{connectionLost} says so too.
        """

    def _pause(self, who: int) -> None:
        if not self._pauses:
            self.transport.pauseProducing()
        if who != BY_TURN and not self._pauses & ~BY_TURN:
            self.factory.pausesUp.inc()
        self._pauses |= who

    def _resume(self, who: int) -> None:
        if self._pauses:
            self._pauses &= ~who
            if not self._pauses:
                self._liveness.received()
                self.transport.resumeProducing()

    # -- liveness

    def _ping(self) -> None:
        self.sendFrame(PING)

    def _pingTimedOut(self) -> None:
        self.factory.pingTimeouts.inc()
        self._closed = Closed(ABNORMAL, "ping timeout", False)
        self.abort()
