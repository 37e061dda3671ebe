# -*- test-case-name: aero.wire.test.test_websocket -*-
"""
The frames of WebSocket as a server sees them: masked ones in, plain ones out.

Theory of operation
===================

L{FrameReader} is fed whatever the network gives and answers with events: pairs of an opcode
and a payload. A read of many frames gives many events and one call; a frame larger than a
read costs time in proportion to its length and no more, however it is cut.

There are two ways to take data messages. By default a message is one event once it is
complete. With C{stream} set, every piece of a binary message is an event as soon as it is
here: right where message boundaries mean nothing, because then no message is ever held in
memory.

The first violation ends it: L{FrameReader.failure} has the close code, everything after it
is discarded, and the events before it are still given.

The rules are those of RFC 6455 sections 5.2 to 5.5, in the order of gateway.md section 10.
"""

from __future__ import annotations

from typing import Callable, Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

#: Close codes of RFC 6455 section 7.4.1 and of the IANA registry it begins.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013
BAD_GATEWAY: Final = 1014

#: The longest payload of a control frame (section 5.5).
MAX_CONTROL_BYTES: Final = 125
#: The longest reason of a close frame: the code takes two bytes.
MAX_REASON_BYTES: Final = 123

_UNSENDABLE = frozenset((1004, NO_STATUS, ABNORMAL))

#: Takes masked bytes and a four-byte key, gives the plain bytes.
Unmask = Callable[[bytes, bytes], bytes]

Event = tuple[int, bytes]


def xorBytes(data: bytes, key: bytes) -> bytes:
    """
    Mask or unmask with the integers of the standard library (section 5.3).

    @param key: Four bytes.
    """
    size = len(data)
    mask = int.from_bytes(key * (size >> 2) + key[: size & 3], "little")
    return (int.from_bytes(data, "little") ^ mask).to_bytes(size, "little")


def frameHeader(opcode: int, length: int) -> bytes:
    """
    The head of a final, unmasked frame, in the shortest form (section 5.2).

    @param length: Bytes of payload that will follow.
    """
    if length < 126:
        return bytes((0x80 | opcode, length))
    if length < 65_536:
        return bytes((0x80 | opcode, 126, length >> 8, length & 255))
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")


def closePayload(code: int, reason: str = "") -> bytes:
    """
    The payload of a close frame. A reason that is too long is cut at a character.
    """
    text = reason.encode("utf-8", "replace")[:MAX_REASON_BYTES]
    return code.to_bytes(2, "big") + text.decode("utf-8", "ignore").encode("utf-8")


def parseClose(payload: bytes) -> tuple[int, str] | None:
    """
    Read the payload of a close frame (section 5.5.1).

    @return: The code (L{NO_STATUS} where there is none) and the reason, or C{None} for a
        payload that no endpoint may send: one byte, a code out of range, text that is not
        UTF-8.
    """
    if not payload:
        return NO_STATUS, ""
    if len(payload) < 2:
        return None
    code = int.from_bytes(payload[:2], "big")
    if not (1000 <= code <= 1014 and code not in _UNSENDABLE) and not 3000 <= code <= 4999:
        return None
    try:
        return code, payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        return None


