"""
TCP servers for tunnels to connect to: real sockets on loopback, each with one behaviour.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from typing import Callable

Behaviour = Callable[[socket.socket], None]


class Target:
    """
    A TCP server that runs one behaviour for each connection, in a thread of its own.

    @ivar port: Where it listens.
    """

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family, backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self._behaviour = behaviour
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._behaviour(connection)
            except OSError:
                return


def echo(connection: socket.socket) -> None:
    """
    Send back what comes, until the client has no more.
    """
    while data := connection.recv(65_536):
        connection.sendall(data)


def banner(text: bytes) -> Behaviour:
    """
    Speak first, then echo, as SSH and SMTP servers do.
    """

    def behave(connection: socket.socket) -> None:
        connection.sendall(text)
        echo(connection)

    return behave


def source(size: int, chunk: int = 65_536) -> Behaviour:
    """
    Send so many bytes of a known stream, then close.
    """

    def behave(connection: socket.socket) -> None:
        block = bytes(range(256)) * (chunk // 256)
        left = size
        while left:
            connection.sendall(block[: min(left, len(block))])
            left -= min(left, len(block))

    return behave


def digest(connection: socket.socket) -> None:
    """
    Read to the client's end of stream and answer with length and SHA-256; only a half-close
    that works both ways lets the answer through.
    """
    seen = hashlib.sha256()
    size = 0
    while data := connection.recv(65_536):
        seen.update(data)
        size += len(data)
    connection.sendall(f"{size} {seen.hexdigest()}".encode())


def slow(bytesPerSecond: int) -> Behaviour:
    """
    Read at a steady rate and answer nothing.
    """

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        step = bytesPerSecond // 20
        while connection.recv(step):
            time.sleep(0.05)

    return behave


def refusedPort() -> int:
    """
    A port that refuses connections.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
