# -*- test-case-name: aero.wire.test.test_seqnum -*-
"""
Sequence numbers of TCP: 32 bits that wrap (RFC 9293 section 3.4).

Comparisons hold for numbers less than 2**31 apart, which windows guarantee.
"""

from __future__ import annotations

MASK = 0xFFFFFFFF
_HALF = 0x80000000


def distance(start: int, end: int) -> int:
    """
    How far C{end} is ahead of C{start}; negative where it is behind.
    """
    ahead = (end - start) & MASK
    return ahead if ahead < _HALF else ahead - 0x1_0000_0000


def before(first: int, second: int) -> bool:
    """
    Whether one number comes before another.
    """
    return ((first - second) & MASK) >= _HALF


def after(first: int, second: int) -> bool:
    """
    Whether one number comes after another.
    """
    return ((second - first) & MASK) >= _HALF


def within(start: int, number: int, length: int) -> bool:
    """
    Whether a number is one of the C{length} numbers from C{start}.
    """
    return ((number - start) & MASK) < length
