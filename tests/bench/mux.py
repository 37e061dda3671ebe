"""
How fast C{/tcp-mux} is, beside Wisp servers in the same run on the same machine.

Run by hand from the source tree; a peer takes part where it is named::

    python -m tests.bench.mux [--quick] [--repeat 3] [--only 64-up]
        [--wisp-python PYTHON]   a Python that has the package wisp-python
        [--wisp-js DIRECTORY]    whose node_modules has @mercuryworkshop/wisp-js

One load client and one target serve all. Each case moves a fixed number of bytes over one
WebSocket with one or many streams; the table has the throughput, its ratio, and the processor
seconds that the server took for each 10^9 bytes. The last cases are aero's alone: what a stream
keeps of its speed beside another whose target has stopped reading.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Callable, Iterator

from tests.bench import tcp as bench
from tests.bench.tcp import MIB, Server, frame, loop, start, startAero
from tests.support.http import sessionCookie
from tests.support.tools import freePort, require

#: Bytes of one DATA frame, as the clients in the field cut them.
CHUNK = 16_384
#: What is given to the target that stops reading: less than would end its stream.
STALLED = 768 * 1024
#: Seconds that one transfer may take.
PATIENCE = 20.0

_BLOCK = bytes(range(256)) * (CHUNK // 256)


class Dialect:
    """
    How a protocol puts streams into a WebSocket.

    @cvar headBytes: Bytes before the payload of each frame.
    """

    headBytes: int
    protocol = ""

    def open(self, stream: int, port: int) -> bytes:
        """
        What opens a stream to a port of loopback.
        """
        raise NotImplementedError

    def data(self, stream: int, payload: bytes) -> bytes:
        """
        What carries data.
        """
        raise NotImplementedError

    def head(self, head: bytes, left: int) -> tuple[int, int, int]:
        """
        Read the head of a frame.

        @param left: Bytes of the message behind it.
        @return: Kind, stream, bytes of payload.
        """
        raise NotImplementedError


class AeroMux(Dialect):
    """
    C{aero-tcp-mux-v1}. There are no credits.
    """

    headBytes = 9
    protocol = "aero-tcp-mux-v1"
    isData, isCredit = 2, -1

    def open(self, stream: int, port: int) -> bytes:
        payload = struct.pack("!H9sHH", 9, b"127.0.0.1", port, 0)
        return struct.pack("!BII", 1, stream, len(payload)) + payload

    def data(self, stream: int, payload: bytes) -> bytes:
        return struct.pack("!BII", 2, stream, len(payload)) + payload

    def head(self, head: bytes, left: int) -> tuple[int, int, int]:
        found: tuple[int, int, int] = struct.unpack("!BII", head)
        return found


class Wisp(Dialect):
    """
    Wisp, version 1: a message is a frame, and a stream has so many messages until it is given
    more.
    """

    headBytes = 5
    isData, isCredit = 2, 3

    def open(self, stream: int, port: int) -> bytes:
        return struct.pack("<BIBH", 1, stream, 1, port) + b"127.0.0.1"

    def data(self, stream: int, payload: bytes) -> bytes:
        return struct.pack("<BI", 2, stream) + payload

    def head(self, head: bytes, left: int) -> tuple[int, int, int]:
        kind, stream = struct.unpack("<BI", head)
        return kind, stream, left


@dataclass
class Peer:
    """
    A server and what it speaks.
    """

    server: Server
    dialect: AeroMux | Wisp


class Load(bench.Load):
    """
    One WebSocket whose streams move bytes one way. It looks at heads and at nothing else.
    """

    def __init__(
        self, peer: Peer, target: int, streams: int, size: int, up: bool, stalled: bool
    ) -> None:
        super().__init__(peer.server.path, peer.server.cookie, size, up)
        self.dialect = peer.dialect
        self.offer = self.dialect.protocol
        self.target = target
        self.stalled = stalled
        self.left = dict.fromkeys(range(1, streams + 1), 5 if up else size)
        self.sentOn = dict.fromkeys(self.left, 0)
        self.credits: dict[int, int] = {}
        self.window = 1 << 60
        self.inPayload = 0
        self.muxHead = b""
        self.kind = self.stream = 0
        self.payload = b""
        self.uploads = {
            stream: frame(self.dialect.data(stream, _BLOCK)) for stream in (self.left if up else ())
        }

    def opened(self) -> None:
        """
        Begin, unless there are no credits yet.
        """
        if self.dialect.isCredit < 0:
            self.begin()

    def begin(self) -> None:
        """
        Open the streams and say what they are for.
        """
        self.started = time.perf_counter()
        letter = b"U" if self.up else b"D"
        order = b"%b%d\n" % (letter, self.size)
        parts = []
        if self.stalled:
            stream = 1 << 20
            parts.append(frame(self.dialect.open(stream, self.target)))
            parts.append(frame(self.dialect.data(stream, b"S1\n")))
            parts += [frame(self.dialect.data(stream, _BLOCK))] * (STALLED // CHUNK)
        for stream in self.left:
            parts.append(frame(self.dialect.open(stream, self.target)))
            parts.append(frame(self.dialect.data(stream, order)))
            self.credits[stream] = self.window - 1
        self.transport.write(b"".join(parts))
        if self.up:
            self.send()

    def took(self, data: memoryview) -> None:
        """
        Take a part of the frames inside of the WebSocket's.
        """
        at, end = 0, len(data) if self.isData else 0
        while at < end:
            if self.inPayload:
                step = min(self.inPayload, end - at)
                self.inPayload -= step
                self.tookPayload(data[at : at + step], step)
                at += step
                continue
            need = self.dialect.headBytes - len(self.muxHead)
            self.muxHead += bytes(data[at : at + need])
            at += need
            if len(self.muxHead) < self.dialect.headBytes:
                return
            behind = max(0, end - at) + self.inFrame
            self.kind, self.stream, self.inPayload = self.dialect.head(self.muxHead, behind)
            self.muxHead = self.payload = b""

    def tookPayload(self, data: memoryview, size: int) -> None:
        """
        A part of a payload is there.
        """
        if self.kind == self.dialect.isData:
            left = self.left.get(self.stream)
            if left is not None:
                self.left[self.stream] = left - size
                if left <= size:
                    del self.left[self.stream]
                    if not self.left:
                        self.finish()
        elif self.kind == self.dialect.isCredit:
            self.payload += bytes(data)
            if self.inPayload:
                return
            credit = int.from_bytes(self.payload, "little")
            if self.stream:
                self.credits[self.stream] = credit
                if self.up:
                    self.send()
            else:
                self.window = credit
                self.begin()

    def send(self) -> None:
        """
        Send what may be sent, the streams in turns.
        """
        while self.writable and self.uploads:
            moved = False
            for stream in list(self.uploads):
                if not self.writable:
                    return
                if self.credits.get(stream, 0) <= 0:
                    continue
                self.transport.write(self.uploads[stream])
                self.credits[stream] -= 1
                self.sentOn[stream] += CHUNK
                moved = True
                if self.sentOn[stream] >= self.size:
                    del self.uploads[stream]
            if not moved:
                return


async def move(
    peer: Peer, target: int, streams: int, size: int, up: bool, stalled: bool = False
) -> float:
    """
    Move C{size} bytes over each of C{streams} streams.

    @return: Seconds; not a number where a peer gave up, which happens.
    """
    transport, load = await asyncio.get_running_loop().create_connection(
        lambda: Load(peer, target, streams, size, up, stalled), "127.0.0.1", peer.server.port
    )
    try:
        return await asyncio.wait_for(load.done, PATIENCE)
    except (RuntimeError, TimeoutError) as error:
        if peer.server.name == "aero":
            raise
        print(f"(left out: {peer.server.name}: {error!r})", file=sys.stderr)
        return math.nan
    finally:
        transport.abort()


def peers(options: argparse.Namespace, stops: list[Callable[[], object]]) -> Iterator[Peer]:
    """
    Start the servers, aero first.
    """
    aero = startAero()
    stops.append(aero.stop)
    cookie = sessionCookie(aero)
    yield Peer(Server("aero", aero.process, aero.port, "/tcp-mux", cookie), AeroMux())
    commands: dict[str, list[str]] = {}
    if options.wisp_python:
        open_ = ["--allow-loopback", "--allow-private", "--threads", "1", "--log-level", "error"]
        commands["wisp-python"] = [options.wisp_python, "-m", "wisp.server", *open_]
    if options.wisp_js:
        program = Path(options.wisp_js) / "node_modules" / ".bin" / "wisp-js-server"
        open_ = ["-O", '{"allow_loopback_ips": true, "allow_private_ips": true}', "-L", "ERROR"]
        commands["wisp-js"] = [require("node", "nodejs"), str(program), *open_]
    for name, command in commands.items():
        port = freePort()
        process = start(*command, "--host", "127.0.0.1", "--port", str(port), port=port)
        stops.append(lambda process=process: end(process))  # type: ignore[misc]
        yield Peer(Server(name, process, port, "/wisp/"), Wisp())


def end(process: subprocess.Popen[Any]) -> None:
    """
    End a process and those that it made.
    """
    for child in bench.children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait(10)


def measure(options: argparse.Namespace, servers: list[Peer], target: int) -> None:
    """
    Run the cases and print the table; the servers take turns.
    """
    scale = 4 if options.quick else 1
    total = 256 * MIB // scale
    running = loop()
    asyncio.set_event_loop(running)
    print("| case | server | MB/s | aero's ratio to it | CPU s/GB |")
    print("|---|---|---|---|---|")
    for streams in (1, 64, 500):
        for up in (False, True):
            name = f"{streams}-{'up' if up else 'down'}"
            if options.only not in ("", name):
                continue
            size = total // streams // CHUNK * CHUNK
            gigabytes = streams * size / 1e9
            rates: dict[str, list[float]] = {peer.server.name: [] for peer in servers}
            costs: dict[str, list[float]] = {peer.server.name: [] for peer in servers}
            for _ in range(options.repeat):
                for peer in servers:
                    before = peer.server.seconds()
                    elapsed = running.run_until_complete(move(peer, target, streams, size, up))
                    time.sleep(0.3)
                    if math.isnan(elapsed):
                        continue
                    rates[peer.server.name].append(gigabytes * 1000 / elapsed)
                    costs[peer.server.name].append((peer.server.seconds() - before) / gigabytes)
            mine = median(rates["aero"])
            for known, found in rates.items():
                if not found:
                    print(f"| {name} | {known} | gave up | | |", flush=True)
                    continue
                ratio = "" if known == "aero" else f"{mine / median(found):.2f}"
                cost = median(costs[known])
                print(
                    f"| {name} | {known} | {median(found):.0f} | {ratio} | {cost:.2f} |", flush=True
                )
    if options.only in ("", "stalled"):
        print("| case | MB/s alone | MB/s beside a stalled one | ratio |")
        print("|---|---|---|---|")
        for up in (False, True):
            turns: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(max(5, options.repeat)):
                for stalled in turns:
                    elapsed = running.run_until_complete(
                        move(servers[0], target, 1, total, up, stalled)
                    )
                    turns[stalled].append(total / 1e6 / elapsed)
            alone, beside = median(turns[False]), median(turns[True])
            name = "up" if up else "down"
            print(f"| {name} | {alone:.0f} | {beside:.0f} | {beside / alone:.2f} |", flush=True)


class Target(bench.Target):
    """
    The target of L{tests.bench.tcp}, which for C{"S<n>\\n"} takes nothing more.
    """

    def data_received(self, data: bytes) -> None:
        if self.left < 0 and data[:1] == b"S":
            self.transport.pause_reading()
            return
        super().data_received(data)

    def send(self) -> None:
        while self.writable and self.left > 0:
            block = self.block if self.left >= len(self.block) else self.block[: self.left]
            self.left -= len(block)
            self.transport.write(block)


def runTarget(port: int) -> None:
    """
    The target's process.
    """
    running = loop()
    running.run_until_complete(running.create_server(Target, "127.0.0.1", port, backlog=1024))
    running.run_forever()


def main() -> None:
    """
    Start everything, measure, stop everything.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", type=int, default=0, help="be the target, at this port")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, help="medians of so many are shown")
    parser.add_argument("--only", default="", help="a case such as 64-up, or stalled")
    parser.add_argument("--wisp-python", default="")
    parser.add_argument("--wisp-js", default="")
    options = parser.parse_args()
    if options.target:
        return runTarget(options.target)
    target = freePort()
    process = start(sys.executable, "-m", "tests.bench.mux", "--target", str(target), port=target)
    stops: list[Callable[[], object]] = [lambda: end(process)]
    try:
        measure(options, list(peers(options, stops)), target)
    finally:
        for stop in reversed(stops):
            stop()


if __name__ == "__main__":
    main()
