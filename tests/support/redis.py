"""
A real Redis on loopback.
"""

from __future__ import annotations

import atexit
import socket
import subprocess
import tempfile
import time

from .tools import freePort, require

#: Seconds that it may take to start on a busy machine.
PATIENCE = 20.0


class Redis:
    """
    One server, which keeps nothing on disk.

    @ivar url: What C{REDIS_URL} is set to.
    """

    def __init__(self, password: str = "") -> None:
        self.port = freePort()
        self._password = password
        self.url = f"redis://{':' + password + '@' if password else ''}127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)
        self.start()

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        command = [
            require("redis-server"),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            tempfile.gettempdir(),
        ]
        if self._password:
            command += ["--requirepass", self._password]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server did not start")

    def stop(self) -> None:
        """
        Kill it, as a machine that loses power would.
        """
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """
        Let it hang: connections stay open, and nothing is answered.
        """
        assert self._process is not None
        self._process.send_signal(19)

    def resume(self) -> None:
        """
        Let it go on.
        """
        assert self._process is not None
        self._process.send_signal(18)
