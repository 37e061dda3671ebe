# -*- test-case-name: aero.ws.test.test_endpoint -*-
"""
A WebSocket endpoint: from the request to the session.

L{WebSocketEndpoint} runs the shared checks, then its own L{prepare}, which may take time, and
then hands the connection to a protocol. A client that leaves meanwhile cancels what
L{prepare} waits for, and nothing is ever written to it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Iterator
from typing import Any, Sequence

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.errors import Refused
from aero.interfaces import IUpgradable
from aero.metrics import Metrics
from aero.metrics import tcp as rows
from aero.net.commons import Commons
from aero.net.memory import keepFreedMemory
from aero.wire.websocket import GOING_AWAY, POLICY_VIOLATION

from .closing import Closed
from .handshake import Accepted, UpgradeGate, rejection, switchingProtocols
from .protocol import AeroWebSocketProtocol

#: Seconds that a refused client has to read its refusal and end the connection.
LINGER = 2.0


class WebSocketFactory(WebSocketServerFactory):  # type: ignore[misc]
    """
    What the sessions of one endpoint share.

    @ivar name: The endpoint's label in metrics and logs.
    @ivar clock: For every timer.
    @ivar maxMessageBytes: The longest frame and message taken from a client.
    @ivar pingInterval: Seconds without a byte in one direction after which a client is pinged;
        0 for never.
    @ivar pingTimeout: Seconds that it then has.
    @ivar commons: What all clients share.
    @ivar open: The sessions now.
    """

    noisy = False

    def __init__(
        self,
        name: str,
        *,
        clock: IReactorTime,
        metrics: Metrics,
        maxMessageBytes: int,
        pingInterval: float,
        pingTimeout: float,
        commons: Commons | None = None,
    ) -> None:
        keepFreedMemory()
        state = random.getstate()
        super().__init__(reactor=clock)
        random.setstate(state)  # Autobahn reseeds the process-wide generator
        # The timers of Autobahn run on a process-wide loop; ours replace them.
        self.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            autoPingInterval=0,
            maxMessagePayloadSize=0,
            maxFramePayloadSize=0,
            tcpNoDelay=True,
        )
        self.name = name
        self.clock = clock
        self.metrics = metrics
        self.maxMessageBytes = maxMessageBytes
        self.pingInterval = pingInterval
        self.pingTimeout = pingTimeout
        self.commons = Commons(clock, metrics) if commons is None else commons
        self.open: set[AeroWebSocketProtocol] = set()
        self.bytesUp = metrics.counter(rows.WS_BYTES, name, "up")
        self.bytesDown = metrics.counter(rows.WS_BYTES, name, "down")
        self.messagesUp = metrics.counter(rows.WS_MESSAGES, name, "up")
        self.messagesDown = metrics.counter(rows.WS_MESSAGES, name, "down")
        self.pausesUp = metrics.counter(rows.WS_PAUSES, name, "up")
        self.pausesDown = metrics.counter(rows.WS_PAUSES, name, "down")
        self.pingTimeouts = metrics.counter(rows.WS_PING_TIMEOUTS, name)
        self._upgrades = metrics.counter(rows.WS_UPGRADES, name)
        self._connections = metrics.gauge(rows.WS_CONNECTIONS, name)
        self._idle: list[Deferred[None]] = []

    def sessionStarted(self, session: AeroWebSocketProtocol) -> None:
        """
        A session is open.
        """
        self.open.add(session)
        self._upgrades.inc()
        self._connections.inc()

    def sessionEnded(self, session: AeroWebSocketProtocol, closed: Closed) -> None:
        """
        Its connection is gone.
        """
        self.open.discard(session)
        self._connections.dec()
        self.metrics.counter(rows.WS_CLOSED, self.name, _codeLabel(closed.code)).inc()
        if not self.open:
            waiting, self._idle = self._idle, []
            for waiter in waiting:
                waiter.callback(None)

    def whenIdle(self) -> Deferred[None]:
        """
        Fires when no session is open.
        """
        if not self.open:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._cancelled)
        self._idle.append(waiter)
        return waiter

    def _cancelled(self, waiter: Deferred[None]) -> None:
        if waiter in self._idle:
            self._idle.remove(waiter)


@implementer(IUpgradable)
class WebSocketEndpoint:
    """
    One path that speaks WebSocket. Extend it, or give it a protocol class.

    @cvar needsSession: Whether the session cookie is required.
    @ivar path: Where it answers.
    @ivar name: Its label in metrics and logs.
    """

    needsSession = True
    #: Other paths that are the same.
    aliases: Sequence[str] = ()

    _log = Logger()

    def __init__(
        self,
        path: str,
        protocol: type[AeroWebSocketProtocol],
        *,
        gate: UpgradeGate,
        clock: IReactorTime,
        metrics: Metrics,
        name: str | None = None,
        maxMessageBytes: int = 1_048_576,
        pingInterval: float = 30.0,
        pingTimeout: float = 30.0,
        commons: Commons | None = None,
    ) -> None:
        """
        @param gate: The checks shared with the other endpoints.
        @param clock: The reactor, or a clock in tests.
        @param commons: What all clients share, or nothing that other endpoints know of.
        """
        self.path = path
        self.name = name or path.strip("/")
        self.protocol = protocol
        self.gate = gate
        self.clock = clock
        self.metrics = metrics
        self.factory = WebSocketFactory(
            self.name,
            clock=clock,
            metrics=metrics,
            maxMessageBytes=maxMessageBytes,
            pingInterval=pingInterval,
            pingTimeout=pingTimeout,
            commons=commons,
        )

    # -- what subclasses override

    def prepare(
        self, request: Any, accepted: Accepted
    ) -> AeroWebSocketProtocol | Awaitable[AeroWebSocketProtocol]:
        """
        Decide about a request that passed the shared checks, and make its protocol.

        It may be a coroutine or return a Deferred; that is cancelled when the client leaves.
        Whatever has to be given back is to be acquired last, and given back in
        L{AeroWebSocketProtocol.connectionLost} or C{handshakeAbandoned}.

        @return: What L{buildProtocol} made.
        @raise Refused: The client is told so.
        """
        return self.buildProtocol(accepted)

    def refuse(self, request: Any, refused: Refused) -> None:
        """
        Tell a client that there will be no session.
        """
        refuseUpgrade(request, rejection(refused, request.site.responseHeaders.pairs), self.clock)

    def logRefusal(self, request: Any, refused: Refused) -> None:
        """
        Write the refusal to the log; the log limits its rate.
        """
        request.site.upgradeLog.refused(request, refused.status, refused.reason, refused.message)

    def buildProtocol(self, accepted: Accepted) -> AeroWebSocketProtocol:
        """
        Make the protocol of one session.

        @param accepted: With the subprotocol chosen, if there is to be one.
        """
        protocol = self.protocol()
        protocol.factory = self.factory
        protocol.handshakeAccepted(accepted)
        return protocol

    # -- IUpgradable

    def upgradeReceived(self, request: Any) -> None:
        """
        Take over a request.
        """
        try:
            accepted = self.gate.admit(request, needsSession=self.needsSession)
            prepared = self.prepare(request, accepted)
        except Exception:  # noqa: BLE001 - whatever happens, the process goes on
            self._failed(Failure(), request)
            return
        waiting: Deferred[AeroWebSocketProtocol]
        if isinstance(prepared, Awaitable):  # noqa: SIM108 - two types, one of them ignored
            waiting = ensureDeferred(prepared)  # type: ignore[arg-type]
        else:
            waiting = succeed(prepared)
        gone = request.notifyFinish()
        # The request is finished as well when the connection is taken over, by then in vain.
        gone.addErrback(lambda reason: waiting.cancel())
        waiting.addCallback(self._switch, request)
        waiting.addErrback(self._failed, request)

    # -- the end

    def drain(self, reason: str = "server is shutting down") -> Deferred[None]:
        """
        Close every session with 1001 once what was sent has arrived.

        @return: Fires when the last connection is gone.
        """
        for session in list(self.factory.open):
            session.sendClose(GOING_AWAY, reason)
        return self.factory.whenIdle()

    def clients(self) -> Iterator[tuple[str, str]]:
        """
        Of each WebSocket that is open, the name of its session, which is empty where it has none,
        and the client's address.
        """
        for protocol in self.factory.open:
            session = protocol.session
            yield "" if session is None else session.sid, protocol.client.ip

    def endSession(self, sid: str) -> None:
        """
        Close the WebSockets of a session that ended before its time, with 1008.
        """
        for session in list(self.factory.open):
            if session.session is not None and session.session.sid == sid:
                session.failConnection(POLICY_VIOLATION, "session ended")

    def abort(self) -> None:
        """
        Drop every session now.
        """
        for session in list(self.factory.open):
            session.abort()

    # -- private

    def _switch(self, protocol: AeroWebSocketProtocol, request: Any) -> None:
        """
        Hand the connection over, the 101 being the first thing written to it.
        """
        accepted = protocol.request
        try:
            self.gate.checkAgain(accepted)
            protocol.response = switchingProtocols(
                accepted.key, accepted.subprotocol, request.site.responseHeaders.pairs
            )
            request.takeOver(protocol)
        except Exception:
            if protocol.transport is None:
                protocol.handshakeAbandoned()
            else:
                protocol.transport.abortConnection()
            raise

    def _failed(self, failure: Failure, request: Any) -> None:
        """
        There will be no session: say why, if somebody is still there.
        """
        if request._disconnected:
            self.metrics.counter(rows.WS_REFUSALS, self.name, "left").inc()
            if not failure.check(CancelledError, Refused, RuntimeError):
                self._log.failure("An upgrade to {path} failed", failure=failure, path=self.path)
            return
        refused = failure.value
        if not isinstance(refused, Refused):
            self._log.failure("An upgrade to {path} failed", failure=failure, path=self.path)
            refused = Refused(500, "internal_error", "WebSocket upgrade failed", reason="error")
        self.metrics.counter(rows.WS_REFUSALS, self.name, refused.reason).inc()
        self.logRefusal(request, refused)
        if not request.finished:  # as it is when the connection was taken over already
            self.refuse(request, refused)


class _Refusal(Protocol):
    """
    Writes a refusal and ends the connection without losing it on the way: closing a socket
    that has unread bytes resets it, so the rest of what the client sends is read first.
    """

    def __init__(self, response: bytes, clock: IReactorTime) -> None:
        self._response = response
        self._clock = clock
        self._forcing: IDelayedCall | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._response)
        if ISSLTransport.providedBy(transport):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()
        self._forcing = self._clock.callLater(LINGER, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """
        Discard it.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._forcing is not None and self._forcing.active():
            self._forcing.cancel()


def refuseUpgrade(request: Any, response: bytes, clock: IReactorTime) -> None:
    """
    Answer an upgrade with a refusal and end the connection.

    @param response: The whole response, such as L{rejection} makes; C{HEAD} gets its head.
    """
    if request.method == b"HEAD":
        response = response[: response.index(b"\r\n\r\n") + 4]
    request.takeOver(_Refusal(response, clock))


def _codeLabel(code: int) -> str:
    """
    A close code as a label; a client cannot make up new ones.
    """
    return str(code) if 1000 <= code <= 1015 else "other"
