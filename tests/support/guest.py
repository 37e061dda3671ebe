"""
A guest with a real kernel: its network stack is the one of this machine, in a network namespace
of its own, and its only cable leads to C{/l2} of a server under test.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Sequence
from urllib.parse import urlsplit

from . import tap
from .server import PATIENCE, ROOT, Aero
from .tools import missing, require

#: What a DHCP client runs: note every variable of an event, and configure the device.
_DHCP_SCRIPT = """#!/bin/sh
event="${1:-$reason}"
{ echo "== $event"; set; } >> __LOG__
case "$event" in
bound|BOUND|REBOOT)
    address="${ip:-$new_ip_address}"
    ip address replace "$address/${mask:-24}" dev tap0
    ip route replace default via "${router:-$new_routers}" dev tap0
    printf 'nameserver %s\\n' ${dns:-$new_domain_name_servers} > /etc/resolv.conf
    mtu="${mtu:-$new_interface_mtu}"
    [ -z "$mtu" ] || ip link set tap0 mtu "$mtu"
    ;;
deconfig|PREINIT)
    ip link set tap0 up
    ;;
esac
exit 0
"""


class KernelGuest:
    """
    One guest, and its tunnel.

    @ivar directory: Where it may write.
    @ivar resolv: Its C{/etc/resolv.conf}.
    """

    def __init__(
        self,
        server: Aero,
        *,
        path: str = "/l2",
        mtu: int = 1_500,
        headers: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        **link: float,
    ) -> None:
        """
        Plug it in.

        @param mtu: Of its device.
        @param headers: For the request that opens the tunnel.
        @param prefix: The start of a command line that runs where the server can be reached.
        @param link: How its NIC loses frames: C{loss}, C{seed}, C{ring}, C{drain}
            (L{tests.support.tapbridge.Link}).
        """
        require("ip")
        require("nsenter")
        if not tap.available():
            missing("making network namespaces and TAP devices takes root and /dev/net/tun")
        self._temporary = tempfile.TemporaryDirectory(prefix="aero-guest-")
        self.directory = Path(self._temporary.name)
        self.resolv = self.directory / "resolv.conf"
        self.resolv.write_text("")
        self._events = self.directory / "dhcp.log"
        self._script = self.directory / "dhcp.sh"
        self._script.write_text(_DHCP_SCRIPT.replace("__LOG__", str(self._events)))
        self._script.chmod(0o755)
        url = urlsplit(server.url)
        options: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": url.port,
            "path": path,
            "mtu": mtu,
            "headers": headers or {},
            "resolv": str(self.resolv),
            **link,
        }
        if url.scheme == "https":
            options["ca"] = str(server.rootCertificate)
        self._errors = (self.directory / "bridge.log").open("w+")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.support.tapbridge", json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        if self._line() != "ready":
            self.stop()
            raise AssertionError("the bridge did not start: " + self._log)

    def __enter__(self) -> KernelGuest:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.stop()

    def stop(self) -> None:
        """
        Pull the plug.
        """
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self._errors.flush()
        self._errors.seek(0)
        self._log = self._errors.read()
        self._errors.close()
        self._temporary.cleanup()

    def order(self, *words: str) -> dict[str, Any]:
        """
        Tell the bridge something (L{tests.support.tapbridge.Bridge.order}).

        @return: Frames C{sent}, C{received} and C{lost}, and why the tunnel C{closed}.
        """
        assert self.process.stdin
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def command(self, *command: str) -> list[str]:
        """
        The command line that runs a command in the guest.
        """
        program = require(command[0])
        namespaces = (f"--target={self.process.pid}", "--net", "--mount")
        return ["nsenter", *namespaces, f"--wdns={self.directory}", "--", program, *command[1:]]

    def run(self, *command: str, timeout: float = PATIENCE, input: bytes = b"") -> str:
        """
        Run a command in the guest to its end.

        @return: What it wrote to standard output.
        @raise AssertionError: It failed.
        """
        done = self.attempt(*command, timeout=timeout, input=input)
        if done.returncode:
            raise AssertionError(
                f"{' '.join(command)!r} gives {done.returncode}:\n"
                f"{done.stdout.decode()}\n{done.stderr.decode()}"
            )
        return done.stdout.decode()

    def attempt(
        self, *command: str, timeout: float = PATIENCE, input: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """
        Run a command in the guest to its end, whatever that is.
        """
        return subprocess.run(
            self.command(*command),
            capture_output=True,
            timeout=timeout,
            check=False,
            input=input,
            cwd=self.directory,
        )

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """
        Start a command in the guest.
        """
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(self.command(*command), cwd=self.directory, **quiet | options)

    def python(self, program: str, *arguments: str, timeout: float = PATIENCE) -> str:
        """
        Run some Python in the guest, with this interpreter.
        """
        return self.run(sys.executable, "-c", program, *arguments, timeout=timeout)

    def configure(self, address: str = "10.0.2.15", gateway: str = "10.0.2.2") -> None:
        """
        Give it an address without asking.
        """
        self.run("ip", "address", "add", f"{address}/24", "dev", "tap0")
        self.run("ip", "route", "add", "default", "via", gateway)
        self.resolv.write_text(f"nameserver {gateway}\n")

    def udhcpc(self, *options: str) -> list[str]:
        """
        The command of busybox's DHCP client, in the foreground.
        """
        return ["udhcpc", "-i", "tap0", "-f", "-s", str(self._script), *options]

    def dhclient(self, *options: str) -> list[str]:
        """
        The command of ISC's DHCP client, in the foreground.
        """
        (self.directory / "leases").touch()
        files = ("-lf", "leases", "-pf", "pid", "-cf", "/dev/null")
        return ["dhclient", "-d", "-4", "-sf", str(self._script), *files, *options, "tap0"]

    def dhcpEvents(self) -> list[tuple[str, dict[str, str]]]:
        """
        What the DHCP clients told so far: the name of each event and its variables.
        """
        if not self._events.exists():
            return []
        events = []
        for part in self._events.read_text().split("== ")[1:]:
            name, *lines = part.splitlines()
            pairs = (line.split("=", 1) for line in lines if "=" in line)
            events.append((name, {key: value.strip("'") for key, value in pairs}))
        return events

    def _line(self) -> str:
        """
        The next line of the bridge.
        """
        assert self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                raise AssertionError("the bridge does not answer")
        return self.process.stdout.readline().strip()
