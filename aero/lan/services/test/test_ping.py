"""
Tests for L{aero.lan.services.ping}.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.lan.services.ping import MAX_SOCKETS, Pings
from aero.metrics import lan as rows
from aero.stack.events import EchoRequested
from aero.testing.lan import LANRig
from aero.testing.packets import packed, readPacket

REMOTE = "93.184.215.14"


class PingSocket:
    """
    A ping socket whose answers the test gives.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.ttl = 0
        self.closed = False
        self.waiting: list[tuple[bytes, str, int]] = []
        self.errors: list[Any] = []
        self.refuses = False

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.ttl = value

    def sendto(self, message: bytes, address: tuple[str, int]) -> None:
        if self.refuses:
            raise OSError("no")
        self.sent.append((message, address))

    def recvmsg(self, size: int, extra: int, flags: int = 0) -> Any:
        if flags:
            if not self.errors:
                raise BlockingIOError
            return self.errors.pop(0)
        if not self.waiting:
            raise BlockingIOError
        message, source, ttl = self.waiting.pop(0)
        told = [(socket.IPPROTO_IP, 2, struct.pack("=i", ttl))]
        return message, told, 0, (source, 0)

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


class PingTests(SynchronousTestCase):
    """
    Pings to the outside.
    """

    def setUp(self) -> None:
        self.rigFor()

    def rigFor(self, **options: Any) -> None:
        self.rig = LANRig(**options)
        self.sockets: list[PingSocket] = []
        self.rig.lan.pings = Pings(self.rig.lan, openSocket=self.open)

    def open(self) -> PingSocket:
        self.sockets.append(PingSocket())
        return self.sockets[-1]

    def count(self, outcome: str) -> float:
        return self.rig.metrics.value(rows.PINGS, outcome)

    def answer(self, message: bytes, source: str = REMOTE, ttl: int = 55) -> None:
        self.sockets[0].waiting.append((message, source, ttl))
        for reader in self.rig.reactor.getReaders():
            reader.doRead()
        self.rig.settle()

    def test_thereAndBack(self) -> None:
        """
        A ping gets to the outside, one hop further, and its answer back with the guest's own
        identifier.
        """
        self.rig.guest.ping(REMOTE, 3, b"are you there?", ttl=40)
        message, address = self.sockets[0].sent[0]
        self.assertEqual((message[0], message[6:8], address), (8, b"\0\3", (REMOTE, 0)))
        self.assertEqual(message[8:], b"are you there?")
        self.assertEqual(self.sockets[0].ttl, 39)
        self.answer(b"\0\0\0\0\x99\x99\0\3are you there?")
        self.assertEqual(self.rig.guest.echoes, [(REMOTE, 3, b"are you there?")])
        self.assertEqual((self.count("sent"), self.count("answered")), (1, 1))

    def test_gateway(self) -> None:
        """
        The gateway answers itself; nobody answers for other addresses of the LAN.
        """
        self.rig.guest.ping("10.0.2.2")
        self.rig.guest.ping("10.0.2.77")
        self.assertEqual([echo[0] for echo in self.rig.guest.echoes], ["10.0.2.2"])
        self.assertEqual(self.sockets, [])

    def test_refused(self) -> None:
        """
        What the policy refuses is told to the guest as prohibited, with the ping that it is
        about, as often as the stack tells errors.
        """
        self.rig.guest.ping("192.168.1.1", 9, b"may I?")
        self.rig.settle()
        kind, code, quoted = self.rig.guest.errors.pop()
        self.assertEqual((kind, code), (3, 13))
        self.assertEqual(quoted[12:20], packed("10.0.2.15") + packed("192.168.1.1"))
        self.assertEqual((quoted[20], quoted[21], quoted[26:]), (8, 0, b"\0\x09may I?"))
        self.assertEqual((self.sockets, self.count("refused")), ([], 1))
        self.assertEqual(self.rig.metrics.value(rows.REFUSALS, "ping", "private"), 1)
        for sequence in range(250):
            self.rig.guest.ping("192.168.1.1", sequence)
            self.rig.reactor.advance(0)
        self.assertLess(len(self.rig.guest.errors), 110)
        self.assertGreater(self.rig.metrics.value(rows.REFUSALS, "ping", "private"), 110)

    def test_routers(self) -> None:
        """
        The error of a router gets to the guest from that router, with the ping that it is about;
        one that does not say which, or is no error, does not.
        """
        self.rig.guest.ping(REMOTE, 3, b"are you there?", ttl=3)
        ping = b"\x08\0\0\0\x99\x99\0\3are you"
        for kind, code, quoted in (
            (11, 0, ping),
            (11, 0, ping[:7]),
            (3, 1, b"\0" + ping[1:]),
            (5, 1, ping),
        ):
            told = struct.pack("=IBBBBII", 113, 2, kind, code, 0, 0, 0)
            told += struct.pack("=H", socket.AF_INET) + b"\0\0" + packed("198.51.100.1") + bytes(8)
            entry = quoted, [(socket.IPPROTO_IP, 11, told)], 0x2000, (REMOTE, 0)
            self.sockets[0].errors.append(entry)
        for reader in self.rig.reactor.getReaders():
            reader.doRead()
        self.rig.settle()
        ((kind, code, quoted),) = self.rig.guest.errors
        self.assertEqual((kind, code, self.count("failed")), (11, 0, 1))
        self.assertEqual(quoted[12:20], packed("10.0.2.15") + packed(REMOTE))
        self.assertEqual(quoted[26:], b"\0\3are you")
        self.assertEqual(readPacket(self.rig.guest.frames[-1]).source, "198.51.100.1")

    def test_limited(self) -> None:
        """
        More than so many in a second are not sent; none are if that is 0.
        """
        self.rigFor(pingsPerSecond=5)
        for sequence in range(8):
            self.rig.guest.ping(REMOTE, sequence)
        self.assertEqual((self.count("sent"), self.count("limited")), (5, 3))
        self.rig.reactor.advance(1)
        self.rig.guest.ping(REMOTE, 9)
        self.assertEqual(self.count("sent"), 6)
        self.rigFor(pingsPerSecond=0)
        self.rig.guest.ping(REMOTE)
        self.assertEqual(self.count("limited"), 1)

    def test_unavailable(self) -> None:
        """
        Without ping sockets there is silence, as there is when the system refuses.
        """

        def missing() -> Any:
            raise PermissionError("no ping sockets")

        self.rig.lan.pings = Pings(self.rig.lan, openSocket=missing)
        self.rig.guest.ping(REMOTE)
        self.assertEqual(self.count("unavailable"), 1)
        self.rig.lan.pings = Pings(self.rig.lan, openSocket=self.open)
        self.rig.guest.ping(REMOTE)
        self.sockets[0].refuses = True
        self.rig.guest.ping(REMOTE)
        self.assertEqual((self.count("unavailable"), self.rig.guest.echoes), (2, []))

    def test_sockets(self) -> None:
        """
        Each identifier has a socket, the oldest makes room, and all are closed when they are
        not used.
        """
        for identifier in range(MAX_SOCKETS + 1):
            self.rig.lan.pings.echoRequested(
                EchoRequested(0x0A00020F, 0x5DB8D70E, identifier, 1, b"", 64)
            )
        self.assertEqual(len(self.sockets), MAX_SOCKETS + 1)
        self.assertEqual([each.closed for each in self.sockets].count(True), 1)
        self.rig.reactor.advance(5)
        self.rig.guest.ping(REMOTE)
        self.rig.reactor.advance(5.1)
        self.assertEqual([each.closed for each in self.sockets].count(False), 1)
        self.rig.reactor.advance(10)
        self.assertEqual([each.closed for each in self.sockets].count(False), 0)
        self.assertEqual(self.rig.reactor.getReaders(), [])

    def test_nonsense(self) -> None:
        """
        What is no answer is dropped.
        """
        self.rig.guest.ping(REMOTE)
        self.answer(b"\3\3\0\0\0\0\0\1")
        self.answer(b"\0\0")
        self.assertEqual(self.rig.guest.echoes, [])

    def test_stop(self) -> None:
        """
        The end of the tunnel closes every socket.
        """
        self.rig.guest.ping(REMOTE)
        self.rig.lan.stop()
        self.assertTrue(self.sockets[0].closed)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
