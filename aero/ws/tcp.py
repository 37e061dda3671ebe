# -*- test-case-name: aero.ws.test.test_tcp -*-
"""
C{/tcp}: one TCP connection for each WebSocket (gateway.md section 12).

Before the 101 the target is found in the query, approved by the policy, resolved, and a slot
is taken; all of that answers with an HTTP status. After it the target is connected to, and
binary messages are its bytes in either direction, whatever their boundaries.

How it ends
===========

======  ==========================  ====================================================
code    reason                      when
======  ==========================  ====================================================
1000    target closed               the target ended its side; all its data came before
1001    server is shutting down     the process stops
1001    idle timeout                no byte in either direction for too long
1002    -                           a frame breaks the rules
1003    -                           a text message
1008    the hook's message          a hook raised Refused after the tunnel was open
1009    -                           a frame or message is too long
1011    target buffer full          more than the limit waits for the target
1011    internal error              a hook failed
1014    connection refused          the target refuses
1014    target unreachable          there is no way to the target
1014    connect timeout             the target does not answer
1014    connection failed           any other failure to connect
1014    target reset                the target broke the connection
======  ==========================  ====================================================

WebSocket has no half-close, and clients take any close for the end. So when the target ends
its side, everything it sent is followed by the close frame; what the client sends until it
answers that frame still reaches the target, which then sees the end of the stream. When the
client is gone, with a close frame or without, everything that was accepted from it reaches the
target first, and then the end of the stream, within the limits of L{aero.net.deliveries}. Only
1008 and C{target buffer full} reset the connection to the target.

No data waits without bound: a slow target pauses the client and a slow client the target.
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from aero.errors import Refused
from aero.net.dialer import ApprovedTarget
from aero.net.happyeyeballs import DialFailed
from aero.net.prompt import readMore
from aero.net.pump import IdleTimer, TargetConnection
from aero.policy.budget import Share
from aero.tunnel.slots import Lease
from aero.wire.tcptarget import parseTarget
from aero.wire.websocket import (
    ABNORMAL,
    BAD_GATEWAY,
    BINARY,
    GOING_AWAY,
    INTERNAL_ERROR,
    NORMAL,
    POLICY_VIOLATION,
)

from .dialling import DiallingEndpoint, DiallingParts
from .handshake import Accepted
from .protocol import AeroWebSocketProtocol, Closed

#: The longest message to a client; a larger read of the target becomes several.
_CHUNK = 65_536

#: Seconds after which a client may ask again for a slot: nobody knows when one is given back.
SLOT_RETRY = 1.0


class TCPTunnelProtocol(AeroWebSocketProtocol):
    """
    One tunnel. Extend it to log, to rewrite, or to refuse.

    Overridable beside the hooks of the base class: L{connectionRequested},
    L{connectionOpened}, L{clientDataReceived}, L{targetDataReceived}. None of them can lead
    to a target that the policy has not approved.

    @ivar target: Where it goes, approved.
    @ivar endpoint: The endpoint it belongs to.
    """

    streaming: ClassVar[bool] = True

    target: ApprovedTarget
    endpoint: TCPEndpoint

    _approved: ApprovedTarget
    _connection: TargetConnection
    _idle: IdleTimer
    _memory: Share
    _dialling: Deferred[IProtocol] | None = None
    _lease: Lease | None = None
    _left = False
    _flushed = False
    _unreadBytes = 0

    # -- what users extend

    def connectionRequested(self, target: ApprovedTarget) -> Any:
        """
        The policy has approved a target, and the client has no answer yet. May return a
        Deferred or a coroutine.

        @raise Refused: To answer with that status instead of a tunnel.
        """

    def connectionOpened(self) -> Any:
        """
        The target is connected.
        """

    def clientDataReceived(self, data: bytes) -> Any:
        """
        The client sent something; by default the target gets it. A subclass that replaces
        this calls L{sendToTarget} with what is to be sent instead.
        """
        self.sendToTarget(data)

    def targetDataReceived(self, data: bytes) -> Any:
        """
        The target sent something; by default the client gets it. A subclass that replaces
        this calls L{sendToClient}.
        """
        self.sendToClient(data)

    # -- what users call

    def sendToTarget(self, data: bytes) -> None:
        """
        Send bytes to the target. They wait while it is slow or not connected yet.
        """
        connection = self._connection
        connection.write(data)
        if connection.waitingBytes > self.endpoint.settings.maxBufferBytes:
            self.failConnection(INTERNAL_ERROR, "target buffer full")
            self._drop()
        elif not self._fits():
            connection.pauseClient()

    def sendToClient(self, data: bytes) -> None:
        """
        Send bytes to the client.
        """
        if not self.isOpen:
            self._connection.pauseReading()
            return
        if len(data) <= _CHUNK:
            self.sendFrame(BINARY, data)
        else:
            view = memoryview(data)
            self.sendMessages([view[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)])
        if self._sendingIsPaused:
            self._unreadBytes += len(data)
            if not self._fits() or self._unreadBytes > self.endpoint.settings.pauseBytes:
                self._connection.pauseReading()
                self.factory.pausesDown.inc()

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close the session because of something the client did, or that went wrong here. The
        target gets what came before, except where the policy ends the session.
        """
        super().failConnection(code, reason)
        if code == POLICY_VIOLATION:
            self._drop()
        else:
            self._leave()

    # -- the client

    def handshakeAbandoned(self) -> None:
        """
        There is no session after all.
        """
        if self._lease is not None:
            self._lease.release()

    def sessionStarted(self) -> None:
        """
        Connect to the target.
        """
        settings = self.endpoint.settings
        readMore(self.transport)
        self.flushTimeout = settings.idleTimeout
        self._connection = TargetConnection(_TargetSide(self), self.clock, settings.pauseBytes)
        self._memory = self.factory.commons.waiting.share(self._key)
        self._idle = IdleTimer(self.clock, settings.idleTimeout, self._idled)
        dialling = self.endpoint.dialer.connect(self._approved, self._connection)
        self._dialling = dialling
        dialling.addCallbacks(self._dialled, self._dialFailed)

    def messageReceived(self, payload: bytes, isBinary: bool) -> Any:
        """
        Bytes for the target. Extend L{clientDataReceived} instead.
        """
        self._idle.touch()
        return self.clientDataReceived(payload)

    def peerClosed(self) -> None:
        """
        The client sends no more, or is gone: the target sees the end of the stream after the data.
        """
        self._leave()

    def sessionEnded(self, closed: Closed) -> None:
        """
        The client's connection is gone.
        """
        self._idle.stop()
        self._left = True
        if closed.code == ABNORMAL and not self.failedByMe:
            self.peerClosed()
        self._leave()
        self._releaseWhenOver()

    def resumeProducing(self) -> None:
        """
        The client has taken everything: read the target again.
        """
        super().resumeProducing()
        self._unreadBytes = 0
        self._fits()
        self._connection.resumeReading()

    def _idled(self) -> None:
        if not self._closing:
            super().failConnection(GOING_AWAY, "idle timeout")
            if self._dialling is not None:
                self._dialling.cancel()
            else:
                self._leave()

    # -- the target

    def _dialled(self, connection: IProtocol) -> None:
        self._dialling = None
        self._call(self.connectionOpened)

    def _dialFailed(self, failure: Failure) -> None:
        self._dialling = None
        self._connection.abort()
        self.targetFlushed()
        problem = failure.value
        if isinstance(problem, DialFailed):
            self.sendClose(BAD_GATEWAY, str(problem))
            self.resumeReading()
        elif not isinstance(problem, CancelledError):
            self._hookFailed(failure)

    def targetEnded(self) -> None:
        """
        The target ended its side; what it sent is on its way to the client.
        """
        self.sendClose(NORMAL, "target closed")

    def targetLost(self) -> None:
        """
        The connection to the target is gone, and not by our doing.
        """
        self.sendClose(BAD_GATEWAY, "target reset")
        self.resumeReading()

    def targetFlushed(self) -> None:
        """
        Nothing of this tunnel is left at the target's side.
        """
        self._flushed = True
        self._releaseWhenOver()

    def _leave(self) -> None:
        """
        Nothing more comes from the client: the target gets what it sent. A target that is not
        connected yet and for which nothing waits is not connected at all.
        """
        connection = self._connection
        if self._dialling is not None and not connection.waitingBytes:
            self._drop()
        else:
            self.endpoint.deliveries.leave(connection, self.client.ip)

    def _resumed(self) -> None:
        """
        The target has taken everything.
        """
        self._fits()
        self.resumeReading()

    def _fits(self) -> bool:
        """
        Count what waits, in either direction.

        @return: Whether the client has memory for it; it is here all the same.
        """
        return self._memory.hold(self._connection.waitingBytes + self._unreadBytes)

    def _drop(self) -> None:
        """
        Leave the target at once.
        """
        if self._dialling is not None:
            self._dialling.cancel()
        self._connection.abort()

    def _releaseWhenOver(self) -> None:
        """
        Give the slot back when both sides are done with, so that connections that still have
        something to deliver are counted.
        """
        if self._left and self._flushed:
            self._memory.close()
            if self._lease is not None:
                self._lease.release()


