# -*- test-case-name: aero.files.test.test_ranges -*-
"""
Byte ranges: RFC 9110 section 14.

A request for many small or overlapping ranges can cost far more than the file itself
(section 17.15), so what asks for more than L{MAX_RANGES} parts, or for more bytes than the
file has, is answered with the whole file as if the header were not there.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple

from aero.wire.fieldlist import elements

#: Parts of one multipart response.
MAX_RANGES: Final = 16

_MAX_LENGTH: Final = 1_024
_SPEC = re.compile(rb"[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*\Z")


class ByteRange(NamedTuple):
    """
    Bytes of a file, C{start} inclusive to C{stop} exclusive; never empty.
    """

    start: int
    stop: int

    def contentRange(self, size: int) -> bytes:
        """
        The value of C{Content-Range} for these bytes of a file of C{size}.
        """
        return b"bytes %d-%d/%d" % (self.start, self.stop - 1, size)


class Unsatisfiable(Exception):
    """
    The header is well formed and none of its ranges lies in the file: 416.
    """


def parseRange(value: bytes, size: int) -> list[ByteRange] | None:
    """
    Read a C{Range} against a file.

    @param value: The header's value.
    @param size: The file's size in bytes.
    @return: The ranges in the order asked for, or C{None} where the header is to be ignored:
        another unit, bad syntax, or too much asked for.
    @raise Unsatisfiable: See there.
    """
    unit, equals, specs = value.partition(b"=")
    if not equals or unit.strip(b" \t").lower() != b"bytes" or len(specs) > _MAX_LENGTH:
        return None
    wanted = list(elements([specs]))
    if not wanted or len(wanted) > MAX_RANGES:
        return None
    found: list[ByteRange] = []
    for element in wanted:
        match = _SPEC.match(element)
        if match is None:
            return None
        first, last = match.groups()
        if first:
            start = int(first)
            stop = int(last) + 1 if last else size
            if stop <= start and last:
                return None
        elif last:
            start, stop = max(0, size - int(last)), size
        else:
            return None
        if start < size and start < stop:
            found.append(ByteRange(start, min(stop, size)))
    if not found:
        raise Unsatisfiable
    if len(found) > 1 and sum(stop - start for start, stop in found) > size:
        return None
    return found


def asksForSeveral(value: bytes) -> bool:
    """
    Tell whether a C{Range} has more than one element, whatever they are.
    """
    return len(list(islice(elements([value.partition(b"=")[2]]), 2))) > 1


def multipart(
    ranges: list[ByteRange], size: int, contentType: bytes, boundary: bytes
) -> tuple[list[bytes | ByteRange], int]:
    """
    Lay out a C{multipart/byteranges} body (RFC 9110 section 14.6).

    @return: The pieces in order, literal bytes or a range of the file, and their total
        length in bytes.
    """
    pieces: list[bytes | ByteRange] = []
    total = 0
    opening = b"--"
    for piece in ranges:
        head = b"".join(
            (
                opening,
                boundary,
                b"\r\nContent-Type: ",
                contentType,
                b"\r\nContent-Range: ",
                piece.contentRange(size),
                b"\r\n\r\n",
            )
        )
        pieces += (head, piece)
        total += len(head) + piece.stop - piece.start
        opening = b"\r\n--"
    tail = b"\r\n--" + boundary + b"--\r\n"
    pieces.append(tail)
    return pieces, total + len(tail)
