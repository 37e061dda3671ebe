# -*- test-case-name: aero.stack.test.test_stack -*-
"""
What the stack asks of the outside, and tells it.

Connections are named by numbers that are never used again in one stack. IPv4 addresses are
unsigned 32-bit numbers.
"""

from __future__ import annotations

from typing import NamedTuple, Union


class TCPConnectRequested(NamedTuple):
    """
    The guest wants to connect. Answer with C{AcceptTCP} or C{RejectTCP}; until then its SYN is
    held for a while, and then answered on credit.

    @ivar connection: The number of the connection.
    @ivar source: Its address, which is not the one that DHCP gave where the guest has its own.
    """

    connection: int
    destination: int
    destinationPort: int
    source: int
    sourcePort: int


class TCPEstablished(NamedTuple):
    """
    The handshake is complete.
    """

    connection: int


class TCPDataReceived(NamedTuple):
    """
    Data of the guest, in order. It counts against the window until C{ConsumeTCP} says that the
    outside has taken it. It may come before C{AcceptTCP}.
    """

    connection: int
    data: bytes


class TCPReadClosed(NamedTuple):
    """
    The guest sends nothing more; it may still receive.
    """

    connection: int


class TCPWriteReady(NamedTuple):
    """
    The send buffer, which had been over its limit, is half empty again.
    """

    connection: int


class TCPClosed(NamedTuple):
    """
    The connection is over; its number means nothing any more.

    @ivar reason: C{done}; C{reset} by the guest; C{aborted} or C{rejected} by the outside;
        C{timeout} when the guest stopped answering; C{unreachable}; C{early} when more was sent
        before the connection was accepted than may be.
    """

    connection: int
    reason: str


class UDPReceived(NamedTuple):
    """
    A datagram of the guest, whoever it is for: the outside, the LAN, or every station by the
    limited or the network's broadcast address. None is for a group.

    @ivar hardwareAddress: The MAC address it came from.
    @ivar everybody: Whether it was sent to every station, which the MAC address may say although
        the destination does not. Such a one is not forwarded, nor answered with an error.
    @ivar dontFragment: Whether the guest forbids fragments (RFC 791 section 3.1).
    @ivar ttl: With which it goes on, at least 1: the gateway has taken its one.
    """

    source: int
    sourcePort: int
    destination: int
    destinationPort: int
    data: bytes
    hardwareAddress: bytes
    everybody: bool = False
    dontFragment: bool = False
    ttl: int = 63


class EchoRequested(NamedTuple):
    """
    The guest pings somebody outside.

    @ivar ttl: With which it goes on, at least 1: the gateway has taken its one.
    """

    source: int
    destination: int
    identifier: int
    sequence: int
    data: bytes
    ttl: int


class ICMPErrorReceived(NamedTuple):
    """
    The guest refuses a datagram that was sent to it.

    @ivar kind: The type of the ICMP message.
    @ivar source: Where the refused datagram came from.
    @ivar destinationPort: The port of the guest it was for.
    """

    kind: int
    code: int
    protocol: int
    source: int
    sourcePort: int
    destinationPort: int


Event = Union[
    TCPConnectRequested,
    TCPEstablished,
    TCPDataReceived,
    TCPReadClosed,
    TCPWriteReady,
    TCPClosed,
    UDPReceived,
    EchoRequested,
    ICMPErrorReceived,
]
