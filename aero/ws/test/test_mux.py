"""
Tests for L{aero.ws.mux}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from aero.errors import Refused
from aero.metrics import mux as rows
from aero.net.dialer import Dialer
from aero.net.muxpressure import GRACE, PATIENCE, QUIET
from aero.net.resolver import LookupFailed
from aero.policy.egress import EgressPolicy
from aero.policy.hosts import HostPattern
from aero.settings.tcp import TCPSettings
from aero.testing.ws import TargetEnd, WebSocketClient, WebSocketRig, clientFrame
from aero.wire.tcpmux import (
    CLOSE,
    DATA,
    ERROR,
    FIN,
    OPEN,
    PING,
    PONG,
    RST,
    SUBPROTOCOL,
    Error,
    FrameDecoder,
    Open,
    encodeFrame,
    frameHeader,
)
from aero.wire.websocket import BINARY, TEXT
from aero.wire.websocket import CLOSE as WS_CLOSE
from aero.ws.mux import MuxEndpoint, MuxProtocol, offeredProtocols
from aero.ws.slots import TunnelSlots

HOST = "192.0.2.5"


def opened(streamId: int, host: str = HOST, port: int = 7) -> bytes:
    """
    An OPEN frame.
    """
    return encodeFrame(OPEN, streamId, Open(host, port).encode())


def data(streamId: int, payload: bytes) -> bytes:
    """
    A DATA frame.
    """
    return encodeFrame(DATA, streamId, payload)


def closed(streamId: int, flags: int = FIN) -> bytes:
    """
    A CLOSE frame.
    """
    return encodeFrame(CLOSE, streamId, bytes((flags,)))


class Names:
    """
    A resolver that answers when the test does.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known: dict[str, Deferred[list[str]]] = {}

    def resolve(self, name: str) -> Deferred[list[str]]:
        self.asked.append(name)
        return self.known.setdefault(name, Deferred())


