"""
C{aero-tcp-mux-v1} from the client's side (gateway.md section 13): a codec of its own, and a
WebSocket that speaks it.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from .server import Aero
from .websocket import BINARY, PING, PONG, WebSocket

SUBPROTOCOL = "aero-tcp-mux-v1"

OPEN, DATA, CLOSE, ERROR, MUX_PING, MUX_PONG = range(1, 7)
FIN, RST = 1, 2

POLICY_DENIED, DIAL_FAILED, PROTOCOL_ERROR, UNKNOWN_STREAM, STREAM_LIMIT, OVERFLOW = range(1, 7)

_HEAD = struct.Struct("!BII")


@dataclass(frozen=True)
class Frame:
    """
    One frame.
    """

    kind: int
    stream: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """
        Its bytes.
        """
        return _HEAD.pack(self.kind, self.stream, len(self.payload)) + self.payload

    def error(self) -> tuple[int, str]:
        """
        What an ERROR says.
        """
        if self.kind != ERROR:
            raise AssertionError(f"not an ERROR: {self}")
        code, size = struct.unpack_from("!HH", self.payload)
        message = self.payload[4:]
        if len(message) != size or size > 1024:
            raise AssertionError(f"length mismatch in {self}")
        return code, message.decode("utf-8")


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """
    The frames at the beginning of a stream of bytes, and what is behind them.
    """
    frames = []
    at = 0
    while len(data) - at >= _HEAD.size:
        kind, stream, size = _HEAD.unpack_from(data, at)
        if len(data) - at - _HEAD.size < size:
            break
        at += _HEAD.size
        frames.append(Frame(kind, stream, data[at : at + size]))
        at += size
    return frames, data[at:]


def openFrame(stream: int, host: str | bytes, port: int, metadata: bytes = b"") -> bytes:
    """
    The bytes of an OPEN.
    """
    name = host if isinstance(host, bytes) else host.encode()
    payload = struct.pack("!H", len(name)) + name
    payload += struct.pack("!HH", port, len(metadata)) + metadata
    return Frame(OPEN, stream, payload).encode()


def dataFrame(stream: int, data: bytes) -> bytes:
    """
    The bytes of a DATA.
    """
    return Frame(DATA, stream, data).encode()


def closeFrame(stream: int, flags: int = FIN) -> bytes:
    """
    The bytes of a CLOSE.
    """
    return Frame(CLOSE, stream, bytes([flags])).encode()


def pingFrame(payload: bytes = b"", stream: int = 0) -> bytes:
    """
    The bytes of a PING.
    """
    return Frame(MUX_PING, stream, payload).encode()


class Mux(WebSocket):
    """
    One WebSocket at C{/tcp-mux}.
    """

    def __init__(self, server: Aero, *headers: tuple[str, str], cookie: str | None = "") -> None:
        lines = headers or (("Sec-WebSocket-Protocol", SUBPROTOCOL),)
        super().__init__(server, "/tcp-mux", *lines, cookie=cookie)
        self._rest = b""
        self._frames: deque[Frame] = deque()
        self._kept: dict[int, deque[Frame]] = {}

    def __enter__(self) -> Mux:
        return self

    def next(self) -> Frame:
        """
        The next frame, whatever its stream.
        """
        while not self._frames:
            opcode, payload = self.receive()
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == BINARY:
                frames, self._rest = split(self._rest + payload)
                self._frames += frames
            else:
                raise AssertionError(f"opcode {opcode} with {payload!r}")
        return self._frames.popleft()

    def of(self, stream: int) -> Frame:
        """
        The next frame of one stream; those of others are kept for later.
        """
        kept = self._kept.get(stream)
        while not kept:
            found = self.next()
            if found.stream == stream:
                return found
            self._kept.setdefault(found.stream, deque()).append(found)
        return kept.popleft()

    def data(self, stream: int, size: int) -> bytes:
        """
        So many bytes of one stream.
        """
        data = bytearray()
        while len(data) < size:
            found = self.of(stream)
            if found.kind != DATA:
                raise AssertionError(f"{found} after {len(data)} bytes")
            data += found.payload
        if len(data) > size:
            raise AssertionError(f"{len(data)} bytes where {size} were expected")
        return bytes(data)

    def untilEnd(self, stream: int) -> bytes:
        """
        Everything until the target's end of stream.
        """
        data = bytearray()
        while True:
            found = self.of(stream)
            if found == Frame(CLOSE, stream, bytes([FIN])):
                return bytes(data)
            if found.kind != DATA:
                raise AssertionError(f"{found} after {len(data)} bytes")
            data += found.payload

    def waiting(self, stream: int) -> bool:
        """
        Whether there are frames of a stream that were kept for later.
        """
        return bool(self._kept.get(stream))
