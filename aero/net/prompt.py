# -*- test-case-name: aero.net.test.test_prompt -*-
"""
Bulk transfers on plain TCP: write to a socket at once instead of at the reactor's next turn,
and read more of it at a time.

A Twisted transport keeps what is written until the reactor says that the socket is writable,
which for a socket that is writable anyway costs two changes of the poll set and one turn for
each chunk, and joins what has gathered meanwhile. A relay that gets one chunk at a time and
passes it on can do without.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.tcp import Connection

#: Bytes read from a socket at once, and what a transport buffers before it pauses its
#: producer. With Twisted's 64 KiB the other processes of a bulk transfer are woken four times
#: as often, which costs a fifth of the throughput.
READ_BYTES = 262_144


def readMore(transport: Any) -> None:
    """
    Make a plain TCP transport move L{READ_BYTES} at once. TLS has records of its own size.
    """
    if isinstance(transport, Connection) and not transport.TLS:
        transport.bufferSize = READ_BYTES
        transport.SEND_LIMIT = 2 * READ_BYTES  # or a chunk with its headers takes two turns


def readAtMost(transport: Any, size: int) -> None:
    """
    Have a plain TCP transport read no more than so many bytes at once.
    """
    if isinstance(transport, Connection) and not transport.TLS:
        transport.bufferSize = min(transport.bufferSize, size)


def _nothing() -> None:
    """
    The transport writes when it likes.
    """


def promptWriter(transport: Any) -> Callable[[], object]:
    """
    Find what makes a transport try to write its buffer now.

    It is to be called right after a write, and not once the connection is being closed: the
    end of a connection is the reactor's business. A socket that takes nothing, or fails, is
    left to the reactor as well, which finds it the same way.

    @return: Does nothing for transports other than plain TCP, such as TLS, which writes at
        once on its own.
    """
    if isinstance(transport, Connection) and not transport.TLS:
        write: Callable[[], object] = transport.doWrite
        return write
    return _nothing


def _takesNothing(data: memoryview) -> int:
    """
    The transport wants to have it all.
    """
    return 0


def directWriter(transport: Any) -> Callable[[memoryview], int]:
    """
    Find what gives bytes to the socket of a transport past its buffer: one copy less, and no
    pause of a producer whose bytes are gone already.

    @return: Called with bytes, it says how many of them the socket took; the rest is to be
        written to the transport. It takes none while the transport has others to write before,
        while the connection is being closed, and for transports other than plain TCP. A socket
        that fails is left to the reactor.
    """
    if not isinstance(transport, Connection) or transport.TLS:
        return _takesNothing
    transport.SEND_LIMIT = 2 * READ_BYTES

    def write(data: memoryview) -> int:
        if (
            transport.dataBuffer
            or transport._tempDataLen
            or transport.disconnecting
            or not transport.connected
            or transport._writeDisconnected
        ):
            return 0
        taken = transport.writeSomeData(data)  # type: ignore[arg-type]
        return taken if isinstance(taken, int) and taken > 0 else 0

    return write
