"""
Tests for L{aero.ws.tcp}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import tcp as rows
from aero.net.commons import Commons
from aero.net.dialer import ApprovedTarget, Dialer
from aero.net.resolver import LookupFailed
from aero.policy.egress import EgressPolicy
from aero.settings.shares import ShareSettings
from aero.settings.tcp import TCPSettings
from aero.testing.ws import TargetEnd, WebSocketClient, WebSocketRig, clientFrame
from aero.tunnel.slots import TunnelSlots
from aero.wire.websocket import BINARY, CLOSE, TEXT
from aero.ws.tcp import TCPEndpoint, TCPTunnelProtocol

TARGET = b"/tcp?v=1&host=192.0.2.5&port=7"


class Names:
    """
    A resolver that answers when the test does.
    """

    def __init__(self) -> None:
        self.known: dict[str, Deferred[list[str]]] = {}

    def resolve(self, name: str) -> Deferred[list[str]]:
        return self.known.pop(name)


class Case(SynchronousTestCase):
    """
    An endpoint, its clients and its targets.
    """

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.names = Names()
        self.make()

    def make(
        self,
        protocol: type[TCPTunnelProtocol] = TCPTunnelProtocol,
        private: bool = True,
        **settings: Any,
    ) -> None:
        policy = EgressPolicy(
            profile="open",
            allowPrivate=private,
            allowedHosts=(),
            blockedHosts=(),
            requireName=False,
            allowedPorts=(),
        )
        self.settings = TCPSettings(**settings)
        self.slots = TunnelSlots(self.settings, self.rig.metrics)
        self.endpoint = TCPEndpoint(
            "/tcp",
            protocol,
            settings=self.settings,
            dialer=Dialer(self.rig.reactor, self.names, policy, self.rig.metrics),
            slots=self.slots,
            **self.rig.common,
        )

    def connect(self, target: bytes = TARGET, **how: Any) -> WebSocketClient:
        return self.rig.connect(self.endpoint, target, **how)

    def tunnel(self) -> tuple[WebSocketClient, TargetEnd]:
        """
        A client and a connected target.
        """
        client = self.connect()
        self.assertEqual((client.status, client.body), (101, b""))
        return client, self.rig.acceptTarget()

    def held(self) -> float:
        return sum(self.slots._bySession._held.values())

    def assertClose(self, client: WebSocketClient, code: int, reason: bytes = b"") -> None:
        """
        The client sees nothing but this close, and the end of the stream.
        """
        self.assertEqual(client.frames(), [(CLOSE, code.to_bytes(2, "big") + reason)])
        self.assertTrue(client.transport.halfClosed)


class RequestTests(Case):
    """
    Everything before the 101.
    """

    def test_refusals(self) -> None:
        """
        Targets that make no sense are a 400, those that are not public a 403.
        """
        self.make(private=False)
        for query, status, message in (
            (b"v=2&host=a&port=1", 400, b"Unsupported TCP proxy protocol version\n"),
            (b"host=a", 400, b"Missing required query parameter: port\n"),
            (b"host=a_b&port=1", 400, b"Invalid host\n"),
            (b"host=127.0.0.1&port=1", 403, b"Target IP is not allowed by IP egress policy\n"),
        ):
            client = self.connect(b"/tcp?" + query)
            self.assertEqual((client.status, client.body), (status, message))
        value = self.rig.metrics.value
        self.assertEqual(value(rows.BLOCKED_BY_HOST_POLICY), 1)
        self.assertEqual(value(rows.BLOCKED_BY_IP_POLICY), 1)
        self.assertEqual(self.rig.reactor.tcpClients, [])
        self.assertEqual(self.held(), 0)

    def test_name(self) -> None:
        """
        A name is resolved before the 101, and the connection goes to the address that was
        approved and to no other.
        """
        self.make(private=False)
        self.names.known["example.com"] = found = Deferred[list[str]]()
        client = self.connect(b"/tcp?target=EXAMPLE.com:80")
        self.assertEqual(client.status, 0)
        found.callback(["10.0.0.1", "8.8.8.8"])
        client.read()
        self.assertEqual(client.status, 101)
        self.assertEqual([c[:2] for c in self.rig.reactor.tcpClients], [("8.8.8.8", 80)])

    def test_rebinding(self) -> None:
        """
        A name that leads to private addresses only is a 403.
        """
        self.make(private=False)
        self.names.known["rebind.example"] = succeed(["127.0.0.1", "::1"])
        client = self.connect(b"/tcp?host=rebind.example&port=80")
        self.assertEqual(client.status, 403)

    def test_lookupFails(self) -> None:
        """
        A name that cannot be resolved is a 502.
        """
        self.names.known["gone.example"] = fail(LookupFailed("gone.example", "failed"))
        client = self.connect(b"/tcp?host=gone.example&port=80")
        self.assertEqual((client.status, client.body), (502, b"DNS lookup failed\n"))

    def test_leavesDuringLookup(self) -> None:
        """
        A client that resets its connection during the lookup cancels it; no slot is taken,
        nobody is connected to, and the process goes on.
        """
        cancelled: list[object] = []
        self.names.known["slow.example"] = Deferred(cancelled.append)
        client = self.connect(b"/tcp?host=slow.example&port=80")
        client.lose(error.ConnectionLost())
        self.assertEqual(len(cancelled), 1)
        self.assertEqual((self.rig.reactor.tcpClients, self.held()), ([], 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_slots(self) -> None:
        """
        A session has so many connections at once; the next is a 429 until one has ended.
        """
        self.make(maxConnections=1)
        client, target = self.tunnel()
        refused = self.connect()
        self.assertEqual(
            (refused.status, refused.body), (429, b"Too many concurrent connections\n")
        )
        self.assertEqual(self.connect(Cookie=self.rig.newCookie()).status, 101)
        client.send(CLOSE, b"\x03\xe8")
        client.lose()
        target.flush()
        self.assertEqual(self.connect().status, 101)

    def test_slotsPerAddress(self) -> None:
        """
        So has a client address, whatever its sessions; the session's slot is not lost by it.
        """
        self.make(maxConnectionsPerIP=1)
        self.assertEqual(self.connect().status, 101)
        cookie = self.rig.newCookie()
        self.assertEqual(self.connect(Cookie=cookie).status, 429)
        self.assertEqual(self.connect(Cookie=cookie, peer="198.51.100.8").status, 101)
        self.assertEqual(self.held(), 2)


class RelayTests(Case):
    """
    Bytes in both directions.
    """

    def test_bothWays(self) -> None:
        """
        Messages are the target's bytes and the target's bytes are messages.
        """
        client, target = self.tunnel()
        client.send(BINARY, b"ping")
        self.assertEqual(target.take(), b"ping")
        target.send(b"pong")
        self.assertEqual(client.frames(), [(BINARY, b"pong")])
        self.assertTrue(target.transport.noDelay and target.transport.keepAlive)

    def test_largeReads(self) -> None:
        """
        A message to the client has at most 64 KiB.
        """
        client, target = self.tunnel()
        target.send(b"x" * 150_000)
        self.assertEqual([len(data) for _, data in client.frames()], [65_536, 65_536, 18_928])

    def test_early(self) -> None:
        """
        What the client sends before the target is there is delivered first, in order.
        """
        client = self.connect(early=clientFrame(BINARY, b"one "))
        client.send(BINARY, b"two ")
        target = self.rig.acceptTarget()
        client.send(BINARY, b"three")
        self.assertEqual(target.take(), b"one two three")

    def test_earlyBounded(self) -> None:
        """
        A client that sends much before the target is there is paused, and goes on after.
        """
        self.make(pauseBytes=100)
        client = self.connect()
        client.send(BINARY, b"x" * 101)
        self.assertTrue(client.isPaused)
        target = self.rig.acceptTarget()
        self.assertFalse(client.isPaused)
        self.assertEqual(target.take(), b"x" * 101)

    def test_slowTarget(self) -> None:
        """
        A target that takes nothing pauses the client, and 1011 is not the answer; once
        everything is gone the client goes on.
        """
        self.make(pauseBytes=100)
        client, target = self.tunnel()
        target.block()
        client.send(BINARY, b"x" * 100)
        self.assertFalse(client.isPaused)
        client.send(BINARY, b"y")
        self.assertTrue(client.isPaused)
        target.unblock()
        self.assertFalse(client.isPaused)
        self.assertEqual(client.frames(), [])

    def test_giantMessage(self) -> None:
        """
        One piece that is more than may ever wait closes with 1011 and drops the target.
        """
        self.make(pauseBytes=100, maxBufferBytes=1_000)
        client, target = self.tunnel()
        target.block()
        client.send(BINARY, b"x" * 1_001)
        self.assertClose(client, 1011, b"target buffer full")
        self.assertTrue(target.transport.disconnecting)

    def test_memory(self) -> None:
        """
        A client that has used up its memory is not read, nor are its targets, until what waits
        has gone; nothing is lost, and everything is given back.
        """
        commons = Commons(
            self.rig.reactor, self.rig.metrics, ShareSettings(maxWaitingBytesPerIP=100_000)
        )
        self.rig.common["commons"] = commons
        self.make()
        clients = [self.connect() for _ in range(3)]
        targets = [self.rig.acceptTarget(index) for index in range(3)]
        for target, client in zip(targets, clients, strict=True):
            target.block()
            client.send(BINARY, b"x" * 40_000)
        self.assertEqual([client.isPaused for client in clients], [False, False, True])
        self.assertEqual(commons.waiting.used, 120_000)
        other = self.connect(peer="203.0.113.9")
        other.send(BINARY, b"y" * 40_000)
        self.assertFalse(other.isPaused)
        clients[0].block()
        targets[0].send(b"z" * 70_000)
        self.assertTrue(targets[0].isPaused)
        targets[2].unblock()
        self.assertFalse(clients[2].isPaused)
        self.assertEqual(targets[2].take(), b"x" * 40_000)
        clients[0].unblock()
        self.assertFalse(targets[0].isPaused)
        for end in (*clients, other, *targets):
            end.lose()
        self.rig.failTarget(error.ConnectionRefusedError())
        self.assertEqual(commons.waiting.used, 0)

    def test_slowClient(self) -> None:
        """
        A client that takes nothing pauses the target, once; it goes on once everything is
        gone.
        """
        self.make(pauseBytes=100)
        client, target = self.tunnel()
        client.block()
        target.send(b"x" * 100)
        self.assertFalse(target.isPaused)
        target.send(b"y" * 10)
        self.assertTrue(target.isPaused)
        client.unblock()
        self.assertFalse(target.isPaused)
        self.assertEqual(self.rig.metrics.value(rows.WS_PAUSES, "tcp", "down"), 1)

    def test_text(self) -> None:
        """
        Text closes with 1003 and is never forwarded; nothing after it is either.
        """
        client, target = self.tunnel()
        client.sendBytes(clientFrame(TEXT, b"t") + clientFrame(BINARY, b"b"))
        self.assertClose(client, 1003)
        self.assertEqual(target.take(), b"")
        self.assertTrue(target.transport.disconnecting)

    def test_oversize(self) -> None:
        """
        An oversized message closes with 1009 before it arrives.
        """
        self.make(maxMessageBytes=5)
        client, target = self.tunnel()
        client.sendBytes(clientFrame(BINARY, b"123456")[:2])
        self.assertClose(client, 1009)
        self.assertTrue(target.transport.disconnecting)


class EndTests(Case):
    """
    How tunnels end.
    """

    def test_targetEnds(self) -> None:
        """
        When the target ends its side, everything it sent is followed by a close 1000; what
        the client sends until it answers still reaches the target, and then its end.
        """
        client, target = self.tunnel()
        target.send(b"all of it")
        target.end()
        self.assertEqual(
            client.frames(), [(BINARY, b"all of it"), (CLOSE, b"\x03\xe8target closed")]
        )
        client.send(BINARY, b"thanks")
        self.assertEqual(target.take(), b"thanks")
        self.assertFalse(target.transport.halfClosed)
        client.send(CLOSE, b"\x03\xe8")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        self.assertTrue(target.transport.disconnecting)
        client.lose()
        target.lose()
        self.assertEqual(self.held(), 0)

    def test_clientCloses(self) -> None:
        """
        When the client closes, what it sent reaches the target before the end of the
        stream; what the target still sends is read and dropped until it ends too.
        """
        client, target = self.tunnel()
        client.send(BINARY, b"request")
        client.send(CLOSE, b"\x03\xe8")
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xe8")])
        self.assertEqual(target.take(), b"request")
        self.assertTrue(target.transport.halfClosed)
        client.lose()
        self.assertEqual(self.held(), 1)
        target.flush()
        self.assertEqual(self.held(), 0)
        target.send(b"too late")
        target.end()
        self.assertTrue(target.transport.disconnecting)

    def test_targetLingers(self) -> None:
        """
        A target that does not end its side is cut some seconds after everything arrived.
        """
        client, target = self.tunnel()
        client.send(CLOSE)
        client.lose()
        target.flush()
        self.rig.reactor.advance(9)
        self.assertFalse(target.transport.disconnecting)
        self.rig.reactor.advance(1)
        self.assertTrue(target.transport.disconnecting)

    def test_clientClosesEarly(self) -> None:
        """
        Data and close before the target is there: the target still gets the data and the end.
        """
        client = self.connect()
        client.send(BINARY, b"fire and forget")
        client.send(CLOSE, b"\x03\xe8")
        client.lose()
        target = self.rig.acceptTarget()
        self.assertEqual(target.take(), b"fire and forget")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        self.assertEqual(self.held(), 0)

    def test_clientVanishes(self) -> None:
        """
        A client that vanishes takes the target with it, and an attempt to connect too.
        """
        client, target = self.tunnel()
        client.lose(error.ConnectionLost())
        self.assertTrue(target.transport.disconnecting)
        target.lose()
        self.assertEqual(self.held(), 0)
        client = self.connect()
        client.lose(error.ConnectionLost())
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.assertEqual(self.held(), 0)

    def test_connectFails(self) -> None:
        """
        Each way in which a target cannot be reached is a close 1014 with its own words.
        """
        for problem, reason in (
            (error.ConnectionRefusedError(), b"connection refused"),
            (error.NoRouteError(), b"target unreachable"),
            (error.TCPTimedOutError(), b"connect timeout"),
            (error.ConnectError(), b"connection failed"),
        ):
            client = self.connect()
            self.rig.failTarget(problem)
            self.assertClose(client, 1014, reason)
            client.lose()
            self.assertEqual(self.held(), 0)

    def test_connectTimeout(self) -> None:
        """
        A target that does not answer is given up after the connect timeout.
        """
        client = self.connect()
        self.rig.reactor.advance(10)
        self.assertClose(client, 1014, b"connect timeout")
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)

    def test_targetBreaks(self) -> None:
        """
        A target that resets the connection is a close 1014, after what it sent.
        """
        client, target = self.tunnel()
        target.send(b"part")
        target.lose(error.ConnectionLost())
        self.assertEqual(client.frames(), [(BINARY, b"part"), (CLOSE, b"\x03\xf6target reset")])
        client.lose()
        self.assertEqual(self.held(), 0)

    def test_idle(self) -> None:
        """
        A tunnel without a byte in either direction is closed; a byte in time keeps it.
        """
        self.make(idleTimeout=100.0, pingInterval=0.0)
        client, target = self.tunnel()
        self.rig.reactor.advance(60)
        client.send(BINARY, b"x")
        self.rig.reactor.advance(60)
        target.send(b"y")
        self.rig.reactor.advance(99)
        self.assertEqual(client.frames(), [(BINARY, b"y")])
        self.rig.reactor.advance(1)
        self.assertClose(client, 1001, b"idle timeout")
        self.assertTrue(target.transport.halfClosed)
        client.lose()
        target.lose()
        self.assertEqual(self.held(), 0)

    def test_drain(self) -> None:
        """
        A stopping process closes with 1001; what the client sends before it answers still
        arrives.
        """
        client, target = self.tunnel()
        over = self.endpoint.drain()
        self.assertClose(client, 1001, b"server is shutting down")
        target.send(b"nowhere to go")
        client.send(BINARY, b"last")
        client.send(CLOSE, b"\x03\xe9")
        self.assertEqual(target.take(), b"last")
        self.assertTrue(target.transport.halfClosed)
        client.lose()
        self.successResultOf(over)

    def test_noTimersLeft(self) -> None:
        """
        A tunnel that is over leaves no timer behind.
        """
        client, target = self.tunnel()
        target.end()
        client.send(CLOSE, b"\x03\xe8")
        client.lose()
        target.flush()
        target.lose()
        calls = [c for c in self.rig.reactor.getDelayedCalls() if "_sweep" not in str(c.func)]
        self.assertEqual(calls, [])


class HookTests(Case):
    """
    Tunnels of users.
    """

    def test_rewrites(self) -> None:
        """
        A subclass may change the bytes in both directions and learn of the connection.
        """
        opened = []

        class Shouting(TCPTunnelProtocol):
            def connectionOpened(self) -> None:
                opened.append(str(self.target))

            def clientDataReceived(self, data: bytes) -> None:
                self.sendToTarget(data.upper())

            def targetDataReceived(self, data: bytes) -> None:
                self.sendToClient(data.lower())

        self.make(Shouting)
        client, target = self.tunnel()
        self.assertEqual(opened, ["192.0.2.5:7"])
        client.send(BINARY, b"Hello")
        self.assertEqual(target.take(), b"HELLO")
        target.send(b"World")
        self.assertEqual(client.frames(), [(BINARY, b"world")])

    def test_refuses(self) -> None:
        """
        A subclass may refuse a target that the policy approved, before the 101.
        """

        class Picky(TCPTunnelProtocol):
            async def connectionRequested(self, target: ApprovedTarget) -> None:
                raise Refused(403, "forbidden", f"Not {target.port}")

        self.make(Picky)
        client = self.connect()
        self.assertEqual((client.status, client.body), (403, b"Not 7\n"))
        self.assertEqual((self.rig.reactor.tcpClients, self.held()), ([], 0))

    def test_checksComeFirst(self) -> None:
        """
        The hook is not asked about a target that the policy refuses, and cannot replace the
        target by one that nobody approved.
        """
        asked: list[ApprovedTarget] = []

        class Curious(TCPTunnelProtocol):
            def connectionRequested(self, target: ApprovedTarget) -> None:
                asked.append(target)
                self.target = ApprovedTarget("127.0.0.1", 22, ("127.0.0.1",), None)

            def sessionOpened(self) -> None:
                self.target = ApprovedTarget("127.0.0.1", 22, ("127.0.0.1",), None)

        self.make(Curious, private=False)
        self.assertEqual(self.connect().status, 403)
        self.assertEqual(asked, [])
        client = self.connect(b"/tcp?host=8.8.8.8&port=53")
        self.assertEqual(client.status, 101)
        self.assertEqual([c[:2] for c in self.rig.reactor.tcpClients], [("8.8.8.8", 53)])

    def test_hookFails(self) -> None:
        """
        A mistake in a hook closes with 1011 and drops the target.
        """

        class Broken(TCPTunnelProtocol):
            def targetDataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        self.make(Broken)
        client, target = self.tunnel()
        target.send(b"x")
        self.assertClose(client, 1011, b"internal error")
        self.assertTrue(target.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
