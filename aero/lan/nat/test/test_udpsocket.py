"""
Tests for L{aero.lan.nat.udpsocket}.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from aero.lan.nat.udpsocket import OutsideSocket, ephemeralPorts
from aero.net.errorqueue import SocketError

PEER = ("192.0.2.1", 7)


def refusal(number: int, address: tuple[str, int] = PEER, *, origin: int = 2, mtu: int = 0) -> Any:
    """
    What the queue of errors tells, as ip(7) has it: C{sock_extended_err} and an address.

    @param origin: 1 for this system, 2 for an ICMP message.
    """
    told = struct.pack("=IBBBBII", number, origin, 3, 3, 0, mtu, 0) + bytes(16)
    return b"ping", [(socket.IPPROTO_IP, 11, told)], 0x2000, address


class ScriptedSocket:
    """
    A socket that does as it is told.

    @ivar incoming: Datagrams and exceptions to come.
    @ivar errors: What is in the queue of errors.
    @ivar failing: Exceptions for the next sends.
    """

    def __init__(self) -> None:
        self.incoming: list[Any] = []
        self.errors: list[Any] = []
        self.failing: list[OSError] = []
        self.sent: list[Any] = []
        self.closed = False
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.options.append((level, name, value))

    def fileno(self) -> int:
        return 9

    def getsockname(self) -> tuple[str, int]:
        return "0.0.0.0", 40_001

    def sendto(self, data: bytes, address: Any) -> None:
        if self.failing:
            raise self.failing.pop(0)
        self.sent.append((data, address))

    def recvfrom(self, size: int) -> Any:
        if not self.incoming:
            raise BlockingIOError
        found = self.incoming.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def recvmsg(self, size: int, extra: int, flags: int) -> Any:
        if not self.errors:
            raise BlockingIOError
        return self.errors.pop(0)

    def close(self) -> None:
        self.closed = True


class OutsideSocketTests(SynchronousTestCase):
    """
    A socket that hears of refusals.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.made = ScriptedSocket()
        self.told: list[Any] = []
        self.socket = OutsideSocket(self.reactor, self.made, self)

    def datagramReceived(self, data: bytes, address: tuple[str, int]) -> None:
        if data == b"bad":
            raise RuntimeError("bad")
        self.told.append((data, address))

    def datagramRefused(self, address: tuple[str, int], error: SocketError) -> None:
        told = (errno.errorcode[error.error], address)
        self.told.append((*told, error.mtu) if error.mtu else told)

    def test_interface(self) -> None:
        """
        The reactor can read it.
        """
        verifyObject(IReadDescriptor, self.socket)
        self.assertEqual(self.reactor.getReaders(), [self.socket])
        self.assertEqual((self.socket.fileno(), self.socket.port), (9, 40_001))
        self.assertIn("UDP", self.socket.logPrefix())

    def test_sent(self) -> None:
        """
        A datagram that the system takes, or has no room for, is no error.
        """
        self.assertEqual(self.socket.send(b"x", PEER), 0)
        self.made.failing = [BlockingIOError()]
        self.assertEqual(self.socket.send(b"y", PEER), 0)
        self.assertEqual(self.made.sent, [(b"x", PEER)])

    def test_notSent(self) -> None:
        """
        One that it refuses is, by number.
        """
        for number in (errno.ENETUNREACH, errno.EACCES):
            self.made.failing = [OSError(number, os.strerror(number)) for _ in range(2)]
            self.assertEqual(self.socket.send(b"x", PEER), number)
        self.assertEqual(self.made.sent, [])

    def test_secondChance(self) -> None:
        """
        The news about an earlier datagram does not hit the next one: the refusal is told of
        the address it is about, and the datagram sent.
        """
        self.made.failing = [ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
        self.made.errors = [refusal(errno.ECONNREFUSED, ("192.0.2.9", 1))]
        self.assertEqual(self.socket.send(b"x", PEER), 0)
        self.assertEqual(self.told, [("ECONNREFUSED", ("192.0.2.9", 1))])
        self.assertEqual(self.made.sent, [(b"x", PEER)])

    def test_dontFragment(self) -> None:
        """
        Whether a datagram may be cut is the sender's choice, and the system is told only when
        that changes.
        """
        for dontFragment in (False, True, True, False, False):
            self.assertEqual(self.socket.send(b"x", PEER, dontFragment), 0)
        self.assertEqual(
            self.made.options, [(socket.IPPROTO_IP, 10, 2), (socket.IPPROTO_IP, 10, 0)]
        )

    def test_tooLong(self) -> None:
        """
        One that is too long for the way out is known to be by this system, with how long it may
        be (Linux then names no port); one that a router found too long is a refusal, and hits no
        other datagram.
        """
        tooLong = OSError(errno.EMSGSIZE, "Message too long")
        self.made.failing = [tooLong] * 3
        self.made.errors = [refusal(errno.EMSGSIZE, (PEER[0], 0), origin=1, mtu=1_400)]
        self.assertEqual(self.socket.send(b"x", PEER, True), errno.EMSGSIZE)
        self.assertEqual((self.socket.mtu, self.told, self.made.sent), (1_400, [], []))
        self.assertEqual(self.socket.send(b"x", PEER, True), errno.EMSGSIZE)
        self.assertEqual((self.socket.mtu, self.told), (0, []))
        self.made.failing = [tooLong]
        self.made.errors = [refusal(errno.EMSGSIZE, mtu=1_300)]
        self.assertEqual(self.socket.send(b"y", PEER), 0)
        self.assertEqual(self.told, [("EMSGSIZE", PEER, 1_300)])

    def test_received(self) -> None:
        """
        Datagrams and refusals are told in the order they are read.
        """
        self.made.incoming = [
            (b"one", PEER),
            ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
            (b"two", (*PEER, 0, 0)),
        ]
        self.made.errors = [refusal(errno.ECONNREFUSED), refusal(errno.EHOSTUNREACH)]
        self.socket.doRead()
        self.assertEqual(
            self.told,
            [(b"one", PEER), ("ECONNREFUSED", PEER), ("EHOSTUNREACH", PEER), (b"two", PEER)],
        )

    def test_onlyRefusals(self) -> None:
        """
        A wakeup without a datagram is a refusal.
        """
        self.made.errors = [refusal(errno.ECONNREFUSED)]
        self.socket.doRead()
        self.assertEqual(self.told, [("ECONNREFUSED", PEER)])

    def test_strangeErrors(self) -> None:
        """
        What is in the queue and no refusal is passed over; an error without one ends the turn.
        """
        self.made.errors = [(b"", [(socket.IPPROTO_IP, 11, b"short")], 0, PEER), (b"", [], 0, PEER)]
        self.made.incoming = [
            OSError(errno.ENOMEM, "no"),
            OSError(errno.ENOMEM, "no"),
            (b"x", PEER),
        ]
        self.socket.doRead()
        self.assertEqual(self.told, [])
        self.socket.doRead()
        self.assertEqual(self.told, [(b"x", PEER)])

    def test_owner(self) -> None:
        """
        An owner's mistake is logged, and the socket is read again.
        """
        self.made.incoming = [(b"bad", PEER), (b"good", PEER)]
        self.socket.doRead()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.socket.doRead()
        self.assertEqual(self.told, [(b"good", PEER)])

    def test_closed(self) -> None:
        """
        It is closed once, by its owner or with the reactor.
        """
        self.socket.close()
        self.socket.connectionLost(Failure(ConnectionDone()))
        self.made.incoming = [(b"x", PEER)]
        self.socket.doRead()
        self.assertEqual((self.made.closed, self.told, self.socket.fileno()), (True, [], -1))
        self.assertEqual(self.reactor.getReaders(), [])


class EphemeralTests(SynchronousTestCase):
    """
    The ports of clients.
    """

    def test_system(self) -> None:
        """
        They are what the system says, or what RFC 6335 does.
        """
        path = self.mktemp()
        with open(path, "w", encoding="ascii") as file:
            file.write("40000\t40009\n")
        self.assertEqual(ephemeralPorts(path), range(40_000, 40_010))
        with open(path, "w", encoding="ascii") as file:
            file.write("nonsense")
        for name in (path, self.mktemp()):
            self.assertEqual(ephemeralPorts(name), range(49_152, 65_536))
