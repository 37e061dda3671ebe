"""
How fast C{/l2} is, beside slirp4netns in the same run on the same machine.

Run by hand, as root::

    python -m tests.bench.l2 [--quick] [--repeat 3] [--only down-1500] [--no-slirp]

The guest is a kernel of its own in a network namespace. slirp4netns reads its TAP device itself;
for aero a bridge in Python does, and packs frames into WebSocket messages as a browser would: its
processor time is shown apart. One target serves both.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Iterator, Protocol

from tests.support.guest import KernelGuest
from tests.support.guesthostile import brokenFrames, floodOfSYNs, fragments
from tests.support.l2 import OPEN, Guest, dhcp, l2Options, message
from tests.support.server import Aero
from tests.support.tools import freePort, require
from tests.support.websocket import frame

from .l2programs import CONNECTIONS, DATAGRAMS, MOVE
from .tcp import TICKS, start, ticks

REMOTE = "203.0.113.10"
MIB = 1 << 20
MTUS = (1_500, 65_520)


class Contender(Protocol):
    """
    A guest, and what serves it.
    """

    name: str
    address: str

    def python(self, program: str, *arguments: str, timeout: float) -> str:
        """
        Run some Python in the guest.
        """

    def run(self, *command: str) -> str:
        """
        Run a command in the guest.
        """

    def seconds(self) -> float:
        """
        Processor seconds of the server so far.
        """

    def bridgeSeconds(self) -> float:
        """
        Those of what carries its frames.
        """

    def stop(self) -> None:
        """
        End it.
        """


class AeroGuest:
    """
    A guest of aero.
    """

    name = "aero"
    address = REMOTE

    def __init__(self, target: int, echo: int, mtu: int, **link: Any) -> None:
        self.server = startAero(target, echo, mtu)
        self.guest = KernelGuest(self.server, mtu=mtu, **link)
        self.guest.configure()
        self.run = self.guest.run
        self.python = self.guest.python

    def seconds(self) -> float:
        """
        Of the server.
        """
        return self.server.cpuSeconds()

    def bridgeSeconds(self) -> float:
        """
        Of the bridge.
        """
        return ticks(self.guest.process.pid) / TICKS

    def stop(self) -> None:
        """
        Guest and server.
        """
        self.guest.stop()
        self.server.stop()


class SlirpGuest:
    """
    A guest of slirp4netns.
    """

    name = "slirp4netns"
    address = "10.0.2.2"

    def __init__(self, mtu: int) -> None:
        program = require("slirp4netns")
        self._namespace = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        time.sleep(0.3)
        ready, told = os.pipe()
        self._slirp = subprocess.Popen(
            [program, "-c", f"--mtu={mtu}", f"--ready-fd={told}", str(self._namespace.pid), "tap0"],
            pass_fds=(told,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(told)
        if os.read(ready, 1) != b"1":
            raise RuntimeError("slirp4netns did not start")
        os.close(ready)

    def run(self, *command: str, timeout: float = 60) -> str:
        """
        Run a command in the guest.
        """
        entered = ("nsenter", f"--target={self._namespace.pid}", "--net", "--")
        done = subprocess.run(
            [*entered, *command], capture_output=True, text=True, timeout=timeout, check=True
        )
        return done.stdout

    def python(self, program: str, *arguments: str, timeout: float = 60) -> str:
        """
        Run some Python in the guest.
        """
        return self.run(sys.executable, "-c", program, *arguments, timeout=timeout)

    def seconds(self) -> float:
        """
        Of slirp4netns.
        """
        return ticks(self._slirp.pid) / TICKS

    def bridgeSeconds(self) -> float:
        """
        There is none.
        """
        return 0.0

    def stop(self) -> None:
        """
        Both processes.
        """
        for process in (self._slirp, self._namespace):
            process.kill()
            process.wait()


@dataclass
class Result:
    """
    The figures of one case and contender, over its runs.
    """

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """
        One run.
        """
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> float:
        return median(self.values[name]) if name in self.values else float("nan")


def startAero(target: int, echo: int, mtu: int) -> Aero:
    """
    The tunnel alone, as an operator starts it.
    """
    return Aero(
        *l2Options(),
        state=None,
        runDir=None,
        **OPEN,
        AERO_L2_TCP_FORWARD=f"{REMOTE}:{target}=127.0.0.1:{target}",
        AERO_L2_UDP_FORWARD=f"{REMOTE}:{echo}=127.0.0.1:{echo}",
        AERO_HTTP_MAX_CONNECTIONS_PER_IP="0",
        AERO_L2_MTU=str(mtu),
        AERO_L2_NEW_FLOWS_PER_SECOND="0",
        AERO_L2_MAX_FRAME_PAYLOAD=str(max(2_048, mtu + 14)),
    )


def packets(contender: Contender) -> int:
    """
    Packets that the guest's card has sent and received.
    """
    for line in contender.run("cat", "/proc/net/dev").splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "tap0":
            fields = counts.split()
            return int(fields[1]) + int(fields[9])
    raise RuntimeError("the guest has no card")


def bulk(
    contender: Contender, port: int, letter: str, size: int, streams: int = 1
) -> dict[str, float]:
    """
    Move bytes one way.
    """
    before = contender.seconds(), contender.bridgeSeconds(), packets(contender)
    arguments = (contender.address, str(port), letter, str(size), str(streams))
    seconds = float(contender.python(MOVE, *arguments, timeout=120))
    gigabytes = size / 1e9
    return {
        "Mbit/s": size * 8 / seconds / 1e6,
        "frames/s": (packets(contender) - before[2]) / seconds,
        "CPU s/GB": (contender.seconds() - before[0]) / gigabytes,
        "bridge s/GB": (contender.bridgeSeconds() - before[1]) / gigabytes,
    }


def datagrams(contender: Contender, port: int, seconds: float) -> dict[str, float]:
    """
    Send small datagrams and count the answers.
    """
    before = contender.seconds()
    arguments = (contender.address, str(port), str(seconds), "32")
    took, answered, lost = map(float, contender.python(DATAGRAMS, *arguments, timeout=60).split())
    return {
        "answers/s": answered / took,
        "lost": lost,
        "CPU µs": (contender.seconds() - before) / max(answered, 1) * 1e6,
    }


def connections(contender: Contender, port: int, count: int) -> dict[str, float]:
    """
    Open short connections one after another.
    """
    before = contender.seconds()
    seconds = float(
        contender.python(CONNECTIONS, contender.address, str(port), str(count), timeout=120)
    )
    return {
        "connections/s": count / seconds,
        "CPU ms": (contender.seconds() - before) / count * 1e3,
    }


def idle(target: int, echo: int, count: int) -> float:
    """
    What a tunnel costs whose guest has its lease and says nothing: KiB.
    """
    server = startAero(target, echo, 1_500)
    tunnels = []
    try:
        for _ in range(20):
            tunnels.append(_leased(server))
        before = server.residentBytes()
        for _ in range(count):
            tunnels.append(_leased(server))
        return (server.residentBytes() - before) / count / 1024
    finally:
        for tunnel in tunnels:
            tunnel.connection.close()
        server.stop()


def _leased(server: Aero) -> Guest:
    guest = Guest(server)
    guest.sendFrame(dhcp(1))
    guest.receiveFrame()
    guest.sendFrame(dhcp(3))
    guest.arp()
    return guest


def hostile(contender: AeroGuest, port: int, size: int) -> dict[str, float]:
    """
    How much of its speed a guest keeps beside one that sends as much as it can.
    """
    found = {}
    alone = bulk(contender, port, "D", size)["Mbit/s"]
    for name, source in (
        ("broken frames", brokenFrames),
        ("SYNs", floodOfSYNs),
        ("fragments", fragments),
    ):
        with ExitStack() as stack:
            _flood(stack, contender.server, source())
            found[name] = bulk(contender, port, "D", size)["Mbit/s"] / alone
    return found


def _flood(stack: ExitStack, server: Aero, frames: Iterator[bytes]) -> None:
    """
    Send as fast as the server takes it. What is sent is made beforehand.
    """
    tunnel = Guest(server)
    data = b"".join(frame(message(0, each)) for each in itertools.islice(frames, 5_000))
    stop = threading.Event()

    def write() -> None:
        try:
            while not stop.is_set():
                tunnel.connection.send(data)
        except (OSError, AssertionError):
            return

    def read() -> None:
        try:
            while not stop.is_set():
                tunnel.connection.receive(1 << 20)
        except (OSError, AssertionError):
            return

    threads = [threading.Thread(target=work, daemon=True) for work in (write, read)]

    def end() -> None:
        stop.set()
        plain = tunnel.connection.socket
        assert isinstance(plain, socket.socket)
        plain.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        tunnel.connection.close()

    stack.callback(end)
    for thread in threads:
        thread.start()
    time.sleep(0.5)


def echo(port: int) -> None:
    """
    The process that sends datagrams back.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        datagrams.bind(("127.0.0.1", port))
        while True:
            data, peer = datagrams.recvfrom(65_535)
            datagrams.sendto(data, peer)


