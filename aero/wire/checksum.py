# -*- test-case-name: aero.wire.test.test_checksum -*-
"""
The Internet checksum (RFC 1071).

Sums are of 16-bit words in one's complement, kept folded in 0 to 0xFFFF. Three facts make
them fast here: the sum of the words of a buffer is the buffer, read as one big number,
modulo 65,535; the halves of a big number can be added before that, which is cheaper than to
divide; and partial sums can be added, so that a sum over a connection's addresses is made once.

One's complement has two zeros. A sum of words is 0 only if all words are 0, and 0xFFFF
otherwise, which matters where 0 means "no checksum".
"""

from __future__ import annotations

from typing import Union

Buffer = Union[bytes, bytearray, memoryview]

#: Where a big number is cut in two, in bits from its end, and the mask of the lower part. Each
#: is a multiple of 16, so that adding the parts changes nothing modulo 65,535.
_CUTS = tuple((1 << power, (1 << (1 << power)) - 1) for power in range(18, 11, -1))

#: In fewer bytes there is nothing to gain.
_WORTH_CUTTING = 1024


def onesSum(data: Buffer, initial: int = 0) -> int:
    """
    Add up the 16-bit words of a buffer; an odd last byte counts as the high half of a word.

    @param initial: A sum to begin with; it need not be folded.
    @return: The folded sum, 0 to 0xFFFF.
    """
    total = int.from_bytes(data, "big")
    size = len(data)
    if size & 1:
        total <<= 8
    if size > _WORTH_CUTTING:
        size <<= 3
        for bits, mask in _CUTS:
            if size > bits:
                total = (total >> bits) + (total & mask)
                size = bits
    total += initial
    if not total:
        return 0
    return total % 0xFFFF or 0xFFFF


def checksum(data: Buffer, initial: int = 0) -> int:
    """
    The checksum to put into a header whose checksum field is 0.

    Over a buffer that holds its own checksum, it is 0 when that is right.
    """
    return 0xFFFF - onesSum(data, initial)


def pseudoHeader(source: int, destination: int, protocol: int, length: int) -> int:
    """
    The sum over the pseudo-header of UDP and TCP (RFC 768, RFC 9293 section 3.1), to begin
    another sum with.

    @param length: Bytes of the segment or datagram, header included.
    """
    return (
        (source >> 16)
        + (source & 0xFFFF)
        + (destination >> 16)
        + (destination & 0xFFFF)
        + protocol
        + length
    )
