"""
A well-behaved client, which asks at a modest pace and notes how long each answer takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from typing import Callable, Protocol, Sequence

from aero.testing.guest import Guest
from aero.testing.packets import dotted
from tests.support.http import Connection
from tests.support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    RST_STREAM,
    WINDOW,
    frame,
)
from tests.support.l2 import FRAME, PROTOCOL, message
from tests.support.websocket import BINARY, PING, PONG, tcpTarget

from .guests import ECHO, REMOTE
from .http2 import PREFACE, fields, settings
from .measure import Sample
from .site import Site
from .tunnel import masked, upgrade

#: Seconds between two requests of one kind.
PACE = 0.05

#: Seconds that an answer may take before it counts as none.
PATIENCE = 10.0


class Probe(Protocol):
    """
    One kind of request, on a connection that is kept.
    """

    def ask(self) -> None:
        """
        Ask, and wait for the answer.

        @raise OSError: There is none.
        @raise AssertionError: It is wrong.
        """

    def close(self) -> None:
        """
        Hang up.
        """


class OverHTTP1:
    """
    C{GET /healthz} over HTTP/1.1.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._connection: Connection = site.connection()
        self._connection.socket.settimeout(PATIENCE)
        self.close = self._connection.close

    def ask(self) -> None:
        """
        See L{Probe}.
        """
        response = self._connection.request("GET", "/healthz", host=self._site.host)
        assert response.status == 200, response


class Stream:
    """
    Bytes of a connection, read in parts of a known size.
    """

    def __init__(self, connection: socket.socket, pending: bytes = b"") -> None:
        connection.settimeout(PATIENCE)
        self.connection = connection
        self._pending = pending

    def read(self, size: int) -> bytes:
        """
        Exactly so many bytes.
        """
        while len(self._pending) < size:
            data = self.connection.recv(65_536)
            if not data:
                raise ConnectionResetError("the stream ended")
            self._pending += data
        data, self._pending = self._pending[:size], self._pending[size:]
        return data


class OverHTTP2:
    """
    C{GET /healthz} over HTTP/2.
    """

    def __init__(self, site: Site) -> None:
        self._stream = Stream(site.tls("h2"))
        self._head = fields(site.host)
        self._next = 1
        self.close = self._stream.connection.close
        self._stream.connection.sendall(PREFACE + settings())

    def ask(self) -> None:
        """
        See L{Probe}.
        """
        number, self._next = self._next, self._next + 2
        send = self._stream.connection.sendall
        send(frame(HEADERS, END_HEADERS | END_STREAM, number, self._head))
        while True:
            head = self._stream.read(9)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            self._stream.read(size)
            stream = int.from_bytes(head[5:], "big")
            assert kind not in (RST_STREAM, GOAWAY), f"frame {kind} for stream {stream}"
            if stream == number and flags & END_STREAM and kind in (DATA, HEADERS):
                # What it takes is given back, or the connection would stand still one day.
                if number % 1_000 == 1:
                    send(frame(WINDOW, 0, 0, (1 << 20).to_bytes(4, "big")))
                return


class Tunnel:
    """
    A WebSocket whose messages are read one by one.
    """

    def __init__(self, site: Site, target: str, *headers: tuple[str, str]) -> None:
        cookie, _ = site.session()
        made, status, rest = upgrade(site, target, ("Cookie", cookie), *headers)
        if status != 101:
            made.close()
            raise ConnectionRefusedError(f"status {status}")
        self._stream = Stream(made, rest)
        self.close = made.close

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """
        Send a message.
        """
        self._stream.connection.sendall(masked(payload, opcode))

    def receive(self) -> bytes:
        """
        The next binary message.
        """
        while True:
            opcode, size = self._stream.read(2)
            if size > 125:
                size = int.from_bytes(self._stream.read(2 if size == 126 else 8), "big")
            payload = self._stream.read(size)
            if opcode & 15 == BINARY:
                return payload
            assert opcode & 15 == PING, f"opcode {opcode & 15}: {payload!r}"
            self.send(payload, PONG)


