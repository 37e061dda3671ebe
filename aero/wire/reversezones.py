# -*- test-case-name: aero.wire.test.test_reversezones -*-
"""
Zones of reverse names that every resolver serves itself (RFC 6303, RFC 7793): those of addresses
that mean something in one network only, about which no server of the internet can be asked.
"""

from __future__ import annotations

import struct
from typing import Final

from .dns import SOA, encodeName
from .dnsanswer import Record

#: Seconds that an answer about such a zone may be kept (RFC 6303 section 3).
TTL: Final = 10_800

_PTR: Final = "in-addr.arpa"
_SIX: Final = "ip6.arpa"

_NAMES: Final = (
    # RFC 1918
    f"10.{_PTR}",
    *(f"{second}.172.{_PTR}" for second in range(16, 32)),
    f"168.192.{_PTR}",
    # RFC 5735 and RFC 5737: this network, loopback, link local, documentation, broadcast
    f"0.{_PTR}",
    f"127.{_PTR}",
    f"254.169.{_PTR}",
    f"2.0.192.{_PTR}",
    f"100.51.198.{_PTR}",
    f"113.0.203.{_PTR}",
    f"255.255.255.255.{_PTR}",
    # RFC 7793: shared by customers of one provider
    *(f"{second}.100.{_PTR}" for second in range(64, 128)),
    # Unspecified, loopback, unique local, link local, documentation
    "0." * 32 + _SIX,
    "1." + "0." * 31 + _SIX,
    f"d.f.{_SIX}",
    *(f"{digit}.e.f.{_SIX}" for digit in "89ab"),
    f"8.b.d.0.1.0.0.2.{_SIX}",
)

_ZONES: Final = frozenset(encodeName(name.encode().split(b".")) for name in _NAMES)

#: Serial, refresh, retry, expire, and how long "no" may be kept (RFC 6303 section 3).
_TIMES: Final = struct.pack(">5I", 1, 3_600, 1_200, 604_800, TTL)
_NOBODY: Final = b"\x06nobody\x07invalid\0"


def reverseZone(name: bytes) -> bytes:
    """
    The zone that a name is in.

    @param name: A wire name in lower case.
    @return: The name of the zone; empty where it is none of these.
    """
    for tail in tails(name):
        if tail in _ZONES:
            return tail
    return b""


def tails(name: bytes) -> list[bytes]:
    """
    A wire name and the names above it, without the root.
    """
    found = []
    while len(name) > 1:
        found.append(name)
        name = name[1 + name[0] :]
    return found


def reverseName(address: int) -> bytes:
    """
    The wire name that the name of an IPv4 address is found at.
    """
    parts = [b"%d" % byte for byte in reversed(address.to_bytes(4, "big"))]
    return encodeName([*parts, *_PTR.encode().split(b".")])


def soaRecord(zone: bytes) -> Record:
    """
    The record that says that a zone is served here, and how long "no" may be kept (RFC 2308).
    """
    return Record(zone, SOA, TTL, zone + _NOBODY + _TIMES)
