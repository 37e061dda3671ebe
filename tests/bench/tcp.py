"""
How fast C{/tcp} is, beside websockify in the same run on the same machine.

Run by hand::

    python -m tests.bench.tcp [--quick] [--repeat 3] [--no-websockify]

One load client and one target serve both. Each case moves a fixed number of bytes over one
or many WebSockets; the table has the throughput, its ratio, and the processor seconds that
the server process (with its children) took for each 10^9 bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

from tests.support.http import sessionCookie
from tests.support.server import Aero, gatewayOptions
from tests.support.tools import freePort

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
CHUNK = 64 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def loop() -> asyncio.AbstractEventLoop:
    """
    The fastest loop there is, for the load client and the target.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


# -- the target: "D<n>\n" makes it send n bytes and close, "U<n>\n" take n bytes and say so


class Target(asyncio.Protocol):
    """
    Sends or takes as many bytes as the first line says.
    """

    block = bytes(256 * 1024)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.line = b""
        self.left = -1
        self.sending = False
        self.writable = True

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            self.line += data
            head, newline, rest = self.line.partition(b"\n")
            if not newline:
                return
            self.left = int(head[1:])
            self.sending = head[:1] == b"D"
            if self.sending:
                self.send()
                return
            data = rest
        self.left -= len(data)
        if not self.sending and self.left <= 0:
            self.transport.write(b"taken")

    def send(self) -> None:
        while self.writable and self.left > 0:
            block = self.block if self.left >= len(self.block) else self.block[: self.left]
            self.left -= len(block)
            self.transport.write(block)
        if self.left <= 0:
            self.transport.close()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self.sending:
            self.send()


def runTarget(port: int) -> None:
    """
    The target's process.
    """
    running = loop()
    running.run_until_complete(running.create_server(Target, "127.0.0.1", port))
    running.run_forever()


# -- the client


def frame(payload: bytes) -> bytes:
    """
    A masked binary frame.
    """
    key = secrets.token_bytes(4)
    size = len(payload)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    if size < 126:
        head = bytes((0x82, 0x80 | size))
    elif size < 65_536:
        head = b"\x82\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x82\xff" + size.to_bytes(8, "big")
    return head + key + masked


UPLOAD = frame(secrets.token_bytes(CHUNK))


class Load(asyncio.BufferedProtocol):
    """
    One WebSocket that moves bytes one way. It looks at frame headers and at nothing else.

    @cvar offer: The subprotocol that it offers.
    @ivar done: Fires when everything was moved.
    """

    offer = "binary"

    def __init__(self, path: str, cookie: str, size: int, up: bool) -> None:
        self.path = path
        self.cookie = cookie
        self.size = size
        self.up = up
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.buffer = bytearray(512 * 1024)
        self.head = b""
        self.open = False
        self.received = 0
        self.inFrame = 0
        self.isData = False
        self.sent = 0
        self.writable = True
        self.started = time.perf_counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        offer = f"Sec-WebSocket-Protocol: {self.offer}\r\n" if self.offer else ""
        self.transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"{offer}Cookie: {self.cookie}\r\n\r\n".encode()
        )

    def get_buffer(self, hint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        data = memoryview(self.buffer)[:count]
        if self.open and not self.head and self.inFrame >= count:
            self.inFrame -= count
            self.took(data)
            return
        data = memoryview(self.head + bytes(data))
        self.head = b""
        if not self.open:
            whole = bytes(data)
            end = whole.find(b"\r\n\r\n")
            if end < 0:
                self.head = whole
                return
            if not whole.startswith(b"HTTP/1.1 101"):
                self.done.set_exception(RuntimeError(whole[:300].decode("latin-1")))
                return
            self.open = True
            data = data[end + 4 :]
            self.opened()
        self.parse(data)

    def opened(self) -> None:
        """
        The handshake is done: say what the connection is for.
        """
        letter = "U" if self.up else "D"
        self.transport.write(frame(f"{letter}{self.size}\n".encode()))
        if self.up:
            self.send()

    def parse(self, data: memoryview) -> None:
        """
        Take frames.
        """
        position = 0
        while position < len(data):
            if self.inFrame:
                step = min(self.inFrame, len(data) - position)
                self.inFrame -= step
                self.took(data[position : position + step])
                position += step
                continue
            left = len(data) - position
            if left < 2 or left < (start := {126: 4, 127: 10}.get(data[position + 1] & 127, 2)):
                self.head = bytes(data[position:])
                return
            size = data[position + 1] & 127
            if start > 2:
                size = int.from_bytes(data[position + 2 : position + start], "big")
            self.isData = data[position] & 15 in (0, 1, 2)
            self.inFrame = size
            position += start

    def took(self, data: memoryview) -> None:
        """
        A part of the payload of a frame is there.
        """
        if not self.isData:
            return
        self.received += len(data)
        if self.received >= (5 if self.up else self.size):
            self.finish()

    def finish(self) -> None:
        """
        Everything was moved.
        """
        if not self.done.done():
            self.done.set_result(time.perf_counter() - self.started)

    def send(self) -> None:
        """
        Send what may be sent.
        """
        while self.writable and self.sent < self.size:
            self.sent += CHUNK
            self.transport.write(UPLOAD)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self.up and self.open:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"closed after {self.received} bytes: {error}"))


