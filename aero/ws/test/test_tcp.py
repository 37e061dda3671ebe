"""
Tests for L{aero.ws.tcp}.
"""

from __future__ import annotations

from twisted.internet import error
from twisted.internet.defer import Deferred, fail, succeed

from aero.errors import Refused
from aero.metrics import tcp as rows
from aero.net.commons import Commons
from aero.net.dialer import ApprovedTarget
from aero.net.resolver import LookupFailed
from aero.settings.shares import ShareSettings
from aero.testing.ws import clientFrame
from aero.wire.websocket import BINARY, CLOSE, TEXT
from aero.ws.tcp import TCPTunnelProtocol

from .tcpfixtures import Case


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
        self.assertEnded(target)

    def test_oversize(self) -> None:
        """
        An oversized message closes with 1009 before it arrives.
        """
        self.make(maxMessageBytes=5)
        client, target = self.tunnel()
        client.sendBytes(clientFrame(BINARY, b"123456")[:2])
        self.assertClose(client, 1009)
        self.assertEnded(target)


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
        A mistake in a hook closes with 1011, and the target sees the end.
        """

        class Broken(TCPTunnelProtocol):
            def targetDataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        self.make(Broken)
        client, target = self.tunnel()
        target.send(b"x")
        self.assertClose(client, 1011, b"internal error")
        self.assertEnded(target)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