class Case(SynchronousTestCase):
    """
    An endpoint, its client and its targets.
    """

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.names: Any = Names()
        self.make()

    def make(
        self,
        protocol: type[MuxProtocol] = MuxProtocol,
        private: bool = True,
        policy: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        rules: dict[str, Any] = {
            "profile": "open",
            "allowPrivate": private,
            "allowedHosts": (),
            "blockedHosts": (),
            "requireName": False,
            "allowedPorts": (),
        }
        rules.update(policy or {})
        self.settings = TCPSettings(**settings)
        self.slots = TunnelSlots(self.settings, self.rig.metrics)
        self.endpoint = MuxEndpoint(
            "/tcp-mux",
            protocol,
            settings=self.settings,
            dialer=Dialer(self.rig.reactor, self.names, EgressPolicy(**rules), self.rig.metrics),
            slots=self.slots,
            **self.rig.common,
        )

    def connect(self, **how: Any) -> WebSocketClient:
        how.setdefault("Sec_WebSocket_Protocol", SUBPROTOCOL.encode())
        client = self.rig.connect(self.endpoint, **how)
        self.decoder = FrameDecoder(1 << 24)
        return client

    def send(self, client: WebSocketClient, *frames: bytes) -> None:
        """
        Send frames in one message.
        """
        client.send(BINARY, b"".join(frames))

    def frames(self, client: WebSocketClient) -> list[tuple[int, int, Any]]:
        """
        What the client got since the last call: type, stream, and payload, which for an error
        is its code and message. Data of a stream in successive frames is put together.
        """
        found: list[tuple[int, int, Any]] = []
        for opcode, payload in client.frames():
            if opcode != BINARY:
                found.append((-opcode, int.from_bytes(payload[:2], "big"), payload[2:]))
                continue
            for frame in self.decoder.receive(payload):
                value: Any = frame.payload
                if frame.kind == ERROR:
                    decoded = Error.decode(value)
                    value = (decoded.code, decoded.message)
                elif found and frame.kind == DATA and found[-1][:2] == frame[:2]:
                    value = found.pop()[2] + value
                found.append((frame.kind, frame.streamId, value))
        return found

    def stream(self, client: WebSocketClient, streamId: int = 1) -> TargetEnd:
        """
        A stream that is connected.
        """
        self.send(client, opened(streamId))
        return self.rig.acceptTarget()

    def held(self) -> int:
        return sum(self.slots._bySession._held.values())

    def dialled(self) -> list[tuple[str, int]]:
        return [client[:2] for client in self.rig.reactor.tcpClients]

    def failed(self, streamId: int, code: int, message: str) -> list[tuple[int, int, Any]]:
        return [(ERROR, streamId, (code, message))]


class UpgradeTests(Case):
    """
    The handshake.
    """

    def test_subprotocol(self) -> None:
        """
        The one protocol is chosen, whatever else is offered, and told to the client.
        """
        for offer in (
            b"aero-tcp-mux-v1",
            b"chat , aero-tcp-mux-v1,\tother",
            [b"chat", b"aero-tcp-mux-v1"],
        ):
            client = self.connect(Sec_WebSocket_Protocol=offer)
            self.assertEqual(client.status, 101)
            self.assertEqual(client.header(b"Sec-WebSocket-Protocol"), [b"aero-tcp-mux-v1"])
        self.assertEqual(self.held(), 0)

    def test_refused(self) -> None:
        """
        Without it the answer is a 400 that names it; a header that is no list of tokens, or too
        long, is a 400 that says so.
        """
        missing = b"Missing required subprotocol: aero-tcp-mux-v1\n"
        invalid = b"Invalid Sec-WebSocket-Protocol header\n"
        for offer, message in (
            (None, missing),
            (b"", missing),
            (b"chat", missing),
            (b"aero-tcp-mux-v1x", missing),
            (b"AERO-TCP-MUX-V1", missing),
            (b"aero-tcp-mux-v1, b@d", invalid),
            (b"aero-tcp-mux-v1,,x", invalid),
            (b"aero-tcp-mux-v1, " + b"x" * 4_096, invalid),
            ([b"aero-tcp-mux-v1", b"x" * 2_048, b"y" * 2_048], invalid),
            (b",".join([b"aero-tcp-mux-v1"] * 33), invalid),
        ):
            client = self.connect(Sec_WebSocket_Protocol=offer)
            self.assertEqual((client.status, client.body), (400, message))

    def test_offers(self) -> None:
        """
        Thirty-two offers are fine, and none is none.
        """
        self.assertEqual(len(offeredProtocols([b",".join([b"a"] * 32)])), 32)
        self.assertEqual(offeredProtocols([]), [])


class OpenTests(Case):
    """
    OPEN and what becomes of it.
    """

    def test_checks(self) -> None:
        """
        Each thing that is wrong with an OPEN has its code and text, and creates nothing.
        """
        self.make(maxStreams=1)
        client = self.connect()
        self.send(client, opened(0))
        self.assertEqual(self.frames(client), self.failed(0, 3, "stream_id=0 is reserved"))
        self.send(client, encodeFrame(OPEN, 5, b"junk"))
        self.assertEqual(self.frames(client), self.failed(5, 3, "Invalid OPEN payload"))
        target = self.stream(client)
        self.send(client, opened(1))
        self.assertEqual(self.frames(client), self.failed(1, 3, "stream_id already exists"))
        self.send(client, encodeFrame(OPEN, 2, b"junk"))
        self.assertEqual(self.frames(client), self.failed(2, 5, "max streams exceeded"))
        self.send(client, data(1, b"still there"))
        self.assertEqual(target.take(), b"still there")
        self.assertEqual(len(self.dialled()), 1)

    def test_policy(self) -> None:
        """
        The policy's refusals have the codes of the specification; the WebSocket stays open, and
        another stream works.
        """
        self.make(
            private=False,
            policy={"allowedPorts": (80,), "blockedHosts": (HostPattern.parse("bad.example"),)},
        )
        client = self.connect()
        for host, port, code, message in (
            ("8.8.8.8", 0, 3, "Invalid target port"),
            ("8.8.8.8", 81, 1, "Target port not allowed"),
            ("a_b", 80, 3, "Invalid host"),
            ("bad.example", 80, 1, "Target is blocked"),
            ("127.0.0.1", 80, 1, "Target IP is not allowed by IP egress policy"),
            ("::ffff:127.0.0.1", 80, 1, "Target IP is not allowed by IP egress policy"),
        ):
            self.send(client, opened(3, host, port))
            self.assertEqual(self.frames(client), self.failed(3, code, message))
        self.assertEqual((self.dialled(), self.held(), self.names.asked), ([], 0, []))
        self.send(client, opened(3, "8.8.8.8", 80), data(3, b"x"))
        self.assertEqual(self.rig.acceptTarget().take(), b"x")
        self.assertEqual(self.rig.metrics.value(rows.ERRORS, "1"), 4)

    def test_slots(self) -> None:
        """
        A session that has its share gets error 5, the streams that it has are unaffected, and
        a slot is free again when its stream is over.
        """
        self.make(maxConnections=1)
        client = self.connect()
        target = self.stream(client)
        self.send(client, opened(2))
        self.assertEqual(self.frames(client), self.failed(2, 5, "session max connections exceeded"))
        self.send(client, data(1, b"x"))
        self.assertEqual(target.take(), b"x")
        self.send(client, opened(3, "name.example"))
        self.assertEqual(self.frames(client), self.failed(3, 5, "session max connections exceeded"))
        self.send(client, closed(1, RST), opened(2))
        self.rig.acceptTarget()
        self.assertEqual((self.frames(client), self.held()), ([], 1))

    def test_name(self) -> None:
        """
        A name is resolved once, and what comes before that and before the dial is done arrives
        in order, the end included.
        """
        client = self.connect()
        self.send(client, opened(1, "name.example"), data(1, b"early "))
        self.assertEqual(self.dialled(), [])
        self.names.known["name.example"].callback(["192.0.2.9"])
        self.assertEqual(self.dialled(), [("192.0.2.9", 7)])
        self.send(client, data(1, b"data"), closed(1))
        target = self.rig.acceptTarget()
        self.assertEqual(target.take(), b"early data")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        target.send(b"answer")
        target.end()
        self.assertEqual(self.frames(client), [(DATA, 1, b"answer"), (CLOSE, 1, b"\x01")])
        self.assertEqual((self.held(), self.names.asked), (0, ["name.example"]))
        self.assertEqual(self.rig.metrics.value(rows.STREAMS), 0)
        self.assertEqual(self.rig.metrics.value(rows.CLOSED, "finished"), 1)

    def test_nameFails(self) -> None:
        """
        A name that does not resolve is error 2, one that is private error 1.
        """
        self.make(private=False)
        client = self.connect()
        self.send(client, opened(1, "gone.example"))
        self.names.known["gone.example"].errback(LookupFailed("no such name", "none"))
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))
        self.send(client, opened(1, "inside.example"))
        self.names.known["inside.example"].callback(["10.0.0.1"])
        self.assertEqual(
            self.frames(client),
            self.failed(1, 1, "Target IP is not allowed by IP egress policy"),
        )
        self.assertEqual(self.held(), 0)

    def test_dialFails(self) -> None:
        """
        A target that refuses, or does not answer in time, is error 2; the slot is free, and
        data for the stream is for an unknown one.
        """
        client = self.connect()
        self.send(client, opened(1))
        self.rig.failTarget(error.ConnectionRefusedError())
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))
        self.send(client, opened(2))
        self.rig.reactor.advance(10)
        self.assertEqual(self.frames(client), self.failed(2, 2, "TCP connect timeout"))
        self.send(client, data(1, b"x"), closed(2))
        self.assertEqual(self.frames(client), self.failed(1, 4, "unknown stream"))
        self.assertEqual(self.held(), 0)

    def test_resetWhileDialling(self) -> None:
        """
        A stream that the client gives up while it is dialled leaves nothing behind.
        """
        client = self.connect()
        self.send(client, opened(1), data(1, b"x"), closed(1, RST))
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.send(client, opened(2, "name.example"), closed(2, RST))
        self.assertEqual((self.frames(client), self.held()), ([], 0))
        self.assertEqual(self.rig.metrics.value(rows.CLOSED, "reset"), 2)


