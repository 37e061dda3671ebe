"""
What the relay's data channels carry with Chromium as the peer, what is lost, and what it costs.

Run by hand, as root::

    python -m tests.bench.rtc [--seconds 5] [--repeat 3] [--only l2]

The browser is in a network namespace at the other end of a virtual cable; relay, browser, echo
server and the web server behind the LAN share the machine. A row of C{udp} is datagrams to an echo
server and back at a fixed rate: what came back, the round trip of the median and of the slowest
hundredth as the page sees it, and the relay's processor time for one there and back. A row of
C{l2} is a download and an upload of TCP through the LAN of this process, by a guest in the page
that speaks Ethernet, and the relay's processor time for a gigabyte. C{base} is what aiortc as it
comes does in the place of the relay: an echo on the channel itself, without any UDP socket behind.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from statistics import median
from typing import Any

from tests.support import guestrig
from tests.support.browser import inBrowserThread
from tests.support.rtcstreet import HERE, RelayPage, relay, street
from tests.support.server import Aero
from tests.support.tools import freePort

from .relay import startEcho

#: Bytes of payload, and datagrams a second.
RATES = ((100, 2_000), (1_150, 2_000), (100, 5_000), (1_150, 5_000))
MIB = 1 << 20


def datagrams(repeat: int, seconds: float, base: bool) -> None:
    """
    The rows of C{udp}.
    """
    pid, port = startEcho()
    try:
        for size, rate in RATES:
            found = []
            for _ in range(repeat):
                server: Any = _BaseServer() if base else relay()
                try:
                    found.append(_burst(server, port, size, rate, seconds))
                finally:
                    server.stop()
            row = {name: median(each[name] for each in found) for name in found[0]}
            print(
                f"| {'base' if base else 'udp'}, {size} bytes, {rate}/s |"
                f" {row['got'] / seconds:,.0f}/s | {row['lost']:,.0f} of {rate * seconds:,.0f} |"
                f" {row['p50']:.1f} | {row['p99']:.1f} | {row['cost']:.0f} |",
                flush=True,
            )
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@inBrowserThread
def _burst(server: Any, port: int, size: int, rate: int, seconds: float) -> dict[str, float]:
    header = [*(10_000).to_bytes(2, "big"), 127, 0, 0, 1, *port.to_bytes(2, "big")]
    with RelayPage(server) as page:
        page.connect(via="offer")
        page.call("burst", label="udp", count=200, rate=1_000, size=size, header=header)
        spent = server.cpuSeconds()
        found = page.call(
            "burst", label="udp", count=round(rate * seconds), rate=rate, size=size, header=header
        )
        spent = server.cpuSeconds() - spent
    return {
        "got": found["got"],
        "lost": found["sent"] - found["got"],
        "p50": found["p50"],
        "p99": found["p99"],
        "cost": spent / max(found["got"], 1) * 1e6,
    }


def ethernet(repeat: int, size: int) -> None:
    """
    The rows of C{l2}.
    """
    street()
    environment: dict[str, Any] = {
        **guestrig.services().variables(),
        "WEBRTC_UDP_LISTEN_IP": HERE,
        "UDP_RELAY_AUTH_MODE": "none",
        "ALLOWED_ORIGINS": "*",
    }
    server = Aero(
        *("--services", "gateway,l2,relay", "--tls", "off"),
        *("--bind", "0.0.0.0", "--port", str(freePort("0.0.0.0"))),
        **environment,
    )
    try:
        found = [_transfer(server, size) for _ in range(repeat)]
    finally:
        server.stop()
        guestrig.stopAll()
    down, up = (median(each[name] for each in found) for name in ("down", "up"))
    cost = median(each["cost"] for each in found)
    print(f"| l2, {size // MIB} MiB | {down:.0f} Mbit/s down | {up:.0f} Mbit/s up | {cost:.1f} |")


@inBrowserThread
def _transfer(server: Aero, size: int) -> dict[str, float]:
    with RelayPage(server) as page:
        page.connect(labels=["l2"])
        spent = server.cpuSeconds()
        found: dict[str, float] = page.call("transfer", host=guestrig.REMOTE, size=size)
        found["cost"] = (server.cpuSeconds() - spent) / (2 * size) * 1e9
    return found


class _BaseServer:
    """
    aiortc's own connection that echoes, behind C{POST /webrtc/offer}.
    """

    def __init__(self) -> None:
        self.port = freePort("0.0.0.0")
        self._process = subprocess.Popen([sys.executable, "-m", "tests.bench.rtc", str(self.port)])
        _waitFor(self.port)

    def stop(self) -> None:
        """
        End it.
        """
        self._process.terminate()
        self._process.wait()

    def cpuSeconds(self) -> float:
        """
        User and system time so far.
        """
        with open(f"/proc/{self._process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _waitFor(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("it does not listen")


async def _serveBase(port: int) -> None:
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    peers = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return  # somebody looks whether we listen
        length = next(
            (
                int(line.partition(":")[2])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length")
            ),
            0,
        )
        body = await reader.readexactly(length)
        text = "{}"
        if head.startswith("POST"):
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            peers.append(peer)

            @peer.on("datachannel")
            def opened(channel: Any) -> None:
                channel.on("message", channel.send)

            offer = json.loads(body)["sdp"]
            await peer.setRemoteDescription(RTCSessionDescription(**offer))
            await peer.setLocalDescription(await peer.createAnswer())
            local = peer.localDescription
            text = json.dumps({"sdp": {"type": local.type, "sdp": local.sdp}})
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}".encode()
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", port)
    await server.serve_forever()


def main() -> None:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rtc")
    parser.add_argument("port", nargs="?", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--mebibytes", type=int, default=64)
    parser.add_argument("--only", choices=["udp", "l2", "base"])
    options = parser.parse_args()
    if options.port:
        import uvloop

        uvloop.run(_serveBase(options.port))
        return
    if options.only in (None, "udp", "base"):
        print(
            "| case | came back | lost | p50 ms | p99 ms | CPU \u00b5s each |\n|---|---|---|---|---|---|"
        )
    if options.only in (None, "base"):
        datagrams(options.repeat, options.seconds, base=True)
    if options.only in (None, "udp"):
        datagrams(options.repeat, options.seconds, base=False)
    if options.only in (None, "l2"):
        print("\n| case | | | CPU s/GB |\n|---|---|---|---|")
        ethernet(options.repeat, options.mebibytes * MIB)


if __name__ == "__main__":
    main()
