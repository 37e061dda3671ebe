"""
How many DNS queries over HTTPS are answered a second, beside dnsdist in the same run on the
same machine.

Run by hand from the source tree::

    python -m tests.bench.dns [--repeat 3] [--requests 10000] [--only cached]

Both servers use the same certificate and the same dnsmasq upstream, and both have a cache.
C{h2load} asks for one name over and over, or for names that nobody asked for before; each of
its processes then has names of its own, because its connections all begin at the top of the
list. The table has the median of the runs, its ratio, and the processor seconds that the
server took for 1,000 queries. The time is that of the whole run, the starts of C{h2load}
included.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Callable, Iterator

import dns.message
import dns.rcode

from tests.support.http import sessionCookie
from tests.support.nameservers import Dnsmasq
from tests.support.server import Aero, edgeOptions
from tests.support.tools import freePort, require

TICKS = os.sysconf("SC_CLK_TCK")
ADDRESS = "192.0.2.1"
#: Connections of one case, and streams of each with HTTP/2.
CONNECTIONS = 10
STREAMS = 10

_numbers = itertools.count()


@dataclass
class Server:
    """
    A server to measure.

    @ivar headers: Request headers that it needs.
    """

    name: str
    url: str
    pid: int
    headers: tuple[str, ...]
    stop: Callable[[], object]

    def cpu(self) -> float:
        """
        Processor seconds so far, those of all threads.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def query(self, name: str) -> str:
        """
        The URL that asks for the address of a name, as browsers do: id 0, RD, no EDNS.
        """
        message = dns.message.make_query(name, "A", use_edns=False, id=0).to_wire()
        text = base64.urlsafe_b64encode(message).rstrip(b"=").decode()
        return f"{self.url}/dns-query?dns={text}"

    def check(self, name: str) -> None:
        """
        Ask once, and look at the answer.
        """
        headers = dict(header.split(": ", 1) for header in self.headers)
        asked = urllib.request.Request(self.query(name), headers=headers)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(asked, timeout=5, context=context) as response:
            answer = dns.message.from_wire(response.read())
        if [record.to_text() for found in answer.answer for record in found] != [ADDRESS]:
            raise SystemExit(f"{self.name} gave a wrong answer: {answer}")


def startAero(upstream: int) -> tuple[Server, Path]:
    """
    aero as operators start it, and the PEM file with its certificate and key. Only the limit
    for one client address is off.
    """
    process = Aero(
        *edgeOptions(), DNS_UPSTREAMS=f"127.0.0.1:{upstream}", DNS_QPS_PER_IP="0", state=None
    )
    headers = (f"cookie: {sessionCookie(process)}",)
    server = Server("aero", process.url, process.process.pid, headers, process.stop)
    return server, process.state / "ca" / "site.pem"