class StreamTests(Case):
    """
    Open streams.
    """

    def test_packed(self) -> None:
        """
        Frames of two streams in one message, or cut anywhere, each reach their own target.
        """
        client = self.connect()
        self.send(client, opened(1), opened(2, port=8))
        one, two = self.rig.acceptTarget(0), self.rig.acceptTarget(1)
        stream = data(1, b"one") + data(2, b"two") + data(1, b" more") + data(2, b" yet")
        for at in range(len(stream)):
            client.send(BINARY, stream[at : at + 1])
        self.assertEqual((one.take(), two.take()), (b"one more", b"two yet"))
        self.send(client, stream)
        self.assertEqual((one.take(), two.take()), (b"one more", b"two yet"))
        one.send(b"1")
        two.send(b"2")
        self.assertEqual(self.frames(client), [(DATA, 1, b"1"), (DATA, 2, b"2")])

    def test_halfClosedByTarget(self) -> None:
        """
        A target that ends its side is one CLOSE with FIN after its data; the client may go on
        sending, and ends the stream with its own.
        """
        client = self.connect()
        target = self.stream(client)
        target.send(b"bye")
        target.end()
        self.assertEqual(self.frames(client), [(DATA, 1, b"bye"), (CLOSE, 1, b"\x01")])
        self.send(client, data(1, b"after"))
        self.assertEqual(target.take(), b"after")
        self.send(client, closed(1))
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        target.lose()
        self.assertEqual((self.frames(client), self.held()), ([], 0))
        self.send(client, data(1, b"x"))
        self.assertEqual(self.frames(client), self.failed(1, 4, "unknown stream"))

    def test_halfClosedByClient(self) -> None:
        """
        Data after the client's end is error 3 and the stream survives; a second end does
        nothing.
        """
        client = self.connect()
        target = self.stream(client)
        self.send(client, data(1, b"x"), closed(1), closed(1), data(1, b"y"))
        self.assertEqual(
            self.frames(client), self.failed(1, 3, "stream is half-closed (client FIN)")
        )
        self.assertEqual(target.take(), b"x")
        target.send(b"still")
        self.assertEqual(self.frames(client), [(DATA, 1, b"still")])

    def test_close(self) -> None:
        """
        A CLOSE that is not one byte is error 3, unknown flags do nothing, an unknown stream is
        ignored, and RST wins over FIN.
        """
        client = self.connect()
        target = self.stream(client)
        self.send(client, encodeFrame(CLOSE, 1, b""), closed(1, 0xFC), closed(9))
        self.assertEqual(self.frames(client), self.failed(1, 3, "Invalid CLOSE payload"))
        self.assertFalse(target.transport.closed)
        self.send(client, closed(1, FIN | RST))
        self.assertTrue(target.transport.disconnecting)
        self.assertEqual((self.frames(client), self.held()), ([], 0))

    def test_targetBreaks(self) -> None:
        """
        A target that breaks the connection is error 2 after what it sent, and no CLOSE.
        """
        client = self.connect()
        target = self.stream(client)
        target.send(b"part")
        target.lose(error.ConnectionLost())
        self.assertEqual(
            self.frames(client), [(DATA, 1, b"part"), *self.failed(1, 2, "dial failed")]
        )
        self.assertEqual(self.held(), 0)

    def test_idle(self) -> None:
        """
        A stream without a byte for the idle timeout ends with error 2; bytes of either side
        keep it.
        """
        self.make(idleTimeout=10.0)
        client = self.connect()
        target = self.stream(client)
        for _ in range(3):
            self.rig.reactor.advance(6)
            target.send(b"t")
            self.rig.reactor.advance(6)
            self.send(client, data(1, b"c"))
        self.assertEqual(self.frames(client), [(DATA, 1, b"ttt")])
        self.rig.reactor.advance(10)
        self.assertEqual(self.frames(client), self.failed(1, 2, "TCP idle timeout"))
        self.assertTrue(target.transport.disconnected or target.transport.disconnecting)

    def test_ping(self) -> None:
        """
        A PING is answered with the same id and payload; PONG and ERROR are ignored; other types
        are error 3 on their id.
        """
        client = self.connect()
        self.send(
            client,
            encodeFrame(PING, 9, b"p" * 300),
            encodeFrame(PONG, 9, b"x"),
            encodeFrame(ERROR, 9, b"x"),
            encodeFrame(77, 9, b"x"),
        )
        self.assertEqual(
            self.frames(client), [(PONG, 9, b"p" * 300), *self.failed(9, 3, "Unknown msg_type 77")]
        )

    def test_large(self) -> None:
        """
        What a target sends at once comes in frames of 64 KiB at most.
        """
        client = self.connect()
        target = self.stream(client)
        payload = bytes(range(256)) * 1_024
        target.send(payload)
        messages = [message for _, message in client.frames()]
        self.assertTrue(all(len(message) <= 65_536 + 9 for message in messages))
        self.assertEqual(b"".join(message[9:] for message in messages), payload)


