# -*- test-case-name: aero.wire.test.test_udprelay -*-
"""
The framing of UDP datagrams on C{/udp} and on the data channel C{udp} (relay.md section 10).

One message is one datagram. Version 1 knows IPv4 only; version 2 begins with the bytes
C{A2 02} and knows both families. In both directions the guest port is the guest's and the
remote is the other end: the destination on the way out, the source on the way in.

A version 1 message from the guest port C{0xA202} cannot be told from version 2; nothing can
be done about that without breaking clients.

Remote addresses stay packed, 4 or 16 bytes: this is a hot path, and a packed address is what
tables are keyed by.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_V1 = struct.Struct("!H4sH")
_V2_IPV4 = struct.Struct("!BBBBH4sH")
_V2_IPV6 = struct.Struct("!BBBBH16sH")

_MAGIC = 0xA2
_VERSION = 0x02
_IPV4 = 0x04
_IPV6 = 0x06
_DATAGRAM = 0x00

#: The longest header: version 2 with IPv6.
MAX_HEADER = _V2_IPV6.size

#: What an IPv4-mapped IPv6 address begins with (RFC 4291 section 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"


class UDPRelayError(ValueError):
    """
    A message that is no datagram.

    @ivar oversized: Whether its payload was too long; otherwise it is malformed.
    """

    def __init__(self, text: str, *, oversized: bool = False) -> None:
        super().__init__(text)
        self.oversized = oversized


class Datagram(NamedTuple):
    """
    One datagram.

    @ivar version: The version of its framing, 1 or 2.
    @ivar guestPort: The guest's port, which may be 0.
    @ivar remote: The packed address of the other end, 4 or 16 bytes.
    @ivar remotePort: The port of the other end; 0 can be decoded and is never sent to.
    @ivar payload: May be empty.
    """

    version: int
    guestPort: int
    remote: bytes
    remotePort: int
    payload: bytes


def decode(message: bytes, maxPayload: int) -> Datagram:
    """
    Read one message.

    @param maxPayload: The longest payload, in bytes.
    @raise UDPRelayError: It is no datagram, or too long a one.
    """
    length = len(message)
    if length >= 2 and message[0] == _MAGIC and message[1] == _VERSION:
        version, header = 2, _V2_IPV4.size
        if length < header:
            raise UDPRelayError(f"frame too short: {length} < {header}")
        family, kind = message[2], message[3]
        if kind != _DATAGRAM:
            raise UDPRelayError(f"unsupported message type: 0x{kind:02x}")
        if family == _IPV4:
            _, _, _, _, guestPort, remote, remotePort = _V2_IPV4.unpack_from(message)
        elif family == _IPV6:
            header = _V2_IPV6.size
            if length < header:
                raise UDPRelayError(f"frame too short: {length} < {header}")
            _, _, _, _, guestPort, remote, remotePort = _V2_IPV6.unpack_from(message)
        else:
            raise UDPRelayError(f"unknown address family: 0x{family:02x}")
    else:
        version, header = 1, _V1.size
        if length < header:
            raise UDPRelayError(f"frame too short: {length} < {header}")
        guestPort, remote, remotePort = _V1.unpack_from(message)
    if length - header > maxPayload:
        raise UDPRelayError(f"payload too large: {length - header} > {maxPayload}", oversized=True)
    return Datagram(version, guestPort, remote, remotePort, message[header:])


def parseHeader(header: bytes) -> tuple[int, int, bytes, int] | None:
    """
    Read the header alone, without a word about what is wrong with it; for the hot path.

    @param header: The first 24 bytes of a message that begins with C{A2 02 06}, the first 12
        of another one that begins with C{A2 02}, the first 8 of any other; less where the
        message has less.
    @return: Version, guest port, remote and remote port; C{None} where L{decode} would raise.
    """
    length = len(header)
    if header[:2] != b"\xa2\x02":
        if length != _V1.size:
            return None
        guestPort, remote, remotePort = _V1.unpack(header)
        return 1, guestPort, remote, remotePort
    if length < _V2_IPV4.size or header[3] != _DATAGRAM:
        return None
    if header[2] == _IPV4 and length == _V2_IPV4.size:
        _, _, _, _, guestPort, remote, remotePort = _V2_IPV4.unpack(header)
    elif header[2] == _IPV6 and length == _V2_IPV6.size:
        _, _, _, _, guestPort, remote, remotePort = _V2_IPV6.unpack(header)
    else:
        return None
    return 2, guestPort, remote, remotePort


def encode(version: int, guestPort: int, remote: bytes, remotePort: int, payload: bytes) -> bytes:
    """
    Make one message.

    @param version: 1 or 2. A remote of 16 bytes always makes version 2.
    """
    if len(remote) == 16:
        return (
            _V2_IPV6.pack(_MAGIC, _VERSION, _IPV6, _DATAGRAM, guestPort, remote, remotePort)
            + payload
        )
    if version == 2:
        return (
            _V2_IPV4.pack(_MAGIC, _VERSION, _IPV4, _DATAGRAM, guestPort, remote, remotePort)
            + payload
        )
    return _V1.pack(guestPort, remote, remotePort) + payload


def canonical(remote: bytes) -> bytes:
    """
    The one spelling of an address: an IPv4-mapped IPv6 address is the IPv4 address, so that
    limits and filters see one remote where the network sees one (relay.md section 21 item 7).
    """
    if len(remote) == 16 and remote.startswith(_MAPPED):
        return remote[12:]
    return remote
