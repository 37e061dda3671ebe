# -*- test-case-name: aero.ws.test.test_l2 -*-
"""
C{/l2}: Ethernet over WebSocket (l2.md).

L{L2Protocol} carries the messages of L{aero.tunnel.ethernet.tunnel.L2Tunnel}, one in each binary
message.
Text, and the pings of WebSocket itself, mean nothing to the tunnel and count in its quotas.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.metrics import Metrics
from aero.net.commons import Commons
from aero.net.shallow import keepShallow
from aero.net.unsent import undeliveredBytes
from aero.tunnel.ethernet.ends import TunnelPeer
from aero.tunnel.ethernet.permits import Permit, TunnelPermits
from aero.tunnel.ethernet.tunnel import BATCH, L2Tunnel
from aero.tunnel.ethernet.tunnels import L2Tunnels
from aero.wire.l2tunnel import HEADER_BYTES
from aero.wire.websocket import (
    BINARY,
    CLOSE,
    GOING_AWAY,
    MESSAGE_TOO_BIG,
    PING,
    POLICY_VIOLATION,
    Event,
)

from .endpoint import WebSocketEndpoint, refuseUpgrade
from .handshake import Accepted, rejection
from .l2gate import L2Gate
from .protocol import AeroWebSocketProtocol, Closed

#: Reasons of refusals that L{L2Gate} does not write to the log itself.
_LOGGED_HERE = frozenset(
    (
        "client-ip",
        "draining",
        "error",
        "handshake",
        "method",
        "rate",
        "subprotocol",
        "url",
        "version",
    )
)


class L2Protocol(AeroWebSocketProtocol):
    """
    One guest.

    @ivar tunnel: Its tunnel, while the session is open.
    """

    portion = BATCH

    tunnels: L2Tunnels
    permit: Permit
    tunnel: L2Tunnel

    def handshakeAbandoned(self) -> None:
        """
        There is no tunnel after all.
        """
        self.permit.release()

    def sessionStarted(self) -> None:
        """
        Begin the tunnel.
        """
        keepShallow(self.transport)
        session = self.session
        peer = TunnelPeer(
            self.client.ip, None if session is None else session.sid, self.request.origin
        )
        self.tunnel = self.tunnels.buildTunnel(self, peer)
        self.tunnel.start()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone: the guest is, too, and what of it was not handled.
        """
        self._discarding = True
        super().connectionLost(reason)

    def eventsReceived(self, events: Sequence[Event]) -> None:
        """
        Give the tunnel the binary messages of one read, and what else counts, in their order.
        """
        tunnel = self.tunnel
        messages: list[bytes] = []
        size = count = 0
        for opcode, payload in events:
            if opcode == BINARY:
                messages.append(payload)
                size += len(payload)
                continue
            if messages:
                count += len(messages)
                tunnel.messagesReceived(messages)
                messages = []
            if opcode == PING:
                if tunnel.otherReceived(len(payload), len(payload)):
                    self.pingReceived(payload)
            elif opcode == CLOSE:
                tunnel.finish(partial(self._closeCame, payload))
                break
            else:
                tunnel.otherReceived(len(payload))
            if tunnel.isOver:
                break
        if messages:
            count += len(messages)
            tunnel.messagesReceived(messages)
        self.factory.messagesUp.inc(count)
        self.factory.bytesUp.inc(size)

    def _closeCame(self, payload: bytes) -> None:
        """
        Everything before the guest's close frame was handled.
        """
        self.tunnel.otherReceived(len(payload))
        self.closeFrameReceived(payload)

    def violationReceived(self, code: int, why: str) -> None:
        """
        The client broke the rules of WebSocket, or sent a message that is too long for any.
        """
        self.tunnel.violated(code == MESSAGE_TOO_BIG, why)
        self.failConnection(code, why)

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close the session because of something the client did, or that went wrong here. Where that
        is the policy, connections of the guest are reset.
        """
        super().failConnection(code, reason)
        if code == POLICY_VIOLATION:
            self.tunnel.revoke(reason)

    def sendingPaused(self) -> None:
        """
        The transport is full.
        """
        self.tunnel.pauseProducing()

    def sendingResumed(self) -> None:
        """
        It is empty again.
        """
        self.tunnel.resumeProducing()

    def peerClosed(self) -> None:
        """
        The guest is done: nothing of it is kept for the rest of the handshake of closing.
        """
        self.tunnel.connectionLost("client")
        self.permit.release()

    def sessionEnded(self, closed: Closed) -> None:
        """
        The connection is gone.
        """
        self.tunnel.connectionLost("lost")
        self.permit.release()

    # -- what the tunnel calls, beside C{sendMessages}, C{pauseReading} and C{resumeReading}

    def closeTunnel(self, code: int, reason: str) -> None:
        """
        Close; what was sent before arrives first, and what the guest still sends is discarded.
        """
        # A process that stops has its own time, in which a guest may take the close frame.
        patience = self.flushTimeout if code == GOING_AWAY else 0.0
        self._close(code, reason, discard=True, patience=patience)

    def unsentBytes(self) -> int:
        """
        Bytes that wait for the guest, in this process or in the system.
        """
        return undeliveredBytes(self.transport)


class L2Endpoint(WebSocketEndpoint):
    """
    C{/l2}, and the same by its other names.
    """

    needsSession = False
    aliases = ("/l2/", "/eth", "/eth/")

    gate: Any

    def __init__(
        self,
        *,
        gate: L2Gate,
        clock: IReactorTime,
        metrics: Metrics,
        tunnels: L2Tunnels,
        permits: TunnelPermits,
        pingInterval: float = 30.0,
        pingTimeout: float = 30.0,
        protocol: type[L2Protocol] = L2Protocol,
        commons: Commons | None = None,
    ) -> None:
        settings = tunnels.settings
        longest = max(settings.maxFramePayload, settings.maxControlPayload)
        super().__init__(
            "/l2",
            protocol,
            gate=gate,  # type: ignore[arg-type]
            clock=clock,
            metrics=metrics,
            maxMessageBytes=HEADER_BYTES + longest,
            # A client whose silence is limited must not be kept talking by our pings.
            pingInterval=0.0 if settings.idleTimeout else pingInterval,
            pingTimeout=pingTimeout,
            commons=commons,
        )
        self.tunnels = tunnels
        self.permits = permits

    async def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
        """
        Rows 12 to 14: a permit, which the protocol gives back.
        """
        session = accepted.session
        try:
            permit = self.permits.acquire(
                accepted.client.ip, None if session is None else session.sid
            )
            await permit.confirmed()
        except Refused as refused:
            self.gate.refusedLater(refused, accepted.client)
            raise
        protocol = self.buildProtocol(accepted)
        assert isinstance(protocol, L2Protocol)
        protocol.tunnels = self.tunnels
        protocol.permit = permit
        return protocol

    def refuse(self, request: Any, refused: Refused) -> None:
        """
        The reference's bodies end without a line feed.
        """
        response = rejection(refused, request.site.responseHeaders.pairs, end=b"")
        refuseUpgrade(request, response, self.clock)

    def endSession(self, sid: str) -> None:
        """
        Close the tunnels of a session that ended before its time, whatever carries them.
        """
        self.tunnels.endSession(sid)

    def logRefusal(self, request: Any, refused: Refused) -> None:
        """
        Write those refusals that L{L2Gate} does not log in the words of the reference.
        """
        if refused.reason in _LOGGED_HERE:
            super().logRefusal(request, refused)

    def drain(self, reason: str = "shutting down") -> Any:
        """
        Close every tunnel with 1001.
        """
        for session in list(self.factory.open):
            assert isinstance(session, L2Protocol)
            session.tunnel.drain(reason)
        return self.factory.whenIdle()
