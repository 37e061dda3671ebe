"""
Much data through C{/tcp}, and nobody who takes it: what is sent arrives, and what is not taken
does not pile up in the server (gateway.md sections 12.4 and 19.2).
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .support.http import sessionCookie
from .support.rigs import SMALL
from .support.targets import Exchange, Source, Target, echo, slow
from .support.tools import missing, require
from .support.tunnels import Tunnelled
from .support.websocket import PING, WebSocket, frame, tcpTarget

CLIENTS = Path(__file__).parent / "clients"

#: What one tunnel may cost, over what the process has when idle.
TUNNEL_MEMORY = 32 << 20


class _FlowTests(Tunnelled):
    """
    Back-pressure in both directions.
    """

    def push(self, tunnel: WebSocket, size: int, seconds: float) -> int:
        """
        Send as much as is taken.

        @return: How much of it was, at least.
        """
        data = frame(bytes(131_072))
        tunnel.connection.socket.settimeout(1.0)
        sent, deadline = 0, time.monotonic() + seconds
        try:
            while sent < size and time.monotonic() < deadline:
                tunnel.connection.send(data)
                sent += 131_072
        except TimeoutError:
            pass
        return sent

    def test_slowTarget(self) -> None:
        """
        A target that takes a mebibyte a second slows its client down; what the client pushes
        does not pile up in the server.
        """
        server = self.server()
        port = self.target(Target(slow(1 << 20))).port
        tunnel = self.tunnel(tcpTarget("127.0.0.1", port))
        idle = server.residentBytes()
        pushed = self.push(tunnel, 96 << 20, 2.0)
        self.assertGreater(pushed, 1 << 20)
        self.assertLess(pushed, 96 << 20, "everything was taken")
        self.assertLess(server.residentBytes() - idle, TUNNEL_MEMORY)
        tunnel.connection.close()
        self.assertAlive(server)

    def test_bufferLimit(self) -> None:
        """
        Where less may wait for a target than fits into one message, more closes with 1011
        (A113).
        """

        def stalled(connection: socket.socket) -> None:
            time.sleep(20)

        target = self.target(Target(stalled))
        tunnel = self.tunnel(tcpTarget("127.0.0.1", target.port), SMALL)
        tunnel.connection.socket.settimeout(10)
        try:
            for _ in range(64):
                tunnel.send(bytes(300_000))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertEqual(tunnel.closeCode()[0], 1011)

    def test_clientThatNeverReads(self) -> None:
        """
        A client that never reads stops its target from being read, and does not fill memory.
        """
        server = self.server()
        source = Source(256 << 20)
        idle = server.residentBytes()
        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(source)).port))
        self.assertLess(source.settled(), 64 << 20)
        self.assertLess(server.residentBytes() - idle, TUNNEL_MEMORY)
        tunnel.connection.close()
        self.assertAlive(server)

    def test_pingsUnanswered(self) -> None:
        """
        A client that pings and reads no answers is not read either, at a bounded cost.
        """
        server = self.server()
        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(echo)).port))
        idle = server.residentBytes()
        data = frame(bytes(125), PING) * 1_000
        tunnel.connection.socket.settimeout(1.0)
        try:
            for _ in range(200):
                tunnel.connection.send(data)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        self.assertLess(server.residentBytes() - idle, TUNNEL_MEMORY)
        tunnel.connection.close()
        self.assertAlive(server)

    def test_transfer(self) -> None:
        """
        A quarter of a gibibyte each way at once, by a client of other people's making, comes
        through bit for bit, and then the close code is 1000.
        """
        node = require("node", "nodejs")
        if not (CLIENTS / "node_modules" / "ws").is_dir():
            missing("ws is not installed: run npm ci in tests/clients")
        server = self.server()
        exchange = Exchange(256 << 20)
        port = self.target(Target(exchange)).port
        url = server.url.replace("http", "ws", 1) + tcpTarget("127.0.0.1", port)
        arguments = [url, sessionCookie(server), str(exchange.size)]
        if url.startswith("wss:"):
            arguments.append(str(server.rootCertificate))
        done = subprocess.run(
            [node, str(CLIENTS / "tcp_transfer.mjs"), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        client = json.loads(done.stdout)
        sent, received = exchange.wait()
        self.assertEqual((client["code"], client["reason"]), (1000, "target closed"), done.stderr)
        self.assertEqual(client["taken"], exchange.size)
        self.assertEqual((client["received"], client["sent"]), (sent, received))


class GatewayFlowTests(_FlowTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeFlowTests(_FlowTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
