"""
How many datagrams the relay carries, how many it loses, how long they take, and what one costs.

Run by hand::

    python -m tests.bench.relay [--seconds 5] [--repeat 3] [--edge] [--only ws-100-25000]

A client sends datagrams at a fixed rate to an echo server through the relay; every one is
numbered and has the time that it was sent at. The client, the echo server and the relay are a
process each. A row of the table is one carrier, size of payload and rate: what came back in a
second, what was lost, how much of that the relay dropped because the client did not read in time,
the round trip of the median and of the slowest hundredth, and the relay's processor time for one
datagram there and back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import struct
import time
from dataclasses import dataclass
from statistics import median
from typing import Protocol, Sequence, cast

from tests.support.metrics import counted
from tests.support.relay import startRelay
from tests.support.server import Aero

#: How often the client sends, in seconds: what comes due is sent at once.
TICK = 0.001
_SO_RCVBUFFORCE = 33  # linux/socket.h
#: Number and time at the head of each payload.
STAMP = struct.Struct("!Id")


def loop() -> asyncio.AbstractEventLoop:
    """
    The fastest loop there is, for the client.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


# -- the echo server


def runEcho(descriptor: int) -> None:
    """
    Send back what comes, for ever.
    """
    with socket.socket(fileno=descriptor) as server:
        receive, send = server.recvfrom, server.sendto
        while True:
            payload, source = receive(2_048)
            send(payload, source)


def startEcho() -> tuple[int, int]:
    """
    The echo server's process and port.
    """
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # What the echo server loses is not the relay's loss. Past the system's limit only root may.
    with contextlib.suppress(OSError):
        server.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    pid = os.fork()
    if not pid:
        try:
            runEcho(server.detach())
        finally:
            os._exit(1)
    server.close()
    return pid, port


# -- carriers


@dataclass
class Result:
    """
    One run.

    @ivar sent: Datagrams sent.
    @ivar seconds: In so many seconds.
    @ivar times: The round trips of those that came back, in seconds.
    """

    sent: int
    seconds: float
    times: list[float]


class Carrier(Protocol):
    """
    A way to the relay.
    """

    async def connect(self, server: Aero) -> None:
        """
        Open it.
        """

    def send(self, messages: Sequence[bytes]) -> None:
        """
        Send messages of the relay's framing, a datagram each.
        """

    @property
    def times(self) -> list[float]:
        """
        The round trips so far.
        """

    async def close(self) -> None:
        """
        Close it.
        """