class _TargetSide:
    """
    The tunnel as its connection to the target sees it: L{aero.net.pump.Client}.
    """

    __slots__ = ("_tunnel", "targetEnded", "targetFlushed", "targetPaused", "targetResumed")

    def __init__(self, tunnel: TCPTunnelProtocol) -> None:
        self._tunnel = tunnel
        self.targetEnded = tunnel.targetEnded
        self.targetFlushed = tunnel.targetFlushed
        self.targetPaused = tunnel.pauseReading
        self.targetResumed = tunnel._resumed

    def targetDataReceived(self, data: bytes) -> None:
        """
        Give it to the hook.
        """
        tunnel = self._tunnel
        tunnel._idle.touch()
        tunnel._call(tunnel.targetDataReceived, data)

    def targetLost(self, clean: bool) -> None:
        """
        The connection is gone.
        """
        self._tunnel.targetLost()


class TCPEndpoint(DiallingEndpoint):
    """
    The endpoint C{/tcp}.
    """

    label = "tcp"

    def __init__(
        self,
        path: str = "/tcp",
        protocol: type[TCPTunnelProtocol] = TCPTunnelProtocol,
        **parts: Unpack[DiallingParts],
    ) -> None:
        super().__init__(path, protocol, **parts)

    async def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
        """
        Find the target, have it approved and resolved, ask the protocol's hook, take a slot.
        """
        host, port = parseTarget(accepted.query)
        target = await self.dialer.approve(host, port)
        tunnel = self.buildProtocol(accepted)
        assert isinstance(tunnel, TCPTunnelProtocol)
        tunnel.endpoint = self
        tunnel.target = target
        wait = tunnel.connectionRequested(target)
        if wait is not None:
            await wait
        assert accepted.session is not None
        lease = self.slots.acquire(accepted.session.sid, accepted.client.ip)
        if lease is None or not await lease.confirmed():
            raise Refused(
                429,
                "too_many_requests",
                "Too many concurrent connections",
                reason="slots",
                retryAfter=SLOT_RETRY,
            )
        tunnel._approved = target  # whatever a hook did
        tunnel._lease = lease
        return tunnel
