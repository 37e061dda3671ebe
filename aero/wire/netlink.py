# -*- test-case-name: aero.wire.test.test_netlink -*-
"""
Netlink messages about the addresses of interfaces (C{rtnetlink(7)}, linux/if_addr.h): the request
for all of them, and the answer.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from aero.errors import DecodeError

#: Groups of notifications: IPv4 and IPv6 addresses that come and go (linux/rtnetlink.h).
ADDRESS_GROUPS = 0x10 | 0x100

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE, _NEWADDR, _GETADDR = 2, 3, 20, 22
_REQUEST_DUMP = 0x1 | 0x300
_INTERRUPTED = 0x10
#: Bytes of C{struct ifaddrmsg}.
_ADDRESS_HEADER = 8
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


class AddressDump(NamedTuple):
    """
    One part of the answer.

    @ivar addresses: The addresses in it.
    @ivar isLast: Whether the answer is complete with it.
    @ivar isInterrupted: Whether addresses changed meanwhile, so that the answer is to be asked
        for again.
    """

    addresses: tuple[str, ...]
    isLast: bool
    isInterrupted: bool


def addressRequest(sequence: int) -> bytes:
    """
    The request for all addresses of all interfaces.

    @param sequence: A number that the answer repeats.
    """
    return _HEADER.pack(_HEADER.size + 1, _GETADDR, _REQUEST_DUMP, sequence, 0) + bytes(4)


def parseAddresses(data: bytes) -> AddressDump:
    """
    Read one datagram of the answer.

    @raise DecodeError: It is malformed, or the kernel refuses to answer.
    """
    found: list[str] = []
    interrupted = False
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise DecodeError("a netlink message is cut short")
        length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
        end = offset + length
        if length < _HEADER.size or end > len(data):
            raise DecodeError("a netlink message has a malformed length")
        interrupted = interrupted or bool(flags & _INTERRUPTED)
        if kind == _ERROR:
            raise DecodeError("the kernel refuses to tell the addresses")
        if kind == _DONE:
            return AddressDump(tuple(found), True, interrupted)
        if kind == _NEWADDR:
            found += _address(data[offset + _HEADER.size : end])
        offset += length + 3 & ~3
    return AddressDump(tuple(found), False, interrupted)


def _address(message: bytes) -> list[str]:
    """
    The address of one message: the interface's own, not the other end of a point-to-point link.
    """
    attributes: dict[int, bytes] = {}
    offset = _ADDRESS_HEADER
    while len(message) - offset >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(message, offset)
        if length < _ATTRIBUTE.size or offset + length > len(message):
            raise DecodeError("a netlink attribute has a malformed length")
        attributes[kind] = message[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS) or b""
    return [str(ipaddress.ip_address(packed))] if len(packed) in (4, 16) else []
