# -*- test-case-name: aero.lan.nat.test.test_udpsocket -*-
"""
UDP sockets that talk to many remotes and still hear which of them refuse.

A connected socket is told when nobody listens at the other end; one that sends to many is
not, unless it asks. Then the system keeps every refusal with the address it is about in an error
queue (L{aero.net.errorqueue}), and that is what a NAT needs: one socket for a guest's port,
and an answer about each remote.

The TTL of a datagram is set for each, so that the hops that a guest allows are counted on.

Datagrams leave in fragments where the path takes no longer ones, unless their sender forbids it;
then nothing leaves, and who sent it is told how long a packet may be (RFC 1191). The system
remembers that for each remote.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any, Callable, Final, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.net.errorqueue import SocketError, readErrors, reportErrors

#: Datagrams read before other sockets get their turn.
READS: Final = 64
#: How often a datagram is sent if errors of earlier ones get in its way.
_SENDS: Final = 4
#: More than the longest datagram, so that none is ever cut.
_MAX_PACKET: Final = 65_536

# Numbers of ip(7) and ipv6(7) that Python does not name.
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
_IP_PMTUDISC_DO: Final = 2
_IP_TTL: Final = 2

#: Numeric address and port.
Address = tuple[str, int]


class DatagramOwner(Protocol):
    """
    Whose socket it is.
    """

    def datagramReceived(self, data: bytes, address: Address) -> None:
        """
        A datagram came.
        """
        ...

    def datagramRefused(self, address: Address, error: SocketError) -> None:
        """
        A datagram sent before was not delivered; an ICMP message says so.
        """
        ...


#: Opens a bound socket: address family and port, 0 for any. It raises C{OSError}.
OpenSocket = Callable[[int, int], Any]


def openSocket(family: int, port: int) -> socket.socket:
    """
    A UDP socket on all addresses of a family, that hears of refusals.

    @raise OSError: The port is taken, or descriptors are used up.
    """
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        with suppress(OSError):  # not Linux: refusals stay unknown
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            else:
                # Long datagrams leave in fragments, as they came.
                made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        reportErrors(made, family)
        made.bind(("", port))
    except OSError:
        made.close()
        raise
    return made


def ephemeralPorts(path: str = "/proc/sys/net/ipv4/ip_local_port_range") -> range:
    """
    The ports that the system gives to sockets that ask for none.
    """
    try:
        with open(path, encoding="ascii") as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return range(49_152, 65_536)
    return range(first, last + 1)


@implementer(IReadDescriptor)
class OutsideSocket:
    """
    One socket, read as long as it is open.

    @ivar mtu: Bytes of the longest packet to where L{send} found a datagram too long last; 0 where
        the system does not tell.
    """

    _log = Logger()

    def __init__(self, reactor: Any, made: Any, owner: DatagramOwner) -> None:
        """
        @param made: A socket from L{openSocket}.
        """
        self._reactor = reactor
        self._socket = made
        self._owner = owner
        self._open = True
        self._dontFragment = False
        self._ttl = 0
        self.mtu = 0
        reactor.addReader(self)

    @property
    def port(self) -> int:
        """
        Its port.
        """
        number: int = self._socket.getsockname()[1]
        return number

    def send(self, data: bytes, address: Address, dontFragment: bool = False, ttl: int = 0) -> int:
        """
        Send a datagram.

        @param dontFragment: Whether it has to travel whole.
        @param ttl: The hops that it may take (IPv4); 0 for what the system usually gives.
        @return: 0, or the C{errno} of what is wrong with it.
        """
        if dontFragment != self._dontFragment:
            self._dontFragment = dontFragment
            mode = _IP_PMTUDISC_DO if dontFragment else _IP_PMTUDISC_DONT
            with suppress(OSError):  # not IPv4, or not Linux
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
        if ttl != self._ttl:
            self._ttl = ttl
            with suppress(OSError):  # not IPv4
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_TTL, ttl or -1)
        failed = 0
        for _ in range(_SENDS):
            try:
                self._socket.sendto(data, address)
            except BlockingIOError:
                return 0  # the system's buffer is full; datagrams get lost
            except OverflowError:
                return 22
            except OSError as error:
                # This may be the error of an earlier datagram to somebody else, which the queue
                # of errors has or had too. An error that comes twice without one is this one's.
                self.mtu = 0
                found = self._readErrors()
                if self.mtu:
                    return errno.EMSGSIZE
                if not found and failed:
                    return error.errno or errno.EIO
                failed = error.errno or errno.EIO
            else:
                return 0
        return 0

    def close(self) -> None:
        """
        Close the socket.
        """
        if self._open:
            self._open = False
            self._reactor.removeReader(self)
            self._socket.close()

    # -- for the reactor

    def fileno(self) -> int:
        """
        The descriptor.
        """
        return self._socket.fileno() if self._open else -1

    def logPrefix(self) -> str:
        """
        For log lines.
        """
        return "UDP of a guest"

    def doRead(self) -> None:
        """
        Datagrams or refusals came.
        """
        receive = self._socket.recvfrom
        try:
            for _ in range(READS):
                if not self._open:
                    return
                try:
                    data, address = receive(_MAX_PACKET)
                except (BlockingIOError, InterruptedError):
                    # Nothing to read: a refusal may be what woke us.
                    self._readErrors()
                    return
                except OSError:
                    if not self._readErrors():
                        return
                    continue
                self._owner.datagramReceived(data, address[:2])
        except Exception:  # noqa: BLE001 - an owner's mistake must not end the reactor's call
            self._log.failure("A datagram for a guest could not be handled")

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor stops.
        """
        self.close()

    # -- private

    def _readErrors(self) -> int:
        """
        Read what is in the queue of errors. One of this system's own is about the datagram that
        it was given last, and names no port.

        @return: How many there were.
        """
        found = 0
        for reported in readErrors(self._socket, READS):
            found += 1
            if reported is not None and reported.local:
                self.mtu = reported.error.mtu
            elif reported is not None:
                self._owner.datagramRefused(reported.address, reported.error)
            if not self._open:
                break
        return found
