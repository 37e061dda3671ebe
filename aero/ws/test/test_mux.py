"""
Tests for L{aero.ws.mux}.
"""

from __future__ import annotations

from twisted.internet import error

from aero.metrics import mux as rows
from aero.net.resolver import LookupFailed
from aero.policy.hosts import HostPattern
from aero.testing.ws import clientFrame
from aero.wire.tcpmux import (
    CLOSE,
    DATA,
    ERROR,
    FIN,
    OPEN,
    PING,
    PONG,
    RST,
    encodeFrame,
    frameHeader,
)
from aero.wire.websocket import BINARY, TEXT
from aero.wire.websocket import CLOSE as WS_CLOSE
from aero.ws.offers import offeredProtocols

from .muxfixtures import Case, closed, data, opened


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
            b",chat,, aero-tcp-mux-v1,",
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
        self.assertTrue(target.transport.halfClosed)

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
        When the client's connection breaks, every target sees the end after what was sent, and
        a dial that nothing waits for is given up.
        """
        client = self.connect()
        target = self.stream(client)
        self.send(client, data(1, b"last"), opened(2))
        client.lose(error.ConnectionLost())
        self.assertEqual(target.take(), b"last")
        self.assertTrue(target.transport.halfClosed)
        self.assertFalse(target.transport.disconnecting)
        target.flush()
        target.lose()
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.assertEqual(self.held(), 0)
        self.assertEqual(self.rig.metrics.value(rows.CLOSED, "gone"), 2)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
