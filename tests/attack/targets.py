"""
Where tunnels of the bench lead to: TCP and UDP servers and name servers on loopback.

The neighbour's targets and those of the floods are in two processes, so that a flooded target does
not delay the answers that the neighbour waits for.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

_BLOCK = bytes(65_536)


class Echo(asyncio.Protocol):
    """
    Sends back what comes.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Sink(asyncio.Protocol):
    """
    Takes everything and answers nothing.
    """


class Spew(asyncio.Protocol):
    """
    Sends without end, as fast as the other side takes it.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._isPaused = False
        self._loop = asyncio.get_running_loop()
        self._send()

    def pause_writing(self) -> None:
        self._isPaused = True

    def resume_writing(self) -> None:
        self._isPaused = False
        self._send()

    def _send(self) -> None:
        if not self._isPaused and not self.transport.is_closing():
            self.transport.write(_BLOCK)
            self._loop.call_soon(self._send)


class DatagramSink(asyncio.DatagramProtocol):
    """
    Takes datagrams.
    """


class NameServer(asyncio.DatagramProtocol):
    """
    Gives one address for every name.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.find(b"\0", 12) + 5
        if len(data) < 17 or end < 17:
            return
        answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x5d\xb8\xd8\x22"  # a public address
        isAddress = data[end - 4 : end - 2] == b"\0\x01"
        head = data[:2] + b"\x81\x80\0\x01" + bytes((0, isAddress, 0, 0, 0, 0))
        self.transport.sendto(head + data[12:end] + answer * isAddress, addr)


#: The targets of each process, by name.
_STREAMS: dict[str, dict[str, type[asyncio.Protocol]]] = {
    "neighbour": {"echo": Echo},
    "floods": {"sink": Sink, "spew": Spew},
}
_DATAGRAMS: dict[str, dict[str, type[asyncio.DatagramProtocol]]] = {
    "neighbour": {"dns": NameServer},
    "floods": {"udp": DatagramSink},
}


async def _serve(whose: str) -> None:
    loop = asyncio.get_running_loop()
    ports: dict[str, int] = {}
    kept: list[object] = []
    for name, protocol in _STREAMS[whose].items():
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1_024)
        ports[name] = server.sockets[0].getsockname()[1]
        kept.append(server)
    for name, datagrams in _DATAGRAMS[whose].items():
        transport, _ = await loop.create_datagram_endpoint(datagrams, local_addr=("127.0.0.1", 0))
        ports[name] = transport.get_extra_info("sockname")[1]
        kept.append(transport)
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main(whose: str) -> None:
    """
    Tell the ports, and serve until standard input ends.

    @param whose: C{neighbour} or C{floods}.
    """
    asyncio.run(_serve(whose))