class OverTCP:
    """
    A round trip through C{/tcp}.
    """

    def __init__(self, site: Site) -> None:
        self._tunnel = Tunnel(site, tcpTarget("127.0.0.1", site.targets["echo"]))
        self.close = self._tunnel.close

    def ask(self) -> None:
        """
        See L{Probe}.
        """
        sent = os.urandom(16)
        self._tunnel.send(sent)
        data = b""
        while len(data) < len(sent):
            data += self._tunnel.receive()
        assert data == sent, "another answer"


class _InTunnel:
    """
    A guest with an address.
    """

    def __init__(self, site: Site) -> None:
        self._tunnel = Tunnel(site, "/l2", ("Sec-WebSocket-Protocol", PROTOCOL))
        self.close = self._tunnel.close
        self._guest = Guest(mac=b"\x02" + os.urandom(5))
        self._guest.attach(self._transmit)

    def _transmit(self, frames: Sequence[bytes]) -> None:
        for sent in frames:
            self._tunnel.send(message(FRAME, sent))

    def _until(self, condition: Callable[[], object]) -> None:
        """
        Take frames until something is so.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("no answer for the guest")
            data = self._tunnel.receive()
            if data[2] == FRAME:
                self._guest.sendFrames([data[4:]])
        self._guest.frames.clear()


class GuestDNS(_InTunnel):
    """
    A guest's query for a name that is new.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._number = int.from_bytes(os.urandom(3), "big") << 8

    def ask(self) -> None:
        """
        See L{Probe}.
        """
        self._number += 1
        label = f"g{self._number}".encode()
        head = (self._number & 0xFFFF).to_bytes(2, "big") + b"\x01\0\0\x01" + bytes(6)
        name = bytes((len(label),)) + label + b"\x04good\x04test\0"
        self._guest.datagrams.clear()
        self._guest.sendDatagram(5_353, "10.0.2.2", 53, head + name + b"\0\x01\0\x01")
        self._until(lambda: any(found.data[:2] == head[:2] for found in self._guest.datagrams))
        assert self._guest.datagrams[-1].data[3] & 15 == 0, "the name was not found"


class GuestTCP(_InTunnel):
    """
    A round trip of a guest's connection.
    """

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._connection = self._guest.connect(dotted(REMOTE), ECHO)

    def ask(self) -> None:
        """
        See L{Probe}.
        """
        sent = os.urandom(16)
        self._connection.received = b""
        self._connection.write(sent)
        self._until(
            lambda: self._connection.wasReset or len(self._connection.received) >= len(sent)
        )
        assert self._connection.received == sent, "another answer"


#: The kinds of requests, and those of the neighbour's guest.
KINDS: dict[str, Callable[[Site], Probe]] = {
    "h1": OverHTTP1,
    "h2": OverHTTP2,
    "tcp": OverTCP,
}
GUEST_KINDS: dict[str, Callable[[Site], Probe]] = {
    "guest DNS": GuestDNS,
    "guest TCP": GuestTCP,
}


def probe(
    kind: str, make: Callable[[], Probe], samples: list[Sample], ended: threading.Event
) -> None:
    """
    Ask again and again. After a late answer the next requests count from when they were due, so
    that a stall counts for all that it delays.
    """
    connection: Probe | None = None
    due, isLate = time.monotonic(), False
    told: set[str] = set()
    while not ended.wait(max(0.0, due - time.monotonic())):
        # A thread that slept too long is not the server's fault; a late answer is.
        began = due if isLate else time.monotonic()
        try:
            connection = connection or make()
            connection.ask()
            answered = True
        except (OSError, AssertionError) as why:
            answered = False
            if repr(why) not in told:
                told.add(repr(why))
                print(f"neighbour, {kind}: {why!r}", file=sys.stderr, flush=True)
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.close()
            connection = None
        now = time.monotonic()
        samples.append(Sample(began, kind, now - began, answered))
        due += PACE
        isLate = answered and now > due
        if not answered:
            due = now + PACE
    if connection is not None:
        connection.close()


def main(site: Site, *, hasGuest: bool) -> None:
    """
    Ask until standard input ends, then write the samples.
    """
    ended = threading.Event()
    samples: list[Sample] = []
    kinds = KINDS | (GUEST_KINDS if hasGuest else {})
    threads = [
        threading.Thread(target=probe, args=(kind, lambda m=make: m(site), samples, ended))
        for kind, make in kinds.items()
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join(2 * PATIENCE)
    print(json.dumps(samples), flush=True)
