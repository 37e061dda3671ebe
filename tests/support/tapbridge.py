"""
A bridge between a TAP device, in a network namespace of its own, and C{/l2}: what makes a
kernel the guest of a server under test. Started by L{tests.support.guest.KernelGuest}::

    python -m tests.support.tapbridge '{"host": "127.0.0.1", "port": 8090, ...}'

The other end of the device may also be a program with a socket for datagrams, such as QEMU.

It prints C{ready} when the device and the tunnel are up. Lines on its standard input are orders
(see L{Bridge.order}), each answered by one line; with the end of the input it goes, and the
namespace goes with it.
"""

from __future__ import annotations

import base64
import json
import math
import os
import random
import select
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import deque
from typing import Any, Callable

from .tap import Outside, bindMount, openTAP

_FRAME = b"\xa2\x03\x00\x00"
_PING, _PONG = 1, 2
_BATCH = 64


class Link:
    """
    The NIC of the guest, which may lose frames on their way in.

    @ivar lost: Frames lost so far.
    @ivar perfect: Whether it loses none and holds up none.
    """

    def __init__(
        self, deliver: Callable[[bytes], None], loss: float, seed: int, ring: int, drain: float
    ) -> None:
        """
        @param deliver: Called with a frame for the guest.
        @param loss: The share of frames that is lost, by a seeded chance.
        @param ring: Frames that the NIC can hold; 0 is without limit. What comes when it is full
            is lost.
        @param drain: Frames a second that the guest takes out of it.
        """
        self._deliver = deliver
        self._loss = loss
        self._random = random.Random(seed)
        self._ring = ring
        self._drain = drain
        self._held: deque[bytes] = deque()
        self._due = 0.0
        self.lost = 0
        self.perfect = not loss and not ring

    def receive(self, frame: bytes) -> None:
        """
        A frame comes in.
        """
        if self._loss and self._random.random() < self._loss:
            self.lost += 1
        elif not self._ring:
            self._deliver(frame)
        else:
            self.handleTimeout()
            if len(self._held) >= self._ring:
                self.lost += 1
                return
            if not self._held:
                self._due = time.monotonic() + 1 / self._drain
            self._held.append(frame)

    def nextTimeout(self) -> float | None:
        """
        In how many seconds the guest takes the next frame.
        """
        return max(0.0, self._due - time.monotonic()) if self._held else None

    def handleTimeout(self) -> None:
        """
        The guest takes what it had the time for.
        """
        now = time.monotonic()
        while self._held and self._due <= now:
            self._deliver(self._held.popleft())
            self._due += 1 / self._drain


