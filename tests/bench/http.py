"""
How fast static files are over TLS, beside Caddy in the same run on the same machine.

Run by hand from the source tree::

    python -m tests.bench.http [--repeat 3] [--mebibytes 100]

C{h2load} asks for the small file, C{curl} for the large one. The table has the median of the
runs, its ratio, and the processor seconds that the server took.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Callable

from tests.support.server import Aero
from tests.support.tools import freePort, require

MIB = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")

#: What curl is to print: status and bytes a second.
SHOWN = "%{http_code} %{speed_download}"


class Server:
    """
    A server to measure.
    """

    def __init__(self, name: str, url: str, pid: int, stop: Callable[[], object]) -> None:
        self.name = name
        self.url = url
        self.pid = pid
        self.stop = stop

    def cpu(self) -> float:
        """
        Processor seconds so far.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def startAero(root: Path) -> tuple[Server, Path]:
    """
    aero, and the PEM file with its certificate and key, which Caddy uses as well.
    """
    port = freePort()
    process = Aero(
        "--https-port",
        str(port),
        "--http-port",
        "0",
        "--frontend-root",
        str(root),
        state=None,
        runDir=None,
    )
    server = Server("aero", process.url, process.process.pid, process.stop)
    return server, process.state / "ca" / "site.pem"


def startCaddy(root: Path, pem: Path) -> Server:
    """
    Caddy as a file server with the same certificate.
    """
    port = freePort()
    configuration = root.parent / "Caddyfile"
    configuration.write_text(
        "{\n auto_https off\n admin off\n}\n"
        f"https://localhost:{port} {{\n tls {pem} {pem}\n root * {root}\n file_server\n}}\n"
    )
    process = subprocess.Popen(
        [require("caddy"), "run", "--config", str(configuration), "--adapter", "caddyfile"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(root.parent)},
    )
    server = Server("caddy", f"https://localhost:{port}", process.pid, process.terminate)
    deadline = time.monotonic() + 30
    while curl(server, "/small.js", "--http1.1") is None:
        if time.monotonic() > deadline:
            raise SystemExit("caddy did not start")
        time.sleep(0.1)
    return server


def curl(server: Server, path: str, version: str) -> float | None:
    """
    Bytes a second of one download, or C{None} if it failed.
    """
    result = subprocess.run(
        ["curl", "-sk", version, "-o", "/dev/null", "-w", SHOWN, server.url + path],
        capture_output=True,
        text=True,
        check=False,
    )
    status, _, speed = result.stdout.partition(" ")
    return float(speed) if status == "200" else None


def large(server: Server, version: str) -> float:
    """
    MiB a second of the large file.
    """
    speed = curl(server, "/large.bin", version)
    if speed is None:
        raise SystemExit(f"{server.name} did not serve the large file")
    return speed / MIB


def small(server: Server, *options: str, requests: int = 10_000) -> float:
    """
    Requests a second of the small file.
    """
    result = subprocess.run(
        [require("h2load"), "-n", str(requests), *options, f"{server.url}/small.js"],
        capture_output=True,
        text=True,
        check=True,
    )
    if f"{requests} succeeded, 0 failed" not in result.stdout:
        raise SystemExit(f"{server.name}: {result.stdout}")
    found = re.search(r"([\d.]+) req/s", result.stdout)
    return float(found[1]) if found else 0.0


def main() -> None:
    """
    Measure and print the table.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--mebibytes", type=int, default=100)
    parser.add_argument("--only", default="", help="cases that begin so, such as large")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="aero-bench-"))
    root = directory / "root"
    root.mkdir()
    (root / "index.html").write_text("<!doctype html><title>bench</title>")
    (root / "small.js").write_bytes(b"export const answer = 42;\n" * 30)
    (root / "large.bin").write_bytes(os.urandom(MIB) * arguments.mebibytes)
    gigabytes = arguments.mebibytes * MIB / 1e9
    cases: list[tuple[str, str, Callable[[Server], float], float]] = [
        ("large, h1", "MiB/s", lambda server: large(server, "--http1.1"), gigabytes),
        ("large, h2", "MiB/s", lambda server: large(server, "--http2"), gigabytes),
        ("small, h1", "req/s", lambda server: small(server, "-c", "10", "--h1"), 10.0),
        ("small, h2", "req/s", lambda server: small(server, "-c", "10", "-m", "10"), 10.0),
    ]
    aero, pem = startAero(root)
    servers = [aero, startCaddy(root, pem)]
    print("| case | server | median | unit | ratio to caddy | CPU s per GB or 1000 requests |")
    print("|---|---|---|---|---|---|")
    try:
        for case, unit, measure, amount in cases:
            if not case.startswith(arguments.only):
                continue
            values: dict[str, list[float]] = {server.name: [] for server in servers}
            spent = dict.fromkeys(values, 0.0)
            for _ in range(arguments.repeat):
                for server in servers:
                    before = server.cpu()
                    values[server.name].append(measure(server))
                    spent[server.name] += server.cpu() - before
            peer = median(values["caddy"])
            for server in servers:
                value = median(values[server.name])
                cpu = spent[server.name] / arguments.repeat / amount
                print(
                    f"| {case} | {server.name} | {value:.0f} | {unit} | {value / peer:.2f} |"
                    f" {cpu:.2f} |",
                    flush=True,
                )
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
