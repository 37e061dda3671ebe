# -*- test-case-name: aero.net.udp.test.test_ports -*-
"""
UDP sockets without a network, for tests of what sends and receives datagrams::

    network = MemoryNetwork()
    ports = DatagramPorts(reactor, maxSockets=8, openSocket=network.openSocket)
    ...
    network.sockets[0].sent  # [(b"question", ("192.0.2.1", 53))]
    network.deliver(0, (b"answer", ("192.0.2.1", 53)))

C{reactor} is a L{MemoryReactorClock<twisted.internet.testing.MemoryReactorClock>}: sockets
that have something are read by L{MemoryNetwork.deliver}, as a reactor would.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from aero.net.udp.ports import Received


class MemorySocket:
    """
    One socket.

    @ivar sent: Datagrams and where they went.
    @ivar refuses: Whether the system takes nothing.
    @ivar closed: Whether it was closed.
    @ivar options: Options that were set: level, name and value.
    """

    def __init__(self, network: MemoryNetwork, family: int, port: int) -> None:
        self.sent: list[Received] = []
        self.refuses = False
        self.closed = False
        self.options: list[tuple[int, int, int]] = []
        self._network = network
        self._family = family
        self._port = port
        self._waiting: list[tuple[bytes, Any]] = []

    def fileno(self) -> int:
        """
        A number that is nobody else's.
        """
        return 1_000 + self._network.sockets.index(self)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """
        Keep what is set.
        """
        self.options.append((level, name, value))

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        """
        Keep what is sent.
        """
        if self.refuses:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.sent.append((data, address))
        return len(data)

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        """
        The next datagram, cut as the system does.
        """
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        data, address = self._waiting.pop(0)
        return data[:size], address

    def getsockname(self) -> tuple[str, int]:
        """
        Where it is bound.
        """
        return ("::" if self._family == socket.AF_INET6 else "0.0.0.0"), self._port  # noqa: S104

    def close(self) -> None:
        """
        Free the port.
        """
        self.closed = True
        self._network.used.discard((self._family, self._port))

    def arrive(self, datagram: bytes, address: tuple[str, int]) -> None:
        """
        A datagram comes in.
        """
        scoped = self._family == socket.AF_INET6
        self._waiting.append((datagram, (*address, 0, 0) if scoped else address))

    @property
    def waiting(self) -> int:
        """
        Datagrams that were not read.
        """
        return len(self._waiting)


class MemoryNetwork:
    """
    Where L{DatagramPorts<aero.net.udp.ports.DatagramPorts>} gets its sockets in tests.

    @ivar sockets: All that were ever opened.
    @ivar used: Families and ports that cannot be bound.
    @ivar families: The address families there are.
    """

    def __init__(self, reactor: Any) -> None:
        self.sockets: list[MemorySocket] = []
        self.used: set[tuple[int, int]] = set()
        self.families = {int(socket.AF_INET), int(socket.AF_INET6)}
        self._reactor = reactor
        self._free = 40_000

    def openSocket(self, family: int, port: int) -> MemorySocket:
        """
        See L{aero.net.udp.ports.OpenSocket}.
        """
        if family not in self.families:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
        if not port:
            self._free += 1
            port = self._free
        if (family, port) in self.used:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.used.add((family, port))
        made = MemorySocket(self, family, port)
        self.sockets.append(made)
        return made

    def deliver(self, index: int, *datagrams: Received) -> None:
        """
        Datagrams come to one of the sockets, and the reactor has it read once.
        """
        there = self.sockets[index]
        for datagram, address in datagrams:
            there.arrive(datagram, address)
        for reader in list(self._reactor.getReaders()):
            if reader.fileno() == there.fileno():
                reader.doRead()
