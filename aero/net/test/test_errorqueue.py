"""
Tests for L{aero.net.errorqueue}.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.net.errorqueue import Reported, SocketError, readErrors, shownOffender

ROUTER = 0xC6120202
PEER = ("192.0.2.1", 7)


def entry(number: int, origin: int, kind: int, code: int, info: int = 0, tail: bytes = b"") -> Any:
    """
    One entry as C{recvmsg} returns it.
    """
    told = struct.pack("=IBBBBII", number, origin, kind, code, 0, info, 0) + tail
    return b"quoted", [(socket.IPPROTO_IP, 11, told)], 0x2000, PEER


def sender(address: int) -> bytes:
    """
    A C{sockaddr_in}.
    """
    return struct.pack("=H", socket.AF_INET) + b"\0\0" + address.to_bytes(4, "big") + bytes(8)


class _Queue:
    def __init__(self, *entries: Any) -> None:
        self._entries = list(entries)

    def recvmsg(self, size: int, extra: int, flags: int) -> Any:
        if not self._entries:
            raise BlockingIOError
        return self._entries.pop(0)


class ReadErrorsTests(SynchronousTestCase):
    """
    The entries of the queue.
    """

    def test_router(self) -> None:
        """
        An ICMP message has its type, its code, its sender and what it quotes.
        """
        queue = _Queue(entry(errno.EHOSTUNREACH, 2, 11, 0, tail=sender(ROUTER)))
        error = SocketError(errno.EHOSTUNREACH, 11, 0, ROUTER, 0, b"quoted")
        self.assertEqual(list(readErrors(queue, 9)), [Reported(PEER, False, error)])
        self.assertEqual(error.told(), (11, 0))

    def test_cut(self) -> None:
        """
        Of a sender that is cut, of another family, or missing, nothing is known.
        """
        whole = sender(ROUTER)
        for tail in (b"", whole[:7], struct.pack("=H", socket.AF_INET6) + whole[2:], bytes(16)):
            (found,) = readErrors(_Queue(entry(errno.EHOSTUNREACH, 2, 3, 1, tail=tail)), 9)
            assert found is not None
            self.assertEqual(found.error.offender, 0)
        (found,) = readErrors(_Queue(entry(1, 2, 3, 1, tail=whole[:8])), 9)
        assert found is not None
        self.assertEqual(found.error.offender, ROUTER)

    def test_local(self) -> None:
        """
        An error of this system has no message; one of IPv6 has none for a guest.
        """
        queue = _Queue(
            entry(errno.EMSGSIZE, 1, 0, 0, 1_300),
            entry(errno.ECONNREFUSED, 3, 1, 4, tail=bytes(28)),
        )
        self.assertEqual(
            list(readErrors(queue, 9)),
            [
                Reported(PEER, True, SocketError(errno.EMSGSIZE, mtu=1_300)),
                Reported(PEER, False, SocketError(errno.ECONNREFUSED)),
            ],
        )

    def test_most(self) -> None:
        """
        No more are read than asked for, and strange entries count.
        """
        queue = _Queue((b"", [], 0, PEER), *(entry(1, 2, 3, 1) for _ in range(3)))
        found = list(readErrors(queue, 2))
        self.assertEqual((len(found), found[0]), (2, None))
        self.assertEqual(list(readErrors(object(), 2)), [])


class ToldTests(SynchronousTestCase):
    """
    What a guest is told.
    """

    def test_numbers(self) -> None:
        """
        An error without a message is told by its number, or not at all.
        """
        for number, told in (
            (errno.ECONNREFUSED, (3, 3)),
            (errno.ENETUNREACH, (3, 1)),
            (errno.EACCES, (3, 13)),
            (errno.EPERM, (3, 13)),
            (errno.EINVAL, None),
        ):
            self.assertEqual(SocketError(number).told(), told)

    def test_types(self) -> None:
        """
        Only types that are about one packet are passed on.
        """
        for kind in (3, 11, 12):
            self.assertEqual(SocketError(errno.EINVAL, kind, 2).told(), (kind, 2))
        for kind in (4, 5, 8):
            self.assertIsNone(SocketError(errno.EHOSTUNREACH, kind, 2).told())

    def test_offender(self) -> None:
        """
        A router outside is shown; addresses of this system and of the guest's network are not,
        unless the packet was for them.
        """
        for offender, destination, expected in (
            (ROUTER, 1, ROUTER),
            (0, 1, 0),
            (0x7F000001, 1, 0),
            (0x7F000001, 0x7F000001, 0x7F000001),
            (0x0A000207, 1, 0),
        ):
            shown = shownOffender(offender, destination, lambda address: address >> 8 == 0x0A0002)
            self.assertEqual(shown, expected)
