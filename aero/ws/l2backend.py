# -*- test-case-name: aero.ws.test.test_l2backend -*-
"""
The data channel C{l2} to a backend of its own: a WebSocket for each channel, whose messages pass
unchanged in both directions (relay.md section 13).

Nothing is lost in between. What the client sends before the backend is there waits, up to
L{MAX_WAITING} messages, and then the channel is not read; a backend that takes nothing stops the
channel the same way, and a client that reads nothing stops the backend. The limit on what a
session gets is kept by reading the backend more slowly; only a message that is longer than one
second of it is dropped, since its time would never come.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any, Callable, Sequence
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.metrics import Events
from aero.policy.l2backend import TUNNEL, BackendRequest, backendRequest
from aero.policy.redaction import redact, redactURL
from aero.settings.webrtc import BridgeSettings
from aero.tunnel.datagrams.peers import PeerRequest, TunnelCarrier
from aero.tunnel.datagrams.sessions import RelaySession
from aero.wire.websocket import GOING_AWAY, MESSAGE_TOO_BIG, NORMAL

#: Seconds to connect, TLS and handshake included.
DIAL_TIMEOUT = 5.0
#: Seconds that a backend may take nothing.
WRITE_TIMEOUT = 5.0
#: Messages that wait for the backend before the channel is not read any more.
MAX_WAITING = 256
#: Seconds of silence after which a backend is pinged, and that it then has.
PING_INTERVAL = 30.0

#: Makes the endpoint of a URL.
Connector = Callable[[str], IStreamClientEndpoint]


class Backends:
    """
    Opens backends. See L{aero.tunnel.datagrams.peers.TunnelOpener}.
    """

    _log = Logger(namespace="aero.l2")

    def __init__(
        self,
        settings: BridgeSettings,
        *,
        reactor: Any,
        events: Events,
        connector: Connector | None = None,
    ) -> None:
        """
        @param connector: Where to connect to, in place of what the URL says.
        """
        self._settings = settings
        self._reactor = reactor
        self._events = events
        self._connector = connector or self._endpoint

    def openTunnel(
        self, session: RelaySession, request: PeerRequest, carrier: TunnelCarrier
    ) -> Backend | None:
        """
        See L{aero.tunnel.datagrams.peers.TunnelOpener}.
        """
        self._events.inc("l2_bridge_dials_total")
        settings = self._settings
        try:
            asked = backendRequest(
                settings.backendURL,
                mode=settings.forwardAuth,
                token=settings.backendToken,
                credential=request.credential,
                originOverride=settings.backendOrigin,
                forwardOrigin=settings.forwardOrigin,
                origin=request.origin,
                forwardSession=settings.forwardSession,
                cookies=request.cookies,
            )
        except ValueError as error:
            self._events.inc("l2_bridge_dial_errors_total")
            self._log.warn(
                "l2_bridge_backend_dial_failed {backend_ws_url}: {err}",
                backend_ws_url=redactURL(settings.backendURL),
                err=str(error),
                session_id=session.id,
            )
            return None
        backend = Backend(
            asked,
            session,
            carrier,
            clock=self._reactor,
            events=self._events,
            maxMessage=settings.maxL2Message,
        )
        backend.connect(self._connector(asked.url))
        return backend

    def _endpoint(self, url: str) -> IStreamClientEndpoint:
        parts = urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme == "wss"
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, host, parts.port or (443 if secure else 80), timeout=DIAL_TIMEOUT
        )
        return wrapClientTLS(optionsForClientTLS(host), endpoint) if secure else endpoint


class BackendProtocol(WebSocketClientProtocol):  # type: ignore[misc]
    """
    The WebSocket: hands everything to its L{Backend}.
    """

    backend: Backend

    def onConnect(self, response: Any) -> None:
        """
        The backend answered the handshake.
        """
        self.backend.negotiated(response.protocol)

    def onOpen(self) -> None:
        """
        Messages can be sent.
        """
        self.transport.registerProducer(self.backend.writing, True)
        self.backend.opened(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """
        A message; text means nothing.
        """
        self.backend.heard()
        if isBinary:
            self.backend.backendSent(payload)

    def onPong(self, payload: bytes) -> None:
        """
        The backend is there.
        """
        self.backend.heard()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """
        The connection is over.
        """
        tooLong = self.wasMaxFramePayloadSizeExceeded or self.wasMaxMessagePayloadSizeExceeded
        self.backend.backendClosed(code, reason or "", tooLong=tooLong)


@implementer(IPushProducer)
class _Writing:
    """
    What the transport to the backend tells when it is full.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def pauseProducing(self) -> None:
        self._backend.backendFull()

    def resumeProducing(self) -> None:
        self._backend.backendReady()

    def stopProducing(self) -> None:
        pass