class FrameReader:
    """
    Turn the bytes of a client into events.

    @ivar failure: The close code that the first violation asks for; 0 while there is none.
    @ivar why: That violation in a few words.
    """

    __slots__ = (
        "_final",
        "_key",
        "_maxBytes",
        "_message",
        "_opcode",
        "_partial",
        "_pending",
        "_remaining",
        "_size",
        "_stream",
        "_unmask",
        "failure",
        "why",
    )

    def __init__(self, maxBytes: int, *, stream: bool = False, unmask: Unmask = xorBytes) -> None:
        """
        @param maxBytes: The longest frame, of any kind, and the longest message.
        @param stream: Whether to give the pieces of binary messages as they come. Text is
            then not kept at all: a finished text message is an event without its payload.
        @param unmask: A faster L{xorBytes}.
        """
        self.failure = 0
        self.why = ""
        self._maxBytes = maxBytes
        self._stream = stream
        self._unmask = unmask
        self._pending = b""  # the start of a header or control frame: 139 bytes at most
        self._opcode = 0  # of the message in progress; 0 between messages
        self._size = 0  # bytes declared by the frames of that message so far
        self._message = bytearray()  # its frames so far, unmasked
        self._final = False
        self._key = b""
        self._remaining = 0  # bytes of the current data frame that are still to come
        self._partial = bytearray()  # its bytes so far, masked

    def receive(self, data: bytes) -> list[Event]:
        """
        Take what a read gave.

        @return: What it completed, in order. After a violation nothing more comes.
        """
        events: list[Event] = []
        if self.failure:
            return events
        if self._pending:
            data = self._pending + data
            self._pending = b""
        position, end = 0, len(data)
        if self._remaining:
            position = self._continue(data, end, events)
            if self._remaining:
                return events
        while end - position >= 2:
            first, second = data[position], data[position + 1]
            if first & 0x70:
                return self._fail(events, PROTOCOL_ERROR, "reserved bits are set")
            if not second & 0x80:
                return self._fail(events, PROTOCOL_ERROR, "frame is not masked")
            length = second & 0x7F
            start = position + 6
            if length >= 126:
                width = 2 if length == 126 else 8
                start += width
                if end < start - 4:
                    break
                length = int.from_bytes(data[position + 2 : start - 4], "big")
                if length > 0x1F_FFFF_FFFF_FFFF:
                    return self._fail(events, PROTOCOL_ERROR, "absurd frame length")
                if length <= (125 if width == 2 else 0xFFFF):
                    return self._fail(events, PROTOCOL_ERROR, "length is not in its shortest form")
            if length > self._maxBytes:
                return self._fail(events, MESSAGE_TOO_BIG, "frame is too long")
            opcode = first & 0x0F
            if opcode >= CLOSE:
                if opcode > PONG:
                    return self._fail(events, PROTOCOL_ERROR, "unknown opcode")
                if first < 0x80 or length > MAX_CONTROL_BYTES:
                    return self._fail(events, PROTOCOL_ERROR, "control frame is cut or too long")
                stop = start + length
                if end < stop:
                    break
                key = data[start - 4 : start]
                events.append((opcode, xorBytes(data[start:stop], key) if length else b""))
                position = stop
                continue
            if opcode > BINARY:
                return self._fail(events, PROTOCOL_ERROR, "unknown opcode")
            if opcode:
                if self._opcode:
                    return self._fail(events, PROTOCOL_ERROR, "message inside a message")
            elif not self._opcode:
                return self._fail(events, PROTOCOL_ERROR, "continuation of nothing")
            if self._size + length > self._maxBytes:
                return self._fail(events, MESSAGE_TOO_BIG, "message is too long")
            if end < start:
                break
            if opcode:
                self._opcode = opcode
            self._size += length
            self._final = first >= 0x80
            self._key = data[start - 4 : start]
            stop = start + length
            if stop <= end:
                self._take(data[start:stop], events)
                self._frameEnded(events)
                position = stop
                continue
            self._remaining = stop - end
            if self._stream:
                if end > start:
                    self._take(data[start:end], events)
                    turn = (end - start) & 3
                    self._key = self._key[turn:] + self._key[:turn]
            else:
                self._partial += data[start:end]
            return events
        self._pending = data[position:]
        return events

    def _continue(self, data: bytes, end: int, events: list[Event]) -> int:
        """
        Go on with the payload of the frame that an earlier read began.

        @return: Where that payload ends in C{data}.
        """
        stop = min(self._remaining, end)
        piece = data if stop == end else data[:stop]
        self._remaining -= stop
        if self._stream:
            self._take(piece, events)
            turn = stop & 3
            if turn:
                self._key = self._key[turn:] + self._key[:turn]
        else:
            self._partial += piece
            if not self._remaining:
                whole = bytes(self._partial)
                self._partial = bytearray()
                self._take(whole, events)
        if not self._remaining:
            self._frameEnded(events)
        return stop

    def _take(self, masked: bytes, events: list[Event]) -> None:
        """
        Unmask one piece of payload: a whole frame, or when streaming any part of one.
        """
        if not masked:
            return
        if self._stream:
            if self._opcode == BINARY:
                events.append((BINARY, self._unmask(masked, self._key)))
        elif self._final and not self._message:
            events.append((self._opcode, self._unmask(masked, self._key)))
            self._opcode = 0
        else:
            self._message += self._unmask(masked, self._key)

    def _frameEnded(self, events: list[Event]) -> None:
        """
        The payload of a data frame is complete.
        """
        if not self._final:
            return
        self._size = 0
        if self._stream:
            if self._opcode == TEXT:
                events.append((TEXT, b""))
        elif self._opcode:
            events.append((self._opcode, bytes(self._message)))
            self._message = bytearray()
        self._opcode = 0

    def _fail(self, events: list[Event], code: int, why: str) -> list[Event]:
        self.failure = code
        self.why = why
        self._pending = b""
        self._message = self._partial = bytearray()
        return events