class WebSocketCarrier(asyncio.Protocol):
    """
    C{/udp}. Frames are masked with zeros, which costs the client nothing and the relay as much
    as any other mask.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._data = b""
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._isOpen = False

    @property
    def times(self) -> list[float]:
        """
        See L{Carrier.times}.
        """
        return self._times

    async def connect(self, server: Aero) -> None:
        """
        See L{Carrier.connect}.
        """
        secure = server.tlsContext("http/1.1") if server.url.startswith("https:") else None
        await asyncio.get_running_loop().create_connection(
            lambda: self,
            "127.0.0.1",
            server.port,
            ssl=secure,
            server_hostname="localhost" if secure else None,
        )
        await asyncio.wait_for(self._ready, 30)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            b"GET /udp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def send(self, messages: Sequence[bytes]) -> None:
        """
        See L{Carrier.send}.
        """
        pieces: list[bytes] = []
        for message in messages:
            size = len(message)
            head = (
                bytes((0x82, 0x80 | size)) if size < 126 else b"\x82\xfe" + size.to_bytes(2, "big")
            )
            pieces += (head, b"\0\0\0\0", message)
        self._transport.write(b"".join(pieces))

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        if not self._isOpen:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._data = head
                return
            if b" 101 " not in head:
                self._ready.set_exception(RuntimeError(head.decode("latin-1")))
                return
            self._isOpen = True
        now, take = time.perf_counter(), self._times.append
        position, end_ = 0, len(data)
        while end_ - position >= 4:
            size, start = data[position + 1], position + 2
            if size == 126:
                size, start = int.from_bytes(data[position + 2 : position + 4], "big"), start + 2
            stop = start + size
            if stop > end_:
                break
            if data[position] == 0x82:
                take(now - STAMP.unpack_from(data, start + 8)[1])
            elif not self._ready.done():
                self._ready.set_result(None)
            position = stop
        self._data = data[position:]

    async def close(self) -> None:
        """
        See L{Carrier.close}.
        """
        self._transport.abort()


# -- a run


async def run(carrier: Carrier, port: int, size: int, rate: int, seconds: float) -> Result:
    """
    Send at a rate, and wait a little for what is on its way.

    @param size: Bytes of payload.
    """
    head = struct.pack("!H4sH", 10_000, b"\x7f\0\0\1", port)
    filler = bytes(size - STAMP.size)
    sent, begun = 0, time.perf_counter()
    ends = begun + seconds
    while (now := time.perf_counter()) < ends:
        due = int((now - begun) * rate) - sent
        if due > 0:
            carrier.send([head + STAMP.pack(sent + index, now) + filler for index in range(due)])
            sent += due
        await asyncio.sleep(TICK)
    elapsed = time.perf_counter() - begun
    quiet, before = 0, len(carrier.times)
    while quiet < 5 and before < sent:
        await asyncio.sleep(0.1)
        quiet = quiet + 1 if len(carrier.times) == before else 0
        before = len(carrier.times)
    return Result(sent, elapsed, carrier.times)


async def measure(
    make: type[WebSocketCarrier], server: Aero, port: int, size: int, rate: int, seconds: float
) -> tuple[Result, float, float]:
    """
    One run on a connection of its own.

    @return: What came of it, the relay's processor seconds, and what the relay dropped because
        the client was slow.
    """
    carrier = make()
    await carrier.connect(server)
    await run(carrier, port, size, min(rate, 1_000), 0.3)  # warm
    carrier.times.clear()
    before, dropped = server.cpuSeconds(), queueDrops(server)
    result = await run(carrier, port, size, rate, seconds)
    spent = server.cpuSeconds() - before
    await carrier.close()
    return result, spent, queueDrops(server) - dropped


def queueDrops(server: Aero) -> float:
    """
    What the relay dropped so far because a client was slow.
    """
    name = "aero_webrtc_udp_relay_events_total"
    return sum(
        counted(server, name, event=f"{carrier}_dropped_backpressure")
        for carrier in ("udp_ws", "webrtc_udp")
    )


CARRIERS = {"ws": WebSocketCarrier}

#: Carrier, bytes of payload, datagrams a second each way.
CASES = (
    ("ws", 100, 1_000),
    ("ws", 100, 10_000),
    ("ws", 100, 25_000),
    ("ws", 100, 50_000),
    ("ws", 100, 80_000),
    ("ws", 1_200, 10_000),
    ("ws", 1_200, 25_000),
)


def main() -> None:
    """
    Run the cases and print the table.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeat", type=int, default=3, help="runs of a case; medians are shown")
    parser.add_argument("--edge", action="store_true", help="behind TLS")
    parser.add_argument("--only", default="", help="a case such as ws-100-25000")
    options = parser.parse_args()
    echo, port = startEcho()
    server = startRelay("edge" if options.edge else "relay", LOG_LEVEL="error")
    running = loop()
    asyncio.set_event_loop(running)
    print(
        f"{'case':16}{'back/s':>9}{'Mbit/s':>8}{'lost %':>8}{'queue %':>8}{'p50 ms':>8}{'p99 ms':>8}"
        f"{'CPU us':>8}{'CPU %':>7}"
    )
    try:
        for name, size, rate in CASES:
            case = f"{name}-{size}-{rate}"
            if options.only and options.only != case:
                continue
            rows: list[tuple[float, ...]] = []
            for _ in range(options.repeat):
                result, spent, dropped = running.run_until_complete(
                    measure(CARRIERS[name], server, port, size, rate, options.seconds)
                )
                times = sorted(result.times) or [0.0]
                back = len(result.times)
                rows.append(
                    (
                        back / result.seconds,
                        back * size * 8 / result.seconds / 1e6,
                        100 * (1 - back / result.sent),
                        100 * dropped / result.sent,
                        times[len(times) // 2] * 1e3,
                        times[len(times) * 99 // 100] * 1e3,
                        spent / max(back, 1) * 1e6,
                        100 * spent / result.seconds,
                    )
                )
            shown = [median(column) for column in zip(*rows, strict=True)]
            print(
                f"{case:16}{shown[0]:9.0f}{shown[1]:8.1f}{shown[2]:8.2f}{shown[3]:8.2f}"
                f"{shown[4]:8.2f}{shown[5]:8.2f}{shown[6]:8.1f}{shown[7]:7.0f}",
                flush=True,
            )
    finally:
        server.kill()
        os.kill(echo, signal.SIGKILL)
        os.waitpid(echo, 0)


if __name__ == "__main__":
    main()
