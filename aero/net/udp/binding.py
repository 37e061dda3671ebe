# -*- test-case-name: aero.net.udp.test.test_binding -*-
"""
One guest port on the network: the sockets behind it, and who may answer (relay.md sections
11.2 and 11.3).

The mapping does not depend on the destination (RFC 4787 section 4.1): whatever a guest sends
from one port leaves from one port, which stays the same while the binding lives. Filtering is
a setting: C{address_and_port} lets in only those that the guest has written to of late
(RFC 4787 section 5), C{any} everybody.

A socket of each family is opened when something is first sent there. A datagram that the
filter refuses does not count as use, so that strangers cannot keep a binding alive.

The remotes that may answer stand in the order in which they were last heard of or written
to. The oldest is therefore found, and the expired ones are purged, without looking at the
others.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from typing import Callable, Final, Protocol, Sequence

from aero.policy.budget import Share

from .ports import BatchProtocol, DatagramPort, DatagramPorts, Received

#: Numeric address and port.
Address = tuple[str, int]

#: What L{UDPBinding} counts by.
FILTERED: Final = "filtered"
EVICTED: Final = "evicted"
OVERSIZED: Final = "oversized"


class DatagramReceiver(Protocol):
    """
    Whose binding it is.
    """

    def datagramsReceived(self, binding: UDPBinding, datagrams: Sequence[Received]) -> None:
        """
        Datagrams came that may.
        """

    def datagramsCounted(self, reason: str, count: int) -> None:
        """
        Something did not pass, or was forgotten.

        @param reason: L{FILTERED} for datagrams of strangers, L{OVERSIZED} for ones that are
            too long, L{EVICTED} for remotes that made room for another.
        """


class BindingProtocol(BatchProtocol):
    """
    What runs on the sockets of a binding. Extend C{datagramsReceived} to see what arrives
    before any filter; C{self.transport.write(datagram, (host, port))} sends from the guest's
    port.

    @ivar binding: The binding.
    """

    binding: UDPBinding

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        """
        One datagram, from a transport that gives them one by one.
        """
        self.datagramsReceived([(datagram, addr)])

    def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
        """
        Pass them on.
        """
        self.binding.datagramsReceived(datagrams)


class UDPBinding:
    """
    The mapping of one guest port.

    @ivar guestPort: The guest's port; or whatever else the owner tells its bindings by.
    @ivar lastUsed: When something was last sent, or came and was let in.
    @ivar isOpen: Whether it can be used; there is no way back.
    @ivar headers: For the owner to keep something about each remote.
    """

    __slots__ = (
        "_evicted",
        "_filtering",
        "_maxPacket",
        "_maxPayload",
        "_maxRemotes",
        "_port4",
        "_port6",
        "_ports",
        "_preferredPort",
        "_protocol",
        "_receiver",
        "_remoteIdle",
        "_remotes",
        "_seconds",
        "_share",
        "guestPort",
        "headers",
        "isOpen",
        "lastUsed",
    )

    def __init__(
        self,
        receiver: DatagramReceiver,
        guestPort: int,
        *,
        ports: DatagramPorts,
        seconds: Callable[[], float],
        inboundFilter: str = "address_and_port",
        remoteIdle: float = 60.0,
        maxRemotes: int = 1_024,
        maxPayload: int = 1_200,
        maxPacket: int | None = None,
        preferredPort: int = 0,
        protocol: type[BindingProtocol] = BindingProtocol,
        share: Share | None = None,
        evicted: Callable[[], None] | None = None,
    ) -> None:
        """
        @param ports: Opens the sockets.
        @param share: The sockets that the client has.
        @param seconds: The clock that the owner's C{now} comes from too.
        @param inboundFilter: C{any}, or anything else for C{address_and_port}.
        @param remoteIdle: Seconds that a remote may answer after the last datagram to or from
            it.
        @param maxRemotes: The most remotes that may answer.
        @param maxPayload: Bytes of the longest datagram let in; a longer one is dropped, never
            cut.
        @param maxPacket: Bytes read of each, more than C{maxPayload}.
        @param preferredPort: The port to have on the network if it is free.
        @param protocol: What runs on the sockets.
        @param evicted: Closes the binding when others need its sockets; C{None} keeps them.
        """
        self.guestPort = guestPort
        self.lastUsed = seconds()
        self.isOpen = True
        self.headers: dict[Address, bytes] = {}
        self._receiver = receiver
        self._ports = ports
        self._share = share
        self._seconds = seconds
        self._filtering = inboundFilter != "any"
        self._remoteIdle = remoteIdle
        self._maxRemotes = maxRemotes
        self._maxPayload = maxPayload
        self._maxPacket = max(maxPacket or 0, maxPayload + 1)
        self._preferredPort = preferredPort
        self._protocol = protocol
        self._evicted = evicted
        self._remotes: OrderedDict[Address, float] = OrderedDict()
        self._port4: DatagramPort | None = None
        self._port6: DatagramPort | None = None

    # -- to the network

    def open(self, isIPv6: bool = False) -> bool:
        """
        Open the socket of a family, if it is not.

        @return: Whether there is one.
        """
        return (self._port6 if isIPv6 else self._port4) is not None or self._open(isIPv6)

    def send(self, payload: bytes, address: Address, isIPv6: bool, now: float) -> bool:
        """
        Send a datagram, and let its destination answer.

        @param address: The destination; its port is not 0.
        @param isIPv6: Whether the address is one of IPv6.
        @return: Whether the system took it.
        """
        port = self._port6 if isIPv6 else self._port4
        if port is None:
            if not self._open(isIPv6):
                return False
            port = self._port6 if isIPv6 else self._port4
            assert port is not None
        self.lastUsed = now
        if self._filtering:
            remotes = self._remotes
            if address in remotes:
                remotes[address] = now
                remotes.move_to_end(address)
            else:
                self._remember(address, now)
        return port.send(payload, address)

    # -- from the network

    def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
        """
        Datagrams came to one of the sockets.
        """
        now = self._seconds()
        accepted: list[Received] = []
        filtered = oversized = 0
        filtering, maxPayload = self._filtering, self._maxPayload
        remotes, oldest = self._remotes, now - self._remoteIdle
        for received in datagrams:
            if len(received[0]) > maxPayload:
                oversized += 1
                continue
            if filtering:
                address = received[1]
                heard = remotes.get(address)
                if heard is None:
                    filtered += 1
                    continue
                if heard < oldest:
                    del remotes[address]
                    filtered += 1
                    continue
                if heard != now:
                    remotes[address] = now
                    remotes.move_to_end(address)
            accepted.append(received)
        if oversized:
            self._receiver.datagramsCounted(OVERSIZED, oversized)
        if filtered:
            self._receiver.datagramsCounted(FILTERED, filtered)
        if accepted and self.isOpen:
            self.lastUsed = now
            self._receiver.datagramsReceived(self, accepted)

    # -- facts

    @property
    def remotes(self) -> int:
        """
        How many remotes are remembered.
        """
        return len(self._remotes)

    def port(self, isIPv6: bool = False) -> int:
        """
        The port on the network; 0 where nothing of that family was sent yet.
        """
        port = self._port6 if isIPv6 else self._port4
        return 0 if port is None else port.getHost().port

    # -- the end

    def close(self) -> None:
        """
        Close the sockets.
        """
        self.isOpen = False
        for port in (self._port4, self._port6):
            if port is not None:
                port.stopListening()
        self._port4 = self._port6 = None
        self._remotes.clear()
        self.headers.clear()

    def evict(self) -> None:
        """
        See L{aero.net.udp.ports.SocketOwner}.
        """
        if self._evicted is not None:
            self._evicted()

    # -- private

    def _open(self, isIPv6: bool) -> bool:
        if not self.isOpen:
            return False
        protocol = self._protocol()
        protocol.binding = self
        other = self._port4 if isIPv6 else self._port6
        opened = self._ports.listen(
            protocol,
            family=socket.AF_INET6 if isIPv6 else socket.AF_INET,
            # Both families on the same port where that can be had.
            port=self._preferredPort if other is None else other.getHost().port,
            maxPacket=self._maxPacket,
            share=self._share,
            owner=None if self._evicted is None else self,
        )
        if isIPv6:
            self._port6 = opened
        else:
            self._port4 = opened
        return opened is not None

    def _remember(self, address: Address, now: float) -> None:
        """
        Let another remote answer; the oldest makes room where there are too many, the expired
        ones first.
        """
        remotes = self._remotes
        oldest = now - self._remoteIdle
        while remotes and remotes[next(iter(remotes))] < oldest:
            remotes.popitem(last=False)
        if len(remotes) >= self._maxRemotes:
            remotes.popitem(last=False)
            self._receiver.datagramsCounted(EVICTED, 1)
        remotes[address] = now
