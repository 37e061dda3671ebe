"""
What guests with a kernel of their own talk to: services on loopback, and a server that lets them
through its forward maps.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from .l2 import OPEN, l2Options
from .metrics import metric
from .nameservers import Dnsmasq
from .server import Aero
from .targets import Target, banner, digest, echo
from .tools import freePort, require

#: Where guests find the services.
REMOTE: Final = "203.0.113.10"

#: Whether tests move as much and wait as long as they would on a day with time.
FULL: Final = bool(os.environ.get("AERO_FULL_SIZE"))

MIB: Final = 1 << 20

#: What the web server sends, over and over.
BLOCK: Final = bytes(range(256)) * 1_024

BANNER: Final = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"

_RECORDS: Final = (
    "--local=/test/",
    "--address=/a.test/192.0.2.10",
    "--txt-record=txt.test,one,two three",
    "--srv-host=_sip._tcp.test,sip.test,5060,10,20",
    "--mx-host=mail.test,mx1.test,10",
    "--cname=first.test,second.test",
    "--cname=second.test,third.test",
    "--host-record=third.test,192.0.2.33",
    *(f"--txt-record=large.test,{each:03}{'x' * 200}" for each in range(8)),
)


@functools.cache
def blockDigest(size: int) -> str:
    """
    The SHA-256 of so many bytes of L{BLOCK}.
    """
    seen = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        seen.update(BLOCK)
    seen.update(BLOCK[: size % len(BLOCK)])
    return seen.hexdigest()


class _Pages(BaseHTTPRequestHandler):
    """
    C{GET /SIZE} is so many bytes; the answer to a C{PUT} is the SHA-256 of its body.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """
        Send bytes.
        """
        left = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.end_headers()
        while left:
            self.wfile.write(BLOCK[:left] if left < len(BLOCK) else BLOCK)
            left -= min(left, len(BLOCK))

    def do_PUT(self) -> None:
        """
        Take bytes.
        """
        seen, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, MIB))
            if not data:
                return
            seen.update(data)
            left -= len(data)
        answer = seen.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """
        Say nothing.
        """


class _Web(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *ignored: object) -> None:
        """
        A guest that goes away is no news.
        """


def _once(connection: socket.socket) -> None:
    """
    A very short conversation, which the server ends.
    """
    connection.sendall(connection.recv(64)[::-1])


class _Sleepers:
    """
    A behaviour: reads nothing until it is told to, then counts.
    """

    def __init__(self) -> None:
        self.awake = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.awake.wait(60)
        digest(connection)


class Services:
    """
    The services, on loopback, for as long as the tests run.

    @ivar forwards: For C{AERO_L2_TCP_FORWARD}: web at port 80, a banner at 22, an echo at 7,
        a digest of the whole input at 9, one answer and a close at 13, C{iperf3} at 5201, one
        that sleeps until C{sleepers.awake} at 1000, and nobody at 1.
    @ivar names: The name server.
    """

    def __init__(self) -> None:
        self._web = _Web(("127.0.0.1", 0), _Pages)
        threading.Thread(target=self._web.serve_forever, daemon=True).start()
        self.sleepers = _Sleepers()
        self._targets = {
            22: Target(banner(BANNER)),
            7: Target(echo),
            9: Target(digest),
            13: Target(_once),
            1_000: Target(self.sleepers),
        }
        self._iperf = freePort()
        # It serves one test after another.
        self._process = subprocess.Popen(
            [require("iperf3"), "-s", "-B", "127.0.0.1", "-p", str(self._iperf)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.names = Dnsmasq(*_RECORDS)
        ports = {port: target.port for port, target in self._targets.items()}
        ports |= {80: self._web.server_address[1], 5_201: self._iperf, 1: 1}
        self.forwards = ",".join(
            f"{REMOTE}:{port}=127.0.0.1:{local}" for port, local in ports.items()
        )

    def stop(self) -> None:
        """
        End them.
        """
        self._web.shutdown()
        self._web.server_close()
        for target in self._targets.values():
            target.__exit__()
        self._process.kill()
        self._process.wait()
        self.names.stop()

    def variables(self, mtu: int = 1_500) -> dict[str, str]:
        """
        Settings for a server whose guests use the services.
        """
        return OPEN | {
            "AERO_L2_TCP_FORWARD": self.forwards,
            "AERO_L2_MTU": str(mtu),
            "AERO_L2_MAX_FRAME_PAYLOAD": str(max(2_048, mtu + 14)),
            "AERO_L2_ALLOW_PRIVATE_IPS": "1",
            "AERO_L2_NEW_FLOWS_PER_SECOND": "0",
            "DNS_UPSTREAMS": f"127.0.0.1:{self.names.port}",
        }


_shared: dict[int, Aero] = {}
_services: list[Services] = []


def services() -> Services:
    """
    The services, which all tests share.
    """
    if not _services:
        _services.append(Services())
        atexit.register(stopAll)
    return _services[0]


def server(mtu: int = 1_500) -> Aero:
    """
    A server for guests, which tests with the same MTU share.
    """
    if mtu not in _shared or _shared[mtu].process.poll() is not None:
        _shared[mtu] = Aero(*l2Options(), state=None, runDir=None, **services().variables(mtu))
    return _shared[mtu]


def stopAll() -> None:
    """
    End everything.
    """
    while _shared:
        _shared.popitem()[1].stop()
    while _services:
        _services.pop().stop()


def settle(server: Aero, patience: float = 15.0) -> None:
    """
    Wait until a server has closed what its guests left behind.

    @raise AssertionError: It did not.
    """
    deadline = time.monotonic() + patience
    while active := metric(server, "l2_tcp_conns_active"):
        if time.monotonic() > deadline:
            raise AssertionError(f"{active} connections are still open")
        time.sleep(0.1)
