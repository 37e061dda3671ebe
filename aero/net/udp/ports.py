# -*- test-case-name: aero.net.udp.test.test_ports -*-
"""
UDP sockets that read many datagrams each time the reactor says that there are some.

L{DatagramPort} is the transport of an ordinary C{DatagramProtocol}. It differs from Twisted's
own port in three ways that matter to a relay: a protocol with C{datagramsReceived} gets
everything that one wakeup found in one call, what cannot be sent is reported instead of
raised, and nothing is logged for a socket that comes and goes with a guest's port.

L{DatagramPorts} opens them and counts them, because every guest port costs a descriptor and
descriptors are what the whole process shares.
"""

from __future__ import annotations

import heapq
import socket
from typing import Any, Callable, Final, Protocol, Sequence

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from aero.policy.budget import Budget, Share

from ..commons import Commons

#: Datagrams read before other sockets get their turn.
READS: Final = 64

#: Seconds that a socket must have been unused to be closed for another one.
EVICT_IDLE: Final = 5.0

#: Owners found in one search, the longest unused ones.
_CANDIDATES: Final = 64

#: Bytes that the kernel is asked to keep for a socket, so that a burst outlives one busy turn
#: of the reactor. It gives no more than C{net.core.rmem_max}.
_RECEIVE_BUFFER: Final = 1_048_576

#: A datagram and where it came from: numeric address and port.
Received = tuple[bytes, tuple[str, int]]


class DatagramSocket(Protocol):
    """
    The part of a socket that is used.
    """

    def fileno(self) -> int: ...
    def sendto(self, data: bytes, address: tuple[str, int], /) -> int: ...
    def recvfrom(self, size: int, /) -> tuple[bytes, Any]: ...
    def getsockname(self) -> Any: ...
    def close(self) -> None: ...


#: Opens a bound socket: address family, port (0 for any). It raises C{OSError}.
OpenSocket = Callable[[int, int], DatagramSocket]


class BatchProtocol(DatagramProtocol):
    """
    A C{DatagramProtocol} that may take several datagrams at once. Extend either method: where
    C{datagramsReceived} is not overridden, C{datagramReceived} is called for each.
    """

    noisy = False
    transport: Any

    def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
        """
        Datagrams came.

        @param datagrams: In the order they came, at most L{READS}.
        """
        for datagram, address in datagrams:
            self.datagramReceived(datagram, address)


def openSocket(family: int, port: int) -> socket.socket:
    """
    A UDP socket on all addresses of one family.

    @param port: 0 for one that the system chooses.
    @raise OSError: The port is taken, the family unknown, or descriptors are used up.
    """
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("::" if family == socket.AF_INET6 else "", port))
    except OSError:
        made.close()
        raise
    return made


@implementer(IReadDescriptor)
class DatagramPort:
    """
    A bound socket and the protocol that runs on it.

    @ivar isOpen: Whether it can be sent from.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        protocol: BatchProtocol,
        made: DatagramSocket,
        *,
        family: int,
        maxPacket: int,
        closed: Callable[[], None],
    ) -> None:
        """
        @param maxPacket: Bytes read of each datagram; what is longer is cut there.
        @param closed: Called once when it is closed.
        """
        self.isOpen = True
        self._reactor = reactor
        self._protocol: Any = protocol
        self._socket = made
        self._isIPv6 = family == socket.AF_INET6
        self._maxPacket = maxPacket
        self._closed = closed

    def startListening(self) -> None:
        """
        Give the protocol its transport, and read.
        """
        self._protocol.makeConnection(self)
        self._reactor.addReader(self)

    # -- the transport of a DatagramProtocol

    def send(self, datagram: bytes, address: tuple[str, int]) -> bool:
        """
        Send a datagram.

        @param address: Numeric address of the socket's family, and port.
        @return: Whether the system took it.
        """
        try:
            self._socket.sendto(datagram, address)
        except (OSError, OverflowError):
            return False
        return True

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """
        As C{IUDPTransport} has it; what the system does not take is lost, as datagrams are.
        """
        self.send(datagram, addr)

    def getHost(self) -> IPv4Address | IPv6Address:
        """
        The address that it is bound to.
        """
        host, port = self._socket.getsockname()[:2]
        return (IPv6Address if self._isIPv6 else IPv4Address)("UDP", host, port)

    def stopListening(self) -> None:
        """
        Close the socket.
        """
        if self.isOpen:
            self.isOpen = False
            self._reactor.removeReader(self)
            self._socket.close()
            self._closed()
            self._protocol.doStop()

    loseConnection = stopListening

    # -- for the reactor

    def fileno(self) -> int:
        """
        The descriptor; -1 once it is closed.
        """
        return self._socket.fileno() if self.isOpen else -1

    def logPrefix(self) -> str:
        """
        Whose errors they are.
        """
        return "UDP"

    def doRead(self) -> None:
        """
        Datagrams came.
        """
        receive, size = self._socket.recvfrom, self._maxPacket
        datagrams: list[Received] = []
        take = datagrams.append
        try:
            for _ in range(READS):
                take(receive(size))
        except OSError:
            # Nothing more is there; or the news of an earlier datagram that was not delivered,
            # which says nothing about the next one.
            pass
        if not datagrams:
            return
        if self._isIPv6:
            datagrams = [(data, _withoutScope(address)) for data, address in datagrams]
        try:
            self._protocol.datagramsReceived(datagrams)
        except Exception:  # noqa: BLE001 - a user's hook may raise anything
            self._log.failure("A datagram protocol failed")

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor stops, or found the descriptor unusable.
        """
        self.stopListening()


