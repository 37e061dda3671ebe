"""
One client's flood beside another client that works: turns and the allowance of messages without
effect, over real sockets.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from .support.http import sessionCookie
from .support.metrics import counted
from .support.mux import dataFrame, openFrame, pingFrame
from .support.muxrig import LOCAL, MuxRigged
from .support.rigs import USUAL
from .support.targets import echo
from .support.websocket import WebSocket, frame

#: Clients are told apart by what a proxy says.
PROXIED = USUAL | {
    "TRUST_PROXY": "1",
    "AERO_TRUSTED_PROXIES": "127.0.0.0/8",
    "TCP_ALLOW_PRIVATE_IPS": "1",
}
#: With the allowance of a public domain.
LIMITED = PROXIED | {"AERO_NO_EFFECT_PER_SECOND": "200", "AERO_NO_EFFECT_BURST": "2000"}

#: Sends the same bytes on some sockets as fast as they go, and reads what comes.
FLOOD = """
import select, socket, sys, time
data = sys.stdin.buffer.read()
sockets = [socket.socket(fileno=int(each)) for each in sys.argv[2:]]
for each in sockets:
    each.setblocking(False)
end = time.monotonic() + float(sys.argv[1])
sent = dict.fromkeys(sockets, 0)
while sockets and time.monotonic() < end:
    readable, writable, _ = select.select(sockets, sockets, [], 0.1)
    for each in readable:
        try:
            gone = not each.recv(65536)
        except OSError:
            gone = True
        if gone:
            sockets.remove(each)
    for each in writable:
        at = sent[each] % len(data)
        try:
            sent[each] += each.send(data[at:])
        except BlockingIOError:
            pass
        except OSError:
            if each in sockets:
                sockets.remove(each)
"""

#: Refused OPENs, one in each message.
REFUSED = b"".join(frame(openFrame(stream, "127.0.0.1", 0)) for stream in range(1, 2_000))
#: As many in a few long messages.
TOGETHER = frame(b"".join(openFrame(stream, "127.0.0.1", 0) for stream in range(1, 2_000)))
PINGS = frame(pingFrame()) * 2_000
CONTROL = frame(b"", 0x9) * 2_000


class FairnessTests(MuxRigged, SynchronousTestCase):
    """
    A client echoes small messages while another floods.
    """

    kind = "gateway"

    def flood(
        self, settings: dict[str, str], data: bytes, connections: int, seconds: float
    ) -> subprocess.Popen[bytes]:
        server = self.server(settings)
        cookie = sessionCookie(server)
        sockets = []
        for _ in range(connections):
            client = WebSocket(
                server,
                "/tcp-mux",
                ("Sec-WebSocket-Protocol", "aero-tcp-mux-v1"),
                ("X-Forwarded-For", "203.0.113.66"),
                cookie=cookie,
            )
            self.assertTrue(client.accepted)
            self.addCleanup(client.connection.close)
            found = client.connection.socket
            assert isinstance(found, socket.socket)
            sockets.append(found)
        numbers = [each.fileno() for each in sockets]
        made = subprocess.Popen(
            [sys.executable, "-c", FLOOD, str(seconds), *map(str, numbers)],
            stdin=subprocess.PIPE,
            pass_fds=numbers,
        )
        assert made.stdin is not None
        made.stdin.write(data)
        made.stdin.close()
        self.addCleanup(made.wait)
        self.addCleanup(made.kill)
        return made

    def latencies(self, settings: dict[str, str], count: int = 60) -> list[float]:
        """
        Seconds of echoes on a stream of another client.
        """
        port = self.target(echo)
        mux = self.mux(settings)
        mux.send(openFrame(1, LOCAL, port))
        found = []
        for number in range(count):
            payload = number.to_bytes(4, "big")
            begun = time.monotonic()
            mux.send(dataFrame(1, payload))
            self.assertEqual(mux.data(1, 4), payload)
            found.append(time.monotonic() - begun)
            time.sleep(0.02)
        return sorted(found)

    def assertFair(self, data: bytes, connections: int) -> None:
        self.flood(PROXIED, data, connections, 6.0)
        time.sleep(0.5)
        found = self.latencies(PROXIED)
        p95 = found[int(len(found) * 0.95)]
        self.assertLess(p95, 0.1, f"median {statistics.median(found):.4f} s")

    def test_refusedOpens(self) -> None:
        """
        A neighbour of a flood of refused OPENs is served, however many connections it is on.
        """
        self.assertFair(REFUSED, 1)

    def test_refusedOpensOnManyConnections(self) -> None:
        """
        Eight connections of one client take no more than one.
        """
        self.assertFair(REFUSED, 8)

    def test_longMessages(self) -> None:
        """
        Thousands of frames in one message are no way around it.
        """
        self.assertFair(TOGETHER, 8)

    def test_pings(self) -> None:
        """
        The same with pings of the protocol and of WebSocket.
        """
        self.assertFair(PINGS, 8)
        self.assertFair(CONTROL, 8)

    def test_allowance(self) -> None:
        """
        With an allowance a flood ends: each of its connections is closed, with 1008 and the
        reason, and the metric says so. The neighbour goes on.
        """
        for data in (REFUSED, TOGETHER, PINGS, CONTROL):
            before = counted(self.server(LIMITED), "aero_no_effect_closed_total", kind="tcp-mux")
            flood = self.flood(LIMITED, data, 3, 20.0)
            self.assertEqual(flood.wait(15), 0)
            self.assertEqual(
                counted(self.server(LIMITED), "aero_no_effect_closed_total", kind="tcp-mux"),
                before + 3,
            )
        self.assertLess(self.latencies(LIMITED)[57], 0.1)
        client = WebSocket(
            self.server(LIMITED),
            "/tcp-mux",
            ("Sec-WebSocket-Protocol", "aero-tcp-mux-v1"),
            ("X-Forwarded-For", "203.0.113.67"),
        )
        client.connection.send(PINGS * 2)
        while True:
            opcode, payload = client.receive()
            if opcode == 0x8:
                break
        self.assertEqual(payload, b"\x03\xf0too many messages without effect")
