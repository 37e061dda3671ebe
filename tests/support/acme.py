"""
Pebble, the small certificate authority that Let's Encrypt tests clients with, in a world of its
own: every name leads to loopback.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Sequence

from .nameservers import Dnsmasq
from .server import Aero
from .tools import freePort, require

#: Seconds that starting may take on a busy machine.
PATIENCE = 30.0


class Pebble:
    """
    One authority.

    @ivar url: Its directory.
    @ivar roots: The file to trust when talking to it.
    @ivar httpPort: Where it looks for answers to C{http-01}.
    @ivar tlsPort: Where it looks for answers to C{tls-alpn-01}.
    @ivar log: What it wrote.
    """

    def __init__(
        self,
        *,
        validity: int = 86_400,
        blocked: Sequence[str] = (),
        nonceReject: int = 0,
        httpPort: int = 0,
        tlsPort: int = 0,
        start: bool = True,
        externalKeys: dict[str, str] | None = None,
    ) -> None:
        """
        @param validity: Seconds that certificates last.
        @param blocked: Domains that are refused.
        @param nonceReject: The percentage of good nonces that are refused.
        @param externalKeys: Keys of the accounts that ACME accounts have to be bound to.
        """
        self._program = require("pebble")
        self.directory = Path(tempfile.mkdtemp(prefix="aero-pebble-"))
        self.port, self._managementPort = freePort(), freePort()
        self.httpPort, self.tlsPort = httpPort or freePort(), tlsPort or freePort()
        self.url = f"https://localhost:{self.port}/dir"
        self.roots = self.directory / "pebble.crt"
        self.log: list[str] = []
        self._environment = {
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_AUTHZREUSE": "0",
            "PEBBLE_WFE_NONCEREJECT": str(nonceReject),
        }
        self._makeCertificate()
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._managementPort}",
            "certificate": str(self.roots),
            "privateKey": str(self.directory / "pebble.key"),
            "httpPort": self.httpPort,
            "tlsPort": self.tlsPort,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": bool(externalKeys),
            "externalAccountMACKeys": externalKeys or {},
            "domainBlocklist": list(blocked),
            "certificateValidityPeriod": validity,
        }
        (self.directory / "config.json").write_text(json.dumps({"pebble": settings}))
        self._names = Dnsmasq("--address=/#/127.0.0.1")
        self._process: subprocess.Popen[str] | None = None
        if start:
            self.start()

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        self._process = subprocess.Popen(
            [
                *(self._program, "-config", str(self.directory / "config.json")),
                *("-dnsserver", f"127.0.0.1:{self._names.port}"),
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._fetch(self.url)
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError("\n".join(["pebble does not answer", *self.log])) from None
                time.sleep(0.05)

    def halt(self) -> None:
        """
        End it, and forget every account and order, as it keeps them in memory.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """
        End it for good.
        """
        self.halt()
        self._names.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def rootCertificate(self) -> Path:
        """
        The root that it signs with, in a file.
        """
        path = self.directory / "root.crt"
        path.write_bytes(self._fetch(f"https://localhost:{self._managementPort}/roots/0"))
        return path

    def options(self) -> list[str]:
        """
        The options of a server that gets its certificates here.
        """
        return [
            *("--bind", "127.0.0.1", "--https-port", str(self.tlsPort)),
            *("--http-port", str(self.httpPort)),
            *("--acme-directory", self.url, "--acme-ca-file", str(self.roots)),
        ]

    def said(self, text: str) -> int:
        """
        How many lines of its log hold this text.
        """
        return sum(text in line for line in list(self.log))

    def _fetch(self, url: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.roots))
        with urllib.request.urlopen(url, timeout=10, context=context) as response:
            found: bytes = response.read()
            return found

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.log.append(line.rstrip("\n"))
        process.stdout.close()

    def _makeCertificate(self) -> None:
        subprocess.run(
            [
                *(require("openssl"), "req", "-x509", "-newkey", "ec"),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(self.directory / "pebble.key"), "-out", str(self.roots)),
            ],
            check=True,
            capture_output=True,
        )


class PublicAero(Aero):
    """
    A server with a public name, whose certificates come from an authority.
    """

    domain = "pc.example.test"

    def __init__(
        self, pebble: Pebble, *options: str, state: Path | None = None, **variables: str
    ) -> None:
        """
        @param options: More options; a later one counts.
        """
        self._pebble = pebble
        super().__init__(
            *("--domain", self.domain),
            *pebble.options(),
            *options,
            state=state,
            runDir=None,
            command=(),
            **variables,
        )

    @property
    def rootCertificate(self) -> Path:
        """
        The authority's root in PEM.
        """
        return self._pebble.rootCertificate()

    def said(self, text: str) -> int:
        """
        How many lines of its log hold this text.
        """
        return sum(text in line for line in list(self.log))

    def waitUntilSaid(self, text: str, times: int = 1) -> None:
        """
        Wait for lines of its log that hold this text.
        """
        deadline = time.monotonic() + PATIENCE
        while self.said(text) < times:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError("\n".join([f"never said: {text}", *self.log]))
            time.sleep(0.05)
