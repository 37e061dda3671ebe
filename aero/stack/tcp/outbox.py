# -*- test-case-name: aero.stack.tcp.test.test_parts -*-
"""
Data that waits to be cut into segments.
"""

from __future__ import annotations

from collections import deque

#: Chunks smaller than this are joined, so that single bytes do not cost fifty each.
_SMALL = 4096


class Outbox:
    """
    A queue of bytes that keeps the chunks it is given, so that large ones are copied only once,
    when they are cut.

    @ivar pending: Bytes in it.
    """

    __slots__ = ("_at", "_chunks", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._chunks: deque[bytes] = deque()
        #: Where in the first chunk the rest begins.
        self._at = 0

    def write(self, data: bytes) -> None:
        """
        Put data at the end.
        """
        chunks = self._chunks
        if chunks and len(chunks[-1]) + len(data) <= _SMALL:
            chunks[-1] += data
        else:
            chunks.append(data)
        self.pending += len(data)

    def first(self) -> bytes:
        """
        The first byte, which stays where it is; none if there is no data.
        """
        return self._chunks[0][self._at : self._at + 1] if self.pending else b""

    def take(self, size: int) -> bytes:
        """
        Cut off the first bytes.

        @param size: At most C{pending}.
        """
        if not size:
            return b""
        self.pending -= size
        chunks = self._chunks
        chunk = chunks[0]
        at = self._at
        stop = at + size
        if stop < len(chunk):
            self._at = stop
            return chunk[at:stop]
        parts = []
        while size:
            chunk = chunks[0]
            part = chunk[self._at : self._at + size]
            size -= len(part)
            self._at += len(part)
            if self._at == len(chunk):
                chunks.popleft()
                self._at = 0
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> None:
        """
        Throw everything away.
        """
        self._chunks.clear()
        self._at = 0
        self.pending = 0