class FatalTests(Case):
    """
    The end of the WebSocket.
    """

    def test_text(self) -> None:
        """
        A text message closes with 1003, and nothing that follows it runs.
        """
        client = self.connect()
        target = self.stream(client)
        more = b"".join(opened(number) for number in range(2, 66))
        client.sendBytes(clientFrame(TEXT, b"hello") + clientFrame(BINARY, more))
        self.assertEqual(self.frames(client), [(-WS_CLOSE, 1003, b"")])
        self.assertEqual(len(self.dialled()), 1)
        target.lose()
        self.assertEqual(self.held(), 0)

    def test_tooLong(self) -> None:
        """
        A header above the frame limit closes with 1002 once the frames before it were handled;
        the limit itself is fine.
        """
        self.make(maxFramePayloadBytes=16)
        client = self.connect()
        self.send(client, encodeFrame(PING, 1, b"p" * 16))
        self.assertEqual(self.frames(client), [(PONG, 1, b"p" * 16)])
        self.send(client, encodeFrame(PING, 2), frameHeader(DATA, 1, 17), b"", opened(1))
        self.assertEqual(self.frames(client), [(PONG, 2, b""), (-WS_CLOSE, 1002, b"")])
        client.send(BINARY, opened(4))
        self.assertEqual(self.dialled(), [])

    def test_closedInOrder(self) -> None:
        """
        When the client closes the WebSocket, what it sent reaches the targets, and its end
        after that.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.send(client, data(1, b"last words"))
        client.send(WS_CLOSE, b"\x03\xe8")
        target.unblock()
        self.assertEqual(target.take(), b"last words")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        self.assertEqual(self.held(), 0)

    def test_lost(self) -> None:
        """
        When the client's connection breaks, every target is dropped at once.
        """
        client = self.connect()
        target = self.stream(client)
        self.send(client, opened(2))
        client.lose(error.ConnectionLost())
        self.assertTrue(target.transport.disconnected or target.transport.disconnecting)
        target.lose()
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.assertEqual(self.held(), 0)
        self.assertEqual(self.rig.metrics.value(rows.CLOSED, "gone"), 2)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])


class UploadTests(Case):
    """
    Clients that are faster than their targets.
    """

    def test_overflow(self) -> None:
        """
        More than the limit waiting for a target is error 6, exactly the limit is not.
        """
        self.make(maxStreamBufferBytes=1_000)
        client = self.connect()
        self.send(client, opened(1), data(1, b"x" * 1_000))
        self.assertEqual(self.frames(client), [])
        self.send(client, data(1, b"x"), data(1, b"x"))
        self.assertEqual(
            self.frames(client),
            [
                *self.failed(1, 6, "stream buffered too much data"),
                *self.failed(1, 4, "unknown stream"),
            ],
        )
        self.assertEqual(self.held(), 0)
        self.assertEqual(self.rig.metrics.value(rows.QUEUE_BYTES, "up"), 0)

    def test_overflowInFrame(self) -> None:
        """
        A frame that overflows its stream is one error, however much of it is still to come.
        """
        self.make(maxStreamBufferBytes=1_000)
        client = self.connect()
        self.send(client, opened(1), frameHeader(DATA, 1, 10_000))
        for _ in range(10):
            client.send(BINARY, bytes(1_000))
        self.assertEqual(self.frames(client), self.failed(1, 6, "stream buffered too much data"))

    def fill(self, client: WebSocketClient, streamId: int, size: int = 300_000) -> None:
        self.send(client, data(streamId, bytes(size)))

    def test_pushBack(self) -> None:
        """
        A slow target makes its client wait instead of losing the stream, and gets everything.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        self.assertTrue(client.isPaused)
        target.unblock()
        self.assertFalse(client.isPaused)
        self.assertEqual((len(target.take()), self.frames(client)), (300_000, []))

    def test_othersAreBusy(self) -> None:
        """
        A target that is slow does not stop a client that is busy with another one.
        """
        client = self.connect()
        slow = self.stream(client, 1)
        fast = self.stream(client, 2)
        slow.block()
        self.fill(client, 1)
        self.assertFalse(client.isPaused)
        self.send(client, data(2, b"x"))
        self.assertEqual(fast.take(), b"x")
        self.rig.reactor.advance(QUIET)
        self.fill(client, 1, 1)
        self.assertTrue(client.isPaused)

    def test_grace(self) -> None:
        """
        A stream that is half way to its limit holds up a busy client for a moment, and once
        only: after that it is the one that ends.
        """
        client = self.connect()
        slow = self.stream(client, 1)
        fast = self.stream(client, 2)
        slow.block()
        self.fill(client, 1, 600_000)
        self.assertTrue(client.isPaused)
        self.rig.reactor.advance(GRACE)
        self.assertFalse(client.isPaused)
        self.fill(client, 1, 400_000)
        self.send(client, data(2, b"x"))
        self.assertFalse(client.isPaused)
        self.fill(client, 1, 400_000)
        self.assertEqual(self.frames(client), self.failed(1, 6, "stream buffered too much data"))
        self.assertEqual(fast.take(), b"x")
        self.assertEqual(self.rig.metrics.value(rows.STALLED), 1)

    def test_patience(self) -> None:
        """
        A target that stands still holds up its client for ten seconds, one that goes on taking
        something for as long as it does.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        for taken in range(1, 4):
            target.transport.offset = taken
            self.rig.reactor.advance(PATIENCE)
            self.assertTrue(client.isPaused)
        self.rig.reactor.advance(PATIENCE)
        self.assertFalse(client.isPaused)

    def test_streamEnds(self) -> None:
        """
        The client is read again when the stream that held it up is over.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        target.lose(error.ConnectionLost())
        self.assertFalse(client.isPaused)
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))

    def test_endAfterData(self) -> None:
        """
        The client's end waits for the data that a congested target has not taken.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        self.fill(client, 1)
        self.fill(client, 1, 100)
        self.send(client, closed(1))
        self.assertFalse(target.transport.halfClosed)
        target.unblock()
        self.assertEqual(len(target.take()), 300_100)
        self.assertTrue(target.transport.halfClosed)


class DownloadTests(Case):
    """
    Targets that are faster than the client.
    """

    def test_fair(self) -> None:
        """
        A stream with little to say does not wait for the rest of one with much.
        """
        client = self.connect()
        bulk = self.stream(client, 1)
        small = self.stream(client, 2)
        client.block()
        bulk.send(bytes(300_000))
        self.assertTrue(bulk.isPaused)
        small.send(b"me too")
        self.assertFalse(small.isPaused)
        self.assertEqual(self.frames(client), [])
        self.assertEqual(self.rig.metrics.value(rows.QUEUE_BYTES, "down"), 300_006)
        client.unblock()
        frames = [message[:5] for _, message in client.frames()]
        self.assertEqual(frames.index(b"\x02\x00\x00\x00\x02"), 1)
        self.assertEqual(self.rig.metrics.value(rows.QUEUE_BYTES, "down"), 0)
        self.assertFalse(bulk.isPaused)

    def test_endAfterData(self) -> None:
        """
        The target's end, or its failure, comes after the data that the client has not taken.
        """
        client = self.connect()
        one, two = self.stream(client, 1), self.stream(client, 2)
        client.block()
        one.send(b"one")
        one.end()
        two.send(b"two")
        two.lose(error.ConnectionLost())
        self.send(client, opened(2))
        client.unblock()
        self.assertEqual(
            self.frames(client),
            [
                *self.failed(2, 3, "stream_id already exists"),
                (DATA, 1, b"one"),
                (CLOSE, 1, b"\x01"),
                (DATA, 2, b"two"),
                *self.failed(2, 2, "dial failed"),
            ],
        )
        self.send(client, opened(2))
        self.assertEqual(self.frames(client), [])

    def test_replies(self) -> None:
        """
        A client that sends PINGs and reads nothing is not read either, until it does.
        """
        client = self.connect()
        client.block()
        self.send(client, encodeFrame(PING, 0, bytes(60_000)))
        self.assertFalse(client.isPaused)
        self.send(client, encodeFrame(PING, 0, bytes(60_000)))
        self.assertTrue(client.isPaused)
        client.unblock()
        self.assertFalse(client.isPaused)

    def test_both(self) -> None:
        """
        A client that is stopped for two reasons goes on when neither is left.
        """
        client = self.connect()
        target = self.stream(client)
        target.block()
        client.block()
        self.send(client, encodeFrame(PING, 0, bytes(70_000)), data(1, bytes(300_000)))
        client.unblock()
        self.assertTrue(client.isPaused)
        target.unblock()
        self.assertFalse(client.isPaused)


class Echo(Protocol):
    """
    An ordinary protocol.
    """

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data.upper())


@implementer(IHalfCloseableProtocol)
class Counter(Protocol):
    """
    Answers with the size of what it got, after the end.
    """

    size = 0

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)

    def readConnectionLost(self) -> None:
        transport: Any = self.transport
        transport.write(b"%d" % self.size)
        transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Not interesting.
        """


