"""
Tests for L{aero.ws.l2}: a guest over WebSocket.
"""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import l2 as rows
from aero.metrics import tcp as wsRows
from aero.testing.ws import ACCEPT, WebSocketClient, clientFrame
from aero.wire.l2tunnel import ERROR, FRAME, PING, PONG, decodeError, encode
from aero.wire.websocket import BINARY, CLOSE, TEXT, closePayload
from aero.wire.websocket import PING as WS_PING
from aero.wire.websocket import PONG as WS_PONG

from .l2fixtures import PROTOCOL, L2Rig


class L2TestCase(SynchronousTestCase):
    """
    What the tests need.
    """

    def begin(self, **settings: object) -> WebSocketClient:
        """
        Open a tunnel that asks nobody for anything.
        """
        self.rig = L2Rig(**settings)  # type: ignore[arg-type]
        client = self.rig.guest()
        self.assertEqual(client.status, 101)
        return client

    def assertClosed(
        self, client: WebSocketClient, code: int, reason: str, error: int | None = None
    ) -> None:
        """
        The last that the client got is an ERROR, if any, and the close frame.
        """
        frames = client.frames()
        self.assertEqual(frames[-1], (CLOSE, struct.pack("!H", code) + reason.encode()))
        errors = [payload for opcode, payload in frames[:-1] if payload[2:3] == bytes([ERROR])]
        if error is None:
            self.assertEqual(errors, [])
        else:
            self.assertEqual([decodeError(each[4:]) for each in errors], [(error, reason)])
            self.assertEqual(frames[-2], (BINARY, errors[0]))


class HandshakeTests(L2TestCase):
    """
    The 101, and the paths.
    """

    def test_accepted(self) -> None:
        """
        The subprotocol is always the tunnel's, never the one with the token (S10, S28).
        """
        self.rig = L2Rig("token")
        client = self.rig.guest(Sec_WebSocket_Protocol=b"aero-l2-token.sekrit, aero-l2-tunnel-v1")
        self.assertEqual(client.status, 101)
        self.assertEqual(client.header(b"Sec-WebSocket-Protocol"), [PROTOCOL])
        self.assertEqual(client.header(b"Sec-WebSocket-Accept"), [ACCEPT])
        self.assertEqual(client.header(b"Sec-WebSocket-Extensions"), [])
        self.assertEqual(client.header(b"X-Content-Type-Options"), [b"nosniff"])

    def test_refusal(self) -> None:
        """
        A refusal is plain text without a line feed, and has the headers of the site.
        """
        self.rig = L2Rig("token")
        client = self.rig.guest()
        self.assertEqual((client.status, client.body), (401, b"invalid token"))
        self.assertEqual(client.header(b"Content-Type"), [b"text/plain; charset=utf-8"])
        self.assertEqual(client.header(b"Content-Length"), [b"13"])
        self.assertEqual(client.header(b"X-Content-Type-Options"), [b"nosniff"])
        self.assertEqual(self.rig.metrics.value(wsRows.WS_REFUSALS, "l2", "auth_missing"), 1)

    def test_names(self) -> None:
        """
        The endpoint has four names.
        """
        endpoint = L2Rig().endpoint
        self.assertEqual({endpoint.path, *endpoint.aliases}, {"/l2", "/l2/", "/eth", "/eth/"})

    def test_early(self) -> None:
        """
        What comes in one piece with the handshake is not lost.
        """
        self.rig = L2Rig()
        early = clientFrame(BINARY, encode(FRAME, b"early"))
        self.rig.guest(early=early)
        self.assertEqual(self.rig.lans.last.frames, [b"early"])


