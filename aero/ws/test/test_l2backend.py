"""
Tests for L{aero.ws.l2backend}: a relay's channel on one side, a backend on the other, no network
(relay.md sections 13 and 20.11).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import relay as rows
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.settings.webrtc import BridgeSettings
from aero.testing.web import MemoryTransport
from aero.tunnel.datagrams.peers import PeerRequest
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.wire.websocket import BINARY, CLOSE, PING, PONG, FrameReader, frameHeader
from aero.ws.l2backend import MAX_WAITING, Backend, Backends
from aero.ws.masking import unmask

TUNNEL = b"aero-l2-tunnel-v1"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Carrier:
    """
    The data channel. See L{aero.tunnel.datagrams.peers.TunnelCarrier}.
    """

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed: str | None = None
        self.isPaused = False

    def sendMessages(self, messages: list[bytes]) -> None:
        self.sent += messages

    def closeTunnel(self, code: int, reason: str) -> None:
        self.closed = reason

    def pauseReading(self) -> None:
        self.isPaused = True

    def resumeReading(self) -> None:
        self.isPaused = False

    def unsentBytes(self) -> int:
        return 0


class Transport(MemoryTransport):
    """
    The connection to a backend. Like a real one it does not mind if there is no producer.

    @ivar protocol: What was connected.
    """

    protocol: Any

    def unregisterProducer(self) -> None:
        self.producer = None
        self.streaming = None


class Endpoint:
    """
    Connects when the test says so.
    """

    def __init__(self) -> None:
        self.factory: Any = None
        self.isCancelled = False

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        self.waiting: Deferred[Any] = Deferred(self._cancelled)
        return self.waiting

    def _cancelled(self, waiting: Deferred[Any]) -> None:
        self.isCancelled = True

    def accept(self) -> Transport:
        """
        The backend is reached.
        """
        protocol = self.factory.buildProtocol(None)
        transport = Transport("192.0.2.9")
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.waiting.callback(protocol)
        return transport


class BackendTestCase(SynchronousTestCase):
    """
    One channel and its backend.
    """

    def make(self, *, credential: str | None = None, bps: int = 0, **settings: Any) -> None:
        """
        Open the channel.
        """
        self.clock = MemoryReactorClock()
        metrics = Metrics(ROWS)
        sessions = RelaySessions(
            SignalSettings(),
            UDPSettings(maxClientBPS=bps),
            clock=self.clock,
            metrics=metrics,
        )
        self.ended: list[str] = []
        self.session = sessions.take(None, self.ended.append)
        self.events = metrics.events(rows.EVENTS)
        self.endpoint = Endpoint()
        self.carrier = Carrier()
        backends = Backends(
            BridgeSettings(**{"backendURL": "ws://backend/l2", **settings}),
            reactor=self.clock,
            events=self.events,
            connector=lambda url: cast(Any, self.endpoint),
        )
        request = PeerRequest(address="192.0.2.1", origin="https://a", credential=credential)
        self.backend = backends.openTunnel(self.session, request, self.carrier)

    def connect(self, protocol: bytes = TUNNEL, status: bytes = b"101 Switching") -> None:
        """
        Reach the backend, and have it answer.
        """
        self.transport = self.endpoint.accept()
        self.head = self.transport.value().decode("latin-1")
        key = next(
            line.partition(": ")[2]
            for line in self.head.split("\r\n")
            if line.lower().startswith("sec-websocket-key")
        )
        digest = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())
        chosen = b"Sec-WebSocket-Protocol: " + protocol + b"\r\n" if protocol else b""
        self.transport.clear()
        self.reader = FrameReader(1_000_000, stream=False, unmask=unmask)
        self.answer(
            b"HTTP/1.1 " + status + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + chosen
            + b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n"
        )  # fmt: skip

    def answer(self, data: bytes) -> None:
        """
        The backend sends bytes.
        """
        self.transport.protocol.dataReceived(data)

    def say(self, payload: bytes, opcode: int = BINARY) -> None:
        """
        The backend sends a frame.
        """
        self.answer(frameHeader(opcode, len(payload)) + payload)

    def frames(self) -> list[tuple[int, bytes]]:
        """
        What the backend got.
        """
        data = self.transport.value()
        self.transport.clear()
        return [(opcode, bytes(payload)) for opcode, payload in self.reader.receive(data)]

    def count(self, name: str) -> int:
        """
        How often something happened.
        """
        return self.events.counts[f"l2_bridge_{name}"]

    @property
    def tunnel(self) -> Backend:
        """
        The backend, which is there.
        """
        assert self.backend is not None
        return self.backend


class DialTests(BackendTestCase):
    """
    Getting there.
    """

    def test_handshake(self) -> None:
        """
        It shows what the settings say, and passes on what waited.
        """
        self.make(credential="k", forwardOrigin=True, backendToken="own")
        self.tunnel.messagesReceived([b"early", b"bird"])
        self.connect()
        self.assertIn("GET /l2?apiKey=k&token=k HTTP/1.1\r\n", self.head)
        self.assertIn("Origin: https://a\r\n", self.head)
        self.assertIn("aero-l2-tunnel-v1,aero-l2-token.own\r\n", self.head.replace(", ", ","))
        self.assertEqual(self.frames(), [(BINARY, b"early"), (BINARY, b"bird")])
        self.assertEqual((self.count("dials_total"), self.count("dial_errors_total")), (1, 0))

    def test_badCredential(self) -> None:
        """
        A credential that cannot be offered dials nobody.
        """
        self.make(credential="a=b", forwardAuth="subprotocol")
        self.assertIsNone(self.backend)
        self.assertEqual((self.count("dials_total"), self.count("dial_errors_total")), (1, 1))
        self.assertIsNone(self.endpoint.factory)

    def test_unreachable(self) -> None:
        """
        Nobody there.
        """
        self.make()
        self.endpoint.waiting.errback(Failure(ConnectionRefusedError()))
        self.assertEqual((self.carrier.closed, self.count("dial_errors_total")), ("dial failed", 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """
        One that says no, and one that chooses another protocol or none.
        """
        for protocol, status in ((TUNNEL, b"403 No"), (b"", b"101 S"), (b"other", b"101 S")):
            self.make()
            self.connect(protocol, status)
            self.transport.loseConnection()
            self.transport.protocol.connectionLost(Failure(ConnectionRefusedError()))
            self.assertEqual(self.carrier.closed, "dial failed")
            self.assertEqual(self.count("dial_errors_total"), 1)

    def test_slow(self) -> None:
        """
        Connecting and handshake have five seconds together.
        """
        self.make()
        self.clock.advance(4)
        self.endpoint.accept()
        self.assertIsNone(self.carrier.closed)
        self.clock.advance(1)
        self.assertEqual((self.carrier.closed, self.count("dial_errors_total")), ("dial failed", 1))

    def test_channelCloses(self) -> None:
        """
        A channel that closes meanwhile is no failure.
        """
        self.make()
        self.tunnel.connectionLost("datachannel_closed")
        self.assertTrue(self.endpoint.isCancelled)
        self.assertEqual((self.count("dials_total"), self.count("dial_errors_total")), (1, 0))
        self.assertIsNone(self.carrier.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class DataTests(BackendTestCase):
    """
    Messages.
    """

    def setUp(self) -> None:
        self.make()
        self.connect()

    def test_bothWays(self) -> None:
        """
        They pass as they are; text does not; pings are answered.
        """
        self.tunnel.messagesReceived([b"up"])
        self.say(b"down")
        self.say(b"text", 1)
        self.say(b"?", PING)
        self.assertEqual(self.frames(), [(BINARY, b"up"), (PONG, b"?")])
        self.assertEqual(self.carrier.sent, [b"down"])

    def test_backendFull(self) -> None:
        """
        What a full backend does not take waits, and then the client does.
        """
        producer: Any = self.transport.producer
        producer.pauseProducing()
        self.tunnel.messagesReceived([b"x"] * (MAX_WAITING - 1))
        self.assertFalse(self.carrier.isPaused)
        self.tunnel.messagesReceived([b"last"])
        self.assertTrue(self.carrier.isPaused)
        self.assertEqual(self.frames(), [])
        producer.resumeProducing()
        frames = self.frames()
        self.assertEqual((len(frames), frames[-1]), (MAX_WAITING, (BINARY, b"last")))
        self.assertFalse(self.carrier.isPaused)

    def test_backendStalls(self) -> None:
        """
        One that takes nothing for five seconds is as good as gone.
        """
        producer: Any = self.transport.producer
        producer.pauseProducing()
        self.clock.advance(5)
        self.assertEqual(self.carrier.closed, "backend_closed")

    def test_clientFull(self) -> None:
        """
        What the client does not take stops the backend.
        """
        self.tunnel.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        self.tunnel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_silence(self) -> None:
        """
        A silent backend is pinged, and given up when that does not wake it.
        """
        self.clock.advance(30)
        self.assertEqual([opcode for opcode, _ in self.frames()], [PING])
        self.say(b"", PONG)
        self.clock.advance(30)
        self.assertIsNone(self.carrier.closed)
        self.clock.advance(30)
        self.assertEqual(self.carrier.closed, "backend_closed")


class RateTests(BackendTestCase):
    """
    A limit on what the client gets.
    """

    def test_paces(self) -> None:
        """
        The backend is read more slowly, and nothing is lost.
        """
        self.make(bps=100)
        self.connect()
        self.say(bytes(80))
        self.assertEqual(self.transport.producerState, "producing")
        self.say(bytes(80))
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(0.8)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual([len(message) for message in self.carrier.sent], [80, 80])
        self.assertEqual(self.count("dropped_rate_limited_total"), 0)

    def test_neverFits(self) -> None:
        """
        A message longer than a second of the limit is lost, and a violation.
        """
        self.make(bps=1)
        self.connect()
        self.say(b"ab")
        self.assertEqual(self.carrier.sent, [])
        self.assertEqual(self.count("dropped_rate_limited_total"), 1)
        self.assertEqual(self.events.counts["rate_limited"], 1)


class EndTests(BackendTestCase):
    """
    The end.
    """

    def setUp(self) -> None:
        self.make()
        self.connect()

    def test_backendCloses(self) -> None:
        """
        The channel is closed; nothing is left.
        """
        self.say(b"\x03\xe8bye", CLOSE)
        self.transport.protocol.connectionLost(Failure(ConnectionRefusedError()))
        self.assertEqual(self.carrier.closed, "backend_closed")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_channelCloses(self) -> None:
        """
        The backend is told: 1000, or 1009 where a message was too long.
        """
        for reason, code in (
            ("datachannel_closed", b"\x03\xe8"),
            ("oversized_message", b"\x03\xf1"),
        ):
            self.setUp()
            self.tunnel.connectionLost(reason)
            self.assertEqual(self.frames(), [(CLOSE, code)])
            self.assertTrue(self.transport.disconnecting)
            self.assertIsNone(self.carrier.closed)
            self.say(b"too late")
            self.assertEqual(self.carrier.sent, [])

    def test_tooLong(self) -> None:
        """
        A message over the limit ends both; the backend is told.
        """
        self.say(bytes(4_097))
        self.assertEqual([frame[1][:2] for frame in self.frames()], [b"\x03\xf1"])
        self.transport.protocol.connectionLost(Failure(ConnectionRefusedError()))
        self.assertEqual(self.carrier.closed, "oversized_message")
        self.assertEqual(self.count("dropped_oversized_total"), 1)
