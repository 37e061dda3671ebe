# -*- test-case-name: aero.wire.test.test_proxyprotocol -*-
"""
The header in which a proxy says for whom it connects (HAProxy's "The PROXY protocol", versions 1
and 2; sections are of that document).

It comes before everything else on a connection, before TLS too. Twisted has a reader for it, which
takes a header that does not come in one piece for garbage and addresses for what anybody says.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from aero.errors import DecodeError

#: How version 1 begins (section 2.1), and version 2 (section 2.2).
PREFIX = b"PROXY "
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

#: The longest header of version 1, with its end.
MAX_V1 = 107

#: The longest header of version 2 that is read. Addresses take 216 bytes at most; what follows
#: them is small, and nothing here makes use of more.
MAX_V2 = 4_096

_FIXED = struct.Struct("!12sBBH")
_TLV = struct.Struct("!BH")

_LOCAL, _PROXY = 0x20, 0x21

#: Bytes of the addresses and ports, by family and transport (section 2.2).
_ADDRESSES = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
_UNIX = {0x31: 216}
_UNSPECIFIED = 0x00

_TYPE_SSL = 0x20
_CLIENT_SSL = 0x01


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """
    One header.

    @ivar size: Bytes that it takes.
    @ivar version: 1 or 2.
    @ivar source: Address and port of the client; C{None} where the proxy speaks for itself, such
        as for a health check, or for somebody without an IP address.
    @ivar destination: Where the client connected to.
    @ivar secure: Whether the client uses TLS, and the proxy terminates it.
    """

    size: int
    version: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    secure: bool = False


def beginsHeader(data: bytes) -> bool:
    """
    Whether the first bytes of a connection begin a header, as far as there are any.
    """
    return bool(data) and any(
        data.startswith(start) or start.startswith(data) for start in (PREFIX, SIGNATURE)
    )


def parseProxyHeader(data: bytes) -> ProxyHeader | None:
    """
    Read the header at the beginning of a connection.

    @param data: All bytes so far.
    @return: C{None} while it is not complete.
    @raise DecodeError: This is no header.
    """
    if not beginsHeader(data):
        if data:
            raise DecodeError("no PROXY header")
        return None
    if data.startswith(PREFIX):
        return _parseV1(data)
    if data.startswith(SIGNATURE):
        return _parseV2(data)
    return None


def _parseV1(data: bytes) -> ProxyHeader | None:
    """
    Section 2.1.
    """
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise DecodeError("a PROXY header without an end")
        return None
    size = end + 2
    fields = data[len(PREFIX) : end].split(b" ")
    if fields[0] == b"UNKNOWN":
        return ProxyHeader(size, 1)
    version = {b"TCP4": 4, b"TCP6": 6}.get(fields[0])
    if version is None or len(fields) != 5:
        raise DecodeError("a PROXY header of no known form")
    _, source, destination, sourcePort, destinationPort = fields
    return ProxyHeader(
        size,
        1,
        (_address(source, version), _port(sourcePort)),
        (_address(destination, version), _port(destinationPort)),
    )


def _address(text: bytes, version: int) -> str:
    try:
        found = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        found = None
    # A zone belongs to the proxy's machine and means nothing here.
    if found is None or found.version != version or b"%" in text:
        raise DecodeError("a PROXY header with a bad address")
    return str(found)


def _port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or (text[:1] == b"0" and text != b"0"):
        raise DecodeError("a PROXY header with a bad port")
    port = int(text)
    if port > 65_535:
        raise DecodeError("a PROXY header with a bad port")
    return port


def _parseV2(data: bytes) -> ProxyHeader | None:
    """
    Section 2.2.
    """
    if len(data) < _FIXED.size:
        return None
    _, command, family, length = _FIXED.unpack_from(data)
    size = _FIXED.size + length
    if command not in (_LOCAL, _PROXY):
        raise DecodeError("a PROXY header of an unknown version or command")
    if size > MAX_V2:
        raise DecodeError("a PROXY header that is too long")
    if len(data) < size:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(size, 2)
    if family in _UNIX:
        if length < _UNIX[family]:
            raise DecodeError("a PROXY header with too few addresses")
        return ProxyHeader(size, 2)
    layout = _ADDRESSES.get(family)
    if layout is None:
        raise DecodeError("a PROXY header for something that is no stream")
    if length < layout.size:
        raise DecodeError("a PROXY header with too few addresses")
    source, destination, sourcePort, destinationPort = layout.unpack_from(data, _FIXED.size)
    return ProxyHeader(
        size,
        2,
        (str(ipaddress.ip_address(source)), sourcePort),
        (str(ipaddress.ip_address(destination)), destinationPort),
        _saysTLS(data[_FIXED.size + layout.size : size]),
    )


def _saysTLS(rest: bytes) -> bool:
    """
    Whether what follows the addresses says that the client uses TLS (section 2.2.6).
    """
    at, found = 0, False
    while at < len(rest):
        if len(rest) - at < _TLV.size:
            raise DecodeError("a PROXY header with half a value")
        kind, length = _TLV.unpack_from(rest, at)
        at += _TLV.size
        if len(rest) - at < length:
            raise DecodeError("a PROXY header with half a value")
        if kind == _TYPE_SSL:
            if length < 5:
                raise DecodeError("a PROXY header with half a value")
            found = bool(rest[at] & _CLIENT_SSL)
        at += length
    return found
