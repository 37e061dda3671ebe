"""
C{/tcp} over real sockets (gateway.md sections 10, 11.4 and 12).
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import time
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request, sessionCookie
from .support.rigs import PROXIED, SMALL, STRICT
from .support.server import Aero
from .support.targets import (
    Filtered,
    Recorder,
    Source,
    Target,
    banner,
    echo,
    refusedPort,
)
from .support.tools import missing
from .support.tunnels import Tunnelled
from .support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WebSocket,
    frame,
    tcpTarget,
)


class _TunnelTests(Tunnelled):
    """
    Bytes through a tunnel, and every way it can end.
    """

    def refusal(self, target: str, settings: dict[str, str] | None = None) -> tuple[int, str]:
        """
        The status and text of a refused upgrade.
        """
        with WebSocket(self.server(settings), target) as refused:
            return refused.response.status, refused.response.body.decode()

    # -- bytes

    def test_echo(self) -> None:
        """
        Host and port name the target, and bytes go both ways (A110).
        """
        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(echo)).port))
        data = os.urandom(200_000)
        for size in (1, 125, 126, 65_535, 65_536, 69_000):
            tunnel.send(data[:size])
            self.assertEqual(tunnel.receiveBytes(size), data[:size])

    def test_targetParameter(self) -> None:
        """
        One C{target} parameter also names it, and wins over host and port (A111).
        """
        port = self.target(Target(echo)).port
        for form in (f"target=127.0.0.1:{port}&host=10.0.0.1&port=1", f"v=1&target=127.1:{port}"):
            tunnel = self.tunnel("/tcp?" + form)
            tunnel.send(b"hello")
            self.assertEqual(tunnel.receiveBytes(5), b"hello")

    def test_ipv6(self) -> None:
        """
        IPv6 literals work bare as a host and bracketed in both forms (A117).
        """
        try:
            port = self.target(Target(echo, "::1")).port
        except OSError:
            missing("this machine has no IPv6 on loopback")
        for query in (f"host=::1&port={port}", f"host=[::1]&port={port}", f"target=[::1]:{port}"):
            tunnel = self.tunnel("/tcp?" + query)
            tunnel.send(b"six")
            self.assertEqual(tunnel.receiveBytes(3), b"six")

    def test_name(self) -> None:
        """
        A name is looked up, and an address that refuses does not hide one that accepts.
        """
        tunnel = self.tunnel(tcpTarget("localhost", self.target(Target(echo)).port))
        tunnel.send(b"by name")
        self.assertEqual(tunnel.receiveBytes(7), b"by name")

    def test_serverFirst(self) -> None:
        """
        A target that speaks first is heard before the client says anything.
        """
        port = self.target(Target(banner(b"220 mail.example.com ESMTP\r\n"))).port
        tunnel = self.tunnel(tcpTarget("127.0.0.1", port))
        self.assertEqual(tunnel.receiveBytes(28), b"220 mail.example.com ESMTP\r\n")
        tunnel.send(b"EHLO\r\n")
        self.assertEqual(tunnel.receiveBytes(6), b"EHLO\r\n")

    def test_dataWithHandshake(self) -> None:
        """
        Frames that come in the same segment as the handshake are not lost.
        """
        recorder = Recorder()
        first = frame(b"early ") + frame(b"bird") + frame(b"\x03\xe8", CLOSE)
        target = tcpTarget("127.0.0.1", self.target(Target(recorder)).port)
        tunnel = WebSocket(self.server(), target, first=first)
        self.addCleanup(tunnel.connection.close)
        self.assertTrue(tunnel.accepted)
        self.assertEqual(tunnel.closeCode(), (1000, ""))
        self.assertEqual(recorder.wait(), (10, hashlib.sha256(b"early bird").hexdigest(), "closed"))

    # -- the ends

    def test_clientCloses(self) -> None:
        """
        What a client sent before it closed reaches the target whole, then the end of the
        stream; the close comes back as it was (A99).
        """
        recorder = Recorder()
        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(recorder)).port))
        data = os.urandom(1_000_000)
        for at in range(0, len(data), 250_000):
            tunnel.send(data[at : at + 250_000])
        tunnel.send(b"\x03\xe8done", CLOSE)
        self.assertEqual(tunnel.closeCode(), (1000, "done"))
        self.assertTrue(tunnel.connection.atEnd())
        self.assertEqual(recorder.wait(), (len(data), hashlib.sha256(data).hexdigest(), "closed"))

    def test_clientVanishes(self) -> None:
        """
        The target of a client that vanishes gets what the client sent, and then the end.
        """
        recorder = Recorder()
        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(recorder)).port))
        tunnel.send(b"hello")
        tunnel.connection.close()
        digest = hashlib.sha256(b"hello").hexdigest()
        self.assertEqual(recorder.wait(), (5, digest, "closed"))

    def test_clientResets(self) -> None:
        """
        A client that sends something and breaks the connection at once is gone at once.
        """
        recorder = Recorder()
        target = tcpTarget("127.0.0.1", self.target(Target(recorder)).port)
        for _ in range(5):
            tunnel = self.tunnel(target)
            tunnel.send(b"hello")
            tunnel.connection.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            tunnel.connection.close()
        for _ in range(5):
            recorder.wait(patience=10)

    def test_targetCloses(self) -> None:
        """
        A target that closes after three megabytes loses none of them, however slowly the
        client reads, and then the close code is 1000.
        """
        source = Source(3_000_000)
        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(source)).port))
        tunnel.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        received = tunnel.receiveBytes(10_000)
        source.settled(0.2)
        while len(received) < source.size:
            opcode, payload = tunnel.receive()
            self.assertEqual(opcode, BINARY)
            received += payload
        self.assertEqual(received, source.expected())
        self.assertEqual(tunnel.closeCode(), (1000, "target closed"))

    def test_targetResets(self) -> None:
        """
        A target that breaks the connection is told apart from one that closes it.
        """

        def reset(connection: socket.socket) -> None:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        tunnel = self.tunnel(tcpTarget("127.0.0.1", self.target(Target(reset)).port))
        tunnel.send(b"x")
        self.assertEqual(tunnel.closeCode(), (1014, "target reset"))

    def test_refused(self) -> None:
        """
        A target that refuses closes the tunnel and says so.
        """
        tunnel = self.tunnel(tcpTarget("127.0.0.1", refusedPort()))
        self.assertEqual(tunnel.closeCode(), (1014, "connection refused"))

    def test_filtered(self) -> None:
        """
        A target that never answers closes the tunnel after the connect timeout.
        """
        with Filtered() as target:
            cookie = self.proxiedCookie()
            tunnel = self.tunnel(tcpTarget("127.0.0.1", target.port), PROXIED, cookie)
            self.assertEqual(tunnel.closeCode(), (1014, "connect timeout"))

    def test_idle(self) -> None:
        """
        A tunnel through which nothing comes is closed; pings do not count.
        """
        port = self.target(Target(echo)).port
        tunnel = self.tunnel(tcpTarget("127.0.0.1", port), PROXIED, self.proxiedCookie())
        tunnel.send(b"x")
        tunnel.send(b"", PING)
        self.assertEqual(tunnel.closeCode(), (1001, "idle timeout"))

    def proxiedCookie(self) -> str:
        """
        A session of the server that limits each client address to one request.
        """
        response = request(self.server(PROXIED), "POST", "/session", self.newClient())
        self.assertEqual(response.status, 201)
        return response.one("Set-Cookie").partition(";")[0]

    # -- refusals before the tunnel

    def test_unresolvable(self) -> None:
        """
        A name that does not exist is a 502 (gateway.md 11.4 row 11).
        """
        self.assertEqual(
            self.refusal(tcpTarget("nonexistent.invalid", 80)), (502, "DNS lookup failed\n")
        )

    def test_policy(self) -> None:
        """
        Every row of the egress policy answers with its own status and text, in order
        (gateway.md 11.4, A115, A120, A126, A129).
        """
        notPublic = (403, "Target IP is not allowed by IP egress policy\n")
        notListed = (403, "Target host not allowed\n")
        port = (403, "Target port not allowed\n")
        for host, number, expected in (
            ("www.example.com", 25, port),
            ("other.example", 81, port),
            ("a_b", 80, (400, "Invalid target host\n")),
            ("other.example", 80, notListed),
            ("example.com", 443, notListed),
            ("badexample.com", 443, notListed),
            ("BLOCKED.example.com.", 443, (403, "Target is blocked\n")),
            ("8.8.8.8", 443, (403, "Target is blocked\n")),
            ("010.8.8.8", 443, (403, "Target is blocked\n")),  # in octal
            ("127.0.0.1", 80, notPublic),
            ("0x7f.1", 80, notPublic),
            ("2130706433", 80, notPublic),
            ("10.1.2.3", 80, notPublic),
            ("name.invalid", 80, (502, "DNS lookup failed\n")),
        ):
            self.assertEqual(self.refusal(tcpTarget(host, number), STRICT), expected, host)

    def test_badTargets(self) -> None:
        """
        A query that names no target says what is wrong with it (A114, A117).
        """
        for query, message in (
            ("v=2&host=127.0.0.1&port=1", "Unsupported TCP proxy protocol version"),
            ("v=01&host=127.0.0.1&port=1", "Unsupported TCP proxy protocol version"),
            ("v=1&port=80", "Missing required query parameter: host"),
            ("v=1&host=127.0.0.1", "Missing required query parameter: port"),
            ("host=&port=80", "Host must not be empty"),
            ("host=[]&port=80", "Invalid host: empty bracketed host"),
            ("host=[::1&port=80", "Invalid host: mismatched brackets"),
            ("host=127.0.0.1&port=0", "Invalid port"),
            ("host=127.0.0.1&port=65536", "Invalid port"),
            ("host=127.0.0.1&port=%2B80", "Invalid port"),
            ("host=" + "a" * 1025 + "&port=80", "Invalid host: too long"),
            ("target=", "Query parameter target must not be empty"),
            ("target=127.0.0.1", "Invalid target: missing port separator"),
            ("target=:80", "Invalid target: expected <host>:<port>"),
            (
                "target=::1:80",
                "Invalid target: IPv6 literals must use bracket form, e.g. [::1]:443",
            ),
            ("target=[::1", "Invalid target: missing closing bracket for IPv6 literal"),
            ("target=[]:80", "Invalid target: empty IPv6 literal"),
            ("target=[::1]80", "Invalid target: missing port separator"),
            ("target=a]b:80", "Invalid target: unexpected bracket in host"),
            ("host=a_b&port=80", "Invalid host"),
        ):
            self.assertEqual(self.refusal("/tcp?" + query), (400, message + "\n"), query)

    def test_anyQuery(self) -> None:
        """
        Whatever a query holds, the answer is one of the documented statuses (A118).
        """
        server = self.server(STRICT)
        cookie = sessionCookie(server)
        chance = random.Random(118)
        pieces = ["host=", "port=", "target=", "v=1", "&", "=", "%00", "%zz", "[", "]", ":", "::1"]
        pieces += ["80", "127.0.0.1", "+", "%ff", ";", "?", "\u00fc", "example.com", "-", "65536"]
        for _ in range(60):
            query = "".join(chance.choices(pieces, k=chance.randrange(12)))
            with WebSocket(server, "/tcp?" + query, cookie=cookie) as socket:
                self.assertIn(socket.response.status, (400, 403, 502), query)
        self.assertAlive(server)

    # -- quotas

    def test_sessionQuota(self) -> None:
        """
        A session has so many tunnels; one more is a 429 until one of them ends (A83).
        """
        server = self.server()
        target = tcpTarget("127.0.0.1", self.target(Target(echo)).port)
        cookie = sessionCookie(server)
        tunnels = [self.tunnel(target, cookie=cookie) for _ in range(3)]
        with WebSocket(server, target, cookie=cookie) as refused:
            self.assertEqual(refused.response.status, 429)
            self.assertEqual(refused.response.body, b"Too many concurrent connections\n")
            self.assertEqual(refused.response.one("Retry-After"), "1")
        self.tunnel(target)  # another session is not concerned
        tunnels[0].send(b"\x03\xe8", CLOSE)
        self.assertEqual(tunnels[0].closeCode(), (1000, ""))
        tunnels[0].connection.close()
        self.assertOpensSoon(server, target, cookie)
        tunnels[1].connection.close()
        self.assertOpensSoon(server, target, cookie)

    def test_addressQuota(self) -> None:
        """
        A client address has so many tunnels, over all its sessions.
        """
        server = self.server(SMALL)
        target = tcpTarget("127.0.0.1", self.target(Target(echo)).port)
        tunnels = [self.tunnel(target, SMALL) for _ in range(3)]
        self.assertEqual(self.refusal(target, SMALL), (429, "Too many concurrent connections\n"))
        for tunnel in tunnels:
            tunnel.send(b"\x03\xe8", CLOSE)
            tunnel.closeCode()
            tunnel.connection.close()
        self.assertOpensSoon(server, target, sessionCookie(server))

    def assertOpensSoon(self, server: Aero, target: str, cookie: str) -> None:
        """
        A slot becomes free, and is free again after this.
        """
        deadline = time.monotonic() + 10
        while True:
            with WebSocket(server, target, cookie=cookie) as tunnel:
                if tunnel.accepted:
                    tunnel.send(b"\x03\xe8", CLOSE)
                    tunnel.closeCode()
                    return
                self.assertEqual(tunnel.response.status, 429)
            self.assertLess(time.monotonic(), deadline, "no slot became free")

    # -- framing

    def assertCloses(
        self, code: int, *frames: bytes, settings: dict[str, str] | None = None
    ) -> None:
        """
        These frames close the tunnel with this code, and nothing of them reaches the target.
        """
        recorder = Recorder()
        with Target(recorder) as target:
            tunnel = self.tunnel(tcpTarget("127.0.0.1", target.port), settings)
            tunnel.connection.send(b"".join(frames))
            self.assertEqual(tunnel.closeCode()[0], code, frames[0][:10].hex())
            self.assertTrue(tunnel.connection.atEnd())
            tunnel.connection.close()
            self.assertEqual(recorder.wait()[0], 0)

    def test_text(self) -> None:
        """
        Text is refused with 1003 and never forwarded (A112).
        """
        self.assertCloses(1003, frame(b"text", TEXT), frame(b"after"))
        self.assertCloses(1003, frame(b"te", TEXT, final=False), frame(b"xt", CONTINUATION))

    def test_tooLong(self) -> None:
        """
        A message that is too long, in one frame or in many, is refused with 1009 before its
        payload is there (A100).
        """
        self.assertCloses(1009, frame(bytes(300_001))[:14], settings=SMALL)
        self.assertCloses(
            1009,
            frame(b"", final=False),
            frame(bytes(300_001), CONTINUATION)[:14],
            settings=SMALL,
        )
        self.assertCloses(1009, frame(bytes(1_048_577))[:14])

    def test_fragmentsTooLong(self) -> None:
        """
        Fragments that are too long together are refused with 1009 (A100).
        """
        port = self.target(Target(echo)).port
        tunnel = self.tunnel(tcpTarget("127.0.0.1", port), SMALL)
        tunnel.send(bytes(160_000), final=False)
        tunnel.send(bytes(140_001), CONTINUATION)
        self.assertEqual(tunnel.closeCode()[0], 1009)

    def test_brokenFrames(self) -> None:
        """
        Every broken rule of framing is a 1002 (A97, A98, A101, A102).
        """
        for broken in (
            frame(b"x", rsv=4),
            frame(b"x", rsv=1),
            frame(b"x", masked=False),
            frame(b"x", PING, final=False),
            frame(bytes(126), PING),
            frame(b"x", CONTINUATION),
            frame(b"", final=False) + frame(b"x"),
            frame(b"x", 3),
            frame(b"x", 11),
            b"\x82\xff\x80\0\0\0\0\0\0\0",
            b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ):
            self.assertCloses(1002, broken, frame(b"after"))

    def test_fragments(self) -> None:
        """
        A message in fragments, cut anywhere, with a ping between them, is one stream, and the
        ping is answered at once (A95, A96).
        """
        port = self.target(Target(echo)).port
        tunnel = self.tunnel(tcpTarget("127.0.0.1", port))
        first = frame(b"hello", final=False)
        tunnel.connection.send(first[:3])
        tunnel.connection.send(first[3:] + frame(b"\1\2\3", PING))
        got = [tunnel.receive(), tunnel.receive()]
        self.assertIn((PONG, b"\1\2\3"), got)
        self.assertIn((BINARY, b"hello"), got)
        tunnel.send(b"world", CONTINUATION)
        self.assertEqual(tunnel.receiveBytes(5), b"world")

    def test_closeEchoed(self) -> None:
        """
        A close frame comes back byte for byte, an empty one empty (A99).
        """
        port = self.target(Target(echo)).port
        for payload in (b"\x03\xe8", b"", b"\x0f\xa0why", b"\x03\xe9"):
            tunnel = self.tunnel(tcpTarget("127.0.0.1", port))
            tunnel.send(payload, CLOSE)
            self.assertEqual(tunnel.receive(), (CLOSE, payload))
            self.assertTrue(tunnel.connection.atEnd())

    def test_garbage(self) -> None:
        """
        Frames with any of their bytes changed, cut or repeated keep the process alive, and a
        tunnel beside them works.
        """
        server = self.server()
        chance = random.Random(1902)
        target = tcpTarget("127.0.0.1", self.target(Target(echo)).port)
        beside = self.tunnel(target)
        good = [frame(b"data"), frame(b"\1", PING), frame(bytes(300)), frame(b"\x03\xe8", CLOSE)]
        good += [frame(b"t", TEXT), frame(b"x", final=False), frame(b"y", CONTINUATION)]
        for _ in range(40):
            data = bytearray(b"".join(chance.choices(good, k=6)))
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            del data[chance.randrange(1, len(data)) :]
            tunnel = WebSocket(server, target)
            try:
                tunnel.connection.send(bytes(data))
                tunnel.connection.socket.settimeout(0.01)
                while tunnel.connection.receive():
                    pass
            except OSError:
                pass  # it may close whenever it likes
            tunnel.connection.close()
        beside.send(b"still here")
        self.assertEqual(beside.receiveBytes(10), b"still here")
        self.assertAlive(server)

    # -- what ended the reference

    def test_resetWhileResolving(self) -> None:
        """
        A client that breaks the connection while its target is looked up or connected to ends
        nothing but its own tunnel (19.1 C3).
        """
        server = self.server()
        cookie = sessionCookie(server)
        before = server.descriptors()
        with Filtered() as filtered:
            for host, port in [("nonexistent.invalid", 80), ("127.0.0.1", filtered.port)] * 15:
                connection = socket.create_connection(("127.0.0.1", server.port), 10)
                if self.kind == "edge":
                    connection = server.tlsContext("http/1.1").wrap_socket(
                        connection, server_hostname="localhost"
                    )
                connection.sendall(
                    (
                        f"GET /tcp?v=1&host={quote(host)}&port={port} HTTP/1.1\r\n"
                        f"Host: localhost:{server.port}\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        f"Cookie: {cookie}\r\n\r\n"
                    ).encode()
                )
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
        deadline = time.monotonic() + 20
        while server.descriptors() > before:
            self.assertLess(time.monotonic(), deadline, "connections that are gone are kept")
            time.sleep(0.05)
        self.assertAlive(server)
        target = tcpTarget("127.0.0.1", self.target(Target(echo)).port)
        self.assertOpensSoon(server, target, cookie)


class GatewayTunnelTests(_TunnelTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeTunnelTests(_TunnelTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
