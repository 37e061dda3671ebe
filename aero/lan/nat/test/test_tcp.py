"""
Tests for L{aero.lan.nat.tcp} and L{aero.lan.nat.outside}.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.lan.factory import LANFactory
from aero.lan.nat.outside import Way
from aero.lan.nat.tcp import NATFactory, NATProtocol
from aero.metrics import lan as rows
from aero.net.errorqueue import SocketError
from aero.net.happyeyeballs import DialFailed
from aero.policy.forwards import Forward
from aero.testing.guest import GuestTCP
from aero.testing.lan import LANRig
from aero.testing.packets import ICMP, readPacket

TARGET = "93.184.215.14"


class NATTests(SynchronousTestCase):
    """
    TCP to the outside.
    """

    def setUp(self) -> None:
        self.rig = LANRig()

    def value(self, row: Any, *labels: str) -> float:
        return self.rig.metrics.value(row, *labels)

    def open(self, port: int = 80, **options: int) -> tuple[GuestTCP, Any]:
        """
        A connection, both ends of it.
        """
        guest = self.rig.guest.connect(TARGET, port, **options)
        self.rig.settle()
        target = self.rig.acceptTarget()
        self.rig.settle()
        self.assertTrue(guest.established)
        return guest, target

    def test_dialled(self) -> None:
        """
        The guest's SYN leads to a connection to just where it goes, and is answered when that
        is there.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.assertEqual(self.rig.reactor.tcpClients[0][:2], (TARGET, 80))
        self.assertEqual(guest.log, [])
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 1)
        self.rig.acceptTarget()
        self.rig.settle()
        self.assertTrue(guest.established)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 1)

    def test_onCredit(self) -> None:
        """
        A target that takes its time does not keep the guest waiting: the SYN is answered, and
        what the guest sends meanwhile arrives once the target is there.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.rig.reactor.advance(0.3)
        self.rig.settle()
        self.assertTrue(guest.established)
        guest.write(b"early")
        guest.close()
        self.rig.settle()
        target = self.rig.acceptTarget()
        self.rig.settle()
        self.assertEqual(target.take(), b"early")
        self.assertTrue(target.transport.halfClosed)

    def test_bytes(self) -> None:
        """
        Bytes go both ways.
        """
        guest, target = self.open()
        guest.write(b"to the target")
        target.send(b"x" * 10_000)
        self.rig.settle()
        self.assertEqual(target.take(), b"to the target")
        self.assertEqual(guest.received, b"x" * 10_000)

    def test_targetEndsFirst(self) -> None:
        """
        The target's FIN is a FIN for the guest, which may go on sending.
        """
        guest, target = self.open()
        target.send(b"bye")
        target.end()
        self.rig.settle()
        self.assertEqual((guest.received, guest.ended), (b"bye", True))
        guest.write(b"still here")
        self.rig.settle()
        self.assertEqual(target.take(), b"still here")
        guest.close()
        self.rig.settle()
        self.assertTrue(target.transport.halfClosed)
        self.assertTrue(guest.finished)
        target.flush()
        target.lose()
        self.rig.settle()
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        self.assertEqual(self.value(rows.TCP_ENDED, "done"), 1)

    def test_guestEndsFirst(self) -> None:
        """
        The guest's FIN is a FIN for the target, whose answer still arrives.
        """
        guest, target = self.open()
        guest.write(b"request")
        guest.close()
        self.rig.settle()
        self.assertEqual(target.take(), b"request")
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        target.send(b"response")
        self.rig.settle()
        target.end()
        self.rig.settle()
        self.assertEqual((guest.received, guest.ended), (b"response", True))
        self.assertFalse(guest.wasReset)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        self.assertEqual(self.value(rows.BYTES, "tcp", "up"), 7)
        self.assertEqual(self.value(rows.BYTES, "tcp", "down"), 8)

    def test_guestResets(self) -> None:
        """
        The guest's reset is a reset for the target.
        """
        guest, target = self.open()
        guest.abort()
        self.rig.settle()
        self.assertTrue(target.transport.disconnected)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        self.assertEqual(self.value(rows.TCP_ENDED, "guest-reset"), 1)

    def test_guestResetsWhileDialling(self) -> None:
        """
        A guest that gives up takes the dial with it.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.rig.reactor.advance(0.3)
        self.rig.settle()
        guest.abort()
        self.rig.settle()
        self.assertTrue(self.rig.reactor.connectors[0].stoppedConnecting)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)

    def test_targetResets(self) -> None:
        """
        The target's reset is a reset for the guest, after the data that came before it.
        """
        guest, target = self.open()
        target.send(b"x" * 5_000)
        target.lose(error.ConnectionLost())
        self.rig.settle()
        self.rig.settle()
        self.assertEqual(len(guest.received), 5_000)
        self.assertTrue(guest.wasReset)
        self.assertEqual(self.value(rows.TCP_ENDED, "target-reset"), 1)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)

    def test_refusedByTarget(self) -> None:
        """
        A target that refuses before the SYN was answered is a RST to the SYN.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.rig.failTarget(error.ConnectionRefusedError())
        self.rig.settle()
        self.assertEqual([segment.flags for segment in guest.log], [0x14])
        self.assertEqual(guest.log[0].acknowledgment, 5_001)
        self.assertEqual(self.value(rows.L2_TCP_CONNECT_FAILED), 1)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)

    def test_router(self) -> None:
        """
        What a router says about the SYN to the target gets to the guest from that router while
        the guest's SYN waits, and a route of this system that prohibits is told by the gateway.
        """
        told = SocketError(errno.EHOSTUNREACH, 3, 10, 0xC6336401)
        for problem, expected in (
            (told, ("198.51.100.1", 3, 10)),
            (SocketError(errno.EACCES), ("10.0.2.2", 3, 13)),
            (SocketError(errno.EINVAL), ("10.0.2.2", 3, 1)),
        ):
            self.rig.guest.frames.clear()
            failed = DialFailed("unreachable", problem)
            self.patch(Way, "connect", lambda way, protocol, failed=failed: fail(failed))
            self.rig.guest.connect(TARGET, 80)
            self.rig.settle()
            errors = [readPacket(each) for each in self.rig.guest.frames if each[23] == ICMP]
            found = [(each.source, *each.payload[:2]) for each in errors]
            self.assertEqual(found, [expected])

    def test_refusedByPolicy(self) -> None:
        """
        What the policy refuses is never dialled, and is a RST to the SYN.
        """
        for address in ("10.0.0.1", "169.254.169.254", "127.0.0.1"):
            guest = self.rig.guest.connect(address, 80)
            self.rig.settle()
            self.assertTrue(guest.wasReset, address)
            self.assertEqual(guest.log[-1].acknowledgment, 5_001)
        self.assertEqual(self.rig.reactor.tcpClients, [])
        self.assertEqual(self.value(rows.L2_POLICY_DENIED), 3)
        self.assertEqual(self.value(rows.REFUSALS, "tcp", "private"), 3)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)

    def test_ownNetwork(self) -> None:
        """
        Nothing of the LAN itself is dialled, even where private addresses may be reached: the
        gateway refuses ports that nothing listens at.
        """
        self.rig = LANRig(rules={"allowPrivateAddresses": True})
        gateway = self.rig.guest.connect("10.0.2.2", 22)
        self.rig.guest.connect("10.0.2.77", 22)
        self.rig.settle()
        self.assertTrue(gateway.wasReset)
        self.assertEqual(self.rig.reactor.tcpClients, [])
        self.rig.guest.connect("10.0.3.1", 22)
        self.assertEqual(self.rig.reactor.tcpClients[0][:2], ("10.0.3.1", 22))

    def test_slowTarget(self) -> None:
        """
        While the target takes nothing the guest's window closes, with a bounded number of
        bytes on the way, and opens again when it goes on; nothing is lost.
        """
        guest, target = self.open()
        target.block()
        data = bytes(range(256)) * 8_192
        guest.write(data)
        for _ in range(10):
            self.rig.settle()
        arrived = len(data) - guest.unacknowledged
        self.assertLess(arrived, 700_000)
        self.assertGreater(guest.unacknowledged, 0)
        target.unblock()
        for _ in range(200):
            self.rig.settle()
        self.assertEqual(guest.unacknowledged, 0)
        self.assertEqual(target.take(), data)

    def test_slowGuest(self) -> None:
        """
        While the guest's window is closed the target is not read; nothing is lost.
        """
        guest, target = self.open(window=0)
        sent = 0
        while not target.isPaused:
            target.send(b"y" * 65_536)
            sent += 65_536
            self.assertLess(sent, 1_000_000)
        self.rig.settle()
        guest.openWindow(65_535)
        for _ in range(50):
            self.rig.settle()
        self.assertFalse(target.isPaused)
        self.assertEqual(len(guest.received), sent)

    def test_tunnelEnds(self) -> None:
        """
        When the tunnel ends every target sees the end, and a dial that nothing waits for is given
        up.
        """
        _, target = self.open()
        self.rig.guest.connect(TARGET, 81)
        self.rig.lan.stop()
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        target.end()
        self.assertTrue(target.transport.disconnecting)
        target.lose()
        self.assertTrue(self.rig.reactor.connectors[-1].stoppedConnecting)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        self.assertEqual(self.value(rows.TCP_ENDED, "tunnel-ended"), 2)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])


class ForwardTests(SynchronousTestCase):
    """
    Addresses that are elsewhere.
    """

    def rigFor(self, host: str, port: int = 8_080, **more: Any) -> LANRig:
        return LANRig(tcpForwards=(Forward(0xCB00710A, 80, host, port),), **more)

    def test_forwarded(self) -> None:
        """
        A forward leads to its target, which no rule about addresses is asked about; the guest
        sees the address it asked for.
        """
        rig = self.rigFor("127.0.0.1")
        guest = rig.guest.connect("203.0.113.10", 80)
        self.assertEqual(rig.reactor.tcpClients[0][:2], ("127.0.0.1", 8_080))
        rig.acceptTarget().send(b"hello")
        rig.settle()
        self.assertEqual(guest.received, b"hello")

    def test_otherPort(self) -> None:
        """
        It is for one port only.
        """
        rig = self.rigFor("127.0.0.1")
        guest = rig.guest.connect("203.0.113.10", 81)
        rig.settle()
        self.assertTrue(guest.wasReset)

    def test_name(self) -> None:
        """
        A name is looked up, and its IPv4 addresses come first.
        """
        rig = self.rigFor("echo.internal")
        rig.names.names["echo.internal"] = ["2001:db8::1", "192.0.2.9"]
        rig.guest.connect("203.0.113.10", 80)
        self.assertEqual(rig.reactor.tcpClients[0][:2], ("192.0.2.9", 8_080))

    def test_unknownName(self) -> None:
        """
        A name that is not found is a failed connection.
        """
        rig = self.rigFor("echo.internal")
        guest = rig.guest.connect("203.0.113.10", 80)
        rig.settle()
        self.assertEqual(rig.metrics.value(rows.L2_TCP_CONNECT_FAILED), 1)
        self.assertTrue(guest.wasReset or rig.guest.errors)

    def test_portZero(self) -> None:
        """
        A forward to port 0 is one that nobody answers at: a RST, and a failed connection.
        """
        rig = self.rigFor("127.0.0.1", 0)
        guest = rig.guest.connect("203.0.113.10", 80)
        rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(guest.log[0].acknowledgment, 5_001)
        self.assertEqual(rig.metrics.value(rows.L2_TCP_CONNECT_FAILED), 1)

    def test_portList(self) -> None:
        """
        A list of ports holds for forwards too.
        """
        rig = self.rigFor("127.0.0.1", rules={"tcpPorts": frozenset({81})})
        guest = rig.guest.connect("203.0.113.10", 80)
        rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(rig.metrics.value(rows.L2_POLICY_DENIED), 1)

    def test_gateway(self) -> None:
        """
        A forward may be at the gateway's own address.
        """
        rig = LANRig(tcpForwards=(Forward(0x0A000202, 8_000, "127.0.0.1", 9),))
        rig.guest.connect("10.0.2.2", 8_000)
        self.assertEqual(rig.reactor.tcpClients[0][:2], ("127.0.0.1", 9))


class HookTests(SynchronousTestCase):
    """
    Protocols of one's own.
    """

    def rigWith(self, protocol: type[NATProtocol]) -> LANRig:
        class Own(NATFactory):
            pass

        Own.protocol = protocol

        class Lans(LANFactory):
            natFactory = Own

        return LANRig(factory=Lans)

    def test_rewrite(self) -> None:
        """
        A subclass sees and changes what goes each way.
        """

        class Shouting(NATProtocol):
            def guestDataReceived(self, data: bytes) -> None:
                self.sendToTarget(data.upper())

            def targetDataReceived(self, data: bytes) -> None:
                self.sendToGuest(data.lower())

        rig = self.rigWith(Shouting)
        guest = rig.guest.connect(TARGET, 80)
        target = rig.acceptTarget()
        rig.settle()
        guest.write(b"hello")
        target.send(b"WORLD")
        rig.settle()
        self.assertEqual((target.take(), guest.received), (b"HELLO", b"world"))

    def test_refuse(self) -> None:
        """
        A subclass may refuse, at once or after a while; nothing is dialled.
        """
        waiting: Deferred[None] = Deferred()

        class Picky(NATProtocol):
            def connectionRequested(self) -> Any:
                return waiting

        rig = self.rigWith(Picky)
        guest = rig.guest.connect(TARGET, 80)
        self.assertEqual(rig.reactor.tcpClients, [])
        waiting.errback(Refused(403, "forbidden", "no", reason="mood"))
        rig.settle()
        self.assertTrue(guest.wasReset)
        self.assertEqual(rig.reactor.tcpClients, [])
        self.assertEqual(rig.metrics.value(rows.REFUSALS, "tcp", "mood"), 1)
        self.assertEqual(rig.metrics.value(rows.L2_TCP_ACTIVE), 0)

    def test_failing(self) -> None:
        """
        A hook that fails resets the connection and leaves the LAN alone.
        """

        class Broken(NATProtocol):
            def guestDataReceived(self, data: bytes) -> None:
                raise RuntimeError("broken")

        rig = self.rigWith(Broken)
        guest = rig.guest.connect(TARGET, 80)
        target = rig.acceptTarget()
        rig.settle()
        guest.write(b"x")
        rig.settle()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(guest.wasReset)
        self.assertTrue(target.transport.disconnected)
        rig.guest.ping("10.0.2.2")
        self.assertEqual(len(rig.guest.echoes), 1)
