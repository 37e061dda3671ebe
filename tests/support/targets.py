"""
TCP servers for tunnels to connect to: real sockets on loopback, each with one behaviour.
"""

from __future__ import annotations

import hashlib
import os
import queue
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

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=1024)
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


class Source:
    """
    A behaviour: sends so many bytes of a known stream, and shows how many are on their way.

    @ivar sent: Bytes that the system has taken so far.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0

    def __call__(self, connection: socket.socket) -> None:
        block = bytes(range(256)) * 256
        while self.sent < self.size:
            self.sent += connection.send(
                block[self.sent % 256 : self.size - self.sent + self.sent % 256]
            )

    def expected(self) -> bytes:
        """
        The whole stream.
        """
        return (bytes(range(256)) * (self.size // 256 + 1))[: self.size]

    def settled(self, still: float = 0.4, patience: float = 30.0) -> int:
        """
        Wait until nothing more is taken, because all is sent or nobody reads.

        @param still: Seconds without a byte that count as nothing more.
        @return: The bytes sent.
        """
        deadline = time.monotonic() + patience
        last, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            if self.sent != last:
                last, since = self.sent, time.monotonic()
            elif last and time.monotonic() - since > still:
                return last
            time.sleep(0.02)
        raise AssertionError(f"{self.sent} bytes, and still more")


class Recorder:
    """
    A behaviour: reads to the end of the stream and keeps what it was.
    """

    def __init__(self) -> None:
        self._seen: queue.Queue[tuple[int, str, str]] = queue.Queue()

    def __call__(self, connection: socket.socket) -> None:
        seen, size, end = hashlib.sha256(), 0, "closed"
        try:
            while data := connection.recv(65_536):
                seen.update(data)
                size += len(data)
        except ConnectionResetError:
            end = "reset"
        self._seen.put((size, seen.hexdigest(), end))

    def wait(self, patience: float = 30.0) -> tuple[int, str, str]:
        """
        The next stream that ended: length, SHA-256, and C{closed} or C{reset}.
        """
        return self._seen.get(timeout=patience)


class Exchange:
    """
    A behaviour: sends and takes so many bytes, both at once, and closes when that is done.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._done: queue.Queue[tuple[str, str]] = queue.Queue()

    def __call__(self, connection: socket.socket) -> None:
        sent = hashlib.sha256()

        def send() -> None:
            left = self.size
            while left:
                block = os.urandom(min(left, 1 << 20))
                sent.update(block)
                connection.sendall(block)
                left -= len(block)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        received, left = hashlib.sha256(), self.size
        while left and (data := connection.recv(min(left, 1 << 20))):
            received.update(data)
            left -= len(data)
        sending.join()
        self._done.put((sent.hexdigest(), received.hexdigest()))

    def wait(self, patience: float = 120.0) -> tuple[str, str]:
        """
        The SHA-256 of what was sent and of what came.
        """
        return self._done.get(timeout=patience)


class Filtered:
    """
    An address that neither accepts nor refuses: a listener whose queue is full.

    @ivar port: Where that is.
    """

    def __init__(self) -> None:
        self._sockets = [socket.socket()]
        self._sockets[0].bind(("127.0.0.1", 0))
        self._sockets[0].listen(0)
        self.port: int = self._sockets[0].getsockname()[1]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._sockets.append(filler)

    def __enter__(self) -> Filtered:
        return self

    def __exit__(self, *ignored: object) -> None:
        for one in self._sockets:
            one.close()
