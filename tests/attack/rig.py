"""
One flood against a server of its own, from start to end.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.support.guestrig import REMOTE
from tests.support.server import Aero, edgeOptions
from tests.support.tools import require

from .flood import Flood
from .guests import ECHO, SPEW
from .measure import MEMORY_AIM, Sample, Waiting, residentBytes, slowest, waiting
from .process import Child
from .site import ATTACKER, NEIGHBOUR, Site

#: A name for which a server takes the defaults of a public one.
DOMAIN = "pc.example.test"

#: Bytes of the file that slow readers ask for.
LARGE = 64 << 20

#: Seconds of quiet before a flood, in which the neighbour is measured without it.
QUIET = 4.0

#: Seconds that the processes of a flood may take to end after it.
GRACE = 15.0


@dataclass(frozen=True)
class Result:
    """
    What one run of a flood gave.

    @ivar name: The flood's.
    @ivar title: The flood's.
    @ivar memory: Resident bytes before, at the peak, and at the end.
    @ivar settled: Seconds after the flood at which the last of them was read.
    @ivar quiet: The neighbour without the flood: the kind that was slowest under it.
    @ivar attacked: The neighbour under the flood: its slowest kind of request.
    @ivar failures: Requests of all kinds that were not answered.
    @ivar cpu: The part of one processor that the server used.
    @ivar seconds: How long the flood took.
    @ivar tally: What the attackers counted.
    @ivar alive: Whether the server still ran at the end.
    """

    name: str
    title: str
    memory: tuple[int, int, int]
    settled: float
    quiet: Waiting
    attacked: Waiting
    failures: int
    cpu: float
    seconds: float
    tally: dict[str, int]
    alive: bool


class Rig:
    """
    A server with a public name, targets behind it, and a neighbour.

    @ivar server: The server.
    @ivar site: The server as the neighbour sees it.
    """

    def __init__(self, flood: Flood) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="aero-attack-"))
        self._children: list[Child] = []
        ports: dict[str, int] = {}
        try:
            for whose in ("neighbour", "floods"):
                ports |= self._start("targets", whose).line()
            self.server = self._startServer(flood, ports)
        except BaseException:
            self.stop()
            raise
        certificate = str(self._directory / "server.crt")
        self.site = Site(self.server.port, DOMAIN, certificate, NEIGHBOUR, ports)
        guest = "guest" if flood.hasGuest else "none"
        self.neighbour = self._start("neighbour", self.site.toJSON(), guest)

    def attackers(self, flood: Flood, seconds: float) -> list[Child]:
        """
        The processes of a flood, which wait for the start.
        """
        site = self.site.seenFrom(ATTACKER).toJSON()
        made = [
            self._start("attack", flood.name, site, str(seconds)) for _ in range(flood.processes)
        ]
        for child in made:
            child.line()
        return made

    def stop(self) -> None:
        """
        End everything.
        """
        for child in self._children:
            child.stop()
        if hasattr(self, "server"):
            self.server.kill()
            shutil.rmtree(self.server.directory, ignore_errors=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, *arguments: str) -> Child:
        made = Child(*arguments)
        self._children.append(made)
        return made

    def _startServer(self, flood: Flood, ports: dict[str, int]) -> Aero:
        root = self._directory / "root"
        root.mkdir()
        (root / "index.html").write_text("<!doctype html><title>page</title>" + "x" * 8_000)
        with (root / "large.bin").open("wb") as large:
            large.truncate(LARGE)
        certificate, key = self._directory / "server.crt", self._directory / "server.key"
        subprocess.run(
            [
                *(require("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={DOMAIN}"),
                *("-addext", f"subjectAltName=DNS:{DOMAIN}"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        # Nothing but the targets on loopback can be reached; all limits are the defaults.
        forwards = {ECHO: ports["echo"], SPEW: ports["spew"], 80: ports["sink"]}
        variables = {
            "ALLOW_PRIVATE_NETWORKS": "true",
            "ALLOW_UDP_CIDRS": "127.0.0.0/8",
            "TCP_ALLOW_PRIVATE_IPS": "1",
            "TCP_ALLOWED_HOSTS": "127.0.0.1,*.test",
            "TCP_ALLOWED_PORTS": ",".join(map(str, (ports["echo"], ports["sink"], *forwards))),
            "AERO_L2_TCP_FORWARD": ",".join(
                f"{REMOTE}:{port}=127.0.0.1:{local}" for port, local in forwards.items()
            ),
            "DNS_UPSTREAMS": f"127.0.0.1:{ports['dns']}",
        }
        return Aero(
            *("--domain", DOMAIN, "--bind", "127.0.0.1", "--frontend-root", str(root)),
            *("--tls-cert", str(certificate), "--tls-key", str(key)),
            *edgeOptions(),
            state=None,
            runDir=None,
            command=(),
            **variables | flood.settings,
        )


def run(flood: Flood, seconds: float, settle: float) -> Result:
    """
    Run one flood.

    @param seconds: How long the attackers send.
    @param settle: How long the memory may take to come back.
    """
    rig = Rig(flood)
    try:
        return _measure(rig, flood, seconds, settle)
    finally:
        rig.stop()


def _measure(rig: Rig, flood: Flood, seconds: float, settle: float) -> Result:
    server = rig.server
    pid = server.process.pid
    attackers = rig.attackers(flood, seconds)
    began = time.monotonic()
    time.sleep(1 + QUIET)
    before = peak = residentBytes(pid)
    used, start = server.cpuSeconds(), time.monotonic()
    for child in attackers:
        child.say("go")
    while any(child.process.poll() is None for child in attackers):
        peak = max(peak, residentBytes(pid))
        if time.monotonic() > start + seconds + GRACE:
            break
        time.sleep(0.05)
    end = time.monotonic()
    alive = server.process.poll() is None
    cpu = (server.cpuSeconds() - used) / (end - start) if alive else 0.0
    tally: Counter[str] = Counter()
    for child in attackers:
        if child.process.poll() is None:
            child.process.kill()
            tally["attackers that had to be ended"] += 1
        else:
            tally.update(child.line())
    while (after := residentBytes(pid)) > before * MEMORY_AIM and time.monotonic() < end + settle:
        peak = max(peak, after)
        time.sleep(0.25)
    settled = time.monotonic() - end
    rig.neighbour.hangUp()
    samples = [Sample(*sample) for sample in rig.neighbour.line()]
    under = waiting(samples, start, end)
    worst = slowest(under)
    # The first second has the connections being made.
    quiet = waiting(samples, began + 1, start)
    return Result(
        flood.name,
        flood.title,
        (before, peak, after),
        settled,
        quiet[worst.kind],
        worst,
        sum(found.failures for found in under.values()),
        cpu,
        end - start,
        dict(tally),
        alive and server.process.poll() is None,
    )