class Bridge:
    """
    One guest's cable.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._outside = Outside()
        self._socket = self._connect()
        self._datagrams: socket.socket | None = None
        self._tap = self._openUnix() if "here" in options else self._openTAP()
        self._link = Link(
            self._toGuest,
            options.get("loss", 0.0),
            options.get("seed", 1),
            options.get("ring", 0),
            options.get("drain", 0.0),
        )
        self._received = b""
        self._sending = memoryview(b"")
        self._keys: dict[int, int] = {}
        self._mask = os.urandom(4)
        self.frames = [0, 0]
        self.closed = ""

    def run(self) -> None:
        """
        Carry frames until the input ends.
        """
        poll = select.poll()
        poll.register(0, select.POLLIN)
        while True:
            # A full tunnel holds up the guest; its kernel queues, and drops in the end.
            poll.register(self._tap, 0 if self._sending else select.POLLIN)
            if self._socket.fileno() >= 0:
                events = select.POLLIN | (select.POLLOUT if self._sending else 0)
                poll.register(self._socket, events)
            tunnel = self._socket.fileno()
            wait = self._link.nextTimeout()
            for descriptor, _ in poll.poll(None if wait is None else math.ceil(wait * 1_000)):
                if descriptor == 0:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    print(self.order(line.split()), flush=True)
                elif descriptor == self._tap:
                    self._fromGuest()
                elif descriptor == tunnel and self._socket.fileno() == tunnel:
                    self._flush()
                    self._fromServer()
            if wait is not None:
                self._link.handleTimeout()

    def order(self, words: list[str]) -> str:
        """
        Do what the test says: C{stats}; C{reconnect}, with another tunnel and the same guest;
        C{link} with what L{Link} is to lose as JSON.
        """
        if words[0] == "reconnect":
            self._lost("reconnect")
            with self._outside.back():
                self._socket = self._connect()
            self._received, self.closed = b"", ""
        elif words[0] == "link":
            self._link = Link(self._toGuest, **json.loads(words[1]))
        return json.dumps(
            {
                "sent": self.frames[0],
                "received": self.frames[1],
                "lost": self._link.lost,
                "closed": self.closed,
            }
        )

    def _openTAP(self) -> int:
        """
        Leave for a network with nothing in it but a TAP device.
        """
        self._outside.leave()
        bindMount(self._options["resolv"], "/etc/resolv.conf")
        device = openTAP("tap0")
        mtu = str(self._options["mtu"])
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "link", "set", "tap0", "up", "mtu", mtu], check=True)
        return device

    def _openUnix(self) -> int:
        """
        The other way to a guest: a datagram for each frame, as QEMU has them.
        """
        connection = self._datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        connection.bind(self._options["here"])
        connection.connect(self._options["there"])
        connection.setblocking(False)
        return connection.fileno()

    def _connect(self) -> socket.socket:
        options = self._options
        address = (options["host"], options["port"])
        connection = socket.create_connection(address, timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.get("ca"):
            context = ssl.create_default_context(cafile=options["ca"])
            connection = context.wrap_socket(connection, server_hostname="localhost")
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            "Host": f"localhost:{options['port']}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": "aero-l2-tunnel-v1",
            **options.get("headers", {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        path = options.get("path", "/l2")
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            if not byte:
                break
            head += byte
        if not head.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(f"no tunnel: {head!r}")
        connection.setblocking(False)
        return connection

    def _fromGuest(self) -> None:
        read, tap = os.read, self._tap
        pieces = []
        try:
            for _ in range(_BATCH):
                pieces.append(self._message(_FRAME + read(tap, 65_600)))
        except (BlockingIOError, ConnectionRefusedError):
            # Nothing more; or the program at the other end has gone.
            pass
        self.frames[0] += len(pieces)
        self._send(b"".join(pieces))

    def _message(self, payload: bytes) -> bytes:
        """
        A binary message of the client. One mask does for all of them: it is no secret here.
        """
        size = len(payload)
        key = self._keys.get(size)
        if key is None:
            if len(self._keys) > 4_000:
                self._keys.clear()
            key = int.from_bytes((self._mask * (size // 4 + 1))[:size], "big")
            self._keys[size] = key
        if size < 126:
            head = bytes((0x82, 0x80 | size))
        elif size < 65_536:
            head = struct.pack("!BBH", 0x82, 0xFE, size)
        else:
            head = struct.pack("!BBQ", 0x82, 0xFF, size)
        masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
        return head + self._mask + masked

    def _send(self, data: bytes) -> None:
        self._sending = (
            memoryview(bytes(self._sending) + data) if self._sending else memoryview(data)
        )
        self._flush()

    def _flush(self) -> None:
        try:
            while self._sending:
                self._sending = self._sending[self._socket.send(self._sending) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as problem:
            self._lost(str(problem))

    def _fromServer(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
            # What TLS has decrypted already wakes nobody up.
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                data += self._socket.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as problem:
            self._lost(str(problem))
            return
        if not data:
            self._lost("end of stream")
            return
        data = self._received + data
        place, end = 0, len(data)
        deliver, link = self._toGuest, self._link
        while end - place >= 2:
            size, begin = data[place + 1], place + 2
            if size == 126:
                size, begin = (
                    data[place + 2] << 8 | data[place + 3] if end - place >= 4 else 0,
                    place + 4,
                )
            elif size == 127:
                size, begin = int.from_bytes(data[place + 2 : place + 10], "big"), place + 10
            if begin + size > end or begin > end:
                break
            opcode = data[place] & 15
            place = begin + size
            if opcode != 2:
                self._control(opcode, data[begin:place])
            elif data[begin + 2] == 0:
                self.frames[1] += 1
                if link.perfect:
                    deliver(data[begin + 4 : place])
                else:
                    link.receive(data[begin + 4 : place])
            elif data[begin + 2] == _PING:
                self._send(self._message(b"\xa2\x03\x02\x00" + data[begin + 4 : place]))
        self._received = data[place:]

    def _toGuest(self, frame: bytes) -> None:
        try:
            os.write(self._tap, frame)
        except OSError:
            # Its device is down, or the queue of the program at the other end is full.
            self._link.lost += 1

    def _control(self, opcode: int, payload: bytes) -> None:
        """
        A ping of the WebSocket needs no answer for as long as no test waits for it.
        """
        if opcode == 8:
            self._lost(f"close {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}")

    def _lost(self, reason: str) -> None:
        self.closed = self.closed or reason
        self._sending = memoryview(b"")
        self._socket.close()


def main() -> None:
    """
    The command line: one argument, the options as JSON.
    """
    bridge = Bridge(json.loads(sys.argv[1]))
    print("ready", flush=True)
    bridge.run()


if __name__ == "__main__":
    main()
