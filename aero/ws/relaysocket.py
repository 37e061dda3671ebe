# -*- test-case-name: aero.ws.test.test_udp -*-
"""
What the WebSockets of the relay share: silence ends them, and whatever ends them frees what they
hold at once, because clients come back before the connection is gone.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from aero.wire.websocket import NORMAL, PING, POLICY_VIOLATION

from .closing import Closed
from .protocol import AeroWebSocketProtocol


class RelaySocketProtocol(AeroWebSocketProtocol):
    """
    One WebSocket of the relay.

    @cvar gone: What ends when the client leaves, in words.
    """

    acceptsText = True
    gone = "client closed"

    _waiting: IDelayedCall | None = None
    _pinging: IDelayedCall | None = None
    _lastHeard = 0.0
    _idle = 0.0
    _interval = 0.0

    # -- what subclasses use

    def watch(self, idle: float, interval: float) -> None:
        """
        Begin to ping, and to close when nothing is heard.

        @param idle: Seconds of silence that end the connection.
        @param interval: Seconds between pings.
        """
        self._stopWaiting()
        self._idle, self._interval = idle, interval
        self._lastHeard = self.clock.seconds()
        self._waiting = self.clock.callLater(idle, self._checkIdle)
        self._pinging = self.clock.callLater(interval, self._ping)

    def released(self, reason: str) -> None:
        """
        Give back everything that this connection holds; called at least once, and maybe again.
        """

    def _relayEnded(self, reason: str) -> None:
        """
        The relay session was ended from elsewhere.
        """
        self.failConnection(POLICY_VIOLATION, reason)

    def _stopWaiting(self) -> None:
        for call in (self._waiting, self._pinging):
            if call is not None and call.active():
                call.cancel()
        self._waiting = self._pinging = None

    # -- liveness

    def dataReceived(self, data: bytes) -> None:
        """
        Take the frames of one read; any of them shows that the client is there.
        """
        self._lastHeard = self.clock.seconds()
        super().dataReceived(data)

    def _ping(self) -> None:
        self._pinging = self.clock.callLater(self._interval, self._ping)
        if not self.sendingIsPaused:  # or it would only wait behind what is not taken
            self.sendFrame(PING)

    def _checkIdle(self) -> None:
        left = self._lastHeard + self._idle - self.clock.seconds()
        if left > 0:
            self._waiting = self.clock.callLater(left, self._checkIdle)
        else:
            self._waiting = None
            self.failConnection(NORMAL, "idle timeout")

    # -- the end

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close because of something that went wrong, and give back at once.
        """
        super().failConnection(code, reason)
        self._release(reason)

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """
        Close in order, and give back at once.
        """
        super().sendClose(code, reason)
        self._release(reason or "")

    def peerClosed(self) -> None:
        """
        The client closed: its session is free before anything else happens.
        """
        self._release(self.gone)

    def sessionEnded(self, closed: Closed) -> None:
        """
        The connection is gone.
        """
        self._release(self.gone)

    def _release(self, reason: str) -> None:
        self._stopWaiting()
        self.released(reason)
