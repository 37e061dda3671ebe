# -*- test-case-name: aero.stack.test.test_stack -*-
"""
What the outside tells the stack to do.

A command about a connection that is over already is ignored: it crossed the event that said so.
"""

from __future__ import annotations

from typing import NamedTuple, Union

from aero.wire.icmpv4 import UNREACHABLE


class AcceptTCP(NamedTuple):
    """
    The outside is connected: answer the SYN, if it was not answered on credit already.
    """

    connection: int


class RejectTCP(NamedTuple):
    """
    The outside cannot or must not connect. The guest gets a reset, or where its SYN is still
    held and the reason allows it, the ICMP error that says more.

    @ivar reason: C{refused}, C{unreachable}, C{prohibited} or C{timeout}.
    @ivar kind: The type of the ICMP error to send; 0 for the one of the reason.
    @ivar code: The code of the ICMP error of type C{kind}.
    @ivar teller: The address that the error comes from; 0 for the gateway.
    """

    connection: int
    reason: str
    kind: int = 0
    code: int = 0
    teller: int = 0


class LimitTCP(NamedTuple):
    """
    This connection has other buffers than the settings say. A guest that was told a larger window
    may still use it.

    @ivar receiveBuffer: Bytes held for the outside.
    @ivar sendBuffer: Bytes held for the guest.
    """

    connection: int
    receiveBuffer: int
    sendBuffer: int


class ConnectTCP(NamedTuple):
    """
    Connect to the guest.

    @ivar connection: A number from C{Stack.newConnection}.
    @ivar source: Whom the guest sees; the gateway for what runs in its LAN.
    @ivar sourcePort: 0 for one that is free.
    """

    connection: int
    source: int
    sourcePort: int
    destination: int
    destinationPort: int


class SendTCP(NamedTuple):
    """
    Data for the guest. It is always taken; C{Stack.sendRoom} tells when to stop offering more.
    """

    connection: int
    data: bytes


class ConsumeTCP(NamedTuple):
    """
    The outside has taken so many bytes of what the guest sent: the window opens again.
    """

    connection: int
    size: int


class CloseTCP(NamedTuple):
    """
    Nothing more comes from the outside; the FIN follows the data that is waiting.
    """

    connection: int


class AbortTCP(NamedTuple):
    """
    Reset the connection.
    """

    connection: int


class SendUDP(NamedTuple):
    """
    A datagram for the guest.

    @ivar hardwareAddress: Where it goes; C{None} for wherever the destination was last seen.
    """

    source: int
    sourcePort: int
    destination: int
    destinationPort: int
    data: bytes
    hardwareAddress: bytes | None = None


class SendEchoReply(NamedTuple):
    """
    An answer to C{EchoRequested}.

    @ivar source: Who answers.
    @ivar ttl: As it arrived.
    """

    source: int
    destination: int
    identifier: int
    sequence: int
    data: bytes
    ttl: int = 64


class RefuseEcho(NamedTuple):
    """
    Tell the guest that its ping did not get there.

    The first five are those of the C{EchoRequested} it is about; the rest is as in C{RefuseUDP}.
    """

    source: int
    destination: int
    identifier: int
    sequence: int
    data: bytes
    code: int
    mtu: int = 0
    kind: int = UNREACHABLE
    teller: int = 0


class RefuseUDP(NamedTuple):
    """
    Tell the guest that its datagram was not delivered (RFC 1122 section 4.1.3.1).

    The first four are those of the C{UDPReceived} it is about.

    @ivar size: Bytes of its payload.
    @ivar code: The code of the ICMP message; of type 3: 1 host unreachable, 3 port unreachable,
        4 fragmentation needed, 13 prohibited.
    @ivar mtu: For code 4 of type 3, the longest packet that can go on (RFC 1191 section 4).
    @ivar kind: The type of the ICMP message.
    @ivar teller: The address that the message comes from; 0 for the gateway, or for the
        destination where its port is unreachable.
    @ivar start: The payload, or as much of its start as is known.
    """

    source: int
    sourcePort: int
    destination: int
    destinationPort: int
    size: int
    code: int
    mtu: int = 0
    kind: int = UNREACHABLE
    teller: int = 0
    start: bytes = b""


Command = Union[
    AcceptTCP,
    RejectTCP,
    LimitTCP,
    ConnectTCP,
    SendTCP,
    ConsumeTCP,
    CloseTCP,
    AbortTCP,
    SendUDP,
    SendEchoReply,
    RefuseEcho,
    RefuseUDP,
]
