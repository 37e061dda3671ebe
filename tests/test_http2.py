"""
HTTP/2 from outside: with the tools people use, and with clients that break its rules
(edge.md E05, E20, E90 to E92).
"""

from __future__ import annotations

import json
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from .support.headerset import problems
from .support.http import request
from .support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HTTP2,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    block,
    frame,
    get,
)
from .support.metrics import counted, metric
from .support.server import Aero, edgeOptions, shared
from .support.tools import require

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 1, 3, 6, 9
ENHANCE_YOUR_CALM = 11


class ToolTests(SynchronousTestCase):
    """
    nghttp2's client programs.
    """

    def test_nghttp(self) -> None:
        """
        Several requests of one connection are answered, files compressed.
        """
        server = shared("edge")
        result = subprocess.run(
            [
                *(require("nghttp"), "--stat", "--no-verify-peer", "--null-out"),
                *(
                    f"https://localhost:{server.port}{path}"
                    for path in ("/", "/healthz", "/nope.js")
                ),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for path, status in (("/", "200"), ("/healthz", "200"), ("/nope.js", "404")):
            self.assertRegex(result.stdout, rf"(?m) {status} +\S+ {path}$")

    def test_h2load(self) -> None:
        """
        Thousands of requests over many streams all succeed.
        """
        server = shared("edge")
        result = subprocess.run(
            [
                *(require("h2load"), "-n", "2000", "-c", "10", "-m", "20"),
                f"https://localhost:{server.port}/healthz",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.assertIn("2000 succeeded, 0 failed, 0 errored, 0 timeout", result.stdout)
        self.assertIn("status codes: 2000 2xx", result.stdout)


class MalformedTests(SynchronousTestCase):
    """
    Requests that two servers in a row could read differently.
    """

    def test_heads(self) -> None:
        """
        A malformed head ends its stream (RFC 9113 section 8.1.1), and one that is refused gets an
        answer with the header set; the connection and its other requests go on.
        """
        pseudo = ((":method", "GET"), (":scheme", "https"), (":path", "/healthz"))
        ours = (*pseudo, (":authority", "localhost"))
        cases: tuple[tuple[tuple[tuple[str, str], ...], int | None], ...] = (
            ((*ours, ("content-length", "5")), None),
            ((*ours, ("connection", "close")), None),
            ((*ours, ("transfer-encoding", "chunked")), None),
            ((*ours, ("upgrade", "websocket")), None),
            ((*ours, ("te", "gzip")), None),
            ((*ours, ("X-Upper", "y")), None),
            ((*ours, ("x y", "z")), None),
            ((*ours, ("x", "y\r\nhost: evil.example")), None),
            ((*ours, ("x", "y\0")), None),
            ((*ours, ("x", " y")), None),
            ((*ours, ("content-length", "0"), ("content-length", "0")), None),
            ((*ours, ("host", "evil.example")), None),
            ((*ours, (":path", "/metrics")), None),
            ((*ours, ("x", "y"), (":path", "/metrics")), None),
            ((*ours, (":protocol", "websocket")), None),
            (pseudo, 400),
            ((*pseudo, (":authority", "")), 400),
            ((*pseudo, (":authority", "user@localhost")), 400),
            ((*pseudo, (":authority", "evil.example")), 421),
            (((":method", "GET"), (":scheme", "https"), (":authority", "localhost")), None),
            (((":method", "GET"), (":path", "/healthz"), (":authority", "localhost")), None),
            (((":method", "G T"), *ours[1:]), None),
            (((":method", "CONNECT"), (":authority", "localhost:22")), 405),
            (((":method", "TRACE"), *ours[1:]), 405),
            ((ours[0], ours[1], (":path", "healthz"), ours[3]), None),
            ((ours[0], ours[1], (":path", "/a b"), ours[3]), None),
            ((ours[0], ours[1], (":path", "/" + "a" * 8_192), ours[3]), 414),
            ((*ours, *[("x", "y")] * 300), 431),
        )
        with HTTP2(shared("edge")) as client:
            for index, (fields, status) in enumerate(cases):
                stream = 2 * index + 1
                client.request(stream, block(*fields))
                if status is None:
                    self.assertEqual(client.resetCode(stream), PROTOCOL_ERROR, fields[:6])
                    continue
                try:
                    response = client.response(stream)
                except AssertionError as error:
                    raise AssertionError(f"{fields[:6]}: {error}") from error
                self.assertEqual((response.status, problems(response)), (status, []), fields[:6])
            client.request(9_999, get())
            self.assertEqual(client.response(9_999).json(), {"ok": True})

    def test_lengths(self) -> None:
        """
        A body that is not as long as it says is no request.
        """
        server = shared("edge")
        fields = block(
            (":method", "POST"),
            (":scheme", "https"),
            (":path", "/session"),
            (":authority", "localhost"),
            ("content-type", "application/json"),
            ("content-length", "2"),
        )
        for body in (b"", b"{", b"{} "):
            with HTTP2(server) as client:
                client.request(1, fields, body)
                self.assertEqual(client.resetCode(1), PROTOCOL_ERROR, body)
                client.request(3, get())
                self.assertEqual(client.response(3).status, 200)
        with HTTP2(server) as client:
            client.request(1, fields, b"{}")
            self.assertEqual(client.response(1).status, 201)
        for lengths in (("+2",), ("0x2",), ("2", "3"), ("-1",)):
            with HTTP2(server) as client:
                named = [("content-length", length) for length in lengths]
                client.request(1, get("/healthz", *named), b"{}")
                self.assertEqual(client.resetCode(1), PROTOCOL_ERROR, lengths)

    def test_largeBody(self) -> None:
        """
        A body that is too large is a 413 with the header set (E91).
        """
        with HTTP2(shared("edge")) as client:
            fields = block(
                (":method", "POST"),
                (":scheme", "https"),
                (":path", "/session"),
                (":authority", "localhost"),
            )
            client.send(frame(HEADERS, END_HEADERS, 1, fields))
            for _ in range(40):
                client.send(frame(DATA, 0, 1, bytes(16_384)))
            response = client.response(1)
            self.assertEqual((response.status, problems(response)), (413, []))
            client.request(3, get())
            self.assertEqual(client.response(3).status, 200)

    def test_frames(self) -> None:
        """
        What breaks the protocol ends the connection with the error that says so, and nothing
        else.
        """
        server = shared("edge")
        for name, data, codes in (
            ("data on no stream", frame(DATA, 0, 0, b"x"), (PROTOCOL_ERROR,)),
            ("headers on an even stream", frame(HEADERS, 5, 2, get()), (PROTOCOL_ERROR,)),
            ("a frame too large", frame(DATA, 0, 1, bytes(20_000)), (FRAME_SIZE_ERROR,)),
            ("settings cut short", frame(SETTINGS, 0, 0, b"12345"), (FRAME_SIZE_ERROR,)),
            ("a ping cut short", frame(PING, 0, 0, b"1234"), (FRAME_SIZE_ERROR,)),
            ("no window", frame(WINDOW, 0, 0, bytes(4)), (PROTOCOL_ERROR,)),
            (
                "a window too large",
                frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
                (FLOW_CONTROL_ERROR,),
            ),
            ("continuation of nothing", frame(CONTINUATION, 4, 1, get()), (PROTOCOL_ERROR,)),
            ("a bad header block", frame(HEADERS, 5, 1, b"\xff" * 20), (COMPRESSION_ERROR, 1)),
        ):
            with HTTP2(server) as client:
                client.send(data)
                self.assertIn(client.end(), codes, name)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)


class FloodTests(SynchronousTestCase):
    """
    Clients that ask for work and take nothing.
    """

    def flood(self, server: Aero, kind: str, data: bytes, times: int) -> None:
        """
        Send a flood, and see it ended and counted while others are served.
        """
        before = counted(server, "aero_http2_floods_total", kind=kind)
        with HTTP2(server) as client:
            for _ in range(times):
                client.send(data)
            self.assertEqual(client.end(), ENHANCE_YOUR_CALM, kind)
        self.assertEqual(metric(server, "aero_http2_floods_total", kind=kind), before + 1, kind)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_control(self) -> None:
        """
        Floods of pings, settings, priorities and window updates end their connection.
        """
        server = shared("edge", AERO_HTTP2_MAX_CONTROL_FRAMES="500", AERO_HTTP2_MAX_RESETS="100")
        for kind, one in (
            ("ping", frame(PING, 0, 0, bytes(8))),
            ("settings", frame(SETTINGS)),
            ("priority", frame(PRIORITY, 0, 1, b"\0\0\0\0\x10")),
            ("window", frame(WINDOW, 0, 0, b"\0\0\0\1")),
            ("unknown", frame(0x77, 0, 0)),
        ):
            self.flood(server, kind, one * 1_000, 2)

    def test_rapidReset(self) -> None:
        """
        Requests that are cancelled as soon as they are made end the connection (CVE-2023-44487).
        """
        server = shared("edge", AERO_HTTP2_MAX_CONTROL_FRAMES="500", AERO_HTTP2_MAX_RESETS="100")
        data = b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, get("/"))
            + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
            for stream in range(1, 1_001, 2)
        )
        self.flood(server, "reset", data, 1)

    def test_endlessHeaders(self) -> None:
        """
        A header block that never ends is cut off, whether it comes fast or slowly
        (CVE-2024-27316).
        """
        server = Aero(*edgeOptions(), AERO_HTTP_HEADER_TIMEOUT_SECONDS="1")
        self.addCleanup(server.kill)
        before = server.residentBytes()
        with HTTP2(server) as client:
            client.send(frame(HEADERS, 0, 1, get()))
            for _ in range(2_000):
                client.send(frame(CONTINUATION, 0, 1, block(("x", "y" * 16_000))))
            self.assertNotIn(client.end(), (0,))
        self.assertLess(server.residentBytes() - before, 24 * 1024 * 1024)
        with HTTP2(server) as client:
            client.send(frame(HEADERS, 0, 1, get()))
            client.end()
        self.assertEqual(metric(server, "aero_http_timeouts_total", kind="header"), 1)

    def test_streams(self) -> None:
        """
        No more streams are open at once than there may be.
        """
        server = shared("edge", AERO_HTTP2_MAX_STREAMS="4")
        fields = block(
            (":method", "POST"),
            (":scheme", "https"),
            (":path", "/session"),
            (":authority", "localhost"),
            ("content-type", "application/json"),
        )
        with HTTP2(server) as client:
            client.send(frame(SETTINGS, ACK))
            for stream in (1, 3, 5, 7):
                client.send(frame(HEADERS, END_HEADERS, stream, fields))
            client.send(frame(DATA, END_STREAM, 7, b"{}"))
            self.assertEqual(client.response(7).status, 201)
            client.request(9, get())
            self.assertEqual(json.loads(client.response(9).body), {"ok": True})
            for stream in (11, 13):
                client.send(frame(HEADERS, END_HEADERS, stream, fields))
            self.assertIn(PROTOCOL_ERROR, (client.end(), *client.resets.values()))
