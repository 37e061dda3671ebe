"""
aero as a subprocess, the way an operator starts it.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Mapping, Sequence
from urllib.parse import urlsplit

from .tools import freePort, require

ROOT = Path(__file__).parents[2]

#: Seconds that starting and stopping may take on a busy machine.
PATIENCE = 60.0

#: Variables of the outside that must not leak into a test's server.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "AERO_VECTORS")


class Aero:
    """
    One running server.

    @ivar url: The URL of its ready line, without the last slash.
    @ivar port: The port of that URL.
    @ivar state: Its state directory.
    @cvar domain: The name that tests ask for.
    @cvar source: The address that tests come from; empty for any.
    """

    domain = "localhost"
    source = ""

    def __init__(
        self,
        *options: str,
        state: Path | None = None,
        runDir: Path | None = None,
        command: Sequence[str] = (),
        **variables: str,
    ) -> None:
        """
        Start, and wait for the ready line.

        @param options: Command line options after C{twistd -n aero}.
        @param command: What to start instead of the tests' own C{twistd}.
        @param variables: Environment variables.
        """
        self.directory = runDir or Path(tempfile.mkdtemp(prefix="aero-test-"))
        self.state = state or self.directory / "state"
        self.lines: list[str] = []
        self.log: list[str] = []
        environment = (
            _environment()
            | {"AERO_STATE_DIR": str(self.state), "PYTHONUNBUFFERED": "1"}
            | variables
        )
        self.process = subprocess.Popen(
            [*(command or twistd()), "--pidfile=", "-n", "aero", *options],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._output: queue.Queue[str | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.log),
            )
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.kill)
        self.url = self._waitUntilReady()
        public = urlsplit(self.url)
        if public.port is None or public.path:
            # A public base URL that is not where the test finds the server.
            listening = next(name for name in ("--https-port", "--port") if name in options)
            scheme = "https" if listening == "--https-port" else "http"
            self.url = f"{scheme}://localhost:{options[options.index(listening) + 1]}"
        self.port = urlsplit(self.url).port or 0

    @property
    def rootCertificate(self) -> Path:
        """
        The internal CA's root in PEM.
        """
        return self.state / "ca" / "root.crt"

    def tlsContext(self, *protocols: str) -> ssl.SSLContext:
        """
        A client context that trusts this server's CA and nothing else.
        """
        context = ssl.create_default_context(cafile=str(self.rootCertificate))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def residentBytes(self) -> int:
        """
        The resident memory of the process.
        """
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def descriptors(self) -> int:
        """
        The number of its open files and sockets.
        """
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpuSeconds(self) -> float:
        """
        User and system time spent so far.
        """
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sendSignal(self, number: int) -> None:
        """
        Send a signal.
        """
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """
        Stop as an operator would, and give the exit status.
        """
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """
        Wait for the end, and give the exit status.
        """
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        atexit.unregister(self.kill)
        return status

    def kill(self) -> None:
        """
        End the process whatever it does; for clean-up.
        """
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def _read(self, stream: Any, kept: list[str]) -> None:
        for line in stream:
            kept.append(line.rstrip("\n"))
            if kept is self.lines:
                self._output.put(line)
        if kept is self.lines:
            self._output.put(None)

    def _waitUntilReady(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._output.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError(
                    "the server did not become ready:\n" + "\n".join(self.lines + self.log)
                )
            if line.startswith("aero ready "):
                return line.split()[2].rstrip("/")


def twistd() -> list[str]:
    """
    The command that starts twistd with the interpreter of the tests.
    """
    beside = Path(sys.executable).parent / "twistd"
    return [str(beside) if beside.exists() else "twistd"]


def run(*options: str, reactor: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """
    Run C{twistd -n aero} to its end: for starts that must fail, and for C{--help}.

    @param reactor: What C{twistd} itself is told with C{--reactor}.
    """
    chosen = [f"--reactor={reactor}"] if reactor else []
    return runTwistd(["--pidfile=", *chosen, "-n"], options, variables)


def runTwistd(
    before: Sequence[str],
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
    privileged: bool = True,
) -> subprocess.CompletedProcess[str]:
    """
    Run C{twistd aero} to the end of the command.

    @param before: The options of twistd itself; without C{-n} the server goes into the background.
    @param options: The options of aero.
    @param directory: Where to run it; by default a new directory that is removed afterwards.
    @param privileged: Whether root keeps its rights, for tests that root runs.
    """
    without: Sequence[str] = ()
    if not privileged and os.geteuid() == 0:
        without = [require("setpriv"), "--bounding-set=-all", "--inh-caps=-all"]
    with tempfile.TemporaryDirectory(prefix="aero-test-") as own:
        return subprocess.run(
            [*without, *twistd(), *before, "aero", *options],
            cwd=directory or own,
            env=_environment() | {"AERO_STATE_DIR": f"{own}/state"} | dict(variables or {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def _environment() -> dict[str, str]:
    """
    What of this process' environment the server gets; it runs in another directory.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    if "PYTHONPATH" in kept:
        # Whoever runs the tests from the source tree may have said it relative to that.
        kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), kept["PYTHONPATH"]])
    return kept


def edgeOptions() -> list[str]:
    """
    Options for an edge on free ports of loopback.
    """
    return ["--https-port", str(freePort()), "--http-port", "0"]


def gatewayOptions() -> list[str]:
    """
    Options for the gateway alone, on a free port of loopback.
    """
    return ["--services", "gateway", "--bind", "127.0.0.1", "--port", str(freePort())]


_shared: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], Aero] = {}


def shared(kind: str, *options: str, **variables: str) -> Aero:
    """
    A server that tests with the same needs share; it is stopped when the test run ends.

    @param kind: C{"edge"} (TLS, the page) or C{"gateway"} (plain HTTP).
    """
    key = ((kind, *options), tuple(sorted(variables.items())))
    if key not in _shared or _shared[key].process.poll() is not None:
        base = edgeOptions() if kind == "edge" else gatewayOptions()
        _shared[key] = Aero(*base, *options, state=None, runDir=None, **variables)
    return _shared[key]
