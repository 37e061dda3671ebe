"""
What the door does with clients that mean no good: slow ones, greedy ones, those that smuggle
(edge.md E90 to E92, E95 and section 9).
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Callable

from twisted.trial.unittest import SynchronousTestCase

from .support.duplex import DuplexTLS
from .support.headerset import problems
from .support.http import Connection, Response, request
from .support.metrics import counted, metric
from .support.server import PATIENCE, Aero, edgeOptions, gatewayOptions, shared
from .support.targets import Target, echo
from .support.tools import freePort
from .support.websocket import PING, PONG, WebSocket, tcpTarget

#: The door's rules do not depend on TLS, and without it a test shows which bytes it sends.
HOST = b"Host: localhost\r\n"


def waitUntil(condition: Callable[[], bool], what: str) -> None:
    """
    Look again and again until something is so.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never happened: {what}")
        time.sleep(0.02)


class SlowTests(SynchronousTestCase):
    """
    Clients that take their time.
    """

    plainPort = 0

    def impatient(self) -> Aero:
        """
        A server that these tests share. It gives clients a second, and two for what needs more
        than one packet.
        """
        cls = type(self)
        cls.plainPort = cls.plainPort or freePort()
        return shared(
            "edge",
            "--http-port",
            str(cls.plainPort),
            AERO_HTTP_HEADER_TIMEOUT_SECONDS="2",
            AERO_HTTP_BODY_TIMEOUT_SECONDS="1",
            AERO_HTTP_IDLE_TIMEOUT_SECONDS="1",
            AERO_HTTP_WRITE_TIMEOUT_SECONDS="1",
            AERO_TLS_HANDSHAKE_TIMEOUT_SECONDS="2",
            TCP_ALLOW_PRIVATE_IPS="1",
        )

    def test_slowHeads(self) -> None:
        """
        A hundred clients that send their headers byte by byte are told that they are too slow
        and disconnected, while others are served (E90).
        """
        server = self.impatient()
        before = counted(server, "aero_http_timeouts_total", kind="header")
        context = server.tlsContext("http/1.1")
        slow = []
        for _ in range(100):
            connection = Connection(server.port, tls=context)
            self.addCleanup(connection.close)
            connection.send(b"GET / HTTP/1.1\r\nX: ")
            slow.append(connection)
        open = {connection.socket: connection for connection in slow}
        answers: dict[socket.socket | DuplexTLS, bytes] = dict.fromkeys(open, b"")
        deadline = time.monotonic() + PATIENCE
        while open:
            self.assertLess(time.monotonic(), deadline, f"{len(open)} are still connected")
            self.assertEqual(request(server, "GET", "/healthz").status, 200)
            for connection in open.values():
                try:
                    connection.send(b"y")
                except OSError:
                    continue
            ready, _, _ = select.select(list(open), [], [], 0.25)
            for one in ready:
                data = open[one].receive()
                answers[one] += data
                if not data:
                    del open[one]
        for answer in answers.values():
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        after = metric(server, "aero_http_timeouts_total", kind="header")
        self.assertEqual(after - before, 100)

    def test_slowHandshakes(self) -> None:
        """
        A client that connects and never finishes its TLS handshake is disconnected.
        """
        server = self.impatient()
        for data in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            with Connection(server.port) as connection:
                connection.send(data)
                self.assertTrue(connection.atEnd())
        self.assertEqual(counted(server, "aero_http_timeouts_total", kind="handshake"), 0)
        self.assertEqual(metric(server, "aero_tls_handshakes_total", outcome="timeout"), 2)

    def test_slowBodies(self) -> None:
        """
        A body that does not come ends with a 408, over HTTP/1.1 with or without a length.
        """
        server = self.impatient()
        for length in (b"Content-Length: 10\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"):
            with Connection.to(server) as connection:
                connection.send(b"POST /session HTTP/1.1\r\n" + HOST + length)
                self.assertEqual(connection.response().status, 408)
                self.assertTrue(connection.atEnd())
        self.assertEqual(metric(server, "aero_http_timeouts_total", kind="body"), 2)

    def test_idle(self) -> None:
        """
        A connection without requests ends without a word; a WebSocket is no such connection.
        """
        server = self.impatient()
        before = counted(server, "aero_http_timeouts_total", kind="idle")
        with (
            Target(echo) as target,
            WebSocket(server, tcpTarget("127.0.0.1", target.port)) as tunnel,
        ):
            with Connection.to(server) as connection:
                self.assertEqual(connection.request("GET", "/healthz").status, 200)
                self.assertTrue(connection.atEnd())
            after = metric(server, "aero_http_timeouts_total", kind="idle")
            self.assertEqual(after - before, 1)
            tunnel.send(b"still", PING)
            self.assertEqual(tunnel.receive(), (PONG, b"still"))

    def test_silent(self) -> None:
        """
        A client that connects and says nothing at all is disconnected as well, on every
        listener and with either protocol.
        """
        server = self.impatient()
        http1 = Connection.to(server)
        http2 = Connection(server.port, tls=server.tlsContext("h2"))
        redirect = Connection(self.plainPort)
        for connection in (http1, http2, redirect):
            self.addCleanup(connection.close)
        self.assertTrue(http1.atEnd())
        self.assertTrue(redirect.atEnd())
        while http2.receive():
            continue
        self.assertEqual(request(server, "GET", "/healthz").status, 200)

    def test_deaf(self) -> None:
        """
        A client that asks and never reads the answer is disconnected.
        """
        server = self.impatient()
        with Connection.to(server) as connection:
            one = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
            connection.socket.settimeout(0.5)
            try:
                while True:
                    connection.send(one * 100)
            except OSError:
                connection.socket.settimeout(PATIENCE)
            waitUntil(
                lambda: counted(server, "aero_http_timeouts_total", kind="write") == 1,
                "the write timeout",
            )
            waitUntil(
                lambda: metric(server, "aero_http_connections", listener="https") == 1,
                "only the scraper is left",
            )


