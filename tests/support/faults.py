"""
A reverse proxy that breaks what it passes on, one way at a time.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Callable

#: Changes the head of an answer: the target that was asked for, and the lines of the head.
Fault = Callable[[str, list[str]], list[str]]


class FaultyProxy:
    """
    A proxy on loopback in front of one server.

    @ivar port: Where it listens.
    @ivar fault: What it does to each head; leave it C{None} for nothing.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.fault: Fault | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self._upstream), 10) as server,
        ):
            client.settimeout(20)
            request = _head(client)
            target = request.split(b" ", 2)[1].decode("latin-1")
            server.sendall(request)
            up = threading.Thread(target=_copy, args=(client, server), daemon=True)
            up.start()
            answer = _head(server)
            head, _, rest = answer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            if self.fault is not None:
                lines = self.fault(target, lines)
            client.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rest)
            _copy(server, client)


def _head(connection: socket.socket) -> bytes:
    """
    Everything up to the end of the head, with what came along behind it.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            raise OSError
        data += more
    return data


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
