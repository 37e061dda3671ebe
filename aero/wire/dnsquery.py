# -*- test-case-name: aero.wire.test.test_dnsquery -*-
"""
Queries: what a client may send, and what goes to an upstream.

Nothing of a client's bytes travels on. A query is taken apart here, only the parts that
mean something are kept, and a new message is made from them.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from aero.errors import DecodeError

from .dns import (
    AD,
    CD,
    HEADER,
    HEADER_SIZE,
    IN,
    OPCODE,
    OPT,
    QR,
    QUESTION_TAIL,
    RD,
    RECORD_TAIL,
    plainNameEnd,
    readName,
)

#: The bit that asks for DNSSEC records, in the TTL field of OPT (RFC 3225).
DO: Final = 0x8000
#: The option that asks for padding (RFC 7830).
PADDING: Final = 12

#: Records after the question that are looked at; a query needs one, OPT, or two with TSIG.
MAX_ADDITIONAL: Final = 8

_OPTION: Final = struct.Struct(">2H")
_OPT_FIXED: Final = 11


class EDNS(NamedTuple):
    """
    What the OPT record of a query says (RFC 6891).

    Its options are forgotten, client subnet (RFC 7871) above all, except for the wish for
    padding.

    @ivar payloadSize: The largest datagram that the client takes.
    """

    payloadSize: int
    version: int
    dnssecOK: bool
    padding: bool


class Query(NamedTuple):
    """
    One question of one client.

    @ivar ident: The id that the answer repeats.
    @ivar flags: The flag word as it came.
    @ivar name: The wire name in the client's spelling; empty where the opcode is not QUERY,
        for then nothing after the header was read.
    @ivar edns: C{None} for a client that does not use EDNS.
    """

    ident: int
    flags: int
    name: bytes
    qtype: int
    qclass: int
    edns: EDNS | None = None

    @property
    def opcode(self) -> int:
        """
        0 for QUERY.
        """
        return (self.flags & OPCODE) >> 11

    @property
    def dnssecOK(self) -> bool:
        """
        Whether the client wants DNSSEC records.
        """
        return self.edns is not None and self.edns.dnssecOK

    @property
    def question(self) -> bytes:
        """
        The question in wire form, in the client's spelling.
        """
        if not self.name:
            return b""
        return self.name + QUESTION_TAIL.pack(self.qtype, self.qclass)

    @property
    def key(self) -> bytes:
        """
        What two queries have in common that may get one answer: the name in lower case,
        type, class, and the bits RD, CD and DO.
        """
        edns = self.edns
        bits = (self.flags & (RD | CD)) | (1 if edns is not None and edns.dnssecOK else 0)
        return self.name.lower() + _KEY_TAIL.pack(self.qtype, self.qclass, bits)


_KEY_TAIL = struct.Struct(">3H")


def parseQuery(message: bytes) -> Query:
    """
    Read a query.

    @raise DecodeError: It is an answer, has not exactly one question, records where a query
        has none, a faulty or second OPT record, or bytes left over.
    """
    size = len(message)
    if size < HEADER_SIZE:
        raise DecodeError("a message is shorter than its header")
    ident, flags, questions, answers, authorities, additional = HEADER.unpack_from(message)
    if flags & QR:
        raise DecodeError("an answer is no query")
    if flags & OPCODE:
        return Query(ident, flags, b"", 0, 0)
    if questions != 1:
        raise DecodeError("a query has one question")
    if answers or authorities or additional > MAX_ADDITIONAL:
        raise DecodeError("a query has records it should not have")
    end = plainNameEnd(message, HEADER_SIZE)
    name = message[HEADER_SIZE:end]
    if size < end + 4:
        raise DecodeError("a question runs off the message")
    qtype, qclass = QUESTION_TAIL.unpack_from(message, end)
    edns: EDNS | None = None
    end += 4
    if additional:
        edns, end = _readAdditional(message, end, additional)
    if end != size:
        raise DecodeError("bytes are left over")
    return Query(ident, flags, name, qtype, qclass, edns)


def _readAdditional(message: bytes, offset: int, count: int) -> tuple[EDNS | None, int]:
    """
    Pass the additional records and take what OPT says.
    """
    edns: EDNS | None = None
    for _ in range(count):
        name, offset = readName(message, offset)
        if len(message) < offset + RECORD_TAIL.size:
            raise DecodeError("a record runs off the message")
        rtype, rclass, ttl, length = RECORD_TAIL.unpack_from(message, offset)
        offset += RECORD_TAIL.size
        if len(message) < offset + length:
            raise DecodeError("the data of a record runs off the message")
        if rtype == OPT:
            if edns is not None or name != b"\0":
                raise DecodeError("a query has one OPT record, at the root")
            options = readOptions(message[offset : offset + length])
            edns = EDNS(
                payloadSize=max(512, rclass),
                version=ttl >> 16 & 0xFF,
                dnssecOK=bool(ttl & DO),
                padding=any(code == PADDING for code, _ in options),
            )
        offset += length
    return edns, offset


def readOptions(data: bytes) -> list[tuple[int, bytes]]:
    """
    The options of an OPT record, code and value.

    @raise DecodeError: They do not fill the record exactly.
    """
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(data):
        if len(data) < offset + 4:
            raise DecodeError("an option runs off its record")
        code, length = _OPTION.unpack_from(data, offset)
        offset += 4
        if len(data) < offset + length:
            raise DecodeError("the value of an option runs off its record")
        found.append((code, data[offset : offset + length]))
        offset += length
    return found


def encodeOPT(
    payloadSize: int, *, dnssecOK: bool = False, rcode: int = 0, options: bytes = b""
) -> bytes:
    """
    An OPT record of version 0.

    @param rcode: The whole code; its upper eight bits go here (RFC 6891 section 6.1.3).
    """
    ttl = (rcode >> 4) << 24 | (DO if dnssecOK else 0)
    return b"\0" + RECORD_TAIL.pack(OPT, payloadSize, ttl, len(options)) + options


def paddingFor(size: int, block: int) -> bytes:
    """
    The padding option that makes a message with it a multiple of a block (RFC 8467).

    @param size: Bytes of the message without this option, its OPT record included.
    """
    return _OPTION.pack(PADDING, -(size + 4) % block) + bytes(-(size + 4) % block)


class Question(NamedTuple):
    """
    What is asked of an upstream, whoever asked first.

    @ivar name: The wire name in lower case.
    @ivar flags: RD and CD as asked; AD is always set, which asks for the answer's AD bit
        without asking for DNSSEC records (RFC 6840 section 5.7).
    """

    name: bytes
    qtype: int
    flags: int
    dnssecOK: bool

    @classmethod
    def fromQuery(cls, query: Query) -> Question:
        """
        Keep of a client's query what an upstream needs to know.
        """
        flags = query.flags & (RD | CD) | AD
        return cls(query.name.lower(), query.qtype, flags, query.dnssecOK)

    def wire(self, spelled: bytes | None = None) -> bytes:
        """
        The question in wire form.

        @param spelled: The name in another mixture of cases.
        """
        name = self.name if spelled is None else spelled
        return name + QUESTION_TAIL.pack(self.qtype, IN)

    def message(
        self, ident: int, question: bytes, *, payloadSize: int | None, paddingBlock: int = 0
    ) -> bytes:
        """
        The message to send.

        @param question: From L{wire}.
        @param payloadSize: The largest datagram wanted; C{None} sends no OPT record.
        @param paddingBlock: Pad to a multiple of so many bytes; 0 does not pad.
        """
        header = HEADER.pack(ident, self.flags, 1, 0, 0, 0 if payloadSize is None else 1)
        if payloadSize is None:
            return header + question
        options = b""
        if paddingBlock:
            options = paddingFor(HEADER_SIZE + len(question) + _OPT_FIXED, paddingBlock)
        return header + question + encodeOPT(payloadSize, dnssecOK=self.dnssecOK, options=options)


def mixCase(name: bytes, randomBytes: bytes) -> bytes:
    """
    Give every letter of a wire name a case by chance, so that an answer has to repeat it
    (draft-vixie-dnsext-dns0x20).

    @param randomBytes: As many bytes as the name has.
    """
    return bytes(
        byte ^ 0x20 if (97 <= byte <= 122 or 65 <= byte <= 90) and chance & 1 else byte
        for byte, chance in zip(name, randomBytes, strict=True)
    )
