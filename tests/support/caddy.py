"""
Caddy, in front of a server under test.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from .server import PATIENCE, Aero
from .tools import freePort, require


class Caddy:
    """
    A site C{https://localhost} on a port of its own, with the certificate of an edge, whose CA
    clients trust already.

    @ivar port: The port.
    @ivar url: The URL of the site, without a path.
    """

    def __init__(self, edge: Aero, site: str, protocols: str = "h1 h2", port: int = 0) -> None:
        """
        @param site: The directives of the site.
        @param protocols: The versions of HTTP that it offers.
        """
        self.port = port or freePort()
        self.url = f"https://localhost:{self.port}"
        home = Path(tempfile.mkdtemp(prefix="aero-caddy-"))
        pem = edge.state / "ca" / "site.pem"
        configuration = home / "Caddyfile"
        configuration.write_text(
            f"{{\n admin off\n auto_https off\n servers {{\n protocols {protocols}\n }}\n}}\n"
            f"{self.url} {{\n tls {pem} {pem}\n{site}\n}}\n"
        )
        self._process = subprocess.Popen(
            [require("caddy"), "run", "--config", str(configuration), "--adapter", "caddyfile"],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait(edge.tlsContext())

    def _wait(self, context: ssl.SSLContext) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.create_connection(("localhost", self.port), 5) as raw:
                    context.wrap_socket(raw, server_hostname="localhost").close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError("Caddy does not answer") from None
                time.sleep(0.1)

    def stop(self) -> None:
        """
        End it.
        """
        self._process.kill()
        self._process.wait()
