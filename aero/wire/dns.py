# -*- test-case-name: aero.wire.test.test_dns -*-
"""
DNS messages: the header, names, and the short answers that need nothing but a header
(RFC 1035 section 4, gateway.md sections 14.3 and 14.4).

A name is handled in its wire form, length octets included, and never as dotted text: one
label C{a.b} and two labels C{a}, C{b} are different names. Lower-casing a whole wire name
with C{bytes.lower} is safe, because a length octet is at most 63 and the first capital
letter is 65.

Everything here is strict and raises L{DecodeError} for bytes that break the format, and
nothing else.
"""

from __future__ import annotations

import struct
from typing import Final

from aero.errors import DecodeError

#: Id, flags and the four counts.
HEADER: Final = struct.Struct(">6H")
HEADER_SIZE: Final = 12

#: Type and class after the name of a question.
QUESTION_TAIL: Final = struct.Struct(">2H")
#: Type, class, TTL and length of the data after the name of a record.
RECORD_TAIL: Final = struct.Struct(">HHIH")

MAX_MESSAGE: Final = 65_535
MAX_NAME: Final = 255
MAX_LABEL: Final = 63
#: Compression pointers in a row, at the most (gateway.md section 14.4).
MAX_HOPS: Final = 64

# The flag word (RFC 1035 section 4.1.1, RFC 4035 section 3).
QR: Final = 0x8000
OPCODE: Final = 0x7800
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
AD: Final = 0x0020
CD: Final = 0x0010
RCODE: Final = 0x000F

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
#: Needs the upper bits that only an OPT record has (RFC 6891 section 6.1.3).
BADVERS: Final = 16

IN: Final = 1

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
AAAA: Final = 28
OPT: Final = 41
ANY: Final = 255

_POINTER: Final = 0xC0


def readName(message: bytes, offset: int) -> tuple[bytes, int]:
    """
    Read a name, following compression pointers.

    A pointer has to lead to an earlier place (RFC 1035 section 4.1.4), so that no chain of
    them can come back to where it was. What it leads to was written before, so it ends before the
    name that has the pointer.

    @return: The name without compression, its root label included, and the offset of
        whatever follows the name.
    @raise DecodeError: The name runs off the message, has a label of a kind that does not
        exist, is longer than 255 bytes, or has a pointer that leads forward, into the
        header, or through too many others.
    """
    labels: list[bytes] = []
    size = 1
    hops = 0
    after = -1
    start = offset
    end = len(message)
    while True:
        if offset >= end:
            raise DecodeError("a name runs off the message")
        length = message[offset]
        if length == 0:
            labels.append(b"\0")
            return b"".join(labels), offset + 1 if after < 0 else after
        if length <= MAX_LABEL:
            following = offset + 1 + length
            size += 1 + length
            if following > end:
                raise DecodeError("a label runs off the message")
            if size > MAX_NAME:
                raise DecodeError("a name is longer than 255 bytes")
            labels.append(message[offset:following])
            offset = following
        elif length >= _POINTER:
            if offset + 1 >= end:
                raise DecodeError("a compression pointer runs off the message")
            target = (length & 0x3F) << 8 | message[offset + 1]
            hops += 1
            if hops > MAX_HOPS:
                raise DecodeError("too many compression pointers")
            if not HEADER_SIZE <= target < start:
                raise DecodeError("a compression pointer leads nowhere")
            if after < 0:
                after = offset + 2
                end = start
            start = offset = target
        else:
            raise DecodeError("a label is of no known kind")


def plainNameEnd(message: bytes, offset: int) -> int:
    """
    Pass a name that has no compression, such as the one of a query.

    @return: The offset after its root label.
    @raise DecodeError: It has a pointer, or any of the faults that L{readName} finds.
    """
    start = offset
    end = len(message)
    while True:
        if offset >= end:
            raise DecodeError("a name runs off the message")
        length = message[offset]
        if length == 0:
            offset += 1
            if offset - start > MAX_NAME:
                raise DecodeError("a name is longer than 255 bytes")
            return offset
        if length > MAX_LABEL:
            raise DecodeError("a label is of no known kind")
        offset += 1 + length


def labelsOf(name: bytes) -> list[bytes]:
    """
    The labels of a plain wire name, without the root.
    """
    found: list[bytes] = []
    offset = 0
    while name[offset]:
        following = offset + 1 + name[offset]
        found.append(name[offset + 1 : following])
        offset = following
    return found


def encodeName(labels: list[bytes]) -> bytes:
    """
    A plain wire name.

    @raise DecodeError: A label is empty or longer than 63 bytes, or the name than 255.
    """
    parts: list[bytes] = []
    for label in labels:
        if not 1 <= len(label) <= MAX_LABEL:
            raise DecodeError("a label has 1 to 63 bytes")
        parts.append(b"%c%b" % (len(label), label))
    parts.append(b"\0")
    name = b"".join(parts)
    if len(name) > MAX_NAME:
        raise DecodeError("a name is longer than 255 bytes")
    return name


def nameText(name: bytes) -> str:
    """
    A wire name as lower-case text without the final dot.

    Bytes that are no text, and a dot within a label, are written as in a zone file
    (RFC 1035 section 5.1), so that two different names never read the same.
    """
    return ".".join(_labelText(label) for label in labelsOf(name))


def _labelText(label: bytes) -> str:
    try:
        text = label.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable() and not any(character in '.\\" ' for character in text):
        return text.lower()
    return "".join(_byteText(byte) for byte in label.lower())


def _byteText(byte: int) -> str:
    if byte in b'.\\"':
        return "\\" + chr(byte)
    if 0x21 <= byte <= 0x7E:
        return chr(byte)
    return f"\\{byte:03d}"


def identify(start: bytes) -> tuple[int, int]:
    """
    The id and the flags of a message as far as they are there; 0 for what is missing.
    """
    ident = int.from_bytes(start[:2], "big") if len(start) >= 2 else 0
    flags = int.from_bytes(start[2:4], "big") if len(start) >= 4 else 0
    return ident, flags


def shortAnswer(ident: int, flags: int, rcode: int, question: bytes = b"") -> bytes:
    """
    An answer without records (gateway.md section 14.3).

    @param flags: The flag word of the query; its opcode, RD and CD are repeated.
    @param question: The one question as it was asked: name, type and class.
    """
    answered = QR | flags & (OPCODE | RD | CD) | RA | rcode & RCODE
    return HEADER.pack(ident, answered, 1 if question else 0, 0, 0, 0) + question
