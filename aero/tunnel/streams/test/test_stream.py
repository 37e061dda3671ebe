"""
Tests for L{aero.tunnel.streams.stream}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from aero.testing.properties import given, strategies
from aero.tunnel.streams import states as muxstates
from aero.tunnel.streams.sender import FairSender
from aero.tunnel.streams.states import CLOSED, TRANSITIONS
from aero.tunnel.streams.stream import MuxStream
from aero.wire.tcpmux import CLOSE, DATA, ERROR, Error, ErrorCode, FrameDecoder

PEER = IPv4Address("TCP", "198.51.100.7", 0)


class Wire:
    """
    The owner of one stream, and the client's end of it.
    """

    def __init__(self, maxBytes: int = 1_000, pauseBytes: int = 100, host: str = "h") -> None:
        self.clock: Any = Clock()
        self.paused = False
        self.log: list[Any] = []
        self.queues = {"up": 0, "down": 0}
        self._decoder = FrameDecoder(1 << 24)
        self._messages: list[bytes] = []
        self.sender = FairSender(self._messages.extend, lambda: self.paused)
        self.stream = MuxStream(
            self,
            self.sender,
            1,
            host,
            80,
            peer=PEER,
            maxBytes=maxBytes,
            pauseBytes=pauseBytes,
        )

    def streamCongested(self, stream: MuxStream) -> None:
        self.log.append("congested")

    def streamRelieved(self, stream: MuxStream) -> None:
        self.log.append("relieved")

    def streamForgotten(self, stream: MuxStream, why: str) -> None:
        self.log.append(("forgotten", why))

    def errorSent(self, code: int) -> None:
        self.log.append(("error", int(code)))

    def queued(self, direction: str, change: int) -> None:
        self.queues[direction] += change

    def resume(self) -> None:
        self.paused = False
        self.sender.resumed()

    def received(self) -> list[Any]:
        """
        What the client got: all data as one value, C{FIN}, and errors.
        """
        found: list[Any] = []
        messages = b"".join(self._messages)
        self._messages.clear()
        for frame in self._decoder.receive(messages):
            if frame.kind == DATA and found and isinstance(found[-1], bytes):
                found[-1] += frame.payload
            elif frame.kind == DATA:
                found.append(frame.payload)
            elif frame.kind == CLOSE:
                found.append("FIN")
            elif frame.kind == ERROR:
                decoded = Error.decode(frame.payload)
                found.append((decoded.code, decoded.message))
        return found


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """
    Writes down what happens.
    """

    def __init__(self) -> None:
        self.data = b""
        self.events: list[Any] = []

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        assert "read end" not in self.events, "the end overtook data"
        self.data += data

    def readConnectionLost(self) -> None:
        self.events.append("read end")

    def writeConnectionLost(self) -> None:
        self.events.append("write end")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append(reason.type)


class Plain(Protocol):
    """
    The same for a protocol that does not know half-close.
    """

    data = b""
    lost: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason.type


class Producer:
    """
    Writes down what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class TransportTests(SynchronousTestCase):
    """
    A stream as a transport.
    """

    def setUp(self) -> None:
        self.wire = Wire()
        self.stream = self.wire.stream
        self.protocol = Recorder()

    def test_interfaces(self) -> None:
        """
        It is a transport, a consumer and a producer, and says who is at both ends.
        """
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.stream)
        self.assertEqual(self.stream.getPeer(), PEER)
        self.assertEqual(self.stream.getHost(), HostnameAddress(b"h", 80))
        self.assertEqual(Wire(host="::1").stream.getHost(), IPv6Address("TCP", "::1", 80))
        self.assertEqual(
            Wire(host="192.0.2.1").stream.getHost(), IPv4Address("TCP", "192.0.2.1", 80)
        )

    def test_early(self) -> None:
        """
        What came before the protocol is given to it in order, the end last.
        """
        self.stream.remoteDataReceived(b"a")
        self.stream.remoteDataReceived(b"b")
        self.stream.remoteEnded()
        self.stream.connect(self.protocol)
        self.assertEqual((self.protocol.data, self.protocol.events), (b"ab", ["made", "read end"]))
        self.stream.writeSequence([b"c", b"d"])
        self.stream.loseWriteConnection()
        self.assertEqual(self.wire.received(), [b"cd", "FIN"])
        self.assertEqual(self.protocol.events[2:], ["write end", error.ConnectionDone])
        self.assertEqual(self.wire.log, [("forgotten", "finished")])

    def test_halfClose(self) -> None:
        """
        The end of one direction leaves the other alone, and writing after it does nothing.
        """
        self.stream.connect(self.protocol)
        self.stream.loseWriteConnection()
        self.stream.write(b"too late")
        self.stream.loseWriteConnection()
        self.assertEqual(self.wire.received(), ["FIN"])
        self.stream.remoteDataReceived(b"x")
        self.assertEqual((self.protocol.data, self.stream.remoteOpen), (b"x", True))
        self.stream.remoteEnded()
        self.assertEqual(self.wire.log, [("forgotten", "finished")])

    def test_plainProtocol(self) -> None:
        """
        To a protocol that knows no half-close the client's end is that of the connection; what
        it wrote is still sent.
        """
        protocol = Plain()
        self.stream.connect(protocol)
        self.wire.paused = True
        self.stream.write(b"answer")
        self.stream.remoteEnded()
        self.assertEqual(protocol.lost, None)
        self.wire.resume()
        self.assertEqual(self.wire.received(), [b"answer", "FIN"])
        self.assertEqual(protocol.lost, error.ConnectionDone)

    def test_loseConnection(self) -> None:
        """
        A protocol that ends the connection gets no more data, and its own is sent.
        """
        self.stream.connect(self.protocol)
        self.wire.paused = True
        self.stream.write(b"x")
        self.stream.loseConnection()
        self.stream.loseConnection()
        self.stream.remoteDataReceived(b"y")
        self.stream.remoteEnded()
        self.assertEqual((self.protocol.data, self.wire.log), (b"", []))
        self.wire.resume()
        self.assertEqual(self.wire.received(), [b"x", "FIN"])
        self.assertEqual(self.protocol.events, ["made", error.ConnectionDone])
        self.assertEqual(self.wire.log, [("forgotten", "finished")])

    def test_abort(self) -> None:
        """
        A protocol that aborts is an error for the client, without what it had written.
        """
        self.stream.connect(self.protocol)
        self.wire.paused = True
        self.stream.write(b"x")
        self.stream.abortConnection()
        self.stream.abortConnection()
        self.wire.resume()
        self.assertEqual(self.wire.received(), [(2, "dial failed")])
        self.assertEqual(self.protocol.events, ["made", error.ConnectionLost])
        self.assertEqual(self.wire.log, [("error", 2), ("forgotten", "error")])

    def test_reset(self) -> None:
        """
        When the client gives the stream up nothing more is sent or delivered.
        """
        self.stream.connect(self.protocol)
        self.wire.paused = True
        self.stream.write(b"x")
        self.stream.remoteReset()
        self.wire.resume()
        self.assertEqual(self.wire.received(), [])
        self.assertEqual(self.protocol.events, ["made", error.ConnectionAborted])
        self.assertEqual(self.wire.queues, {"up": 0, "down": 0})

    def test_finishedSilently(self) -> None:
        """
        What fails after both directions have ended is not told to a client that has forgotten
        the stream.
        """
        self.stream.connect(self.protocol)
        self.stream.pauseProducing()
        self.stream.remoteDataReceived(b"x")
        self.stream.remoteEnded()
        self.stream.loseWriteConnection()
        self.stream.fail(ErrorCode.DIAL_FAILED, "dial failed")
        self.assertEqual(self.wire.received(), ["FIN"])
        self.assertEqual(self.wire.log, [("forgotten", "error")])

    def test_pushProducer(self) -> None:
        """
        A producer is paused when too much waits, goes on at half of that, and is stopped with
        the stream.
        """
        producer = Producer()
        self.stream.connect(self.protocol)
        self.stream.registerProducer(producer, True)
        self.assertRaises(RuntimeError, self.stream.registerProducer, producer, True)
        self.wire.paused = True
        self.stream.write(bytes(100))
        self.assertEqual(producer.told, [])
        self.stream.write(b"x")
        self.assertEqual(producer.told, ["pause"])
        self.wire.resume()
        self.assertEqual(producer.told, ["pause", "resume"])
        self.stream.remoteReset()
        self.assertEqual(producer.told, ["pause", "resume", "stop"])
        late = Producer()
        self.stream.registerProducer(late, True)
        self.assertEqual(late.told, ["stop"])

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked for a piece in each turn as long as there is room, and again
        once there is some.
        """
        wire, stream = self.wire, self.stream

        class Pieces(Producer):
            def resumeProducing(self) -> None:
                super().resumeProducing()
                wire.paused = len(self.told) == 4
                stream.write(b"x")
                if len(self.told) == 5:
                    stream.unregisterProducer()

        producer = Pieces()
        stream.connect(self.protocol)
        stream.registerProducer(producer, False)
        wire.clock.advance(0)
        self.assertEqual(len(producer.told), 4)
        wire.resume()
        wire.clock.advance(0)
        self.assertEqual((len(producer.told), wire.received()), (5, [b"xxxxx"]))
        self.assertEqual(wire.clock.getDelayedCalls(), [])

    def test_overflow(self) -> None:
        """
        As much as the limit may wait for a protocol that does not read, what it keeps itself
        included, and no more.
        """
        self.stream.connect(self.protocol)
        self.stream.waiting = lambda: 600
        self.stream.pauseProducing()
        self.stream.remoteDataReceived(bytes(400))
        self.assertEqual(self.wire.log, ["congested"])
        self.stream.remoteDataReceived(b"x")
        self.assertEqual(self.wire.received(), [(6, "stream buffered too much data")])
        self.assertEqual(
            self.wire.log, ["congested", ("error", 6), "relieved", ("forgotten", "error")]
        )

    def test_table(self) -> None:
        """
        Every state can be left, every state but the first is reached, and nothing leaves the
        last.
        """
        states = {before for before, _ in TRANSITIONS} | set(TRANSITIONS.values())
        self.assertEqual(states - {before for before, _ in TRANSITIONS}, {CLOSED})
        self.assertEqual(states - set(TRANSITIONS.values()), {muxstates.OPENING})
        self.assertLess(muxstates.LOCAL_OPEN | muxstates.REMOTE_OPEN, states)


STEPS = strategies.lists(
    strategies.one_of(
        strategies.tuples(strategies.just("up"), strategies.integers(1, 300)),
        strategies.tuples(strategies.just("down"), strategies.integers(1, 300)),
        strategies.tuples(
            strategies.sampled_from(
                ["connect", "endUp", "endDown", "stall", "flow", "block", "unblock"]
            ),
            strategies.just(0),
        ),
    ),
    max_size=40,
)


class InterleavingTests(SynchronousTestCase):
    """
    Anything in any order.
    """

    @given(STEPS)
    def test_anyOrder(self, steps: list[tuple[str, int]]) -> None:
        """
        Both sides get exactly what the other sent, the end last and once, whatever the order;
        bounds hold all the time, and only breaking one loses the stream.
        """
        wire = Wire()
        stream, protocol = wire.stream, Recorder()
        up = down = b""
        connected = downEnded = overflowed = False
        byte = 0
        got: list[Any] = []
        for step, size in [
            *steps,
            ("connect", 0),
            ("flow", 0),
            ("unblock", 0),
            ("endUp", 0),
            ("endDown", 0),
        ]:
            byte = (byte + 1) % 256
            piece = bytes([byte]) * size
            if step == "up" and stream.remoteOpen:
                stream.remoteDataReceived(piece)
                up += piece
                overflowed = stream.state == CLOSED
            elif step == "down" and connected and not downEnded:
                stream.write(piece)
                down += piece
            elif step == "connect" and not connected and stream.state != CLOSED:
                connected = True
                stream.connect(protocol)
            elif step == "endUp" and stream.state != CLOSED:
                stream.remoteEnded()
            elif step == "endDown" and connected:
                downEnded = True
                stream.loseWriteConnection()
            elif step == "stall" and connected:
                stream.pauseProducing()
            elif step == "flow" and connected:
                stream.resumeProducing()
            elif step in ("block", "unblock"):
                wire.paused = step == "block"
                if not wire.paused:
                    wire.sender.resumed()
            self.assertLessEqual(wire.queues["up"], 1_000)
            self.assertEqual(up[: len(protocol.data)], protocol.data)
            got += wire.received()
            if overflowed:
                break
        if overflowed:
            self.assertEqual(got[-1], (6, "stream buffered too much data"))
            self.assertGreater(len(up) - len(protocol.data), 1_000)
        else:
            self.assertEqual(protocol.data, up)
            self.assertEqual(got.pop(), "FIN")
            self.assertEqual(b"".join(got), down)
            self.assertEqual(sorted(map(str, protocol.events[1:3])), ["read end", "write end"])
            self.assertEqual(protocol.events[3:], [error.ConnectionDone])
        self.assertEqual(wire.queues, {"up": 0, "down": 0})
        self.assertEqual([item for item in wire.log if item[0] == "forgotten"][1:], [])
        self.assertEqual(wire.log[-1][0], "forgotten")
