# -*- test-case-name: aero.stack.tcp.test.test_parts -*-
"""
Initial sequence numbers, the origin of timestamps, and ports for connections to the guest, none
of which can be guessed (RFC 6528 section 3, RFC 7323 section 5.4, RFC 6056 section 3.3.3).
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from aero.wire.seqnum import MASK

_TUPLE = struct.Struct("!IIHH")

#: The clock of RFC 6528 ticks every four microseconds.
_TICKS = 250_000

#: Ports that nobody listens on (RFC 6335 section 6).
FIRST_DYNAMIC_PORT = 49_152
DYNAMIC_PORTS = 16_384


class SequenceSource:
    """
    Makes the numbers that a connection begins with.

    @param secret: At most 64 bytes are used.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret[:64]

    def begin(
        self, source: int, sourcePort: int, destination: int, destinationPort: int, now: float
    ) -> tuple[int, int]:
        """
        The numbers for a connection from us to the guest.

        A sequence number is never 0xFFFFFFFF: nothing acknowledges it with 0, which guests that
        have nothing to acknowledge send.

        @return: The initial sequence number, and what is added to the clock of timestamps. For
            the same addresses and ports both grow with the time.
        """
        digest = blake2b(
            _TUPLE.pack(source, destination, sourcePort, destinationPort),
            digest_size=8,
            key=self._secret,
            person=b"sequence",
        ).digest()
        sequence = (int.from_bytes(digest[:4], "big") + int(now * _TICKS)) & MASK
        return 0 if sequence == MASK else sequence, int.from_bytes(digest[4:], "big")

    def firstPort(self, source: int, destination: int, destinationPort: int) -> int:
        """
        Where in the dynamic ports the search for a free one begins: 0 to C{DYNAMIC_PORTS} - 1.
        """
        digest = blake2b(
            _TUPLE.pack(source, destination, 0, destinationPort),
            digest_size=4,
            key=self._secret,
            person=b"port",
        ).digest()
        return int.from_bytes(digest, "big") % DYNAMIC_PORTS
