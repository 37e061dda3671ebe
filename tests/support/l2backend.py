"""
A backend for Ethernet over WebSocket, as the reference's tests have it: it keeps what it was shown,
answers PING with PONG, and can be told to misbehave.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .websocket import BINARY, CLOSE, frame, unmasked

TUNNEL = "aero-l2-tunnel-v1"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handshake:
    """
    What one client showed.

    @ivar target: Path and query.
    @ivar headers: By name in lower case; repeated ones joined.
    """

    def __init__(self, head: str) -> None:
        lines = head.split("\r\n")
        self.target = lines[0].split(" ")[1]
        self.headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            if name:
                self.headers[name.lower()] = value

    @property
    def query(self) -> dict[str, list[str]]:
        """
        The parameters.
        """
        return parse_qs(urlsplit(self.target).query)

    @property
    def protocols(self) -> list[str]:
        """
        What was offered.
        """
        offered = self.headers.get("sec-websocket-protocol", "")
        return [entry.strip() for entry in offered.split(",")]


class L2Backend:
    """
    The backend.

    @ivar handshakes: What clients showed, in order.
    @ivar received: Messages of all clients.
    @ivar closes: The close codes that clients sent.
    """

    def __init__(
        self,
        *,
        protocol: str = TUNNEL,
        status: int = 101,
        replies: dict[bytes, list[bytes]] | None = None,
    ) -> None:
        """
        @param protocol: What is chosen; empty for nothing.
        @param status: What handshakes are answered with.
        @param replies: More messages that are answered, each with messages.
        """
        self._protocol = protocol
        self._status = status
        self._replies = replies or {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/l2"
        self.handshakes: list[Handshake] = []
        self.received: list[bytes] = []
        self.closes: list[int] = []
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> L2Backend:
        return self

    def __exit__(self, *ignored: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a close alone leaves C{accept} waiting
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        try:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = stream.readline()
                if not line:
                    return
                head += line
            asked = Handshake(head.decode("latin-1"))
            self.handshakes.append(asked)
            connection.sendall(self._answer(asked))
            if self._status == 101:
                self._converse(connection, stream)
        except OSError:
            return
        finally:
            connection.close()

    def _answer(self, asked: Handshake) -> bytes:
        if self._status != 101:
            return b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self._status
        digest = hashlib.sha1(asked.headers["sec-websocket-key"].encode() + _GUID).digest()
        chosen = f"Sec-WebSocket-Protocol: {self._protocol}\r\n" if self._protocol else ""
        return (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"{chosen}Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n"
        ).encode()

    def _converse(self, connection: socket.socket, stream: Any) -> None:
        while True:
            opcode, payload = _frame(stream)
            if opcode == CLOSE:
                self.closes.append(int.from_bytes(payload[:2], "big"))
                connection.sendall(frame(payload, CLOSE, masked=False))
                return
            if opcode == 9:
                connection.sendall(frame(payload, 10, masked=False))
            if opcode != BINARY:
                continue
            self.received.append(payload)
            if payload[:3] == b"\xa2\x03\x01":
                pong = b"\xa2\x03\x02" + payload[3:]
                connection.sendall(frame(pong, BINARY, masked=False))
            for reply in self._replies.get(payload, ()):
                connection.sendall(frame(reply, BINARY, masked=False))


def _frame(stream: Any) -> tuple[int, bytes]:
    head = stream.read(2)
    if len(head) < 2:
        raise OSError("the client is gone")
    length = head[1] & 0x7F
    if length > 125:
        length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
    return head[0] & 0x0F, unmasked(stream.read(4), stream.read(length))
