"""
A whole guest at the other end of C{/l2}: the tiny one of L{aero.testing.guest}, which shares no
codec with the server, on the cable of L{tests.support.l2}.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import Any, Callable, Sequence

from aero.testing import guest as tiny

from .l2 import FRAME, Guest, message
from .l2case import SOON
from .server import Aero
from .websocket import frame


class Station(tiny.Guest):
    """
    A guest whose frames travel through a tunnel.

    @ivar tunnel: The tunnel.
    """

    def __init__(self, server: Aero, **handshake: Any) -> None:
        """
        Open a tunnel.
        """
        super().__init__()
        self.tunnel = Guest(server, **handshake)
        if not self.tunnel.accepted:
            raise AssertionError(f"no tunnel: {self.tunnel.response}")
        self.attach(self._sendAll)

    def until(self, holds: Callable[[], object], what: str, seconds: float = SOON) -> None:
        """
        Take frames until something is so.

        @param what: The same in words.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(
                    f"not {what} after {seconds:g} s, {len(self.frames)} frames,"
                    f" errors {self.errors}, segments {self.segments}"
                )
            self._take(min(left, 0.1))

    def wait(self, seconds: float) -> None:
        """
        Take frames for a while.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._take(left)

    def lease(self) -> None:
        """
        Get an address: two OFFERs, two ACKs.
        """
        self.sendDHCP(1)
        self.until(lambda: len(self.offers) >= 2, "offered")
        self.sendDHCP(3, [(50, bytes((10, 0, 2, 15))), (54, bytes((10, 0, 2, 2)))])
        self.until(lambda: len(self.offers) >= 4, "acknowledged")

    def leave(self) -> None:
        """
        Drop the tunnel.
        """
        self.tunnel.connection.close()

    def _sendAll(self, frames: Sequence[bytes]) -> None:
        self.tunnel.connection.send(b"".join(frame(message(FRAME, each)) for each in frames))

    def _take(self, seconds: float) -> None:
        """
        Take the next frame, if one begins within so many seconds.
        """
        connection = self.tunnel.connection
        if connection.pending or select.select([connection.socket], [], [], seconds)[0]:
            self.sendFrames([self.tunnel.receiveFrame()])


class UDPEcho:
    """
    A UDP socket of loopback that sends back what comes.

    @ivar port: Its port.
    @ivar seen: Where datagrams came from.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self.port: int = self._socket.getsockname()[1]
        self.seen: list[tuple[str, int]] = []
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> UDPEcho:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._socket.close()

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """
        Send a datagram unasked.
        """
        self._socket.sendto(data, address)

    def _run(self) -> None:
        while True:
            try:
                data, address = self._socket.recvfrom(65_536)
                self.seen.append(address)
                self._socket.sendto(data, address)
            except OSError:
                return