class Broken(Protocol):
    """
    Fails.
    """

    def dataReceived(self, data: bytes) -> None:
        raise RuntimeError("broken")


class Inside(MuxProtocol):
    """
    Has some targets of its own.
    """

    def streamRequested(self, host: str, port: int) -> Any:
        if port == 1:
            return Echo()
        if port == 2:
            return Counter()
        if port == 3:
            return Broken()
        if port == 4:
            raise Refused(403, "forbidden", "not today")
        if port == 5:
            raise RuntimeError("hook")
        if port == 6:
            self.asked: Deferred[Protocol] = Deferred()
            return self.asked
        return None


class HookTests(Case):
    """
    Streams to protocols of our own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.make(Inside)

    def test_protocol(self) -> None:
        """
        An ordinary protocol can be what a stream is connected to; nothing is dialled, and the
        client's end is the end of it.
        """
        client = self.connect()
        self.send(client, opened(1, "echo.example", 1), data(1, b"hello"), closed(1))
        self.assertEqual(self.frames(client), [(DATA, 1, b"HELLO"), (CLOSE, 1, b"\x01")])
        self.assertEqual((self.dialled(), self.held()), ([], 0))

    def test_halfClose(self) -> None:
        """
        A protocol that knows half-close can answer after the client's end.
        """
        client = self.connect()
        self.send(client, opened(1, HOST, 2), data(1, bytes(70_000)), closed(1))
        self.assertEqual(self.frames(client), [(DATA, 1, b"70000"), (CLOSE, 1, b"\x01")])
        self.assertEqual(self.held(), 0)

    def test_failures(self) -> None:
        """
        A protocol or a hook that fails ends its own stream only, and is logged.
        """
        client = self.connect()
        self.send(client, opened(1, HOST, 3), data(1, b"x"))
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))
        self.send(client, opened(1, HOST, 5))
        self.assertEqual(self.frames(client), self.failed(1, 2, "dial failed"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.send(client, opened(1, HOST, 4))
        self.assertEqual(self.frames(client), self.failed(1, 1, "not today"))
        self.assertEqual(self.held(), 0)

    def test_later(self) -> None:
        """
        The hook may take its time; what comes meanwhile is kept.
        """
        client = self.connect()
        self.send(client, opened(1, HOST, 6), data(1, b"early"))
        session = next(iter(self.endpoint.factory.open))
        assert isinstance(session, Inside)
        session.asked.callback(Echo())
        self.assertEqual(self.frames(client), [(DATA, 1, b"EARLY")])
        self.assertEqual(self.held(), 1)
        self.send(client, closed(1, RST))
        self.assertEqual(self.held(), 0)

    def test_policyFirst(self) -> None:
        """
        The hook is not asked about what the policy refuses.
        """
        self.make(Inside, private=False)
        client = self.connect()
        self.send(client, opened(1, "10.0.0.1", 1))
        self.assertEqual(
            self.frames(client),
            self.failed(1, 1, "Target IP is not allowed by IP egress policy"),
        )
