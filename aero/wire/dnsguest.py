# -*- test-case-name: aero.wire.test.test_dnsguest -*-
"""
Answers that a guest gets from the DNS of its LAN, where they differ from what the resolver
said: other TTLs, fewer addresses, or no more than that the answer is too long.
"""

from __future__ import annotations

import struct
from typing import Final, Iterable, Sequence

from .dns import HEADER, HEADER_SIZE, IN, RCODE, RECORD_TAIL, TC, shortAnswer
from .dnsanswer import Record, ScannedAnswer
from .dnsquery import Query, encodeOPT

_FLAGS: Final = struct.Struct(">H")
_TTL: Final = struct.Struct(">I")
_TO_QUESTION: Final = (0xC000 | HEADER_SIZE).to_bytes(2, "big")


def answerWith(
    query: Query, rcode: int, records: Sequence[Record], payloadSize: int, flags: int = 0
) -> bytes:
    """
    An answer made of records.

    @param records: The answer section. Owners are plain wire names; the one that is the
        question's becomes a pointer to it.
    @param payloadSize: What to announce in OPT, for those who sent one.
    @param flags: Further bits of the flag word.
    """
    message = bytearray(shortAnswer(query.ident, query.flags, rcode, query.question))
    asked = query.name.lower()
    for name, rtype, ttl, data in records:
        message += _TO_QUESTION if name.lower() == asked else name
        message += RECORD_TAIL.pack(rtype, IN, ttl, len(data)) + data
    edns = query.edns
    if edns is not None:
        message += encodeOPT(payloadSize, dnssecOK=edns.dnssecOK, rcode=rcode)
    first = _FLAGS.unpack_from(message, 2)[0] | flags
    HEADER.pack_into(message, 0, query.ident, first, 1, len(records), 0, 0 if edns is None else 1)
    return bytes(message)


def truncated(query: Query, rcode: int, payloadSize: int) -> bytes:
    """
    The answer to somebody whom the whole one does not fit (RFC 2181 section 9): ask over TCP.
    """
    return answerWith(query, rcode & RCODE, (), payloadSize, TC)


def withTTLs(scanned: ScannedAnswer, zero: int, most: int) -> ScannedAnswer:
    """
    The same answer with TTLs within bounds.

    @param zero: What a TTL of 0 becomes.
    @param most: What a larger one becomes.
    """
    found = [(offset, min(ttl or zero, most)) for offset, ttl in scanned.ttls]
    if tuple(found) == scanned.ttls:
        return scanned
    message = bytearray(scanned.message)
    for offset, ttl in found:
        _TTL.pack_into(message, offset, ttl)
    return scanned._replace(message=bytes(message), ttls=tuple(found))


def isHostName(labels: Iterable[bytes]) -> bool:
    """
    Whether a name can be one of a host: nothing in it that ends a word. Everything else that
    people have put into names is let through.
    """
    return all(0x21 <= byte != 0x7F for label in labels for byte in label)
