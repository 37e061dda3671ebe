"""
C{/tcp-mux} over real sockets (gateway.md sections 13 and 18): bytes, ends and pressure. What
is refused is in L{tests.test_muxlimits}.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import socket
import threading

from twisted.trial.unittest import SynchronousTestCase

from aero.testing.vectors import load

from .support.http import request
from .support.mux import (
    CLOSE,
    DATA,
    DIAL_FAILED,
    FIN,
    OPEN,
    OVERFLOW,
    POLICY_DENIED,
    PROTOCOL_ERROR,
    RST,
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
from .support.muxrig import LOCAL, MANY, MEMORY, TIMED, MuxRigged
from .support.rigs import STRICT, Rigged
from .support.server import Aero
from .support.targets import Filtered, Recorder, Source, banner, digest, echo, refusedPort
from .support.tools import missing
from .support.websocket import CONTINUATION, frame


class _MuxTests(MuxRigged):
    """
    Streams and their ends.
    """

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
        self.assertLess(passed, 16 << 20)

    def test_pingFlood(self) -> None:
        """
        A client that sends 400 MB of PINGs and never reads does not fill the memory (H7).
        """
        server = self.server(MANY)
        idle = server.residentBytes()
        mux = self.mux()
        block = frame(pingFrame(bytes(120)) * 500)
        mux.connection.socket.settimeout(1.0)
        try:
            for _ in range(400_000_000 // len(block)):
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
