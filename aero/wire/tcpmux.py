# -*- test-case-name: aero.wire.test.test_tcpmux -*-
"""
The frames of C{aero-tcp-mux-v1}: many TCP streams in one byte stream (gateway.md section 13.2).

::

    offset 0  u8   type         OPEN, DATA, CLOSE, ERROR, PING or PONG
           1  u32  stream id
           5  u32  length
           9  length bytes of payload

Frames may begin and end anywhere in the messages that carry them. L{FrameDecoder} is built for
that: each byte is looked at once however the input is cut, a header is judged as soon as its
nine bytes are there, and with C{stream} the payload of DATA is passed on as it comes, so that a
frame of many megabytes occupies no more than the piece at hand.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from aero.errors import DecodeError

#: The name of the WebSocket subprotocol.
SUBPROTOCOL: Final = "aero-tcp-mux-v1"

OPEN: Final = 1
DATA: Final = 2
CLOSE: Final = 3
ERROR: Final = 4
PING: Final = 5
PONG: Final = 6

#: Flags of CLOSE: the sender sends no more; the stream is gone.
FIN: Final = 0x01
RST: Final = 0x02

HEADER_BYTES: Final = 9
MAX_HOST_BYTES: Final = 1_024
MAX_METADATA_BYTES: Final = 4_096
MAX_ERROR_BYTES: Final = 1_024
#: The longest OPEN there is, which is also longer than any CLOSE or ERROR.
_MAX_CONTROL_BYTES: Final = 6 + MAX_HOST_BYTES + MAX_METADATA_BYTES

_HEADER = struct.Struct(">BII")
_U16 = struct.Struct(">H")
_ERROR_HEAD = struct.Struct(">HH")

_TRUNCATED = "truncated tcp-mux frame stream"


class ErrorCode(IntEnum):
    """
    The codes of ERROR.
    """

    POLICY_DENIED = 1
    DIAL_FAILED = 2
    PROTOCOL_ERROR = 3
    UNKNOWN_STREAM = 4
    STREAM_LIMIT_EXCEEDED = 5
    STREAM_BUFFER_OVERFLOW = 6


class Frame(NamedTuple):
    """
    One frame, or with L{FrameDecoder}'s C{stream} one piece of a DATA frame.

    @ivar kind: The type, which may be one that is not defined.
    @ivar streamId: The stream.
    @ivar payload: The payload.
    @ivar begins: False for a piece that continues a frame.
    """

    kind: int
    streamId: int
    payload: bytes
    begins: bool = True

    def encode(self) -> bytes:
        """
        The frame on the wire.
        """
        return encodeFrame(self.kind, self.streamId, self.payload)


def frameHeader(kind: int, streamId: int, length: int) -> bytes:
    """
    The nine bytes before a payload.
    """
    return _HEADER.pack(kind, streamId, length)


def encodeFrame(kind: int, streamId: int, payload: bytes = b"") -> bytes:
    """
    A whole frame.
    """
    return _HEADER.pack(kind, streamId, len(payload)) + payload


@dataclass(frozen=True, slots=True)
class Open:
    """
    The payload of OPEN.

    @ivar host: The target as the client wrote it: a name, or an address without brackets.
    @ivar port: Its port; 0 can be encoded but not be connected to.
    @ivar metadata: Text beside it, without a meaning here.
    """

    host: str
    port: int
    metadata: str = ""

    def encode(self) -> bytes:
        """
        The payload on the wire.

        @raise DecodeError: No decoder would take it.
        """
        host, metadata = self.host.encode("utf-8"), self.metadata.encode("utf-8")
        _checkHost(host, self.host)
        if len(metadata) > MAX_METADATA_BYTES:
            raise DecodeError("metadata is too long")
        if not 0 <= self.port <= 0xFFFF:
            raise DecodeError("port is out of range")
        return b"".join(
            (
                _U16.pack(len(host)),
                host,
                _U16.pack(self.port),
                _U16.pack(len(metadata)),
                metadata,
            )
        )

    @classmethod
    def decode(cls, payload: bytes) -> Open:
        """
        Read a payload.

        @raise DecodeError: It breaks one of the rules of section 13.2.
        """
        size = len(payload)
        if size < 6:
            raise DecodeError("OPEN is too short")
        (hostSize,) = _U16.unpack_from(payload)
        if hostSize > MAX_HOST_BYTES:
            raise DecodeError("host is too long")
        end = 2 + hostSize
        if size < end + 4:
            raise DecodeError("OPEN length mismatch")
        host = payload[2:end]
        port, metadataSize = _ERROR_HEAD.unpack_from(payload, end)
        if metadataSize > MAX_METADATA_BYTES:
            raise DecodeError("metadata is too long")
        if size != end + 4 + metadataSize:
            raise DecodeError("OPEN length mismatch")
        text = _utf8(host, "host")
        _checkHost(host, text)
        return cls(text, port, _utf8(payload[end + 4 :], "metadata"))


@dataclass(frozen=True, slots=True)
class Error:
    """
    The payload of ERROR.

    @ivar code: One of L{ErrorCode}, or a number that a later version defines.
    @ivar message: For people.
    """

    code: int
    message: str

    def encode(self) -> bytes:
        """
        The payload on the wire, its message as one line of no more than 1024 bytes.
        """
        line = " ".join(self.message.split()).encode("utf-8", "replace")
        if len(line) > MAX_ERROR_BYTES:
            line = line[:MAX_ERROR_BYTES].decode("utf-8", "ignore").encode("utf-8")
        return _ERROR_HEAD.pack(self.code, len(line)) + line

    @classmethod
    def decode(cls, payload: bytes) -> Error:
        """
        Read a payload.

        @raise DecodeError: The message is too long, not UTF-8, or not as long as it says.
        """
        if len(payload) < 4:
            raise DecodeError("ERROR is too short")
        code, size = _ERROR_HEAD.unpack_from(payload)
        if size > MAX_ERROR_BYTES:
            raise DecodeError("ERROR message is too long")
        if len(payload) != 4 + size:
            raise DecodeError("ERROR length mismatch")
        return cls(code, _utf8(payload[4:], "message"))


def encodeClose(flags: int) -> bytes:
    """
    The payload of CLOSE.
    """
    return bytes((flags,))


def decodeClose(payload: bytes) -> int:
    """
    Read the payload of CLOSE.

    @return: The flags, of which unknown ones are to be ignored.
    @raise DecodeError: It is not one byte.
    """
    if len(payload) != 1:
        raise DecodeError("CLOSE length mismatch")
    return payload[0]


class FrameDecoder:
    """
    Turn a byte stream, cut anywhere, into frames.

    @ivar failed: Whether a header announced more than the limit. Nothing comes after that.
    """

    __slots__ = (
        "_begins",
        "_header",
        "_kind",
        "_maxBytes",
        "_payload",
        "_remaining",
        "_stream",
        "_streamId",
        "failed",
    )

    def __init__(self, maxPayloadBytes: int, *, stream: bool = False) -> None:
        """
        @param maxPayloadBytes: The longest payload; exactly that much is fine.
        @param stream: Give the payload of DATA in pieces, as they come, and keep no more of
            the other types than can matter: what is longer than any valid OPEN arrives cut,
            and still too long. Only PING is kept whole, because it is sent back.
        """
        self.failed = False
        self._maxBytes = maxPayloadBytes
        self._stream = stream
        self._header = b""  # less than a header
        self._kind = 0
        self._streamId = 0
        self._remaining = -1  # bytes of the payload still to come; negative between frames
        self._payload = bytearray()
        self._begins = True

    @property
    def bufferedBytes(self) -> int:
        """
        How much of a frame that is not complete is kept.
        """
        return len(self._header) + len(self._payload)

    def receive(self, data: bytes) -> list[Frame]:
        """
        Take some bytes.

        @return: What they complete, in order. Frames before one that is too long included.
        """
        frames: list[Frame] = []
        if self.failed:
            return frames
        position, end = 0, len(data)
        if self._remaining >= 0:
            position = self._continue(data, 0, end, frames)
        elif self._header:
            position = HEADER_BYTES - len(self._header)
            header = self._header + data[:position]
            if len(header) < HEADER_BYTES:
                self._header = header
                return frames
            self._header = b""
            if not self._begin(header, 0):
                return frames
            position = self._continue(data, position, end, frames)
        while end - position >= HEADER_BYTES and self._remaining < 0:
            if not self._begin(data, position):
                return frames
            position = self._continue(data, position + HEADER_BYTES, end, frames)
        if self._remaining < 0:
            self._header = data[position:]
        return frames

    def finish(self) -> None:
        """
        The byte stream is over.

        @raise DecodeError: In the middle of a frame.
        """
        if not self.failed and (self._header or self._remaining >= 0):
            raise DecodeError(_TRUNCATED)

    def _begin(self, data: bytes, position: int) -> bool:
        """
        Read a header.

        @return: Whether the frame is not too long.
        """
        self._kind, self._streamId, size = _HEADER.unpack_from(data, position)
        if size > self._maxBytes:
            self.failed = True
            return False
        self._remaining = size
        self._begins = True
        return True

    def _continue(self, data: bytes, position: int, end: int, frames: list[Frame]) -> int:
        """
        Take what there is of the payload.

        @return: Where that ends.
        """
        stop = min(end, position + self._remaining)
        left = self._remaining - (stop - position)
        kind = self._kind
        if self._stream and kind == DATA:
            if stop > position or not left:
                piece = data if stop - position == len(data) else data[position:stop]
                frames.append(Frame(kind, self._streamId, piece, self._begins))
                self._begins = False
        elif left:
            self._keep(data, position, stop)
        else:
            self._keep(data, position, stop)
            frames.append(Frame(kind, self._streamId, bytes(self._payload)))
            self._payload = bytearray()
        self._remaining = left or -1
        return stop

    def _keep(self, data: bytes, position: int, stop: int) -> None:
        if self._stream and self._kind != PING:
            room = _MAX_CONTROL_BYTES + 1 - len(self._payload)
            stop = min(stop, position + room)
        self._payload += data[position:stop]


def _utf8(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise DecodeError(f"{what} is not UTF-8") from None


def _checkHost(raw: bytes, text: str) -> None:
    """
    A host is not empty and has neither control characters nor white space in it.
    """
    if not raw:
        raise DecodeError("host is empty")
    if len(raw) > MAX_HOST_BYTES:
        raise DecodeError("host is too long")
    for character in text:
        if (
            character <= " "
            or "\x7f" <= character <= "\x9f"
            or character == "\ufeff"
            or character.isspace()
        ):
            raise DecodeError("host has white space or control characters in it")
