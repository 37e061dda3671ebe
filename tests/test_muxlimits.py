"""
C{/tcp-mux} over real sockets (gateway.md sections 13.3, 13.4 and 13.6): what is refused to a
stream, and what ends the WebSocket.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time

from twisted.trial.unittest import SynchronousTestCase

from .support.http import sessionCookie
from .support.mux import (
    DIAL_FAILED,
    MUX_PONG,
    OPEN,
    POLICY_DENIED,
    PROTOCOL_ERROR,
    RST,
    STREAM_LIMIT,
    UNKNOWN_STREAM,
    Frame,
    closeFrame,
    dataFrame,
    openFrame,
    pingFrame,
)
from .support.muxrig import LIMITED, LOCAL, MANY, MuxRigged
from .support.rigs import STRICT, USUAL
from .support.targets import Recorder, echo
from .support.websocket import CLOSE as WS_CLOSE
from .support.websocket import CONTINUATION, TEXT, WebSocket, frame, tcpTarget


class Counted:
    """
    A behaviour that echoes and remembers how often it was wanted.

    @ivar count: Connections so far.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, connection: socket.socket) -> None:
        self.count += 1
        echo(connection)


class _MuxLimitTests(MuxRigged):
    """
    Refused streams, limits, and what ends everything.
    """

    def assertOpensNothingAfter(self, settings: dict[str, str], code: int, start: bytes) -> None:
        """
        After the start of a segment, which is fatal, the OPENs that follow in the same one are
        not looked at. Connections to a target are accepted in order, so a later one shows that.
        """
        cookie = sessionCookie(self.server(settings))
        counted = Counted()
        port = self.target(counted)
        mux = self.mux(settings, cookie)
        mux.connection.send(
            start + b"".join(frame(openFrame(stream, LOCAL, port)) for stream in range(1, 65))
        )
        self.assertEqual(mux.closeCode()[0], code)
        after = self.mux(settings, cookie)
        after.send(openFrame(1, LOCAL, port))
        self.assertEcho(after, 1)
        self.assertEqual(counted.count, 1)

    # -- refused streams

    def test_policy(self) -> None:
        """
        A target that is not allowed is an ERROR on its stream and nothing else (A145, A147).
        """
        mux = self.mux(STRICT)
        rows = [
            (LOCAL, 0, PROTOCOL_ERROR, "Invalid target port"),
            (LOCAL, 22, POLICY_DENIED, "Target port not allowed"),
            ("a_b.example.com", 80, PROTOCOL_ERROR, "Invalid target host"),
            ("example.com", 80, POLICY_DENIED, "Target host not allowed"),
            ("blocked.example.com", 443, POLICY_DENIED, "Target is blocked"),
            ("134744072", 443, POLICY_DENIED, "Target is blocked"),
            ("10.1.2.3", 80, POLICY_DENIED, "Target IP is not allowed by IP egress policy"),
            ("nothing.invalid", 80, DIAL_FAILED, "dial failed"),
        ]
        mux.send(b"".join(openFrame(n, row[0], row[1]) for n, row in enumerate(rows, 1)))
        for stream, (_, _, code, message) in enumerate(rows, 1):
            self.assertError(mux, stream, code, message)
        self.assertQuiet(mux)

    def test_invalidHost(self) -> None:
        """
        Something that is neither a name nor an address is not looked up.
        """
        mux = self.mux()
        mux.send(openFrame(1, "under_score.example", 80))
        self.assertError(mux, 1, PROTOCOL_ERROR, "Invalid host")

    def test_malformedOpen(self) -> None:
        """
        An OPEN that breaks the format opens nothing (A150).
        """
        mux = self.mux()
        good = openFrame(1, LOCAL, 80)[9:]
        payloads = [good[:size] for size in range(len(good))]
        payloads += [good + b"\0", b"\0\0\0\x50\0\0"]
        payloads += [openFrame(1, "x" * 1_025, 80)[9:], openFrame(1, LOCAL, 80, b"m" * 4_097)[9:]]
        payloads += [openFrame(1, LOCAL, 80, b"\xff")[9:]]
        for host in (b"a b", b"\xc0\xaf", b"a\0b", b"a\tb", "a\u2003b".encode(), b"a\x7f"):
            payloads.append(openFrame(1, host, 80)[9:])
        mux.send(
            b"".join(Frame(OPEN, n, payload).encode() for n, payload in enumerate(payloads, 1))
        )
        for stream, payload in enumerate(payloads, 1):
            found = mux.of(stream).error()
            self.assertEqual(found, (PROTOCOL_ERROR, "Invalid OPEN payload"), repr(payload))
        self.assertQuiet(mux)

    def test_orderOfChecks(self) -> None:
        """
        Ids come first, then the number of streams, then the payload, then the policy.
        """
        mux = self.mux(LIMITED)
        port = self.target(echo)
        bad = Frame(OPEN, 3, b"?").encode()
        mux.send(Frame(OPEN, 0, b"?").encode() + bad + openFrame(3, LOCAL, 0))
        self.assertError(mux, 0, PROTOCOL_ERROR, "stream_id=0 is reserved")
        self.assertError(mux, 3, PROTOCOL_ERROR, "Invalid OPEN payload")
        self.assertError(mux, 3, PROTOCOL_ERROR, "Invalid target port")
        mux.send(openFrame(1, LOCAL, port) + openFrame(2, LOCAL, port))
        mux.send(Frame(OPEN, 1, b"?").encode() + bad)
        self.assertError(mux, 1, PROTOCOL_ERROR, "stream_id already exists")
        self.assertError(mux, 3, STREAM_LIMIT, "max streams exceeded")
        self.assertEcho(mux, 1)
        self.assertEcho(mux, 2)

    def test_sessionLimit(self) -> None:
        """
        Streams and tunnels of a session count together, over all its WebSockets (A148).
        """
        server = self.server()
        cookie = sessionCookie(server)
        port = self.target(echo)
        first, second = self.mux(USUAL, cookie), self.mux(USUAL, cookie)
        first.send(openFrame(1, LOCAL, port) + openFrame(2, LOCAL, port))
        second.send(openFrame(1, LOCAL, port))
        for mux, stream in ((first, 1), (first, 2), (second, 1)):
            self.assertEcho(mux, stream)
        second.send(openFrame(2, LOCAL, port))
        self.assertError(second, 2, STREAM_LIMIT, "session max connections exceeded")
        with WebSocket(server, tcpTarget(LOCAL, port), cookie=cookie) as tunnel:
            self.assertEqual(tunnel.response.status, 429)
        first.send(closeFrame(1))
        self.assertEqual(first.untilEnd(1), b"")
        self.assertEcho(second, 1)
        second.send(openFrame(2, LOCAL, port))
        self.assertEcho(second, 2)

    def test_openAndReset(self) -> None:
        """
        Thousands of streams that are opened and dropped at once hold neither slots of the
        session nor connections.
        """
        server = self.server()
        cookie = sessionCookie(server)
        port = self.target(echo)
        mux = self.mux(USUAL, cookie)
        before = server.descriptors()
        for host in (LOCAL, "localhost", "nonexistent.invalid"):
            pair = openFrame(1, host, port) + closeFrame(1, RST)
            for _ in range(5):
                mux.send(pair * 200)
            mux.send(openFrame(2, LOCAL, port))
            self.assertEcho(mux, 2)
            mux.send(closeFrame(2, RST))
        self.assertQuiet(mux)
        deadline = time.monotonic() + 20
        while server.descriptors() > before:
            self.assertLess(time.monotonic(), deadline, "connections of nobody are kept")
            time.sleep(0.05)

    def test_unknownStream(self) -> None:
        """
        DATA for a stream that is not there, and a frame of no known type, are errors.
        """
        mux = self.mux()
        mux.send(dataFrame(7, b"?") + Frame(9, 8).encode() + Frame(0, 0, b"xyz").encode())
        self.assertError(mux, 7, UNKNOWN_STREAM, "unknown stream")
        self.assertError(mux, 8, PROTOCOL_ERROR, "Unknown msg_type 9")
        self.assertError(mux, 0, PROTOCOL_ERROR, "Unknown msg_type 0")
        self.assertQuiet(mux)

    # -- what ends the WebSocket

    def test_ping(self) -> None:
        """
        A PING comes back with its id and payload; PONG and ERROR are ignored (A154).
        """
        mux = self.mux()
        mux.send(pingFrame(b"\1\2\3\4") + pingFrame(b"", 5) + pingFrame(bytes(60_000), 0xFFFFFFFF))
        mux.send(Frame(MUX_PONG, 1, b"x").encode() + Frame(4, 1, b"x").encode())
        self.assertEqual(mux.next(), Frame(MUX_PONG, 0, b"\1\2\3\4"))
        self.assertEqual(mux.next(), Frame(MUX_PONG, 5))
        self.assertEqual(mux.next(), Frame(MUX_PONG, 0xFFFFFFFF, bytes(60_000)))
        self.assertQuiet(mux)

    def test_frameLimit(self) -> None:
        """
        A frame as long as allowed is fine; the head of a longer one is the end (A143).
        """
        mux = self.mux(LIMITED)
        mux.send(pingFrame(bytes(16)))
        self.assertEqual(mux.next(), Frame(MUX_PONG, 0, bytes(16)))
        mux.send(pingFrame(bytes(17))[:9])
        self.assertEqual(mux.closeCode()[0], 1002)
        self.assertTrue(mux.connection.atEnd())

    def test_webSocketRules(self) -> None:
        """
        Breaking the rules of WebSocket closes with the code that says so.
        """
        for data, code in (
            (frame(b"text", TEXT), 1003),
            (frame(b"x", masked=False), 1002),
            (frame(b"x", rsv=4), 1002),
            (frame(b"x", CONTINUATION), 1002),
            (frame(bytes(3_001)), 1009),
        ):
            mux = self.mux(LIMITED)
            mux.connection.send(data)
            self.assertEqual(mux.closeCode()[0], code)

    def test_nothingAfterText(self) -> None:
        """
        OPENs behind a text message open no connection (H3).
        """
        self.assertOpensNothingAfter(MANY, 1003, frame(b"hello", TEXT))

    def test_nothingAfterLongFrame(self) -> None:
        """
        OPENs behind a frame that is too long open no connection (H3).
        """
        head = pingFrame(bytes(17))
        self.assertOpensNothingAfter(LIMITED, 1002, frame(head + openFrame(1, LOCAL, 1)))

    def test_streamsEndWithWebSocket(self) -> None:
        """
        When the client closes in order its targets get all it sent; when it breaks off they are
        let go, and nothing is left over.
        """
        server = self.server(MANY)
        cookie = sessionCookie(server)
        before = server.descriptors()
        recorder = Recorder()
        port = self.target(recorder)
        mux = self.mux(MANY, cookie)
        data = os.urandom(300_000)
        mux.connection.send(
            frame(openFrame(1, LOCAL, port) + dataFrame(1, data)) + frame(b"\x03\xe8", WS_CLOSE)
        )
        self.assertEqual(mux.closeCode()[0], 1000)
        size, seen, _ = recorder.wait()
        self.assertEqual((size, seen), (len(data), hashlib.sha256(data).hexdigest()))
        broken = self.mux(MANY, cookie)
        broken.send(b"".join(openFrame(n, LOCAL, port) for n in range(1, 21)) + pingFrame())
        broken.next()
        broken.connection.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        broken.connection.close()
        deadline = time.monotonic() + 20
        while server.descriptors() > before:
            self.assertLess(time.monotonic(), deadline, "connections of nobody are kept")
            time.sleep(0.05)
        self.assertAlive(server)


class GatewayMuxLimitTests(_MuxLimitTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeMuxLimitTests(_MuxLimitTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
