# -*- test-case-name: aero.ws.test.test_muxdelivery -*-
"""
What waits on a stream of C{/tcp-mux}: how much may, and what becomes of it when the WebSocket is
gone before the target is connected.
"""

from __future__ import annotations

from typing import Callable, Protocol


class OpeningStream(Protocol):
    """
    A L{aero.tunnel.streams.stream.MuxStream} whose target is not connected yet.
    """

    @property
    def backlog(self) -> int:
        """
        Bytes from the client that were not passed on.
        """

    def carrierLost(self) -> None:
        """
        Drop the stream.
        """


class LeavingStream:
    """
    Such a stream without its client, see L{aero.net.deliveries.Leaving}. Once the target is
    connected, its connection is a delivery of its own.

    @ivar isOver: Whether the stream is over.
    @ivar isClean: Whether the stream is over and the connection has the bytes.
    """

    def __init__(self, stream: OpeningStream) -> None:
        self.isClean = False
        self._stream = stream
        self.isOver = self._isDropped = False
        self._over: Callable[[], object] | None = None

    @property
    def undelivered(self) -> int:
        """
        Bytes that wait for the connection.
        """
        return 0 if self.isOver else self._stream.backlog

    @property
    def isDelivered(self) -> bool:
        """
        Whether nothing waits any more.
        """
        return self.isOver

    def detach(self, timeout: float, over: Callable[[], object]) -> None:
        """
        Wait for the target.
        """
        self._over = over

    def leave(self) -> None:
        """
        Drop the stream.
        """
        self._isDropped = True
        self._stream.carrierLost()

    abort = leave

    def forgotten(self, failed: bool) -> None:
        """
        The stream is over.

        @param failed: Whether because its target could not be connected.
        """
        self.isOver = True
        self.isClean = not (failed or self._isDropped)
        if self._over is not None:
            self._over()


def congestedBytes(pauseBytes: int, maxBytes: int) -> int:
    """
    How much may wait for a target before the client is held up: what is read before that takes
    effect has to find room below the limit.
    """
    return min(pauseBytes, maxBytes // 4)
