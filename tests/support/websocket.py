"""
A WebSocket client on a plain socket (RFC 6455). It can also break every rule, which is what
tests of a server need.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from typing import Self
from urllib.parse import quote

from .http import Connection, Response, sessionCookie
from .server import Aero

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocket:
    """
    One WebSocket to a server under test.

    @ivar response: The answer to the handshake.
    """

    def __init__(
        self,
        server: Aero,
        target: str,
        *headers: tuple[str, str],
        cookie: str | None = "",
        method: str = "GET",
        first: bytes = b"",
    ) -> None:
        """
        Send the handshake and read its answer.

        @param cookie: The C{Cookie} header; empty to create a session first, C{None} for none.
        @param first: Bytes to send in one piece with the handshake.
        """
        self.connection = Connection.to(server)
        self.key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            ("Host", f"{server.domain}:{server.port}"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self.key),
        ]
        given = {name.lower() for name, _ in headers}
        lines = [line for line in lines if line[0].lower() not in given]
        lines += [line for line in headers if line[1] != "(none)"]
        if cookie is not None:
            lines.append(("Cookie", cookie or sessionCookie(server)))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self.connection.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + first)
        self.response: Response = self.connection.response(method)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.connection.close()

    @property
    def accepted(self) -> bool:
        """
        Whether the handshake went through, with the right accept key.
        """
        if self.response.status != 101:
            return False
        digest = hashlib.sha1(self.key.encode() + _GUID).digest()
        return self.response.one("Sec-WebSocket-Accept") == base64.b64encode(digest).decode()

    def send(self, payload: bytes, opcode: int = BINARY, *, final: bool = True) -> None:
        """
        Send one frame.
        """
        self.connection.send(frame(payload, opcode, final=final))

    def receive(self) -> tuple[int, bytes]:
        """
        The next frame: opcode and payload.
        """
        first, second = self.connection.read(2)
        if second & 0x80:
            raise AssertionError("a server must not mask")
        length = second
        if length == 126:
            (length,) = struct.unpack("!H", self.connection.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.connection.read(8))
        return first & 0x0F, self.connection.read(length)

    def receiveBytes(self, size: int) -> bytes:
        """
        Binary messages until so many bytes are there.
        """
        data = b""
        while len(data) < size:
            opcode, payload = self.receive()
            if opcode == PING:
                self.send(payload, PONG)
                continue
            if opcode != BINARY:
                raise AssertionError(f"opcode {opcode} with {payload!r} after {len(data)} bytes")
            data += payload
        return data

    def closeCode(self) -> tuple[int | None, str]:
        """
        Wait for the close frame, passing over what comes before it: code and reason.
        """
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                if not payload:
                    return None, ""
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


def frame(
    payload: bytes, opcode: int = BINARY, *, final: bool = True, masked: bool = True, rsv: int = 0
) -> bytes:
    """
    The bytes of one client frame.
    """
    head = bytes([(0x80 if final else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65_536:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(payload))
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + unmasked(mask, payload)


def unmasked(mask: bytes, payload: bytes) -> bytes:
    """
    A payload with the mask taken off, or put on.
    """
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def tcpTarget(host: str, port: int) -> str:
    """
    The request target of C{/tcp} for one TCP target.
    """
    return f"/tcp?v=1&host={quote(host)}&port={port}"
