# -*- test-case-name: aero.http.test.test_chunked -*-
"""
The chunked transfer coding (RFC 9112 section 7.1), decoded as it arrives.
"""

from __future__ import annotations

import re

from aero.errors import Refused

from .head import bad, validName, validValue

#: The longest line with the size of a chunk, extensions included.
MAX_SIZE_LINE = 256

#: Bytes of chunk extensions in one body; they carry nothing that is used.
MAX_EXTENSIONS = 4_096

#: Bytes of the trailer section, which is checked and dropped.
MAX_TRAILER = 8_192

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?")

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkedDecoder:
    """
    Takes a chunked body apart.

    @ivar done: Whether the body is complete.
    """

    done = False

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0
        self._searched = 0
        self._extensions = 0
        self._trailer = 0

    def decode(self, buffer: bytearray) -> list[bytes]:
        """
        Consume what is there of the body from the front of a buffer and leave the rest.

        @return: Pieces of the content, none of them empty.
        @raise Refused: It is not well-formed.
        """
        pieces: list[bytes] = []
        position = 0
        while True:
            if self._state == _DATA:
                piece = bytes(buffer[position : position + self._left])
                if piece:
                    pieces.append(piece)
                    position += len(piece)
                    self._left -= len(piece)
                if self._left:
                    break
                self._state = _DATA_END
            if self._state == _DATA_END:
                end = bytes(buffer[position : position + 2])
                if end != b"\r\n"[: len(end)]:
                    raise bad("Malformed chunk", "framing")
                if len(end) < 2:
                    break
                position += 2
                self._state = _SIZE
            line = self._line(buffer, position)
            if line is None:
                break
            position += len(line) + 2
            if self._state == _SIZE:
                self._sizeReceived(line)
            elif self._trailerReceived(line):
                self._state = _DONE
                self.done = True
                break
        self._searched = max(0, self._searched - position)
        del buffer[:position]
        return pieces

    def _line(self, buffer: bytearray, position: int) -> bytes | None:
        """
        The line that begins here, without its end.
        """
        longest = MAX_SIZE_LINE if self._state == _SIZE else MAX_TRAILER
        end = buffer.find(b"\n", max(position, self._searched))
        if end < 0:
            if len(buffer) - position > longest:
                raise bad("Overlong chunk header", "framing")
            self._searched = len(buffer)
            return None
        if end - position > longest:
            raise bad("Overlong chunk header", "framing")
        if end == position or buffer[end - 1] != 13:
            raise bad("Lines must end with CR LF", "framing")
        self._searched = 0
        return bytes(buffer[position : end - 1])

    def _sizeReceived(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise bad("Malformed chunk size", "framing")
        size, extension = found.groups()
        if extension is not None:
            self._extensions += len(extension)
            if self._extensions > MAX_EXTENSIONS:
                raise bad("Too many chunk extensions", "framing")
        self._left = int(size, 16)
        self._state = _DATA if self._left else _TRAILER

    def _trailerReceived(self, line: bytes) -> bool:
        """
        Check a line of the trailer section.

        @return: Whether it was the empty one at the end.
        """
        if not line:
            return True
        self._trailer += len(line) + 2
        if self._trailer > MAX_TRAILER:
            raise Refused(431, "headers_too_large", "Trailer too large", reason="header-bytes")
        name, colon, value = line.partition(b":")
        if not colon or not validName(name) or not validValue(value):
            raise bad("Malformed trailer line", "framing")
        return False