class SocketOwner(Protocol):
    """
    The user of a socket that can be taken from it.

    @ivar lastUsed: When a datagram was last sent or received.
    @ivar isOpen: Whether it has sockets.
    """

    lastUsed: float
    isOpen: bool

    def evict(self) -> None:
        """
        Close the sockets of this owner: another one needs them.
        """


class DatagramPorts:
    """
    Opens sockets, up to a number. Beyond it the owner whose socket was unused for longest, and for
    L{EVICT_IDLE} at least, has to close it.

    @ivar open: How many are open now.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        maxSockets: int,
        openSocket: OpenSocket = openSocket,
        commons: Commons | None = None,
    ) -> None:
        """
        @param maxSockets: The most that are open at once.
        @param openSocket: Makes a socket.
        @param commons: What all clients share.
        """
        self._commons = commons
        self.open = 0
        self._reactor = reactor
        self._maxSockets = maxSockets
        self._openSocket = openSocket
        self._owners: dict[DatagramPort, SocketOwner] = {}
        #: The owners that were unused for longest when they were looked for, and when they were
        #: last used then.
        self._unused: list[tuple[float, SocketOwner]] = []
        self._notBefore = 0.0

    def listen(
        self,
        protocol: BatchProtocol,
        *,
        family: int,
        port: int = 0,
        maxPacket: int,
        share: Share | None = None,
        owner: SocketOwner | None = None,
    ) -> DatagramPort | None:
        """
        Open a socket and run a protocol on it.

        @param family: C{socket.AF_INET} or C{socket.AF_INET6}.
        @param port: The port that is wanted; another is taken where it is not free.
        @param maxPacket: Bytes read of each datagram.
        @param share: The sockets of the client, from L{socketsOf}.
        @param owner: Gives the socket up for others when it is idle; C{None} for nobody.
        @return: C{None} where there are too many sockets, or the system gives none.
        """
        if self.open >= self._maxSockets and not self._makeRoom():
            return None
        if share is not None and not share.take(1):
            return None
        made = self._bound(family, port)
        if made is None:
            if share is not None:
                share.give(1)
            return None
        self.open += 1
        opened = DatagramPort(
            self._reactor,
            protocol,
            made,
            family=family,
            maxPacket=maxPacket,
            closed=lambda: self._portClosed(opened, share),
        )
        if owner is not None:
            self._owners[opened] = owner
        opened.startListening()
        return opened

    def _bound(self, family: int, port: int) -> DatagramSocket | None:
        for wanted in (port, 0) if port else (0,):
            try:
                return self._openSocket(family, wanted)
            except OSError:
                continue
        return None

    def socketsOf(self, key: str) -> Share | None:
        """
        The sockets of one session of a client.

        @param key: L{aero.policy.quota.addressKey} of its address.
        """
        return None if self._commons is None else self._commons.sockets.share(key)

    def memoryOf(self, key: str) -> Share:
        """
        The bytes that wait for one session of a client.
        """
        return (Budget(0) if self._commons is None else self._commons.waiting).share(key)

    def _portClosed(self, port: DatagramPort, share: Share | None) -> None:
        self.open -= 1
        self._owners.pop(port, None)
        if share is not None:
            share.give(1)

    def _makeRoom(self) -> bool:
        """
        Take a socket from the owner that was unused for longest.

        @return: Whether there is room now.
        """
        now = self._reactor.seconds()
        latest = now - EVICT_IDLE
        if not self._unused and now >= self._notBefore:
            found = heapq.nsmallest(
                _CANDIDATES, {id(o): (o.lastUsed, id(o), o) for o in self._owners.values()}.values()
            )
            self._unused = [(used, owner) for used, _, owner in reversed(found) if used <= latest]
            if found and not self._unused:
                self._notBefore = found[0][0] + EVICT_IDLE
        while self._unused:
            used, owner = self._unused.pop()
            if owner.isOpen and owner.lastUsed == used:
                owner.evict()
                return self.open < self._maxSockets
        return False


def _withoutScope(address: Any) -> tuple[str, int]:
    """
    An IPv6 source without flow and scope: C{fe80::1%eth0} is C{fe80::1} to a guest.
    """
    host, port = address[0], address[1]
    return (host.partition("%")[0] if "%" in host else host, port)
