"""
Five hundred streams at once over one C{/tcp-mux} WebSocket, by clients of other people's making:
the npm package C{ws} and Chromium.

One of the tests moves a whole gibibyte, half of it each way; C{AERO_FULL_SIZE=1} has the others
do so too, which CI has no time for.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.browser import browserFor, inBrowserThread
from .support.http import sessionCookie
from .support.mux import closeFrame, dataFrame, openFrame
from .support.muxrig import LOCAL, MuxRigged
from .support.rigs import USUAL
from .support.server import Aero, shared
from .support.targets import Recorder, Source, Target, digest
from .support.tools import missing, require

CLIENTS = Path(__file__).parent / "clients"

STREAMS = 500
#: Bytes that all streams send; as many come back.
FULL = 1 << 29
TOTAL = FULL if os.environ.get("AERO_FULL_SIZE") else FULL // 4

#: One session has all the streams, and a page of ours uses it.
_MANY = {name: value for name, value in USUAL.items() if name != "ALLOWED_ORIGINS"} | {
    "TCP_PROXY_MAX_CONNECTIONS": "1000"
}

_PAGE = """
async (wanted) => {
  %s
  await fetch("/session", { method: "POST" });
  const socket = new WebSocket(`wss://${location.host}/tcp-mux`, "aero-tcp-mux-v1");
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
  return exchange(socket, wanted);
}
"""


class HashingEcho:
    """
    A behaviour: sends back what comes, and keeps the SHA-256 of each connection.
    """

    def __init__(self) -> None:
        self._seen: queue.Queue[str] = queue.Queue()

    def __call__(self, connection: socket.socket) -> None:
        seen = hashlib.sha256()
        while data := connection.recv(65_536):
            seen.update(data)
            connection.sendall(data)
        self._seen.put(seen.hexdigest())

    def hashes(self, count: int) -> list[str]:
        """
        Those of so many connections, in order.
        """
        return sorted(self._seen.get(timeout=60) for _ in range(count))


class StallTests(MuxRigged, SynchronousTestCase):
    """
    One target that takes nothing, beside others.
    """

    kind = "gateway"

    def test_beside(self) -> None:
        """
        It holds up nobody for good: large transfers on other streams of the WebSocket end as
        they should, and what waits for it reaches it once it reads. How much they keep of their
        speed is for L{tests.bench.mux} to say.
        """
        release = threading.Event()
        self.addCleanup(release.set)
        recorder = Recorder()

        def stand(connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            release.wait(120)
            recorder(connection)

        mux = self.mux()
        stalled = os.urandom(900_000)
        source = Source(64 << 20)
        mux.send(openFrame(1, LOCAL, self.target(stand)) + dataFrame(1, stalled))
        mux.send(openFrame(2, LOCAL, self.target(source)))
        self.assertEqual(len(mux.untilEnd(2)), source.size)
        mux.send(openFrame(3, LOCAL, self.target(digest)))
        block, seen = os.urandom(1 << 16), hashlib.sha256()
        for _ in range(512):
            mux.send(dataFrame(3, block))
            seen.update(block)
        mux.send(closeFrame(3) + closeFrame(1))
        self.assertEqual(mux.untilEnd(3), f"{512 << 16} {seen.hexdigest()}".encode())
        self.assertFalse(mux.waiting(1))
        release.set()
        expected = (len(stalled), hashlib.sha256(stalled).hexdigest(), "closed")
        self.assertEqual(recorder.wait(), expected)


class TransferTests(SynchronousTestCase):
    """
    Everything arrives, at the servers and at the client.
    """

    def setUp(self) -> None:
        self.echo = HashingEcho()
        target = Target(self.echo)
        self.addCleanup(target.__exit__)
        self.port = target.port

    def wanted(self, total: int) -> dict[str, Any]:
        """
        What a client is told. The size of each stream is not a multiple of any buffer's.
        """
        size = total // STREAMS + 7
        return {"host": "127.0.0.1", "port": self.port, "streams": STREAMS, "size": size}

    def assertWhole(self, found: dict[str, Any]) -> None:
        """
        Each stream sent its own bytes, its server got those, and they came back.
        """
        self.assertEqual(found["errors"], [])
        self.assertEqual(len(set(found["sent"])), STREAMS)
        self.assertEqual(found["received"], found["sent"])
        self.assertEqual(self.echo.hashes(STREAMS), sorted(found["sent"]))
        self.assertEqual(found["code"], 1000)

    def byNode(self, server: Aero, total: int, *more: str) -> None:
        """
        The transfer by C{ws}.
        """
        if not (CLIENTS / "node_modules" / "ws").is_dir():
            missing("ws is not installed: run npm ci in tests/clients")
        url = server.url.replace("http", "ws", 1) + "/tcp-mux"
        program = str(CLIENTS / "mux_transfer.mjs")
        wanted = json.dumps(self.wanted(total))
        done = subprocess.run(
            [require("node", "nodejs"), program, url, sessionCookie(server), wanted, *more],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertWhole(json.loads(done.stdout))

    def test_node(self) -> None:
        """
        C{ws} over plain HTTP.
        """
        self.byNode(shared("gateway", **_MANY), FULL)

    def test_nodeOverTLS(self) -> None:
        """
        C{ws} over TLS.
        """
        server = shared("edge", **_MANY)
        self.byNode(server, TOTAL, str(server.rootCertificate))

    @inBrowserThread
    def test_chromium(self) -> None:
        """
        A page in Chromium.
        """
        source = (CLIENTS / "mux_streams.js").read_text().replace("export async", "async")
        with browserFor(shared("edge", **_MANY)).open() as tab:
            tab.goto("/")
            found: dict[str, Any] = tab.page.evaluate(_PAGE % source, self.wanted(TOTAL))
        self.assertWhole(found)
