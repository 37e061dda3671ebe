"""
The proxies of C{docs/operations.md}, run as the recipes there say.
"""

from __future__ import annotations

import atexit
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from .server import ROOT, Aero
from .tools import freePort, require

#: Seconds that starting may take on a busy machine.
PATIENCE = 30.0

_RECIPE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def recipe(kind: str, number: int = 0) -> str:
    """
    A configuration out of the documentation.

    @param kind: C{nginx}, C{caddyfile} or C{haproxy}.
    @param number: Which of that kind.
    """
    text = (ROOT / "docs" / "operations.md").read_text()
    found: list[str] = [body for name, body in _RECIPE.findall(text) if name == kind]
    return found[number]


class Front(Aero):
    """
    A proxy that tests talk to as if it were the server behind it.

    @ivar behind: The server behind it.
    """

    domain = "pc.example.test"
    source = "127.0.0.9"

    def __init__(self, behind: Aero | None, kind: str, number: int, backend: int) -> None:
        """
        Start it.

        @param backend: The port of the server.
        """
        self.behind = behind
        self.port = freePort()
        self.url = f"https://{self.domain}:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="aero-proxy-"))
        self._makeCertificate()
        text = self._adapted(recipe(kind, number), backend)
        self.process = subprocess.Popen(
            getattr(self, f"_command_{kind}")(text),
            env={"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(self.directory)},
            stdout=subprocess.DEVNULL,
            stderr=(self.directory / "log").open("wb"),
            text=True,
        )
        atexit.register(self.stop)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = (self.directory / "log").read_text()
                    self.stop()
                    raise AssertionError(f"{kind} does not start: {log}") from None
                time.sleep(0.05)

    @property
    def rootCertificate(self) -> Path:
        """
        What its certificate is checked against; that of the server, if it terminates TLS.
        """
        own = self.directory / "pc.crt"
        return own if self.behind is None else self.behind.rootCertificate

    def tlsContext(self, *protocols: str) -> ssl.SSLContext:
        """
        A client context that trusts it and nothing else.
        """
        context = ssl.create_default_context(cafile=str(self.rootCertificate))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def stop(self, number: int = 0) -> int:
        """
        End it.
        """
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(PATIENCE)
        shutil.rmtree(self.directory, ignore_errors=True)
        return status

    def _adapted(self, text: str, backend: int) -> str:
        """
        Other ports and paths, and nothing else.
        """
        text = text.replace("pc.example.com {", f"https://{self.domain}:{self.port} {{")
        text = text.replace("pc.example.com", self.domain)
        text = re.sub(r"127\.0\.0\.1:(8080|8443)\b", f"127.0.0.1:{backend}", text)
        text = re.sub(r"listen 443", f"listen 127.0.0.1:{self.port}", text)
        text = re.sub(r"bind :443", f"bind 127.0.0.1:{self.port}", text)
        return text.replace("/etc/ssl/", f"{self.directory}/")

    def _command_nginx(self, text: str) -> list[str]:
        if "stream {" not in text:
            text = f"http {{\naccess_log off;\n{text}\n}}"
        module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
        loaded = f"load_module {module};\n" if "stream {" in text else ""
        head = f"{loaded}pid {self.directory}/pid;\ndaemon off;\nmaster_process off;\n"
        return [
            *(require("nginx"), "-e", "stderr", "-p", str(self.directory)),
            *("-c", self._write(f"{head}events {{}}\n{text}")),
        ]

    def _command_caddyfile(self, text: str) -> list[str]:
        head = "{\nadmin off\nauto_https disable_redirects\n}\n"
        path = self._write(head + text)
        return [require("caddy"), "run", "--adapter", "caddyfile", "--config", path]

    def _command_haproxy(self, text: str) -> list[str]:
        return [require("haproxy"), "-db", "-f", self._write(text)]

    def _write(self, text: str) -> str:
        path = self.directory / "configuration"
        path.write_text(text)
        return str(path)

    def _makeCertificate(self) -> None:
        key, certificate = self.directory / "pc.key", self.directory / "pc.crt"
        subprocess.run(
            [
                *(require("openssl"), "req", "-x509", "-newkey", "ec"),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
                *("-subj", f"/CN={self.domain}"),
                *("-addext", f"subjectAltName=DNS:{self.domain}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        (self.directory / "pc.pem").write_text(certificate.read_text() + key.read_text())