class MessageTests(L2TestCase):
    """
    Messages, and the frames of WebSocket around them.
    """

    def test_batch(self) -> None:
        """
        The frames of one read are one batch, and what answers it is one write.
        """
        client = self.begin()
        client.sendBytes(
            b"".join(
                clientFrame(BINARY, encode(*message))
                for message in ((FRAME, b"a"), (PING, b"1"), (FRAME, b"b"), (PING, b"2"))
            )
        )
        self.assertEqual(self.rig.lans.last.batches, [[b"a", b"b"]])
        self.assertEqual(
            client.frames(), [(BINARY, encode(PONG, b"1")), (BINARY, encode(PONG, b"2"))]
        )

    def test_toTheGuest(self) -> None:
        """
        A frame of the LAN is one binary message.
        """
        client = self.begin()
        self.rig.lans.last.port.sendFrames([b"frame", b""])
        self.assertEqual(
            client.frames(), [(BINARY, encode(FRAME, b"frame")), (BINARY, encode(FRAME))]
        )

    def test_others(self) -> None:
        """
        Text means nothing, whatever is in it; a ping of WebSocket gets its pong (section 10).
        """
        client = self.begin()
        client.send(TEXT, b"\xff\xfe")
        client.send(WS_PING, b"abc")
        client.send(WS_PONG, b"def")
        client.send(BINARY, encode(PING, b"x"))
        self.assertEqual(client.frames(), [(WS_PONG, b"abc"), (BINARY, encode(PONG, b"x"))])

    def test_othersCount(self) -> None:
        """
        They count in the quota, and so does the pong (F10).
        """
        client = self.begin(maxFPS=2)
        for _ in range(3):
            client.send(TEXT)
        self.assertClosed(client, 1008, "frame rate quota exceeded", 7)
        client = self.begin(maxBytes=10)
        client.send(WS_PING, b"abcdef")
        self.assertClosed(client, 1008, "byte quota exceeded", 6)

    def test_order(self) -> None:
        """
        What came before a message that is too much is handled, what came after it is not.
        """
        client = self.begin(maxFPS=2)
        client.sendBytes(
            clientFrame(BINARY, encode(FRAME, b"a"))
            + clientFrame(TEXT, b"")
            + clientFrame(BINARY, encode(FRAME, b"b"))
            + clientFrame(WS_PING, b"late")
        )
        self.assertEqual(self.rig.lans.last.frames, [b"a"])
        self.assertClosed(client, 1008, "frame rate quota exceeded", 7)

    def test_malformed(self) -> None:
        """
        What is no message is told so, with an ERROR and the close (F2).
        """
        client = self.begin()
        client.send(BINARY, b"x")
        self.assertClosed(client, 1008, "message too short: 1 < 4", 1)
        client.send(BINARY, encode(FRAME, b"late"))
        self.assertEqual(self.rig.lans.last.frames, [])

    def test_tooLong(self) -> None:
        """
        A message that is longer than any may be is refused from its header (F4, W36).
        """
        client = self.begin(maxFramePayload=1, maxControlPayload=1)
        client.send(BINARY, encode(FRAME, b"x"))
        self.assertEqual(self.rig.lans.last.frames, [b"x"])
        client.sendBytes(b"\x82\xfe\x04\x04")
        self.assertClosed(client, 1009, "frame is too long")
        self.assertEqual(self.rig.metrics.value(rows.FRAMES_DROPPED), 1)
        self.assertEqual(self.rig.metrics.value(rows.CLOSED, "too_long"), 1)

    def test_metrics(self) -> None:
        """
        The endpoint counts what every WebSocket endpoint counts.
        """
        client = self.begin()
        client.send(BINARY, encode(PING, b"abc"))
        for direction in ("up", "down"):
            self.assertEqual(
                self.rig.metrics.value(wsRows.WS_MESSAGES, "l2", direction), 1, direction
            )
            self.assertEqual(self.rig.metrics.value(wsRows.WS_BYTES, "l2", direction), 7, direction)


class PressureTests(L2TestCase):
    """
    A transport that is full.
    """

    def test_lan(self) -> None:
        """
        It pauses the LAN, and an empty one lets it go on.
        """
        client = self.begin()
        client.block()
        self.assertTrue(self.rig.lans.last.isPaused)
        client.unblock()
        self.assertFalse(self.rig.lans.last.isPaused)

    def test_stall(self) -> None:
        """
        Answers that cannot wait end the tunnel; ERROR and close are written behind what is there,
        and the guest is read again so that its end is noticed (F11).
        """
        client = self.begin(sendBuffer=1)
        client.block()
        for _ in range(3):
            client.send(BINARY, encode(PING, bytes(100)))
        self.assertTrue(client.isPaused)
        self.rig.reactor.advance(1.0)
        self.assertClosed(client, 1008, "outbound websocket backpressure", 9)
        self.assertFalse(client.isPaused)
        self.assertEqual(self.rig.metrics.value(rows.CLOSED_BACKPRESSURE), 1)


