# -*- test-case-name: aero.lan.test.test_ports -*-
"""
What listens in a guest's LAN: Twisted's factories and datagram protocols, on addresses that
only the guest can reach.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Callable

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from zope.interface import implementer

from aero.stack.commands import SendUDP
from aero.wire.ipv4 import addressNumber, addressText
from aero.wire.udp import MAX_PAYLOAD

from .driver import StackDriver

#: Ports that are given out where none was asked for (RFC 6335 section 6).
EPHEMERAL = range(49_152, 65_536)


class PortTable:
    """
    What listens where, for one protocol.
    """

    def __init__(self) -> None:
        self._ports: dict[tuple[int, int], Any] = {}

    def find(self, address: int, port: int) -> Any:
        """
        What listens at an address and port, or C{None}.
        """
        return self._ports.get((address, port))

    def add(self, port: _LANPort) -> None:
        """
        Let something listen; port 0 becomes a free one.

        @raise CannotListenError: Something does already.
        """
        if port.port == 0:
            port.port = next((n for n in EPHEMERAL if (port.address, n) not in self._ports), 0)
        key = (port.address, port.port)
        if not port.port or key in self._ports:
            raise CannotListenError(
                addressText(port.address),
                port.port,
                OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)),
            )
        self._ports[key] = port

    def remove(self, port: _LANPort) -> None:
        """
        Nothing listens there any more.
        """
        if self._ports.get((port.address, port.port)) is port:
            del self._ports[port.address, port.port]

    def stopAll(self) -> None:
        """
        Stop everything that listens.
        """
        for port in list(self._ports.values()):
            port.stopListening()


class _LANPort:
    """
    What both kinds have in common.
    """

    def __init__(self, table: PortTable, address: int, port: int) -> None:
        if not 0 <= port <= 65_535:
            raise CannotListenError(addressText(address), port, OverflowError("no such port"))
        self.address = address
        self.port = port
        self.listening = False
        self._table = table

    def stopListening(self) -> None:
        """
        Overridden.
        """


@implementer(IListeningPort)
class LANPort(_LANPort):
    """
    A factory that takes the guest's connections to one address and port.

    @ivar factory: The factory.
    """

    def __init__(self, table: PortTable, address: int, port: int, factory: Any) -> None:
        super().__init__(table, address, port)
        self.factory = factory

    def startListening(self) -> None:
        """
        Begin.

        @raise CannotListenError: Something listens there already.
        """
        self._table.add(self)
        self.listening = True
        self.factory.doStart()

    def stopListening(self) -> None:
        """
        Take no more connections; those that are open stay.
        """
        if self.listening:
            self.listening = False
            self._table.remove(self)
            self.factory.doStop()

    def getHost(self) -> IPv4Address:
        """
        Where it listens.
        """
        return IPv4Address("TCP", addressText(self.address), self.port)


@implementer(IListeningPort, IUDPTransport)
class LANUDPPort(_LANPort):
    """
    A datagram protocol at one address and port.
    """

    def __init__(
        self, table: PortTable, driver: StackDriver, address: int, port: int, protocol: Any
    ) -> None:
        super().__init__(table, address, port)
        self.protocol = protocol
        self._driver = driver
        self._connected: tuple[str, int] | None = None

    def startListening(self) -> None:
        """
        Begin; the protocol's C{startProtocol} is called.

        @raise CannotListenError: Something listens there already.
        """
        self._table.add(self)
        self.listening = True
        self.protocol.makeConnection(self)

    def stopListening(self) -> None:
        """
        End; the protocol's C{stopProtocol} is called.
        """
        if self.listening:
            self.listening = False
            self._table.remove(self)
            self.protocol.doStop()

    def datagramReceived(
        self, data: bytes, source: int, sourcePort: int, hardwareAddress: bytes
    ) -> None:
        """
        The guest sent a datagram here.
        """
        peer = addressText(source), sourcePort
        if self._connected is None or self._connected == peer:
            received: Callable[..., None] | None = getattr(
                self.protocol, "frameDatagramReceived", None
            )
            if received is not None:
                received(data, peer, hardwareAddress)
            else:
                self.protocol.datagramReceived(data, peer)

    def errorReceived(self) -> None:
        """
        The guest refused a datagram.
        """
        if self._connected is not None:
            self.protocol.connectionRefused()

    def write(self, packet: bytes, addr: tuple[str, int] | None = None) -> None:
        """
        Send a datagram.

        @raise MessageLengthError: It is longer than IPv4 allows.
        """
        peer = addr or self._connected
        if peer is None:
            raise ValueError("a datagram needs an address, or a connected port")
        self.writeTo(packet, addressNumber(peer[0]), peer[1], None)

    def writeTo(
        self, packet: bytes, address: int, port: int, hardwareAddress: bytes | None
    ) -> None:
        """
        Send a datagram to a MAC address of one's choice, as DHCP must.
        """
        if len(packet) > MAX_PAYLOAD:
            raise MessageLengthError("message too long")
        if self.listening:
            self._driver.apply(
                SendUDP(self.address, self.port, address, port, packet, hardwareAddress)
            )

    def connect(self, host: str, port: int) -> None:
        """
        Talk to one address and port only.

        @raise RuntimeError: It is connected already.
        """
        if self._connected is not None:
            raise RuntimeError("already connected")
        addressNumber(host)
        self._connected = host, port

    def getHost(self) -> IPv4Address:
        """
        Where it listens.
        """
        return IPv4Address("UDP", addressText(self.address), self.port)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """
        It always is; the LAN has one guest.
        """

    def getBroadcastAllowed(self) -> bool:
        """
        See L{setBroadcastAllowed}.
        """
        return True