class GreedyTests(SynchronousTestCase):
    """
    Clients that want more than their share.
    """

    def test_connectionsPerAddress(self) -> None:
        """
        One address gets so many connections and no more, open WebSockets counted, and a
        connection that ends makes room.
        """
        server = Aero(
            *gatewayOptions(), AERO_HTTP_MAX_CONNECTIONS_PER_IP="3", TCP_ALLOW_PRIVATE_IPS="1"
        )
        self.addCleanup(server.kill)
        with Target(echo) as target:
            tunnel = WebSocket(server, tcpTarget("127.0.0.1", target.port))
            self.addCleanup(tunnel.connection.close)
            self.assertTrue(tunnel.accepted)
            held = []
            for _ in range(2):
                connection = self._admitted(server)
                self.addCleanup(connection.close)
                held.append(connection)
            with Connection.to(server) as connection:
                self.assertTrue(connection.atEnd())
            self.assertEqual(held[0].request("GET", "/healthz").status, 200)
            held.pop().close()
            with self._admitted(server) as connection:
                body = connection.request("GET", "/metrics").body
            self.assertRegex(
                body, rb'aero_http_connections_refused_total\{reason="address"\} [1-9]'
            )
            tunnel.send(b"still")
            self.assertEqual(tunnel.receiveBytes(5), b"still")

    def test_connectionsInAll(self) -> None:
        """
        There is a limit over all clients too.
        """
        server = Aero(*gatewayOptions(), AERO_HTTP_MAX_CONNECTIONS="2")
        self.addCleanup(server.kill)
        first, second = self._admitted(server), self._admitted(server)
        with Connection.to(server) as connection:
            self.assertTrue(connection.atEnd())
        second.close()
        with self._admitted(server) as connection:
            self.assertEqual(connection.request("GET", "/healthz").status, 200)
        first.close()

    def _admitted(self, server: Aero) -> Connection:
        """
        A connection that was answered; one that has just ended may take a moment to be
        forgotten.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            connection = Connection.to(server)
            try:
                if connection.request("GET", "/healthz").status == 200:
                    return connection
            except (AssertionError, OSError):
                connection.close()
        raise AssertionError("there is no room")

    def test_limitsOfRequests(self) -> None:
        """
        The operator's limits of headers and targets hold to the byte (E91).
        """
        server = Aero(
            *edgeOptions(),
            AERO_HTTP_MAX_HEADERS="20",
            AERO_HTTP_MAX_HEADER_BYTES="2000",
            AERO_HTTP_MAX_TARGET_LENGTH="100",
        )
        self.addCleanup(server.kill)

        def ask(target: str, *headers: tuple[str, str]) -> Response:
            response = request(server, "GET", target, *headers, host="localhost")
            self.assertEqual(problems(response), [])
            return response

        self.assertEqual(ask("/" + "a" * 99).status, 200)
        self.assertEqual(ask("/" + "a" * 100).status, 414)
        self.assertEqual(ask("/healthz", *[("X", "y")] * 19).status, 200)
        self.assertEqual(ask("/healthz", *[("X", "y")] * 20).status, 431)
        room = 2000 - len("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n")
        self.assertEqual(ask("/healthz", ("X", "y" * room)).status, 200)
        self.assertEqual(ask("/healthz", ("X", "y" * (room + 1))).status, 431)
        for reason in ("target", "header-count", "header-bytes"):
            self.assertEqual(metric(server, "aero_http_refused_total", reason=reason), 1, reason)


#: Requests that two servers in a row could read differently, and what becomes of each.
SMUGGLED: tuple[tuple[str, bytes, int], ...] = (
    ("two lengths", b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
    ("equal lengths", b"Content-Length: 4\r\nContent-Length: 4\r\n\r\n", 400),
    ("list of lengths", b"Content-Length: 4, 4\r\n\r\n", 400),
    ("signed length", b"Content-Length: +4\r\n\r\n", 400),
    ("negative length", b"Content-Length: -4\r\n\r\n", 400),
    ("hexadecimal length", b"Content-Length: 0x4\r\n\r\n", 400),
    ("underscored length", b"Content-Length: 1_0\r\n\r\n", 400),
    ("empty length", b"Content-Length: \r\n\r\n", 400),
    ("huge length", b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    ("length and coding", b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("coding and length", b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    ("two codings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    ("coding list", b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("unknown coding", b"Transfer-Encoding: xchunked\r\n\r\n", 501),
    ("quoted coding", b'Transfer-Encoding: "chunked"\r\n\r\n', 501),
    ("identity", b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("vertical tab", b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    ("space before colon", b"Transfer-Encoding : chunked\r\n\r\n", 400),
    ("folded line", b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
    ("leading space", b" Transfer-Encoding: chunked\r\n\r\n", 400),
    ("bare line feed", b"X: y\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("bare carriage return", b"X: y\rTransfer-Encoding: chunked\r\n\r\n", 400),
    ("NUL in value", b"X: y\0z\r\n\r\n", 400),
    ("NUL in name", b"X\0: y\r\n\r\n", 400),
    ("no name", b": y\r\n\r\n", 400),
    ("signed chunk", b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", 400),
    ("prefixed chunk", b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
    ("huge chunk", b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 17 + b"\r\n{}\r\n", 400),
    ("long chunk", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n", 400),
    ("chunk with a bare line feed", b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", 400),
    ("bad trailer", b"Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", 400),
    ("second host", HOST + b"\r\n", 400),
)


class SmugglingTests(SynchronousTestCase):
    """
    Whatever could be read in two ways is read in none.
    """

    def responses(self, server: Aero, data: bytes) -> list[Response]:
        """
        Send bytes and read every response up to the end of the connection.
        """
        found = []
        with Connection.to(server) as connection:
            connection.send(data)
            while True:
                try:
                    found.append(connection.response())
                except (AssertionError, OSError):
                    return found

    def test_refused(self) -> None:
        """
        Each is refused once, what follows is not answered, and the connection ends (E92).
        """
        server = Aero(*gatewayOptions())
        self.addCleanup(server.kill)
        second = b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n"
        for name, rest, status in SMUGGLED:
            data = b"POST /session HTTP/1.1\r\n" + HOST + rest + second
            found = self.responses(server, data)
            self.assertEqual([one.status for one in found], [status], name)
            self.assertEqual(found[0].one("Connection"), "close", name)
        framing = counted(server, "aero_http_refused_total", reason="framing")
        syntax = counted(server, "aero_http_refused_total", reason="syntax")
        host = counted(server, "aero_http_refused_total", reason="host")
        self.assertEqual(framing + syntax + host, len(SMUGGLED))

    def test_oldVersion(self) -> None:
        """
        HTTP/1.0 knows no chunks, and gets one answer for a connection.
        """
        server = shared("gateway")
        second = b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n"
        found = self.responses(
            server,
            b"POST /session HTTP/1.0\r\n"
            + HOST
            + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            + second,
        )
        self.assertEqual([one.status for one in found], [400])
        found = self.responses(server, b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n" + second)
        self.assertEqual([one.status for one in found], [200])

    def test_bodyIsNoRequest(self) -> None:
        """
        A request inside a body is a body, and the request behind it is answered in its turn.
        """
        inner = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
        last = b"GET /version HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        for framed in (
            b"Content-Length: %d\r\n\r\n%b" % (len(inner), inner),
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner),
        ):
            data = b"DELETE /healthz HTTP/1.1\r\n" + HOST + framed + last
            found = self.responses(shared("gateway"), data)
            self.assertEqual([one.status for one in found], [405, 200])
            self.assertIn("version", found[1].json())

    def test_pipelined(self) -> None:
        """
        Requests sent all at once are answered in their order.
        """
        paths = [b"/healthz", b"/nothing", b"/version", b"/healthz"] * 25
        data = b"".join(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST) for path in paths)
        data += b"GET /readyz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        found = self.responses(shared("gateway"), data)
        self.assertEqual([one.status for one in found], [200, 404, 200, 200] * 25 + [200])
        self.assertEqual(found[0].json(), {"ok": True})

    def test_upgradeWithBody(self) -> None:
        """
        What follows a refused WebSocket handshake is not taken for a request.
        """
        inner = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
        found = self.responses(
            shared("gateway"),
            b"GET /tcp?v=1&host=a&port=1 HTTP/1.1\r\n"
            + HOST
            + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + inner,
        )
        self.assertEqual([one.status for one in found], [401])

    def test_hosts(self) -> None:
        """
        At the edge the Host has to be there once, be a host, and be ours, in any spelling of
        ours (E92).
        """
        server = shared("edge")
        for lines, status in (
            (b"", 400),
            (b"Host: localhost\r\nHost: localhost\r\n", 400),
            (b"Host: \r\n", 400),
            (b"Host: local host\r\n", 400),
            (b"Host: localhost/x\r\n", 400),
            (b"Host: user@localhost\r\n", 400),
            (b"Host: localhost, localhost\r\n", 400),
            (b"Host: evil.example\r\n", 421),
            (b"Host: localhost.evil.example\r\n", 421),
            (b"Host: LOCALHOST\r\n", 200),
            (b"Host: localhost:9999\r\n", 200),
            (b"Host: 127.0.0.1\r\n", 200),
            (b"Host: [::1]:8443\r\n", 200),
        ):
            with Connection.to(server) as connection:
                connection.send(b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n")
                response = connection.response()
            self.assertEqual((response.status, problems(response)), (status, []), lines)
        with Connection.to(server) as connection:
            connection.send(b"GET https://evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(connection.response().status, 400)
        with Connection.to(server) as connection:
            connection.send(b"GET https://localhost/healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(connection.response().status, 200)


class MetricsTests(SynchronousTestCase):
    """
    Who may read the metrics of a public site (E95).
    """

    def public(self, **variables: str) -> Aero:
        options = ("--domain", "example.test", "--tls", "internal", "--bind", "127.0.0.1")
        return shared("edge", *options, **variables)

    def ask(self, server: Aero, *headers: tuple[str, str]) -> Response:
        """
        Get the metrics.
        """
        context: ssl.SSLContext = server.tlsContext("http/1.1")
        with Connection(server.port, tls=context, serverName="example.test") as connection:
            response = connection.request("GET", "/metrics", *headers, host="example.test")
        self.assertEqual(problems(response), [])
        return response

    def test_withoutToken(self) -> None:
        """
        Without a token only this machine gets them, and a proxy on it does not count.
        """
        server = self.public()
        self.assertEqual(self.ask(server).status, 200)
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            response = self.ask(server, (name, "192.0.2.1"))
            self.assertEqual(response.status, 403, name)
            self.assertNotIn(b"aero_", response.body)

    def test_withToken(self) -> None:
        """
        With a token whoever has it gets them.
        """
        server = self.public(AERO_METRICS_TOKEN="the token")
        far = ("X-Forwarded-For", "192.0.2.1")
        response = self.ask(server, far, ("Authorization", "Bearer the token"))
        self.assertEqual(response.status, 200)
        self.assertTrue(response.one("Content-Type").startswith("text/plain; version=0.0.4"))
        self.assertIn(b"# HELP aero_http_connections ", response.body)
        for headers in (
            (),
            (("Authorization", "Bearer wrong"),),
            (("Authorization", "Bearer "),),
            (("Authorization", "Basic the token"),),
            (("Authorization", "Bearer the token"), ("Authorization", "Bearer the token")),
        ):
            response = self.ask(server, far, *headers)
            self.assertEqual(response.status, 401, headers)
            self.assertIn("Bearer", response.one("WWW-Authenticate"))
            self.assertNotIn(b"aero_http", response.body)
        self.assertNotIn("the token", "\n".join(server.log))
