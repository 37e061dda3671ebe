"""
An HTTP/2 client on a plain socket. It frames by hand and so can send what no library would.
"""

from __future__ import annotations

import contextlib
from types import TracebackType

import hpack

from .http import Connection, Response
from .server import Aero

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """
    The bytes of one frame.
    """
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def block(*fields: tuple[str, str]) -> bytes:
    """
    A header block that changes no table.
    """
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields, huffman=False)[1:]


def get(path: str = "/healthz", *fields: tuple[str, str]) -> bytes:
    """
    The header block of an ordinary request.
    """
    return block(
        (":method", "GET"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        *fields,
    )


class HTTP2:
    """
    One connection.

    @ivar ended: The error code of the server's GOAWAY, or C{None}.
    @ivar resets: Error codes by stream.
    """

    def __init__(self, server: Aero) -> None:
        self.connection = Connection(server.port, tls=server.tlsContext("h2"))
        self.ended: int | None = None
        self.resets: dict[int, int] = {}
        self._decoder = hpack.Decoder()
        self._responses: dict[int, Response] = {}
        self._complete: set[int] = set()
        self.send(_PREFACE + frame(SETTINGS))

    def __enter__(self) -> HTTP2:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.close()

    def send(self, data: bytes) -> None:
        """
        Send bytes; a server that has hung up is noticed when reading.
        """
        with contextlib.suppress(OSError):
            self.connection.send(data)

    def request(self, stream: int, fields: bytes, body: bytes | None = None) -> None:
        """
        Send a request.
        """
        end = END_STREAM if body is None else 0
        self.send(frame(HEADERS, END_HEADERS | end, stream, fields))
        if body is not None:
            self.send(frame(DATA, END_STREAM, stream, body))

    def response(self, stream: int) -> Response:
        """
        Read until the response of a stream is complete.
        """
        while stream not in self._complete:
            if stream in self.resets or not self._next():
                raise AssertionError(f"no response: {self.resets} {self.ended}")
        return self._responses[stream]

    def end(self) -> int | None:
        """
        Read to the end of the connection and give the error code of its GOAWAY.
        """
        while self._next():
            continue
        return self.ended

    def resetCode(self, stream: int) -> int:
        """
        Read until a stream is reset and give the error code.
        """
        while stream not in self.resets:
            if not self._next():
                raise AssertionError(f"no reset: {self.ended}")
        return self.resets[stream]

    def _next(self) -> bool:
        """
        Take one frame in.

        @return: Whether there was one.
        """
        try:
            head = self.connection.read(9)
            payload = self.connection.read(int.from_bytes(head[:3], "big"))
        except (AssertionError, OSError):
            return False
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == GOAWAY:
            self.ended = int.from_bytes(payload[4:8], "big")
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == HEADERS:
            if not flags & END_HEADERS:
                raise AssertionError("the client reads header blocks of one frame only")
            lines = [(str(name), str(value)) for name, value in self._decoder.decode(payload)]
            status = int(dict(lines)[":status"])
            self._responses[stream] = Response(status, "", lines[1:])
        elif kind == DATA:
            self._responses[stream].body += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self._complete.add(stream)
        return True
