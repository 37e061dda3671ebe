# -*- test-case-name: aero.net.test.test_errorqueue -*-
"""
The error queue of a socket (C{IP_RECVERR}, ip(7)).

A socket with this option keeps every ICMP message about a packet that it sent: the type, the
code, the router that sent the message, and the start of the packet that it is about. Errors that
this system found itself, without any ICMP message, are in the same queue.

Kernels before 2.2 and other systems have no such queue; then there are no errors to read.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import Any, Callable, Final, Iterator, NamedTuple

from aero.wire.icmpv4 import (
    HOST_UNREACHABLE,
    MAX_QUOTE,
    PARAMETER_PROBLEM,
    PORT_UNREACHABLE,
    PROHIBITED,
    TIME_EXCEEDED,
    UNREACHABLE,
)
from aero.wire.ipv4 import addressNumber, addressText

# Numbers of ip(7) and ipv6(7) that Python does not name.
IP_RECVERR: Final = 11
IPV6_RECVERR: Final = 25
MSG_ERRQUEUE: Final = 0x2000

#: C{struct sock_extended_err}: errno, origin, type, code, padding, info (the MTU of EMSGSIZE), and
#: data. The C{sockaddr} of the host that reported the error follows.
_EXTENDED: Final = struct.Struct("=IBBBBII")
_FAMILY: Final = struct.Struct("=H")

_ORIGIN_LOCAL: Final = 1
_ORIGIN_ICMP: Final = 2

_QUEUES: Final = ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR))

#: The types of ICMP messages that are passed on (RFC 1122 section 3.2.2).
_PASSED: Final = frozenset({UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM})

#: The codes of type 3 that tell a guest about an error, by errno. They are for errors that no
#: ICMP message of IPv4 explains.
_CODES: Final = {
    errno.ECONNREFUSED: PORT_UNREACHABLE,
    errno.EHOSTUNREACH: HOST_UNREACHABLE,
    errno.ENETUNREACH: HOST_UNREACHABLE,
    errno.EHOSTDOWN: HOST_UNREACHABLE,
    errno.EACCES: PROHIBITED,
    errno.EPERM: PROHIBITED,
}


class SocketError(NamedTuple):
    """
    One error about a packet that a socket sent.

    @ivar error: The C{errno}.
    @ivar kind: The type of the ICMP message; 0 where there was none, or none of IPv4.
    @ivar code: Its code.
    @ivar offender: The IPv4 address that sent the message; 0 where it is not known.
    @ivar mtu: With C{EMSGSIZE}, the bytes of the longest packet that can go on; else 0.
    @ivar data: The start of the payload of the packet, as far as the message quotes it.
    """

    error: int
    kind: int = 0
    code: int = 0
    offender: int = 0
    mtu: int = 0
    data: bytes = b""

    def told(self) -> tuple[int, int] | None:
        """
        The type and code of the ICMP message for the guest; C{None} where there is nothing to
        tell.
        """
        if self.kind:
            return (self.kind, self.code) if self.kind in _PASSED else None
        code = _CODES.get(self.error)
        return None if code is None else (UNREACHABLE, code)


class Reported(NamedTuple):
    """
    One entry of the queue.

    @ivar address: The address and port that the packet was for.
    @ivar local: Whether this system found the error, without an ICMP message.
    """

    address: tuple[str, int]
    local: bool
    error: SocketError


def reportErrors(made: Any, family: int = socket.AF_INET, on: bool = True) -> None:
    """
    Let a socket keep the errors about its packets, where the system can do that.

    @param on: False forgets those that it has, and keeps no more.
    """
    with suppress(OSError):
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, on)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, on)


def readErrors(made: Any, most: int) -> Iterator[Reported | None]:
    """
    Take entries out of the queue of a socket; C{None} stands for one that is not understood.

    @param most: Entries taken at most.
    """
    for _ in range(most):
        try:
            data, extra, _, address = made.recvmsg(MAX_QUOTE, 512, MSG_ERRQUEUE)
        except (OSError, AttributeError):
            return
        found = None
        for level, kind, value in extra:
            if (level, kind) in _QUEUES and len(value) >= _EXTENDED.size and address:
                found = _parse(bytes(data), value, address[:2])
        yield found


def _parse(data: bytes, value: bytes, address: tuple[str, int]) -> Reported:
    """
    Read one C{sock_extended_err} and the address behind it.
    """
    error, origin, kind, code, _, info, _ = _EXTENDED.unpack_from(value)
    mtu = info if error == errno.EMSGSIZE else 0
    if origin != _ORIGIN_ICMP:
        return Reported(address, origin == _ORIGIN_LOCAL, SocketError(error, mtu=mtu))
    return Reported(address, False, SocketError(error, kind, code, _offender(value), mtu, data))


def _offender(value: bytes) -> int:
    """
    The IPv4 address of a C{sockaddr_in}; 0 where there is none.
    """
    offset = _EXTENDED.size
    if len(value) < offset + 8 or _FAMILY.unpack_from(value, offset)[0] != socket.AF_INET:
        return 0
    return int.from_bytes(value[offset + 4 : offset + 8], "big")


def shownOffender(offender: int, destination: int, isOnLink: Callable[[int], bool]) -> int:
    """
    The address that a guest sees an ICMP error come from.

    An address of this system is that of the gateway, from where the guest is, and an address of
    the guest's own network cannot be somewhere outside.

    @param offender: The router that sent the error; 0 where it is not known.
    @param destination: Where the packet of the guest was for.
    @param isOnLink: Whether an address is in the guest's network.
    @return: The address; 0 for the gateway's.
    """
    if offender in (0, destination):
        return offender
    return 0 if isOnLink(offender) or _isOwnAddress(offender) else offender


def _isOwnAddress(address: int) -> bool:
    """
    Whether an address belongs to this system, found by the source address of a packet to it.
    No packet is sent.
    """
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((addressText(address), 9))
        return addressNumber(probe.getsockname()[0]) == address
    return False
