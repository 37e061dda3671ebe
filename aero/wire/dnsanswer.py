# -*- test-case-name: aero.wire.test.test_dnsanswer -*-
"""
Answers of upstreams: a strict walk over every record, and the answer made for one asker.

L{scanAnswer} builds no object for a record. It notes where the TTLs are and what decides
how long the answer may be kept, and cuts the OPT record off, which concerns two neighbours
and is never passed on (RFC 6891 section 6.1.1).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import Container, Final, NamedTuple

from aero.errors import DecodeError

from .dns import (
    AAAA,
    AD,
    BADVERS,
    CNAME,
    HEADER,
    HEADER_SIZE,
    IN,
    MAX_HOPS,
    MAX_NAME,
    NOERROR,
    NXDOMAIN,
    OPCODE,
    OPT,
    QR,
    QUESTION_TAIL,
    RCODE,
    RECORD_TAIL,
    SOA,
    TC,
    A,
    plainNameEnd,
    readName,
    shortAnswer,
)
from .dnsquery import Query, encodeOPT, paddingFor

#: The bytes of an address, by the type of its record.
_LENGTHS: Final = {A: 4, AAAA: 16}
_ADDRESSES: Final = frozenset({A, AAAA, CNAME})

#: The block that answers are padded to for those who ask (RFC 8467 section 4.1).
ANSWER_BLOCK: Final = 468
#: The largest TTL; one with the first bit set counts as 0 (RFC 2181 section 8).
MAX_TTL: Final = 0x7FFFFFFF

_TTL: Final = struct.Struct(">I")
_FLAGS: Final = struct.Struct(">H")


class ScannedAnswer(NamedTuple):
    """
    An answer that has been walked to its end.

    @ivar message: The answer without OPT, its id 0 and its question in lower case.
    @ivar flags: Its flag word.
    @ivar rcode: The whole code, the bits from OPT included.
    @ivar nameEnd: Where the name of the question ends.
    @ivar echoes: Offsets of owner names that repeat the question's name in full, so that
        they can follow the spelling of whoever asks. None where the name is not ASCII.
    @ivar ttls: The offset and value of every TTL.
    @ivar lifetime: Seconds it may be kept (gateway.md section 14.7), C{None} where it is
        negative and says nothing about that, 0 where it must not be kept.
    @ivar hadOPT: Whether the upstream knows EDNS.
    """

    message: bytes
    flags: int
    rcode: int
    nameEnd: int
    echoes: tuple[int, ...]
    ttls: tuple[tuple[int, int], ...]
    lifetime: int | None
    hadOPT: bool


def scanAnswer(message: bytes) -> ScannedAnswer:
    """
    Walk an answer.

    @raise DecodeError: It is no answer to one question, or is malformed anywhere.
    """
    size = len(message)
    if size < HEADER_SIZE:
        raise DecodeError("a message is shorter than its header")
    _, flags, questions, answers, authorities, additional = HEADER.unpack_from(message)
    if not flags & QR or questions != 1:
        raise DecodeError("not an answer to one question")
    nameEnd = plainNameEnd(message, HEADER_SIZE)
    offset = nameEnd + 4
    if offset > size:
        raise DecodeError("a question runs off the message")
    asked = message[HEADER_SIZE:nameEnd]
    # Bytes that could be pointers may not change, in case something points into a label.
    respell = asked.isascii()
    askedType = QUESTION_TAIL.unpack_from(message, nameEnd)[0]
    # Where a name begins, how long it is without compression and how many pointers it took.
    known = {HEADER_SIZE: (nameEnd - HEADER_SIZE, 0)}
    fields: list[int] = []
    ttls: list[tuple[int, int]] = []
    echoes: list[int] = []
    answerTTL = MAX_TTL
    negativeTTL: int | None = None
    found = False
    optAt = -1
    optTTL = 0
    kept = 0
    authorityFrom = answers
    additionalFrom = answers + authorities
    for index in range(additionalFrom + additional):
        start = offset
        offset = _passName(message, offset, known, fields)
        if offset + 10 > size:
            raise DecodeError("a record runs off the message")
        fields.append(offset)
        rtype, rclass, ttl, length = RECORD_TAIL.unpack_from(message, offset)
        data = offset + 10
        following = data + length
        if following > size:
            raise DecodeError("the data of a record runs off the message")
        if rtype == OPT:
            if index < additionalFrom or optAt >= 0 or message[start] != 0:
                raise DecodeError("an OPT record is where it should not be")
            optAt, optTTL = start, ttl
        elif optAt < 0:
            if ttl > MAX_TTL:
                ttl = 0
            ttls.append((offset + 4, ttl))
            if respell and message[start] < 0xC0 and message.startswith(asked, start):
                echoes.append(start)
            if index < authorityFrom:
                if ttl < answerTTL:
                    answerTTL = ttl
                if rtype == askedType:
                    found = True
            elif index < additionalFrom and rtype == SOA and rclass == IN:
                negativeTTL = min(ttl, _soaMinimum(message, data, following))
            kept += index >= additionalFrom
        offset = following
    if offset != size:
        raise DecodeError("bytes are left over")
    # What stands after OPT may be pointed to by nothing that is kept, so it goes as well.
    body = bytearray(message if optAt < 0 else message[:optAt])
    HEADER.pack_into(body, 0, 0, flags, 1, answers, authorities, kept)
    body[HEADER_SIZE:nameEnd] = asked.lower()
    rcode = flags & RCODE | (optTTL >> 24) << 4
    return ScannedAnswer(
        message=bytes(body),
        flags=flags,
        rcode=rcode,
        nameEnd=nameEnd,
        echoes=tuple(echoes),
        ttls=tuple(ttls),
        lifetime=_lifetime(flags, rcode, answers, answerTTL, negativeTTL, found),
        hadOPT=optAt >= 0,
    )


def _lifetime(
    flags: int, rcode: int, answers: int, answerTTL: int, negativeTTL: int | None, found: bool
) -> int | None:
    """
    How long an answer may be kept: the smallest TTL of its answers, and for one that says
    "no" what its SOA record allows (RFC 2308 section 5). A truncated answer is never kept.
    """
    if flags & TC or rcode not in (NOERROR, NXDOMAIN):
        return 0
    if rcode == NOERROR and answers and (found or negativeTTL is None):
        return answerTTL
    if negativeTTL is None:
        return None
    return min(negativeTTL, answerTTL)


def _passName(
    message: bytes,
    offset: int,
    known: dict[int, tuple[int, int]],
    fields: list[int],
    end: int = -1,
    depth: int = 0,
) -> int:
    """
    Pass a name and check it as strictly as L{readName}, without building it.

    @param known: Names passed before, the one of the question among them; this one is added.
    @param fields: Where the types of the records before begin: up to their data nothing is a name,
        and the TTL there does not stay what it is.
    @param end: What a pointer leads to is read no further than here; -1 where none was followed.
    @param depth: Pointers followed to get here.
    """
    if depth > MAX_HOPS:
        raise DecodeError("too many compression pointers")
    start = offset
    if end < 0:
        end = len(message)
    while True:
        if offset >= end:
            raise DecodeError("a name runs off the message")
        length = message[offset]
        if length == 0:
            following = offset + 1
            size, hops = following - start, 0
            break
        if length >= 0xC0:
            if offset + 1 >= end:
                raise DecodeError("a compression pointer runs off the message")
            target = (length & 0x3F) << 8 | message[offset + 1]
            if not HEADER_SIZE <= target < start:
                raise DecodeError("a compression pointer leads nowhere")
            # The question has no pointers: this is the inside of a label, which changes
            # with the spelling of the question.
            if depth and offset < HEADER_SIZE + known[HEADER_SIZE][0]:
                raise DecodeError("a compression pointer leads into a label")
            following = offset + 2
            tail = known.get(target)
            if tail is None:
                until = end if depth else start
                behind = _passName(message, target, known, fields, until, depth + 1)
                index = bisect_left(fields, behind) - 1
                if index >= 0 and target < fields[index] + RECORD_TAIL.size:
                    raise DecodeError("a compression pointer leads to no name")
                tail = known[target]
            size, hops = offset - start + tail[0], tail[1] + 1
            break
        if length > 63:
            raise DecodeError("a label is of no known kind")
        offset += 1 + length
    if size > MAX_NAME:
        raise DecodeError("a name is longer than 255 bytes")
    if hops > MAX_HOPS:
        raise DecodeError("too many compression pointers")
    known[start] = (size, hops)
    return following


def _soaMinimum(message: bytes, offset: int, end: int) -> int:
    """
    The last field of an SOA record, after checking the ones before it.
    """
    _, offset = readName(message, offset)
    _, offset = readName(message, offset)
    if offset + 20 != end:
        raise DecodeError("an SOA record has the wrong length")
    minimum: int = _TTL.unpack_from(message, end - 4)[0]
    return minimum if minimum <= MAX_TTL else 0


def mismatch(message: bytes, ident: int, question: bytes) -> str | None:
    """
    Why a message is no answer to what was asked; C{None} where it may be one.

    @param question: The question as it was sent, which has to come back letter by letter.
    @return: C{case} where only the mixture of cases was lost, or another stable word.
    """
    if len(message) < HEADER_SIZE:
        return "short"
    found, flags, questions, _, _, _ = HEADER.unpack_from(message)
    if found != ident:
        return "id"
    if not flags & QR or flags & OPCODE:
        return "query"
    if questions != 1:
        return "question"
    if message.startswith(question, HEADER_SIZE):
        return None
    end = HEADER_SIZE + len(question)
    name = len(question) - QUESTION_TAIL.size
    same = message[HEADER_SIZE : HEADER_SIZE + name].lower() == question[:name].lower()
    return "case" if same and message[end - 4 : end] == question[name:] else "question"


class Record(NamedTuple):
    """
    One record of the answer section.

    @ivar name: Its owner, a plain wire name.
    @ivar data: An address of 4 or 16 bytes, a plain wire name for CNAME, and for other types what
        was there.
    """

    name: bytes
    rtype: int
    ttl: int
    data: bytes


def addressRecords(message: bytes) -> list[Record]:
    """
    The A, AAAA and CNAME records of the answer section; others are passed over.

    @param message: An answer with one question.
    @raise DecodeError: It is malformed up to there.
    """
    return answerRecords(message, _ADDRESSES)[0]


def answerRecords(message: bytes, types: Container[int]) -> tuple[list[Record], int]:
    """
    The records of the answer section that have one of some types.

    @param message: An answer with one question.
    @return: Them, and the offset behind the answer section.
    @raise DecodeError: It is malformed up to there.
    """
    if len(message) < HEADER_SIZE:
        raise DecodeError("a message is shorter than its header")
    count = HEADER.unpack_from(message)[3]
    offset = readName(message, HEADER_SIZE)[1] + 4
    found: list[Record] = []
    for _ in range(count):
        name, offset = readName(message, offset)
        if offset + 10 > len(message):
            raise DecodeError("a record runs off the message")
        rtype, rclass, ttl, length = RECORD_TAIL.unpack_from(message, offset)
        offset += 10
        end = offset + length
        if end > len(message):
            raise DecodeError("the data of a record runs off the message")
        if rclass == IN and rtype in types:
            data = message[offset:end]
            if rtype == CNAME:
                data, after = readName(message, offset)
                if after != end:
                    raise DecodeError("a CNAME record has the wrong length")
            elif length != _LENGTHS.get(rtype, length):
                raise DecodeError("an address record has the wrong length")
            found.append(Record(name, rtype, ttl, data))
        offset = end
    return found, offset


def answerFor(
    query: Query, scanned: ScannedAnswer, age: int, payloadSize: int, ttl: int | None = None
) -> bytes:
    """
    The answer as one asker gets it: its id and spelling, TTLs less by the age, the AD bit
    only for those who asked for it (RFC 6840 section 5.8), OPT only for those who sent one.

    @param age: Whole seconds since the upstream answered.
    @param payloadSize: What to announce in OPT.
    @param ttl: The TTL of every record instead, for an answer that has run out
        (RFC 8767 section 4).
    """
    message = bytearray(scanned.message)
    edns = query.edns
    flags = scanned.flags
    if flags & AD and not query.flags & AD and not (edns is not None and edns.dnssecOK):
        flags &= ~AD
        _FLAGS.pack_into(message, 2, flags)
    _FLAGS.pack_into(message, 0, query.ident)
    name = query.name
    message[HEADER_SIZE : scanned.nameEnd] = name
    for offset in scanned.echoes:
        message[offset : offset + len(name)] = name
    if ttl is not None:
        for offset, _ in scanned.ttls:
            _TTL.pack_into(message, offset, ttl)
    elif age:
        for offset, original in scanned.ttls:
            _TTL.pack_into(message, offset, original - age if original > age else 0)
    if edns is not None:
        _FLAGS.pack_into(message, 10, _FLAGS.unpack_from(message, 10)[0] + 1)
        options = b""
        if edns.padding:
            options = paddingFor(len(message) + 11, ANSWER_BLOCK)
        message += encodeOPT(
            payloadSize, dnssecOK=edns.dnssecOK, rcode=scanned.rcode, options=options
        )
    return bytes(message)


def unknownVersion(query: Query, payloadSize: int) -> bytes:
    """
    The answer to a query of a later EDNS version: BADVERS, with the version there is
    (RFC 6891 section 6.1.3).
    """
    header = bytearray(shortAnswer(query.ident, query.flags, 0, query.question))
    _FLAGS.pack_into(header, 10, 1)
    return bytes(header) + encodeOPT(payloadSize, rcode=BADVERS)