async def move(server: Server, streams: int, size: int, up: bool) -> float:
    """
    Move C{size} bytes over each of C{streams} WebSockets.

    @return: Seconds.
    """
    running = asyncio.get_running_loop()
    waiting, transports = [], []
    started = time.perf_counter()
    for _ in range(streams):
        transport, load = await running.create_connection(
            lambda: Load(server.path, server.cookie, size, up), "127.0.0.1", server.port
        )
        waiting.append(load.done)
        transports.append(transport)
    await asyncio.wait_for(asyncio.gather(*waiting), 60)
    elapsed = time.perf_counter() - started
    for transport in transports:
        transport.abort()
    return elapsed


# -- the servers


def startAero() -> Aero:
    """
    The gateway as an operator starts it, with loopback targets allowed.
    """
    return Aero(
        *gatewayOptions(),
        state=None,
        runDir=None,
        TCP_ALLOW_PRIVATE_IPS="1",
        TCP_PROXY_MAX_CONNECTIONS="1000",
    )


@dataclass
class Server:
    """
    A server under test.
    """

    name: str
    process: subprocess.Popen[Any]
    port: int
    path: str
    cookie: str = "none=1"

    def seconds(self) -> float:
        """
        Processor seconds of it and of the children it has waited for or still has.
        """
        total = ticks(self.process.pid, waited=True)
        for child in children(self.process.pid):
            total += ticks(child)
        return total / TICKS


def ticks(pid: int, *, waited: bool = False) -> int:
    """
    User and system time of a process, in clock ticks.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11 : 15 if waited else 13]))


def children(pid: int) -> list[int]:
    """
    The children that a process has now.
    """
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def start(*arguments: str, port: int) -> subprocess.Popen[bytes]:
    """
    Start a process and wait until it listens.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"{arguments} does not listen")


def main() -> None:
    """
    Run the cases and print the table.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=("main", "target"), default="main")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each case; medians are shown"
    )
    parser.add_argument("--no-websockify", action="store_true")
    parser.add_argument("--only", default="", help="a case such as 1-down")
    options = parser.parse_args()
    if options.role == "target":
        return runTarget(options.port)

    me = (sys.executable, __file__)
    target, sockify = freePort(), freePort()
    processes: list[subprocess.Popen[Any]] = [
        start(*me, "--role", "target", "--port", str(target), port=target)
    ]
    servers = []
    try:
        aero = startAero()
        processes.append(aero.process)
        path = f"/tcp?v=1&host=127.0.0.1&port={target}"
        servers.append(Server("aero", aero.process, aero.port, path, sessionCookie(aero)))
        if not options.no_websockify:
            command = str(Path(sys.executable).parent / "websockify")
            process = start(command, f"127.0.0.1:{sockify}", f"127.0.0.1:{target}", port=sockify)
            processes.append(process)
            servers.append(Server("websockify", process, sockify, "/"))
        scale = 4 if options.quick else 1
        cases = [
            ("1-down", 1, 256 * MIB // scale, False),
            ("1-up", 1, 256 * MIB // scale, True),
            ("64-down", 64, 8 * MIB // scale, False),
            ("64-up", 64, 8 * MIB // scale, True),
        ]
        running = loop()
        asyncio.set_event_loop(running)
        print(f"{'case':10}{'server':18}{'MB/s':>8}{'ratio':>8}{'CPU s/GB':>10}{'ratio':>8}")
        for name, streams, size, up in cases:
            if options.only and options.only != name:
                continue
            rates: dict[str, list[float]] = {server.name: [] for server in servers}
            costs: dict[str, list[float]] = {server.name: [] for server in servers}
            gigabytes = streams * size / 1e9
            # In turns, so that whatever else the machine does is shared.
            for _ in range(options.repeat):
                for server in reversed(servers):
                    running.run_until_complete(
                        move(server, streams, MIB // 4, up)  # warm
                    )
                    time.sleep(0.3)
                    before = server.seconds()
                    elapsed = running.run_until_complete(move(server, streams, size, up))
                    time.sleep(0.4)  # so that children have ended
                    rates[server.name].append(gigabytes * 1000 / elapsed)
                    costs[server.name].append((server.seconds() - before) / gigabytes)
            base = servers[-1].name
            for server in reversed(servers):
                rate, cost = median(rates[server.name]), median(costs[server.name])
                line = f"{name:10}{server.name:18}{rate:8.0f}"
                if server.name != base:
                    line += f"{rate / median(rates[base]):8.2f}{cost:10.2f}"
                    line += f"{cost / median(costs[base]):8.2f}"
                else:
                    line += f"{'':8}{cost:10.2f}"
                print(line, flush=True)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(10)


if __name__ == "__main__":
    main()