class Backend:
    """
    One backend for one channel. See L{aero.tunnel.datagrams.peers.Tunnel}.

    @ivar writing: The producer that is registered with the transport.
    """

    _log = Logger(namespace="aero.l2")

    def __init__(
        self,
        asked: BackendRequest,
        session: RelaySession,
        carrier: TunnelCarrier,
        *,
        clock: Any,
        events: Events,
        maxMessage: int,
    ) -> None:
        self._asked = asked
        self._session = session
        self._carrier = carrier
        self._clock = clock
        self._events = events
        self._maxMessage = maxMessage
        self._waiting: deque[bytes] = deque()
        self._socket: Any = None
        self._connecting: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = clock.callLater(DIAL_TIMEOUT, self._dialTimedOut)
        self._stall: IDelayedCall | None = None
        self._pace: IDelayedCall | None = None
        self._pinging: IDelayedCall | None = None
        self._heard = True
        self._isFull = True
        self._isReading = True
        self._channelFull = False
        self._warned = False
        self._began = clock.seconds()
        self._over = False
        self.writing = _Writing(self)

    # -- the handshake

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        """
        Connect.
        """
        asked = self._asked
        state = random.getstate()
        factory = WebSocketClientFactory(
            asked.url,
            origin=asked.origin or None,
            protocols=list(asked.protocols),
            headers={"Cookie": asked.cookie} if asked.cookie else {},
            reactor=self._clock,
        )
        random.setstate(state)  # Autobahn reseeds the process-wide generator
        factory.noisy = False
        factory.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            autoPingInterval=0,
            failByDrop=False,
            maxFramePayloadSize=self._maxMessage,
            maxMessagePayloadSize=self._maxMessage,
            tcpNoDelay=True,
        )
        factory.protocol = self._buildProtocol
        self._connecting = endpoint.connect(factory)
        self._connecting.addErrback(self._unreachable)

    def _buildProtocol(self) -> BackendProtocol:
        protocol = BackendProtocol()
        protocol.backend = self
        self._socket = protocol
        return protocol

    def negotiated(self, protocol: str | None) -> None:
        """
        The handshake was answered; what was chosen has to be the tunnel.
        """
        if protocol != TUNNEL:
            self._dialFailed(f"backend did not negotiate required subprotocol {TUNNEL}")
            self._abort()

    def opened(self, socket: BackendProtocol) -> None:
        """
        The WebSocket is open.
        """
        if self._over:
            return
        self._stopTimer()
        self._isFull = False
        self._pinging = self._clock.callLater(PING_INTERVAL, self._ping)
        self._log.info(
            "l2_bridge_backend_dial_succeeded {backend_ws_url}",
            backend_ws_url=redactURL(self._asked.url),
            dial_duration_ms=round((self._clock.seconds() - self._began) * 1_000),
            session_id=self._session.id,
        )
        self.backendReady()

    def _unreachable(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._dialFailed(failure.getErrorMessage())

    def _dialTimedOut(self) -> None:
        self._timer = None
        self._dialFailed("it took too long")
        self._abort()

    def _dialFailed(self, why: str) -> None:
        if self._over:
            return
        self._end()
        self._events.inc("l2_bridge_dial_errors_total")
        self._log.warn(
            "l2_bridge_backend_dial_failed {backend_ws_url}: {err}",
            backend_ws_url=redactURL(self._asked.url),
            err=redact(why, self._asked.secrets),
            session_id=self._session.id,
        )
        self._carrier.closeTunnel(GOING_AWAY, "dial failed")

    # -- from the client

    def messagesReceived(self, messages: Sequence[bytes]) -> None:
        """
        See L{aero.tunnel.datagrams.peers.Tunnel}.
        """
        if self._over:
            return
        if self._isFull or self._waiting:
            self._waiting.extend(messages)
            if len(self._waiting) >= MAX_WAITING:
                self._carrier.pauseReading()
            return
        for message in messages:
            self._socket.sendMessage(message, True)

    def backendFull(self) -> None:
        """
        The backend takes no more for now.
        """
        self._isFull = True
        if self._stall is None:
            self._stall = self._clock.callLater(WRITE_TIMEOUT, self._stalled)

    def backendReady(self) -> None:
        """
        It does again.
        """
        self._isFull = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        while self._waiting and not self._isFull:
            self._socket.sendMessage(self._waiting.popleft(), True)
        if len(self._waiting) < MAX_WAITING:
            self._carrier.resumeReading()

    def _stalled(self) -> None:
        self._stall = None
        self._finish("backend_closed", "the backend takes nothing")
        self._abort()

    # -- from the backend

    def heard(self) -> None:
        """
        The backend is alive.
        """
        self._heard = True

    def backendSent(self, payload: bytes) -> None:
        """
        A message for the client.
        """
        if self._over:
            return
        bucket = self._session.towardsClient
        if bucket is not None:
            now = self._clock.seconds()
            if len(payload) > bucket.rate:
                self._dropped(len(payload), now)
                return
            if not bucket.has(len(payload), now):
                self._slowDown(len(payload) / bucket.rate)
            bucket.spend(len(payload))
        self._carrier.sendMessages([payload])

    def _slowDown(self, seconds: float) -> None:
        """
        Read the backend again when what it sent has its right to be sent.
        """
        if self._pace is None:
            self._pace = self._clock.callLater(seconds, self._paced)
            self._updateReading()

    def _paced(self) -> None:
        self._pace = None
        self._updateReading()

    def _dropped(self, size: int, now: float) -> None:
        self._events.inc("l2_bridge_dropped_rate_limited_total")
        self._events.inc("rate_limited")
        if not self._warned:
            self._warned = True
            self._log.warn(
                "l2_bridge_dropped_rate_limited: {msg_bytes} bytes",
                msg_bytes=size,
                session_id=self._session.id,
            )
        self._session.violated(now)

    def backendClosed(self, code: int | None, reason: str, *, tooLong: bool) -> None:
        """
        The connection to the backend is over.
        """
        if self._over:
            return
        if self._timer is not None:
            self._dialFailed(reason or "the handshake failed")
            return
        if tooLong:
            self._events.inc("l2_bridge_dropped_oversized_total")
            self._finish("oversized_message", f"to_client, {self._maxMessage} bytes at most")
        else:
            self._finish("backend_closed", f"{code or ''} {reason}".strip())

    # -- to the client

    def pauseProducing(self) -> None:
        """
        The channel is full.
        """
        self._channelFull = True
        self._updateReading()

    def resumeProducing(self) -> None:
        """
        It has room.
        """
        self._channelFull = False
        self._updateReading()

    def _updateReading(self) -> None:
        wanted = not (self._channelFull or self._pace is not None)
        if self._over or self._socket is None or wanted == self._isReading:
            return
        self._isReading = wanted
        transport = self._socket.transport
        (transport.resumeProducing if wanted else transport.pauseProducing)()

    # -- the end

    def connectionLost(self, reason: str) -> None:
        """
        The channel is gone.
        """
        if self._over:
            return
        dialling = self._timer is not None
        self._end()
        if dialling and self._connecting is not None:
            self._connecting.cancel()
        if self._socket is None:
            return
        if dialling:
            self._abort()
            return
        code = MESSAGE_TOO_BIG if reason == "oversized_message" else NORMAL
        self._socket.sendCloseFrame(code=code, isReply=False)
        transport = self._socket.transport
        if transport is not None:
            transport.loseConnection()

    def _ping(self) -> None:
        if not self._heard and self._isReading:
            self._pinging = None
            self._finish("backend_closed", "the backend does not answer")
            self._abort()
            return
        self._heard = False
        self._pinging = self._clock.callLater(PING_INTERVAL, self._ping)
        if not self._isFull:
            self._socket.sendPing()

    def _finish(self, reason: str, detail: str) -> None:
        self._end()
        self._log.info(
            "l2_bridge_shutdown: {reason} ({err})",
            reason=reason,
            err=redact(detail, self._asked.secrets),
            backend_ws_url=redactURL(self._asked.url),
            session_id=self._session.id,
        )
        self._carrier.closeTunnel(GOING_AWAY, reason)

    def _end(self) -> None:
        self._over = True
        self._stopTimer()
        for call in (self._stall, self._pace, self._pinging):
            if call is not None and call.active():
                call.cancel()
        self._stall = self._pace = self._pinging = None
        self._waiting.clear()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _abort(self) -> None:
        socket = self._socket
        if socket is not None and socket.transport is not None:
            socket.transport.abortConnection()
