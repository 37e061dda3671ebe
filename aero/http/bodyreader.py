# -*- test-case-name: aero.http.test.test_channel -*-
"""
The body of one HTTP/1 request, taken from the bytes that arrive.
"""

from __future__ import annotations

from aero.errors import Refused

from .chunked import ChunkedDecoder
from .refusals import BODY_BYTES


def bodyTooLarge() -> Refused:
    """
    The refusal of a body that is larger than its resource wants.
    """
    return Refused(413, "payload_too_large", "Request body is too large", reason=BODY_BYTES)


class BodyReader:
    """
    Reads one body.

    @ivar done: Whether it is complete.
    @ivar keeps: Whether anything reads it; otherwise it is dropped.
    """

    def __init__(self, length: int | None, limit: int, *, keeps: bool) -> None:
        """
        @param length: Its bytes; C{None} where it comes in chunks.
        @param limit: The most that it may have.
        @raise Refused: It says that it has more.
        """
        if length is not None and length > limit:
            raise bodyTooLarge()
        self.done = length == 0
        self.keeps = keeps
        self._limit = limit
        self._left = length or 0
        self._received = 0
        self._decoder = ChunkedDecoder() if length is None else None

    def read(self, buffer: bytearray) -> bytes:
        """
        Take what there is of it from the front of a buffer.

        @return: What is to be kept.
        @raise Refused: It is malformed or too large.
        """
        if self._decoder is None:
            piece = bytes(buffer[: self._left])
            del buffer[: len(piece)]
            self._left -= len(piece)
            self.done = not self._left
        else:
            piece = b"".join(self._decoder.decode(buffer))
            self._received += len(piece)
            if self._received > self._limit:
                raise bodyTooLarge()
            self.done = self._decoder.done
        return piece if self.keeps else b""
