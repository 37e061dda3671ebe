# -*- test-case-name: aero.wire.test.test_fieldlist -*-
"""
Header values that are comma-separated lists (RFC 9110 section 5.6.1).

Empty elements mean nothing and are ignored, as section 5.6.1.2 asks of every recipient:
C{a,,b}, C{,a} and C{a,} are C{a, b}, C{a} and C{a}. Several lines of one header are one list. The
elements of these lists are tokens or plain text; lists with quoted strings need a parser that
knows where a comma belongs to a string.
"""

from __future__ import annotations

from typing import Iterable, Iterator

_WHITE = b" \t"


def elements(lines: Iterable[bytes]) -> Iterator[bytes]:
    """
    Give the elements of a list in their order, without the white space around them.

    @param lines: The values of all lines of the header.
    """
    for line in lines:
        for element in line.split(b","):
            stripped = element.strip(_WHITE)
            if stripped:
                yield stripped


def hasToken(lines: Iterable[bytes], token: bytes) -> bool:
    """
    Tell whether a list has a token, in any case.

    @param token: In lower case.
    """
    return any(element.lower() == token for element in elements(lines))


def firstElement(lines: Iterable[bytes]) -> bytes | None:
    """
    The first element of a list; C{None} for a list without any.
    """
    return next(elements(lines), None)