class EndTests(L2TestCase):
    """
    How sessions end, and what is given back.
    """

    def test_clientCloses(self) -> None:
        """
        A close frame is answered (W37); the LAN is gone and the permit free at once.
        """
        self.rig = L2Rig(maxConnections=1)
        client = self.rig.guest()
        client.send(CLOSE, closePayload(1000, "bye"))
        self.assertEqual(client.frames(), [(CLOSE, closePayload(1000, "bye"))])
        self.assertEqual(self.rig.lans.last.stopped, "client")
        self.assertEqual(self.rig.permits.held, 0)
        self.assertEqual(self.rig.guest().status, 101)
        client.lose()
        self.assertEqual(self.rig.permits.held, 1)

    def test_manyBeforeClose(self) -> None:
        """
        What came before a close frame is handled and answered before it, also where it takes
        several turns.
        """
        client = self.begin()
        pings = b"".join(clientFrame(BINARY, encode(PING, bytes([n & 255]))) for n in range(600))
        frames = clientFrame(BINARY, encode(FRAME, b"f")) * 300
        client.sendBytes(pings + frames + clientFrame(CLOSE, closePayload(1000, "bye")))
        self.rig.reactor.pump([0] * 5)
        answers = client.frames()
        self.assertEqual(len(answers), 601)
        self.assertEqual(answers[-1], (CLOSE, closePayload(1000, "bye")))
        self.assertEqual(len(self.rig.lans.last.frames), 300)
        self.assertEqual(self.rig.lans.last.stopped, "client")

    def test_lostBeforeClose(self) -> None:
        """
        A connection that breaks while they wait ends everything.
        """
        client = self.begin()
        pings = clientFrame(BINARY, encode(PING)) * 3_000
        client.sendBytes(pings + clientFrame(CLOSE, closePayload(1000, "bye")))
        client.lose()
        self.assertEqual(self.rig.lans.last.stopped, "lost")
        self.rig.reactor.pump([0] * 2)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """
        So are they when the connection breaks.
        """
        client = self.begin()
        client.lose()
        self.assertEqual(self.rig.lans.last.stopped, "lost")
        self.assertEqual(self.rig.permits.held, 0)
        self.assertEqual(self.rig.metrics.value(rows.ACTIVE), 0)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_drain(self) -> None:
        """
        A process that stops closes every tunnel with 1001 (O9).
        """
        client = self.begin()
        done = self.rig.endpoint.drain()
        self.assertClosed(client, 1001, "shutting down")
        self.assertEqual(self.rig.lans.last.stopped, "shutdown")
        self.assertNoResult(done)
        client.lose()
        self.successResultOf(done)

    def test_patience(self) -> None:
        """
        A client that does not end the connection has two seconds; then it is closed.
        """
        client = self.begin()
        client.send(BINARY, b"x")
        self.assertEqual(self.rig.permits.held, 1)
        self.rig.reactor.advance(1.9)
        self.assertFalse(client.transport.disconnecting)
        self.rig.reactor.advance(0.1)
        self.assertTrue(client.transport.disconnecting)

    def test_handshakeAbandoned(self) -> None:
        """
        A client that leaves during the handshake leaves no permit behind.
        """
        self.rig = L2Rig()
        self.rig.l2gate.checkAgain = self.refuse  # type: ignore[method-assign]
        self.assertEqual(self.rig.guest().status, 503)
        self.assertEqual(self.rig.permits.held, 0)
        self.assertEqual(self.rig.lans.made, [])

    def refuse(self, accepted: object) -> None:
        """
        The process stops between the checks and the 101.
        """
        self.rig.stopping = True
        self.rig.l2gate._checkDraining()

    def test_pings(self) -> None:
        """
        A silent client is pinged by WebSocket, unless its silence is limited anyway.
        """
        client = self.begin()
        self.rig.reactor.advance(31)
        self.rig.reactor.advance(31)
        self.assertIn((WS_PING, b""), client.frames())
        client = self.begin(idleTimeout=300.0)
        self.rig.reactor.pump([31] * 4)
        self.assertEqual(client.frames(), [])

    def test_session(self) -> None:
        """
        The LAN is told the session and the origin of its guest.
        """
        self.rig = L2Rig("session", origins=["https://a.test"])
        self.rig.guest(Cookie=self.rig.cookie, Origin=b"https://a.test")
        peer = self.rig.lans.last.peer
        self.assertEqual((peer.address, peer.origin), ("198.51.100.7", "https://a.test"))
        self.assertIsNotNone(peer.session)

    def test_revoked(self) -> None:
        """
        A session that ends takes its tunnels with it (W40).
        """
        self.rig = L2Rig("session")
        client = self.rig.guest(Cookie=self.rig.cookie)
        sid = self.rig.lans.last.peer.session
        assert sid is not None
        self.rig.endpoint.endSession(sid)
        self.assertClosed(client, 1008, "session ended")
