# -*- test-case-name: aero.wire.test.test_dnsguest -*-
"""
Answers that a guest gets from the DNS of its LAN: what of them policy has to see, and where they
differ from what the resolver said: other TTLs, fewer records, or no more than that the answer is
too long.
"""

from __future__ import annotations

import struct
from typing import Final, Iterable, Sequence

from aero.errors import DecodeError

from .dns import (
    CNAME,
    HEADER,
    HEADER_SIZE,
    IN,
    RCODE,
    RECORD_TAIL,
    TC,
    A,
    plainNameEnd,
    shortAnswer,
)
from .dnsanswer import Record, ScannedAnswer, answerRecords
from .dnsquery import Query, encodeOPT

#: Types of records that say where and how a service is reached (RFC 9460).
SVCB: Final = 64
HTTPS: Final = 65
#: Types of records that lead to a name or an address.
LEADING: Final = frozenset({A, CNAME, SVCB, HTTPS})

#: The parameter of a service that has IPv4 addresses (RFC 9460 section 7.3).
_IPV4_HINT: Final = 4

_PARAMETER: Final = struct.Struct(">HH")
_FLAGS: Final = struct.Struct(">H")
_TTL: Final = struct.Struct(">I")
_TO_QUESTION: Final = (0xC000 | HEADER_SIZE).to_bytes(2, "big")


def answerWith(
    query: Query,
    rcode: int,
    records: Sequence[Record],
    payloadSize: int,
    flags: int = 0,
    authority: Sequence[Record] = (),
) -> bytes:
    """
    An answer made of records.

    @param records: The answer section. Owners are plain wire names; the one that is the
        question's becomes a pointer to it.
    @param payloadSize: What to announce in OPT, for those who sent one.
    @param flags: Further bits of the flag word.
    @param authority: The authority section.
    """
    message = bytearray(shortAnswer(query.ident, query.flags, rcode, query.question))
    asked = query.name.lower()
    for name, rtype, ttl, data in (*records, *authority):
        message += _TO_QUESTION if name.lower() == asked else name
        message += RECORD_TAIL.pack(rtype, IN, ttl, len(data)) + data
    edns = query.edns
    if edns is not None:
        message += encodeOPT(payloadSize, dnssecOK=edns.dnssecOK, rcode=rcode)
    first = _FLAGS.unpack_from(message, 2)[0] | flags
    counts = 1, len(records), len(authority), 0 if edns is None else 1
    HEADER.pack_into(message, 0, query.ident, first, *counts)
    return bytes(message)


def aboutOtherType(query: Query, message: bytes) -> bytes:
    """
    An answer to the same question about another type: for one that says that a name does not exist
    or has nothing.

    @param query: The question that it is to answer.
    @param message: The answer, in which the question is whole.
    """
    offset = HEADER_SIZE + len(query.name)
    return message[:offset] + query.qtype.to_bytes(2, "big") + message[offset + 2 :]


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


def leadingRecords(message: bytes) -> tuple[list[Record], int]:
    """
    The records of the answer section that lead to a name or an address. The data of C{SVCB} and
    C{HTTPS} is as it came, and L{serviceHints} reads it; its names are never compressed.

    @param message: An answer with one question.
    @return: Them, and the offset behind the answer section.
    @raise DecodeError: It is malformed up to there.
    """
    return answerRecords(message, LEADING)


def serviceHints(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """
    Where a record of type C{SVCB} or C{HTTPS} leads.

    @return: The name of its target in wire form, the root for the owner's own, and the IPv4
        addresses it gives, as numbers.
    @raise DecodeError: It is malformed (RFC 9460 section 2.2).
    """
    if len(data) < 3:
        raise DecodeError("a service record is too short")
    offset = plainNameEnd(data, 2)
    target = data[2:offset]
    addresses: tuple[int, ...] = ()
    before = -1
    while offset < len(data):
        if offset + 4 > len(data):
            raise DecodeError("a parameter of a service runs off its record")
        key, length = _PARAMETER.unpack_from(data, offset)
        end = offset + 4 + length
        if end > len(data) or key <= before:
            raise DecodeError("the parameters of a service are malformed")
        if key == _IPV4_HINT:
            if not length or length % 4:
                raise DecodeError("the addresses of a service have the wrong length")
            addresses = struct.unpack_from(f">{length // 4}I", data, offset + 4)
        before, offset = key, end
    return target, addresses


def answersOnly(message: bytes, end: int) -> bytes:
    """
    An answer without its authority and additional sections. What is compressed points to what
    is before it, so that nothing is missed.

    @param end: Where the answer section ends.
    """
    made = bytearray(message[:end])
    ident, flags, questions, answers, _, _ = HEADER.unpack_from(message)
    HEADER.pack_into(made, 0, ident, flags, questions, answers, 0, 0)
    return bytes(made)
