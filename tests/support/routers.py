"""
A server behind routers: four network namespaces in a row, joined by virtual Ethernet devices.

    server 198.18.1.1 - 198.18.1.2 first 198.18.2.1 - 198.18.2.2 second 198.18.3.1 - 198.18.3.2 far

The second router says that 198.18.4.0/24 is unreachable and 198.18.5.0/24 prohibited, and the
server's own routes prohibit 198.18.6.0/24.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import subprocess
from typing import Final

from .guest import KernelGuest
from .l2 import OPEN, l2Options
from .server import Aero, twistd
from .tools import missing, require

FIRST: Final = "198.18.1.2"
SECOND: Final = "198.18.2.2"
FAR: Final = "198.18.3.2"
UNREACHABLE: Final = "198.18.4.9"
PROHIBITED: Final = "198.18.5.9"
OWN_PROHIBITED: Final = "198.18.6.9"

_NAMES: Final = ("s", "1", "2", "f")


class Routers:
    """
    The namespaces, and a server in the first of them.

    @ivar server: The server.
    """

    def __init__(self, **variables: str) -> None:
        """
        @param variables: Settings of the server.
        """
        if os.geteuid() != 0:
            missing("making network namespaces takes root")
        self._ip = require("ip")
        self._spaces = {name: f"aero-{os.getpid()}-{name}" for name in _NAMES}
        try:
            self._build()
        except AssertionError as problem:
            self.stop()
            missing(f"no network namespace could be made: {problem}")
        try:
            settings = OPEN | {
                "AERO_L2_ALLOW_PRIVATE_IPS": "1",
                "AERO_L2_NEW_FLOWS_PER_SECOND": "0",
                "DNS_UPSTREAMS": "127.0.0.1:1",
            }
            command = (*self.inside("s"), *twistd())
            self.server = Aero(
                *l2Options(), state=None, runDir=None, command=command, **settings | variables
            )
        except BaseException:
            self.stop()
            raise

    def guest(self) -> KernelGuest:
        """
        A guest of the server.
        """
        return KernelGuest(self.server, prefix=self.inside("s"))

    def inside(self, name: str) -> tuple[str, ...]:
        """
        The start of a command line that runs in a namespace: C{s}, C{1}, C{2} or C{f}.
        """
        return self._ip, "netns", "exec", self._spaces[name]

    def stop(self) -> None:
        """
        Take everything away; the devices go with the namespaces.
        """
        server = self.__dict__.get("server")
        if server is not None:
            server.stop()
        for space in self._spaces.values():
            subprocess.run([self._ip, "netns", "del", space], capture_output=True, check=False)

    def _build(self) -> None:
        for name in _NAMES:
            self._run("netns", "add", self._spaces[name])
            self._configure(name, "link", "set", "lo", "up")
            for setting in ("ip_forward=1", "icmp_ratelimit=0", "ping_group_range=0 0"):
                variable, value = setting.split("=")
                command = f"echo '{value}' > /proc/sys/net/ipv4/{variable}"
                self._check(*self.inside(name), "sh", "-c", command)
        for number, (left, right) in enumerate(itertools.pairwise(_NAMES), 1):
            near, far = f"e{number}n", f"e{number}f"
            self._configure(
                left, "link", "add", near, "type", "veth", "peer", far, "netns", self._spaces[right]
            )
            for name, device, last in ((left, near, 1), (right, far, 2)):
                self._configure(name, "addr", "add", f"198.18.{number}.{last}/24", "dev", device)
                self._configure(name, "link", "set", device, "up")
        for name, *route in (
            ("s", "default", "via", FIRST),
            ("s", "prohibit", "198.18.6.0/24"),
            ("1", "default", "via", SECOND),
            ("2", "198.18.1.0/24", "via", "198.18.2.1"),
            ("2", "unreachable", "198.18.4.0/24"),
            ("2", "prohibit", "198.18.5.0/24"),
            ("f", "default", "via", "198.18.3.1"),
        ):
            self._configure(name, "route", "add", *route)

    def _configure(self, name: str, *arguments: str) -> None:
        self._run("-n", self._spaces[name], *arguments)

    def _run(self, *arguments: str) -> None:
        self._check(self._ip, *arguments)

    def _check(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")


@functools.cache
def routers() -> Routers:
    """
    The routers that tests share until the test run ends.
    """
    made = Routers()
    atexit.register(made.stop)
    return made
