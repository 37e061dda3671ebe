"""
C{/tcp-mux} over real sockets (gateway.md sections 13 and 18, A140 to A158).
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import socket
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.vectors import load

from .support.http import request, sessionCookie
from .support.mux import (
    CLOSE,
    DATA,
    DIAL_FAILED,
    FIN,
    MUX_PONG,
    OPEN,
    OVERFLOW,
    POLICY_DENIED,
    PROTOCOL_ERROR,
    RST,
    STREAM_LIMIT,
    SUBPROTOCOL,
    UNKNOWN_STREAM,
    Frame,
    Mux,
    closeFrame,
    dataFrame,
    openFrame,
    pingFrame,
    split,
)
from .support.rigs import STRICT, USUAL, Rigged
from .support.server import Aero
from .support.targets import Filtered, Recorder, Source, Target, banner, digest, echo, refusedPort
from .support.tools import missing
from .support.websocket import CLOSE as WS_CLOSE
from .support.websocket import CONTINUATION, TEXT, WebSocket, frame, tcpTarget

#: As many streams as a test may want.
MANY = USUAL | {"TCP_PROXY_MAX_CONNECTIONS": "400"}

#: Limits that are easily reached: frames of 16 bytes hold an OPEN of C{127.0.0.1}.
LIMITED = USUAL | {
    "TCP_PROXY_MAX_CONNECTIONS": "5",
    "TCP_MUX_MAX_STREAMS": "2",
    "TCP_MUX_MAX_FRAME_PAYLOAD_BYTES": "16",
    "TCP_PROXY_MAX_MESSAGE_BYTES": "3000",
}

#: Short timeouts, small queues.
TIMED = USUAL | {
    "TCP_MUX_MAX_STREAM_BUFFER_BYTES": "200000",
    "TCP_PROXY_CONNECT_TIMEOUT_MS": "300",
    "TCP_PROXY_IDLE_TIMEOUT_MS": "1500",
}

#: What one WebSocket may cost, over what the process has when idle.
MEMORY = 40 << 20

LOCAL = "127.0.0.1"


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


class _MuxTests(Rigged):
    """
    Streams, their ends, and what ends the WebSocket.
    """

    def mux(self, settings: dict[str, str] | None = None, cookie: str = "") -> Mux:
        """
        An open WebSocket, closed when the test ends.
        """
        mux = Mux(self.server(MANY if settings is None else settings), cookie=cookie)
        self.addCleanup(mux.connection.close)
        self.assertTrue(mux.accepted, str(mux.response))
        return mux

    def target(self, behaviour: Any, host: str = LOCAL) -> int:
        """
        The port of a target that is closed when the test ends.
        """
        target = Target(behaviour, host)
        self.addCleanup(target.__exit__)
        return target.port

    def assertError(self, mux: Mux, stream: int, code: int, message: str) -> None:
        """
        The next frame of a stream is this ERROR.
        """
        self.assertEqual(mux.of(stream).error(), (code, message))

    def assertQuiet(self, mux: Mux) -> None:
        """
        The WebSocket is alive, and nothing more was on its way.
        """
        mark = os.urandom(8)
        mux.send(pingFrame(mark, 77))
        self.assertEqual(mux.next(), Frame(MUX_PONG, 77, mark))

    def assertEcho(self, mux: Mux, stream: int, data: bytes = b"still here") -> None:
        """
        A stream that goes to an echo works.
        """
        mux.send(dataFrame(stream, data))
        self.assertEqual(mux.data(stream, len(data)), data)

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

    # -- the handshake

    def test_subprotocol(self) -> None:
        """
        The protocol is found among others, and the answer names it (A141, A142).
        """
        for lines in (
            [SUBPROTOCOL],
            [f"chat ,  {SUBPROTOCOL}\t, other"],
            ["one, two", f"{SUBPROTOCOL}"],
            [", ".join(["x"] * 31 + [SUBPROTOCOL])],
        ):
            headers = [("Sec-WebSocket-Protocol", line) for line in lines]
            with Mux(self.server(MANY), *headers) as mux:
                self.assertTrue(mux.accepted, str((lines, mux.response)))
                self.assertEqual(mux.response.one("Sec-WebSocket-Protocol"), SUBPROTOCOL)

    def test_missingSubprotocol(self) -> None:
        """
        Without the protocol, exactly spelt, there is no WebSocket (A140, A141).
        """
        for offer in ("(none)", "chat", "AERO-TCP-MUX-V1", SUBPROTOCOL + "2", "x" + SUBPROTOCOL):
            with Mux(self.server(MANY), ("Sec-WebSocket-Protocol", offer)) as mux:
                self.assertEqual(mux.response.status, 400, offer)
                self.assertEqual(
                    mux.response.body, f"Missing required subprotocol: {SUBPROTOCOL}\n".encode()
                )

    def test_invalidSubprotocol(self) -> None:
        """
        A list that is none, or too long, is refused as such (A140, A141).
        """
        for lines in (
            [SUBPROTOCOL + ",@"],
            [f"{SUBPROTOCOL}, a b"],
            [", ".join(["x"] * 32 + [SUBPROTOCOL])],
            [SUBPROTOCOL + ", " + "x" * 4_096],
            [SUBPROTOCOL, "y" * 2_048, "z" * 2_048],
        ):
            headers = [("Sec-WebSocket-Protocol", line) for line in lines]
            with Mux(self.server(MANY), *headers) as mux:
                self.assertEqual(mux.response.status, 400, str(lines))
                self.assertEqual(mux.response.body, b"Invalid Sec-WebSocket-Protocol header\n")

    def test_session(self) -> None:
        """
        There is no WebSocket without a session.
        """
        headers = ("Sec-WebSocket-Protocol", SUBPROTOCOL)
        with Mux(self.server(MANY), headers, cookie=None) as mux:
            self.assertEqual(mux.response.status, 401)

    # -- bytes

    def test_hosts(self) -> None:
        """
        Targets are addresses of either family or names, with or without metadata (A147).
        """
        mux = self.mux()
        port = self.target(echo)
        for stream, host in enumerate((LOCAL, "127.1", "localhost", f"::ffff:{LOCAL}"), 1):
            mux.send(openFrame(stream, host, port, b'{"k":"v"}') + dataFrame(stream, b"hi"))
            self.assertEqual(mux.data(stream, 2), b"hi", host)

    def test_ipv6(self) -> None:
        """
        IPv6 literals work with and without brackets.
        """
        try:
            port = self.target(echo, "::1")
        except OSError:
            missing("this machine has no IPv6 on loopback")
        mux = self.mux()
        for stream, host in ((1, "::1"), (0xFFFFFFFF, "[0:0::1]")):
            mux.send(openFrame(stream, host, port) + dataFrame(stream, b"six"))
            self.assertEqual(mux.data(stream, 3), b"six")

    def test_oneSegment(self) -> None:
        """
        OPEN, DATA and FIN in one segment deliver everything, and the answer comes back (H1).
        """
        mux = self.mux()
        port = self.target(digest)
        for stream, size in enumerate((0, 1, 70_000, 900_000), 1):
            data = os.urandom(size)
            mux.send(openFrame(stream, LOCAL, port) + dataFrame(stream, data) + closeFrame(stream))
            answer = f"{size} {hashlib.sha256(data).hexdigest()}".encode()
            self.assertEqual(mux.untilEnd(stream), answer)
        self.assertQuiet(mux)

    def test_anyBoundaries(self) -> None:
        """
        Frames may be packed together and cut anywhere, over messages and over fragments.
        """
        mux = self.mux()
        port = self.target(digest)
        data = b"some text"
        stream = openFrame(1, LOCAL, port) + dataFrame(1, data) + closeFrame(1)
        mux.connection.send(b"".join(frame(stream[at : at + 1]) for at in range(len(stream))))
        self.assertEqual(
            mux.untilEnd(1), f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
        )
        stream = stream.replace(b"\0\0\0\1\0", b"\0\0\0\2\0")
        mux.send(stream[:5], final=False)
        mux.send(b"", CONTINUATION, final=False)
        mux.send(stream[5:20], CONTINUATION, final=False)
        mux.send(stream[20:], CONTINUATION)
        self.assertEqual(
            mux.untilEnd(2), f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
        )

    def test_interleaved(self) -> None:
        """
        Two streams in one message do not mix (A144).
        """
        mux = self.mux()
        port = self.target(echo)
        mux.send(openFrame(1, LOCAL, port) + openFrame(2, LOCAL, port))
        mux.send(b"".join(dataFrame(1 + n % 2, b"%d-%d\n" % (1 + n % 2, n)) for n in range(10)))
        for stream in (1, 2):
            lines = b"".join(b"%d-%d\n" % (stream, n) for n in range(stream - 1, 10, 2))
            self.assertEqual(mux.data(stream, len(lines)), lines)
        self.assertQuiet(mux)

    def test_serverFirst(self) -> None:
        """
        A target that speaks first is heard; an empty DATA changes nothing.
        """
        mux = self.mux()
        mux.send(openFrame(9, LOCAL, self.target(banner(b"220 ready"))))
        self.assertEqual(mux.data(9, 9), b"220 ready")
        mux.send(dataFrame(9, b""))
        self.assertEcho(mux, 9)

    def test_manyStreams(self) -> None:
        """
        Two hundred streams at once carry what they are given, cut at random places.
        """
        chosen = random.Random(7)
        mux = self.mux()
        port = self.target(echo)
        sent = {stream: chosen.randbytes(20_000) for stream in range(1, 201)}
        pieces = b"".join(openFrame(stream, LOCAL, port) for stream in sent)
        for at in range(0, 20_000, 4_000):
            for stream in chosen.sample(sorted(sent), len(sent)):
                pieces += dataFrame(stream, sent[stream][at : at + 4_000])
        pieces += b"".join(closeFrame(stream) for stream in sent)

        def send() -> None:
            at = 0
            while at < len(pieces):
                size = chosen.randint(1, 30_000)
                mux.send(pieces[at : at + size])
                at += size

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        for stream, data in sent.items():
            self.assertEqual(mux.untilEnd(stream), data)
        sending.join()
        self.assertQuiet(mux)

    def test_frameSize(self) -> None:
        """
        DATA from the server is never longer than 64 KiB.
        """
        mux = self.mux()
        source = Source(3_000_000)
        mux.send(openFrame(1, LOCAL, self.target(source)))
        data = b""
        while (found := mux.of(1)).kind == DATA:
            self.assertLessEqual(len(found.payload), 65_536)
            data += found.payload
        self.assertEqual(found, Frame(CLOSE, 1, b"\1"))
        self.assertEqual(data, source.expected())

    # -- ends

    def test_targetEndsFirst(self) -> None:
        """
        A target that has said all can still be told something (A158).
        """
        recorder = Recorder()

        def behave(connection: socket.socket) -> None:
            connection.sendall(b"bye")
            connection.shutdown(socket.SHUT_WR)
            recorder(connection)

        mux = self.mux()
        mux.send(openFrame(5, LOCAL, self.target(behave)))
        self.assertEqual(mux.untilEnd(5), b"bye")
        mux.send(dataFrame(5, b"after") + closeFrame(5) + closeFrame(5))
        self.assertEqual(recorder.wait(), (5, hashlib.sha256(b"after").hexdigest(), "closed"))
        self.assertQuiet(mux)

    def test_dataAfterEnd(self) -> None:
        """
        DATA after the client's own end is an error, and the stream survives it.
        """
        mux = self.mux()
        mux.send(
            openFrame(1, LOCAL, self.target(digest))
            + dataFrame(1, b"all")
            + closeFrame(1)
            + dataFrame(1, b"more")
        )
        self.assertError(mux, 1, PROTOCOL_ERROR, "stream is half-closed (client FIN)")
        self.assertEqual(mux.untilEnd(1), f"3 {hashlib.sha256(b'all').hexdigest()}".encode())

    def test_reset(self) -> None:
        """
        RST drops a stream without an answer, wins over FIN, and frees the id.
        """
        mux = self.mux()
        for flags in (RST, RST | FIN):
            recorder = Recorder()

            def behave(connection: socket.socket, recorder: Recorder = recorder) -> None:
                connection.sendall(b"hi")
                recorder(connection)

            mux.send(openFrame(1, LOCAL, self.target(behave)))
            self.assertEqual(mux.data(1, 2), b"hi")
            mux.send(closeFrame(1, flags) + dataFrame(1, b"too late"))
            self.assertError(mux, 1, UNKNOWN_STREAM, "unknown stream")
            self.assertEqual(recorder.wait()[::2], (0, "closed"))
        mux.send(openFrame(1, LOCAL, self.target(echo)))
        self.assertEcho(mux, 1)
        self.assertQuiet(mux)

    def test_closeOddly(self) -> None:
        """
        A CLOSE that says nothing does nothing, a malformed one is an error, and one for a
        stream that is not there is ignored.
        """
        mux = self.mux()
        mux.send(openFrame(1, LOCAL, self.target(echo)))
        mux.send(closeFrame(1, 0) + closeFrame(1, 4) + closeFrame(99) + closeFrame(0, RST))
        self.assertEcho(mux, 1)
        for payload in (b"", b"\1\0"):
            mux.send(Frame(CLOSE, 1, payload).encode())
            self.assertError(mux, 1, PROTOCOL_ERROR, "Invalid CLOSE payload")
        self.assertEcho(mux, 1)
        self.assertQuiet(mux)

    def test_dialFailed(self) -> None:
        """
        A target that refuses, resets or has no address ends its stream with one ERROR (A157).
        """

        def reset(connection: socket.socket) -> None:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        mux = self.mux()
        mux.send(openFrame(1, LOCAL, self.target(echo)))
        for host, port in (
            (LOCAL, refusedPort()),
            ("nonexistent.invalid", 80),
            (LOCAL, self.target(reset)),
        ):
            mux.send(openFrame(2, host, port) + dataFrame(2, b"x"))
            self.assertError(mux, 2, DIAL_FAILED, "dial failed")
            self.assertQuiet(mux)
        self.assertEcho(mux, 1)

    def test_timeouts(self) -> None:
        """
        A target that does not answer, and a stream that says nothing, are given up; a WebSocket
        without streams is not.
        """
        with Filtered() as filtered:
            mux = self.mux(TIMED)
            mux.send(openFrame(1, LOCAL, filtered.port) + openFrame(2, LOCAL, self.target(echo)))
            self.assertError(mux, 1, DIAL_FAILED, "TCP connect timeout")
            self.assertEcho(mux, 2)
            self.assertError(mux, 2, DIAL_FAILED, "TCP idle timeout")
            self.assertQuiet(mux)

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

    # -- pressure

    def test_stalledTarget(self) -> None:
        """
        A target that takes nothing loses its stream, while another on the same WebSocket
        gets everything (A146).
        """
        release = threading.Event()
        self.addCleanup(release.set)

        def stand(connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            release.wait(60)

        mux = self.mux(TIMED)
        mux.send(openFrame(1, LOCAL, self.target(stand)) + openFrame(2, LOCAL, self.target(echo)))
        rounds = 0
        block = os.urandom(60_000)
        while True:
            mux.send(dataFrame(1, bytes(60_000)) + dataFrame(2, block))
            self.assertEqual(mux.data(2, len(block)), block)
            rounds += 1
            self.assertLess(rounds, 500)
            if mux.waiting(1):
                break
        self.assertError(mux, 1, OVERFLOW, "stream buffered too much data")
        while mux.waiting(1):
            self.assertError(mux, 1, UNKNOWN_STREAM, "unknown stream")
        self.assertEcho(mux, 2)

    def test_slowClient(self) -> None:
        """
        A client that does not read stops all its targets, and gets everything once it reads.
        """
        server = self.server(MANY)
        idle = server.residentBytes()
        mux = self.mux(MANY)
        sources = [Source(30 << 20), Source(30 << 20)]
        for stream, source in enumerate(sources, 1):
            mux.send(openFrame(stream, LOCAL, self.target(source)))
        taken = sum(source.settled() for source in sources)
        self.assertLess(taken, 50 << 20)
        self.assertLess(server.residentBytes() - idle, MEMORY)
        for stream, source in enumerate(sources, 1):
            self.assertEqual(len(mux.untilEnd(stream)), source.size)

    def test_fairness(self) -> None:
        """
        An answer of a few bytes does not wait for the end of a download beside it.
        """
        mux = self.mux()
        mux.send(openFrame(1, LOCAL, self.target(Source(64 << 20))))
        self.assertEqual(mux.next().kind, DATA)
        mux.send(openFrame(2, LOCAL, self.target(echo)) + dataFrame(2, b"ls\n"))
        passed = 0
        while (found := mux.next()).stream == 1:
            passed += len(found.payload)
        self.assertEqual(found, Frame(DATA, 2, b"ls\n"))
        self.assertLess(passed, 32 << 20)

    def test_pingFlood(self) -> None:
        """
        A client that sends PINGs and never reads does not fill the memory.
        """
        server = self.server(MANY)
        idle = server.residentBytes()
        mux = self.mux()
        block = frame(pingFrame(bytes(120)) * 500)
        mux.connection.socket.settimeout(1.0)
        try:
            for _ in range(2_000):
                mux.connection.send(block)
        except TimeoutError:
            pass
        else:
            self.fail("all the PINGs were taken")
        self.assertLess(server.residentBytes() - idle, MEMORY)
        mux.connection.close()
        self.assertAlive(server)

    def test_errorFlood(self) -> None:
        """
        Nor does one that causes errors and never reads.
        """
        server = self.server(MANY)
        idle = server.residentBytes()
        mux = self.mux()
        block = frame(dataFrame(5, b"") * 5_000)
        mux.connection.socket.settimeout(1.0)
        try:
            for _ in range(2_000):
                mux.connection.send(block)
        except TimeoutError:
            pass
        else:
            self.fail("all the frames were taken")
        self.assertLess(server.residentBytes() - idle, MEMORY)
        mux.connection.close()
        self.assertAlive(server)
        self.assertEqual(request(server, "GET", "/readyz").status, 200)


class GatewayMuxTests(_MuxTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeMuxTests(_MuxTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"


class VectorTests(Rigged, SynchronousTestCase):
    """
    The shared vectors, against the tests' own codec and against the server (A149).
    """

    kind = "gateway"

    def server(self, settings: dict[str, str] | None = None) -> Aero:
        """
        The one that lets nobody go to C{example.com}.
        """
        return super().server(STRICT)

    def test_frames(self) -> None:
        """
        Every frame is encoded and decoded as the vectors say.
        """
        for row in load("tcp-mux-v1.json")["frames"]:
            payload = base64.b64decode(row["payload_b64"])
            wire = base64.b64decode(row["frame_b64"])
            found = Frame(row["msgType"], row["streamId"], payload)
            self.assertEqual(found.encode(), wire, row["name"])
            self.assertEqual(split(wire), ([found], b""), row["name"])

    def test_openPayloads(self) -> None:
        """
        Every OPEN payload is what a client sends, and the server reads it.
        """
        rows = load("tcp-mux-v1.json")["openPayloads"]
        with Mux(self.server()) as mux:
            for stream, row in enumerate(rows, 1):
                payload = base64.b64decode(row["payload_b64"])
                metadata = row.get("metadata", "").encode()
                wire = openFrame(stream, row["host"], row["port"], metadata)
                self.assertEqual(wire[9:], payload, row["name"])
                mux.send(wire)
                code, message = mux.of(stream).error()
                self.assertEqual(code, POLICY_DENIED, row["name"])
                self.assertIn("not allowed", message)

    def test_streams(self) -> None:
        """
        However a stream of frames is cut, the server reacts to each of its frames.
        """
        for row in load("tcp-mux-v1.json")["parserStreams"]:
            with Mux(self.server()) as mux:
                for chunk in row["chunks_b64"]:
                    mux.send(base64.b64decode(chunk))
                for found in row.get("expectFrames", []):
                    code = mux.of(found["streamId"]).error()[0]
                    expected = POLICY_DENIED if found["msgType"] == OPEN else UNKNOWN_STREAM
                    self.assertEqual(code, expected, row["name"])
