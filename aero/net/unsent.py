# -*- test-case-name: aero.net.test.test_unsent -*-
"""
How much of what was written still waits in this process, and the end that loses none of it.

Twisted says when a transport's buffer is full and when it is empty, which is not enough to
tell a slow client from one that takes nothing.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_INT = struct.Struct("@i")


def unsentBytes(transport: Any) -> int:
    """
    The bytes that a transport, or the TCP transport under a TLS one, has not yet given to the
    system; 0 where that is not known.
    """
    transport = _lowest(transport)
    waiting = getattr(transport, "_tempDataLen", 0)
    return (
        len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0) + int(waiting)
    )


def undeliveredBytes(transport: Any) -> int:
    """
    Those bytes, and those that the system has and the other end has not acknowledged. A system
    takes nothing more until a good part of its own buffer is free, so that a slow client is seen
    here long before.
    """
    unsent = unsentBytes(transport)
    fileno = getattr(_lowest(transport), "fileno", None)
    descriptor = -1 if fileno is None else fileno()
    if descriptor < 0:
        return unsent
    try:
        # SIOCOUTQ (tcp(7)) is another name of it.
        queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, _INT.pack(0))
    except OSError:
        return unsent
    count: int = _INT.unpack(queued)[0]
    return unsent + count


class Farewell:
    """
    The last seconds of a connection that has nothing more to say: a client that takes what was
    written gets all of it, however slowly, and one that takes nothing is cut off.

    What the system has taken it delivers by itself, so the connection is then closed and not
    aborted, which would throw that away.
    """

    def __init__(
        self,
        transport: Any,
        clock: IReactorTime,
        settle: float,
        patience: float = 0.0,
        most: float = 0.0,
    ) -> None:
        """
        @param settle: Seconds for the client to end the connection once it was given everything.
        @param patience: Seconds in which it may take nothing; never less than C{settle}.
        @param most: Seconds for all of it; never less than C{settle}.
        """
        now = clock.seconds()
        patience, most = max(patience, settle), max(most, settle)
        self._transport = transport
        self._clock = clock
        self._settle = settle
        self._patience = patience
        self._unsent = unsentBytes(transport)
        self._left = undeliveredBytes(transport)
        self._lateAt = now + patience
        self._end = now + most
        self._call: IDelayedCall | None = None
        self._wait(now)

    def stop(self) -> None:
        """
        The connection is gone.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def cut(self) -> None:
        """
        There is no more time: close, if the system has everything.
        """
        self.stop()
        if unsentBytes(self._transport):
            self._transport.abortConnection()
        else:
            _lowest(self._transport).loseConnection()

    def _wait(self, now: float) -> None:
        self._call = self._clock.callLater(min(self._settle, self._end - now), self._look)

    def _look(self) -> None:
        self._call = None
        now = self._clock.seconds()
        before, self._unsent = self._unsent, unsentBytes(self._transport)
        left, self._left = self._left, undeliveredBytes(self._transport)
        if self._left < left:
            self._lateAt = now + self._patience
        settled = not (before or self._unsent)
        if settled or now >= self._end or (self._unsent and now >= self._lateAt):
            self.cut()
        else:
            self._wait(now)


def _lowest(transport: Any) -> Any:
    """
    The transport that has the socket.
    """
    below = getattr(transport, "transport", None)
    while below is not None:
        transport, below = below, getattr(below, "transport", None)
    return transport
