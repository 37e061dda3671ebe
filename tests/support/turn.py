"""
Debian's coturn with a shared secret, as operators run it.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .tools import freePort, require


class Turn:
    """
    A TURN server on one address.

    @ivar url: For clients.
    @ivar port: Its port.
    """

    def __init__(self, address: str, secret: str, *options: str) -> None:
        """
        @param options: More options of C{turnserver}.
        """
        self.address = address
        self.port = freePort(address)
        self.url = f"turn:{address}:{self.port}?transport=udp"
        self._directory = tempfile.TemporaryDirectory(prefix="aero-turn-")
        self.log = Path(self._directory.name) / "log"
        self._output = self.log.open("w")
        self._process = subprocess.Popen(
            [
                require("turnserver"),
                *("-n", "--log-file=stdout", "--no-cli", "--no-tls", "--no-dtls", "--no-tcp-relay"),
                *("--no-rfc5780", "--no-stdout-log", "--pidfile", f"{self._directory.name}/pid"),
                *("--userdb", f"{self._directory.name}/db", "--fingerprint"),
                f"--listening-ip={address}",
                f"--relay-ip={address}",
                f"--listening-port={self.port}",
                *("--min-port=49152", "--max-port=49300", "--realm=aero.test"),
                *("--use-auth-secret", f"--static-auth-secret={secret}"),
                *("--allow-loopback-peers",) * address.startswith("127."),
                *options,
            ],
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *ignored: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._output.close()
        self._directory.cleanup()

    def _wait(self) -> None:
        """
        Wait until it answers a STUN request.
        """
        request = bytes.fromhex("000100002112a442") + bytes(12)
        deadline = time.monotonic() + 20
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.2)
            while time.monotonic() < deadline:
                probe.sendto(request, (self.address, self.port))
                try:
                    probe.recv(1_500)
                except OSError:
                    continue
                return
        raise AssertionError("coturn did not start:\n" + self.log.read_text())
