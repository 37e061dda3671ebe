"""
A TCP proxy that closes a connection when either direction carries nothing for a time, as load
balancers and reverse proxies do.
"""

from __future__ import annotations

import select
import socket
import threading
import time


class IdleProxy:
    """
    Listens on loopback for one test.

    @ivar port: Its port.
    @ivar cut: Connections that it closed because a direction was silent.
    """

    def __init__(self, target: int, patience: float) -> None:
        """
        @param target: The port on loopback that it connects to.
        @param patience: Seconds of silence that it bears in each direction.
        """
        self.cut = 0
        self._target = target
        self._patience = patience
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """
        Accept no more.
        """
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        last = dict.fromkeys((near, far), time.monotonic())
        with near, far:
            while True:
                left = min(last.values()) + self._patience - time.monotonic()
                if left <= 0:
                    self.cut += 1
                    return
                readable, _, _ = select.select([near, far], [], [], left)
                for each in readable:
                    try:
                        data = each.recv(65_536)
                        (far if each is near else near).sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    last[each] = time.monotonic()
