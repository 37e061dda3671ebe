"""
What strangers make an edge keep and do over HTTP: bytes that wait, and frames in masses.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from typing import Callable

from twisted.trial.unittest import TestCase

from tests.support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HTTP2,
    PING,
    RST_STREAM,
    SETTINGS,
    block,
    frame,
    get,
)
from tests.support.metrics import counted, metric
from tests.support.server import Aero, edgeOptions

_CANCEL = b"\0\0\0\x08"
_MIB = 1 << 20

#: The head of a request whose body does not end.
_POST = block(
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/session"),
    (":authority", "localhost"),
    ("content-type", "application/json"),
)


def waitUntil(true: Callable[[], bool], seconds: float) -> bool:
    """
    Wait for something.

    @return: Whether it came.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.25)
    return true()


class Neighbour:
    """
    A client with one connection that asks for something small again and again.
    """

    def __init__(self, server: Aero) -> None:
        self.connection = http.client.HTTPSConnection(
            "localhost", server.port, context=server.tlsContext(), timeout=20
        )
        self.statuses: set[int] = set()
        self.waits: list[float] = []

    def ask(self, times: int) -> None:
        """
        Ask so many times.
        """
        for _ in range(times):
            began = time.monotonic()
            self.connection.request("GET", "/healthz")
            response = self.connection.getresponse()
            response.read()
            self.statuses.add(response.status)
            self.waits.append(time.monotonic() - began)
            time.sleep(0.01)

    @property
    def usual(self) -> float:
        """
        The median of its waits.
        """
        return sorted(self.waits)[len(self.waits) // 2]


class FloodTests(TestCase):
    """
    A server of its own for each test, because its memory is looked at.
    """

    def setUp(self) -> None:
        """
        Start a server.
        """
        self.server = Aero(*edgeOptions())
        self.addCleanup(self.server.kill)
        self.neighbour = Neighbour(self.server)
        self.neighbour.ask(20)

    def test_bodies(self) -> None:
        """
        Bodies that never end, on many streams of many connections, take no more than the client's
        part; requests without a body are answered meanwhile; the memory comes back.
        """
        with HTTP2(self.server) as first:
            first.request(1, get())
            first.response(1)
        before = self.server.residentBytes()
        heads = b"".join(frame(HEADERS, END_HEADERS, each, _POST) for each in range(1, 200, 2))
        with contextlib.ExitStack() as clients:
            for _ in range(40):
                client = clients.enter_context(HTTP2(self.server))
                client.send(heads)
                for stream in range(1, 129, 2):
                    client.send(frame(DATA, 0, stream, bytes(16_000)) * 4)
            self.neighbour.ask(20)
            self.assertEqual(self.neighbour.statuses, {200})
            self.assertLess(self.server.residentBytes(), before + 80 * _MIB)
            self.assertGreater(metric(self.server, "aero_http_buffer_bytes"), 16 * _MIB)
            self.assertLessEqual(metric(self.server, "aero_http_buffer_bytes"), 32 * _MIB)
            refused = counted(self.server, "aero_http_buffer_refused_total", scope="client")
            self.assertGreater(refused, 100)
        self.assertTrue(
            waitUntil(lambda: self.server.residentBytes() < before + 24 * _MIB, 30),
            f"{before} grew to {self.server.residentBytes()}",
        )
        self.assertLess(metric(self.server, "aero_http_buffer_bytes"), 100_000)
        self.assertTrue(any("AERO_HTTP_BUFFER_BYTES_PER_IP" in line for line in self.server.log))

    def flood(self, what: bytes) -> None:
        """
        Send frames on new connections for some seconds while the neighbour asks.
        """
        end = time.monotonic() + 3
        ends: list[int | None] = []

        def attack() -> None:
            while time.monotonic() < end:
                with contextlib.suppress(OSError, AssertionError), HTTP2(self.server) as client:
                    client.send(what)
                    ends.append(client.end())

        attackers = [threading.Thread(target=attack) for _ in range(4)]
        for attacker in attackers:
            attacker.start()
        self.neighbour.waits.clear()
        self.neighbour.ask(50)
        for attacker in attackers:
            attacker.join(60)
        self.assertEqual(self.neighbour.statuses, {200})
        # This process is the flood as well, so that this is far from what the server needs.
        self.assertLess(self.neighbour.usual, 0.25)
        self.assertIn(11, ends)

    def test_resets(self) -> None:
        """
        Requests that are cancelled at once.
        """
        self.flood(
            b"".join(
                frame(HEADERS, END_HEADERS | END_STREAM, each, get("/"))
                + frame(RST_STREAM, 0, each, _CANCEL)
                for each in range(1, 3_000, 2)
            )
        )

    def test_closedStreams(self) -> None:
        """
        DATA on a stream that was cancelled.
        """
        start = frame(HEADERS, END_HEADERS, 1, _POST) + frame(RST_STREAM, 0, 1, _CANCEL)
        self.flood(start + frame(DATA, 0, 1, b"x") * 20_000)

    def test_pings(self) -> None:
        """
        Pings.
        """
        self.flood(frame(PING, 0, 0, b"12345678") * 20_000)

    def test_closedWindows(self) -> None:
        """
        Replies that cannot be sent because the client's window is closed, on many streams.
        """
        before = self.server.residentBytes()
        ask = frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, each, get("/")) for each in range(1, 200, 2)
        )
        with contextlib.ExitStack() as clients:
            for _ in range(50):
                clients.enter_context(HTTP2(self.server)).send(ask)
            self.neighbour.ask(30)
            self.assertEqual(self.neighbour.statuses, {200})
            self.assertLess(self.neighbour.usual, 0.25)
            self.assertLess(self.server.residentBytes(), before + 120 * _MIB)
        self.assertTrue(
            waitUntil(lambda: metric(self.server, "aero_http_buffer_bytes") < 100_000, 20)
        )
