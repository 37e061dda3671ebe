# -*- test-case-name: aero.dns.test.test_localnames -*-
"""
Names that no upstream is asked about: C{localhost} and all below it (RFC 6761 section 6.3).

They are loopback wherever they are resolved. An upstream that does not know so would send
users of C{localhost} to somebody's server, and would learn what they do at home.
"""

from __future__ import annotations

from typing import Final

from aero.wire.dns import AA, AAAA, HEADER, HEADER_SIZE, IN, QR, QUESTION_TAIL, RA, RECORD_TAIL, A
from aero.wire.dnsanswer import ScannedAnswer, scanAnswer

#: Seconds that an answer may be kept. It never changes.
TTL: Final = 300

_LOCALHOST: Final = b"\x09localhost\0"
_ADDRESSES: Final = {A: bytes([127, 0, 0, 1]), AAAA: bytes(15) + b"\1"}


def isLocal(name: bytes) -> bool:
    """
    Whether a wire name in lower case is C{localhost} or below it.
    """
    if not name.endswith(_LOCALHOST):
        return False
    offset = 0
    end = len(name) - len(_LOCALHOST)
    while offset < end:
        offset += 1 + name[offset]
    return offset == end


def localAnswer(name: bytes, qtype: int, flags: int) -> ScannedAnswer:
    """
    The answer about such a name: the loopback address, or that there is nothing of the type.

    @param flags: Of the question, for the bits that are repeated.
    """
    data = _ADDRESSES.get(qtype)
    count = 0 if data is None else 1
    message = HEADER.pack(0, QR | AA | RA | flags, 1, count, 0, 0)
    message += name + QUESTION_TAIL.pack(qtype, IN)
    if data is not None:
        owner = (0xC000 | HEADER_SIZE).to_bytes(2, "big")
        message += owner + RECORD_TAIL.pack(qtype, IN, TTL, len(data)) + data
    return scanAnswer(message)