def row(*cells: object) -> None:
    """
    Print a row of a table.
    """
    shown = (
        f"{cell:,.4g}"
        if isinstance(cell, float) and cell < 100
        else f"{cell:,.0f}"
        if isinstance(cell, float)
        else str(cell)
        for cell in cells
    )
    print("| " + " | ".join(shown) + " |", flush=True)


def table(*columns: str) -> None:
    """
    Print the head of a table.
    """
    print()
    row(*columns)
    print("|" + "---|" * len(columns))


def transfers(options: argparse.Namespace, target: int, echoPort: int) -> None:
    """
    Everything that both can do.
    """
    size = (64 if options.quick else 512) * MIB
    seconds = 1.0 if options.quick else 5.0
    count = 200 if options.quick else 2_000
    results: dict[tuple[str, str], Result] = {}
    names: list[str] = []
    for mtu in MTUS:
        for _ in range(options.repeat):
            for kind in ("aero", "slirp4netns"):
                if kind != "aero" and options.no_slirp:
                    continue
                made = AeroGuest(target, echoPort, mtu) if kind == "aero" else SlirpGuest(mtu)
                contender: Contender = made
                try:
                    cases: list[tuple[str, Any]] = [
                        (f"down-{mtu}", lambda c: bulk(c, target, "D", size)),
                        (f"up-{mtu}", lambda c: bulk(c, target, "U", size)),
                        (f"down-32-{mtu}", lambda c: bulk(c, target, "D", size // 4, 32)),
                        (f"up-32-{mtu}", lambda c: bulk(c, target, "U", size // 4, 32)),
                    ]
                    if mtu == MTUS[0]:
                        cases += [
                            ("datagrams", lambda c: datagrams(c, echoPort, seconds)),
                            ("connections", lambda c: connections(c, target, count)),
                        ]
                    for name, case in cases:
                        if options.only and options.only != name:
                            continue
                        if name not in names:
                            names.append(name)
                        result = results.setdefault((name, kind), Result())
                        try:
                            result.add(**case(contender))
                        except (subprocess.SubprocessError, AssertionError) as problem:
                            print(f"{name} of {kind}: {str(problem)[-300:]}", file=sys.stderr)
                finally:
                    contender.stop()
    none = Result()
    bulks = [name for name in names if name[-1].isdigit()]
    columns = ("Mbit/s", "frames/s", "CPU s/GB")
    if bulks:
        table(
            "case",
            *(f"{column}, {kind}" for column in columns for kind in ("aero", "slirp4netns")),
            "bridge s/GB",
        )
    for name in bulks:
        ours, theirs = results[name, "aero"], results.get((name, "slirp4netns"), none)
        cells = (each[column] for column in columns for each in (ours, theirs))
        row(name, *cells, ours["bridge s/GB"])
    small: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("datagrams", ("answers/s", "lost", "CPU µs")),
        ("connections", ("connections/s", "CPU ms")),
    )
    for name, shown in small:
        if name in names:
            table(name, *shown)
            for kind in ("aero", "slirp4netns"):
                found = results.get((name, kind), none)
                row(kind, *(found[column] for column in shown))


def alone(options: argparse.Namespace, target: int, echoPort: int) -> None:
    """
    What is of aero alone: NICs that lose, idle tunnels, hostile ones.
    """
    size = (4 if options.quick else 32) * MIB
    table("losses", "Mbit/s", "CPU s/GB")
    links: list[tuple[str, dict[str, float]]] = [
        ("1 % lost", {"loss": 0.01}),
        ("5 % lost", {"loss": 0.05}),
        ("ring of 8, 8,000 frames/s", {"ring": 8, "drain": 8_000}),
        ("ring of 8, 4,000 frames/s", {"ring": 8, "drain": 4_000}),
        ("ring of 8, 1,000 frames/s", {"ring": 8, "drain": 1_000}),
    ]
    for name, link in links:
        guest = AeroGuest(target, echoPort, 1_500, **link)
        try:
            result = Result()
            for _ in range(options.repeat):
                amount = size if link.get("drain", 8_000) > 4_000 else size // 4
                result.add(**bulk(guest, target, "D", amount))
            row(name, result["Mbit/s"], result["CPU s/GB"])
        finally:
            guest.stop()
    count = 100 if options.quick else 500
    table("idle tunnels", "KiB each")
    row(count, idle(target, echoPort, count))
    guest = AeroGuest(target, echoPort, 1_500)
    try:
        result = Result()
        for _ in range(options.repeat):
            result.add(**hostile(guest, target, size * 4))
        table("beside a tunnel that floods with", "share of the speed alone")
        for name in result.values:
            row(name, result[name])
    finally:
        guest.stop()


def main() -> None:
    """
    Run the cases and print the tables.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=("main", "echo"), default="main")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, help="runs; medians are shown")
    parser.add_argument("--no-slirp", action="store_true")
    parser.add_argument("--only", default="", help="one case, such as down-1500")
    parser.add_argument("--no-transfers", action="store_true", help="only what is of aero alone")
    options = parser.parse_args()
    if options.role == "echo":
        return echo(options.port)
    target, echoPort = freePort(), freePort()
    tcp = str(Path(__file__).parent / "tcp.py")
    processes = [
        start(sys.executable, tcp, "--role", "target", "--port", str(target), port=target),
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.l2", "--role", "echo", "--port", str(echoPort)]
        ),
    ]
    try:
        if not options.no_transfers:
            transfers(options, target, echoPort)
        if not options.only:
            alone(options, target, echoPort)
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
