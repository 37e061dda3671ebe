"""
Tests for L{aero.ws.udp}: clients that are let in (relay.md sections 12 and 20.9).
"""

from __future__ import annotations

from typing import Any, Sequence

from aero.net.udp.binding import BindingProtocol
from aero.net.udp.ports import Received
from aero.testing.ws import WebSocketClient, clientFrame
from aero.tunnel.datagrams.engine import UDPSession
from aero.wire.udprelay import encode
from aero.wire.websocket import BINARY, PING, PONG, TEXT
from aero.ws.udp import UDPProtocol

from .udpfixtures import V4, A, UDPTestCase


class ReadyTests(UDPTestCase):
    """
    A client that is let in.
    """

    def start(self, **settings: Any) -> WebSocketClient:
        """
        A client that is ready.
        """
        self.make(**settings)
        client = self.connect()
        self.ready(client)
        return client

    def test_echo(self) -> None:
        """
        Datagrams go there and back, those of one read with one write.
        """
        client = self.start()
        client.sendBytes(
            b"".join(clientFrame(BINARY, encode(1, 7, V4, 53, b"%d" % n)) for n in range(3))
        )
        self.assertEqual(self.network.sockets[0].sent, [(b"%d" % n, A) for n in range(3)])
        self.network.deliver(0, (b"a", A), (b"b", A))
        self.assertEqual(
            client.frames(),
            [(BINARY, encode(1, 7, V4, 53, b"a")), (BINARY, encode(1, 7, V4, 53, b"b"))],
        )
        self.assertEqual(self.event("udp_ws_datagrams_in"), 3)
        self.assertEqual(self.event("udp_ws_datagrams_out"), 2)

    def test_ownProtocols(self) -> None:
        """
        A subclass may put a protocol of its own on the sockets.
        """
        seen: list[Received] = []

        class Watching(BindingProtocol):
            def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
                seen.extend(datagrams)
                super().datagramsReceived(datagrams)

        class WatchedSession(UDPSession):
            bindingProtocol = Watching

        class WatchedProtocol(UDPProtocol):
            udpSession = WatchedSession

        client = self.start(protocol=WatchedProtocol)
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.network.deliver(0, (b"a", A), (b"stranger", ("192.0.2.9", 9)))
        self.assertEqual(seen, [(b"a", A), (b"stranger", ("192.0.2.9", 9))])
        self.assertEqual(client.frames(), [(BINARY, encode(1, 7, V4, 53, b"a"))])
        (protocol,) = self.endpoint.factory.open
        assert isinstance(protocol, WatchedProtocol) and protocol.udp is not None
        self.assertEqual(protocol.udp.bindings, (7,))

    def test_early(self) -> None:
        """
        Datagrams that come with the handshake are relayed where no credential is needed.
        """
        self.make()
        early = clientFrame(BINARY, encode(1, 7, V4, 53, b"early"))
        self.rig.connect(self.endpoint, b"/udp", Cookie=None, early=early)
        self.assertEqual(self.network.sockets[0].sent, [(b"early", A)])

    def test_repeatedAuth(self) -> None:
        """
        A repeated auth message is ignored, however long; datagrams go on.
        """
        client = self.start()
        client.send(TEXT, b'{"type":"auth","token":"%b"}' % (b"x" * 3_000))
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.assertEqual((client.frames(), len(self.network.sockets)), ([], 1))

    def test_manyTexts(self) -> None:
        """
        Too many of them a second are one too many.
        """
        client = self.start(signal={"maxSignalRate": 2})
        text = clientFrame(TEXT, b'{"type":"auth","token":"x"}')
        client.sendBytes(text * 3)
        self.assertFailed(client, "rate_limited", "rate limit exceeded", 1008)
        self.assertEqual(self.event("rate_limited"), 1)

    def test_otherText(self) -> None:
        """
        Other text closes with 1003.
        """
        self.assertFails(b"hello", "bad_message", "expected binary message", 1003)

    def assertFails(self, text: bytes, code: str, message: str, closeCode: int) -> None:
        """
        A text that ends a session.
        """
        client = self.start()
        client.send(TEXT, text)
        self.assertFailed(client, code, message, closeCode)

    def test_tooLong(self) -> None:
        """
        A message over payload cap and header closes with 1009 without a word, and is counted;
        what came before it in the same read is relayed.
        """
        for size in (29, 100_000):
            client = self.start(maxPayload=4)
            frames = [encode(1, 7, V4, 53, b"x"), bytes(size)]
            client.sendBytes(b"".join(clientFrame(BINARY, frame) for frame in frames))
            self.assertEqual(len(self.network.sockets[0].sent), 1)
            self.assertFailed(client, None, "", 1009)
            self.assertEqual(self.event("udp_ws_dropped_oversized"), 1)
            self.assertEqual(self.event("udp_ws_dropped"), 1)

    def test_dropped(self) -> None:
        """
        What is malformed, oversized or denied is dropped, and the connection stays.
        """
        client = self.start(maxPayload=4)
        for message in (b"x", encode(1, 7, V4, 53, b"12345"), encode(1, 7, V4, 99, b"x")):
            client.send(BINARY, message)
        client.send(BINARY, encode(1, 7, V4, 53, b"1234"))
        self.assertEqual(self.network.sockets[0].sent, [(b"1234", A)])
        self.assertEqual(client.frames(), [])
        for reason in ("malformed", "oversized", "denied_by_policy"):
            self.assertEqual(self.event(f"udp_ws_dropped_{reason}"), 1)

    def test_hardClose(self) -> None:
        """
        Too many violations close with 1008.
        """
        client = self.start(maxPPS=1, hardCloseAfter=2)
        frame = clientFrame(BINARY, encode(1, 7, V4, 53, b"x"))
        client.sendBytes(frame * 5)
        self.assertFailed(client, None, "session closed", 1008)

    def test_slowClient(self) -> None:
        """
        A client that takes nothing gets the newest datagrams later.
        """
        client = self.start(sendQueue=20)
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        client.block()
        self.network.deliver(0, (b"1", A), (b"2", A), (b"3", A))
        self.assertEqual(client.frames(), [])
        client.unblock()
        self.assertEqual(
            client.frames(), [(BINARY, encode(1, 7, V4, 53, payload)) for payload in (b"2", b"3")]
        )
        self.assertEqual(self.event("udp_ws_dropped_backpressure"), 1)

    def test_idle(self) -> None:
        """
        A silent client is pinged, and closed with 1000 where it stays silent.
        """
        client = self.start(udpIdle=0.5, udpPing=0.2)
        self.rig.reactor.advance(0.2)
        self.assertEqual(client.frames(), [(PING, b"")])
        self.rig.reactor.pump([0.1] * 2)
        self.assertEqual(client.frames(), [(PING, b"")])
        self.rig.reactor.advance(0.1)
        self.assertFailed(client, None, "idle timeout", 1000)

    def test_pongs(self) -> None:
        """
        One that answers stays.
        """
        client = self.start(udpIdle=0.5, udpPing=0.2)
        for _ in range(6):
            self.rig.reactor.advance(0.2)
            self.assertEqual(client.frames(), [(PING, b"")])
            client.send(PONG)

    def test_drain(self) -> None:
        """
        A process that stops says so with 1001 and frees everything at once.
        """
        client = self.start()
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.endpoint.drain()
        self.assertFailed(client, None, "server is shutting down", 1001)

    def test_timersEnd(self) -> None:
        """
        A lost connection leaves nothing behind.
        """
        client = self.start()
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        client.lose()
        self.assertEqual((len(self.sessions), self.ports.open), (0, 0))
        left = [call for call in self.rig.reactor.getDelayedCalls() if call.getTime() > 1]
        self.assertEqual(left, [])