def startDnsdist(directory: Path, upstream: int, pem: Path) -> Server:
    """
    dnsdist as a DNS over HTTPS server with a packet cache.
    """
    port = freePort()
    configuration = directory / "dnsdist.conf"
    configuration.write_text(
        f'setLocal("127.0.0.1:{freePort()}")\n'
        f'newServer({{address="127.0.0.1:{upstream}", healthCheckMode="up"}})\n'
        f'addDOHLocal("127.0.0.1:{port}", "{pem}", "{pem}", "/dns-query")\n'
        'getPool(""):setCache(newPacketCache(10000))\n'
        "setSecurityPollSuffix('')\n"
    )
    process = subprocess.Popen(
        [require("dnsdist"), "--supervised", "--disable-syslog", "--config", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Server("dnsdist", f"https://localhost:{port}", process.pid, (), process.kill)
    deadline = time.monotonic() + 30
    while True:
        try:
            server.check(fresh())
            return server
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                process.kill()
                raise SystemExit("dnsdist did not start") from None
            time.sleep(0.1)


def fresh() -> str:
    """
    A name that nobody has asked for yet.
    """
    return f"host{next(_numbers)}.bench."


def cached(server: Server, requests: int, *options: str) -> float:
    """
    Queries a second for one name.
    """
    name = fresh()
    server.check(name)
    started = time.monotonic()
    finish([load(server, requests, "-c", str(CONNECTIONS), *options, server.query(name))])
    return requests / (time.monotonic() - started)


def uncached(server: Server, requests: int, *options: str) -> float:
    """
    Queries a second for names that are all different.
    """
    each = requests // CONNECTIONS
    with tempfile.TemporaryDirectory(prefix="aero-bench-") as directory:
        lists = [Path(directory) / str(number) for number in range(CONNECTIONS)]
        for names in lists:
            names.write_text("".join(server.query(fresh()) + "\n" for _ in range(each)))
        started = time.monotonic()
        finish([load(server, each, "-c", "1", *options, "-i", str(names)) for names in lists])
        return each * CONNECTIONS / (time.monotonic() - started)


def load(server: Server, requests: int, *options: str) -> subprocess.Popen[str]:
    """
    Start C{h2load}.
    """
    headers = [part for header in server.headers for part in ("-H", header)]
    return subprocess.Popen(
        [require("h2load"), "-n", str(requests), *headers, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish(running: list[subprocess.Popen[str]]) -> None:
    """
    Wait for every C{h2load}, and see that each query was answered with 200.
    """
    for process in running:
        output = process.communicate()[0]
        done = re.search(r"(\d+) total, .* (\d+) succeeded, 0 failed", output)
        statuses = re.search(r"(\d+) 2xx", output)
        if not done or not statuses or not done[1] == done[2] == statuses[1]:
            raise SystemExit(output)


Measure = Callable[[Server, int], float]


def cases() -> Iterator[tuple[str, Measure]]:
    """
    What is measured.
    """
    h1, h2 = ("--h1",), ("-m", str(STREAMS))
    yield "cached, h1", lambda server, requests: cached(server, requests, *h1)
    yield "cached, h2", lambda server, requests: cached(server, requests, *h2)
    yield "uncached, h1", lambda server, requests: uncached(server, requests, *h1)
    yield "uncached, h2", lambda server, requests: uncached(server, requests, *h2)


def measureAll(servers: list[Server], repeat: int, requests: int, only: str) -> None:
    """
    Measure and print the table; the servers take turns.
    """
    print("| case | server | median queries/s | ratio to dnsdist | CPU s per 1,000 |")
    print("|---|---|---|---|---|")
    for case, measure in cases():
        if not case.startswith(only):
            continue
        values: dict[str, list[float]] = {server.name: [] for server in servers}
        spent = dict.fromkeys(values, 0.0)
        for _ in range(repeat):
            for server in servers:
                before = server.cpu()
                values[server.name].append(measure(server, requests))
                spent[server.name] += server.cpu() - before
        peer = median(values["dnsdist"])
        for server in servers:
            value = median(values[server.name])
            cpu = spent[server.name] / (repeat * requests / 1000)
            print(f"| {case} | {server.name} | {value:.0f} | {value / peer:.2f} | {cpu:.3f} |")


def main() -> None:
    """
    Start everything, measure, stop everything.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--only", default="", help="cases that begin so, such as cached")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="aero-bench-"))
    upstream = Dnsmasq(f"--address=/bench/{ADDRESS}", "--local-ttl=300", "--dns-forward-max=1000")
    stops: list[Callable[[], object]] = [upstream.stop]
    try:
        aero, pem = startAero(upstream.port)
        stops.append(aero.stop)
        aero.check(fresh())
        dnsdist = startDnsdist(directory, upstream.port, pem)
        stops.append(dnsdist.stop)
        measureAll([aero, dnsdist], arguments.repeat, arguments.requests, arguments.only)
    finally:
        for stop in reversed(stops):
            stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
