# -*- test-case-name: aero.policy.test.test_forwarded -*-
"""
The C{Forwarded} header (RFC 7239), as far as it says who a client is and which host it asked for
(l2.md sections 5.1 and 8). Whether it is to be believed is for the caller to know.
"""

from __future__ import annotations

import re
from typing import Sequence

#: The most bytes of a line that are looked at.
MAX_LINE_BYTES = 8_192

#: One parameter or one separator; quoted text may hold separators.
_PIECE = re.compile(rb'(?:[^",;\\]|"(?:[^"\\]|\\.)*"|["\\])+|[,;]')


def forwardedFor(lines: Sequence[bytes]) -> list[bytes]:
    """
    The addresses of C{for}, one for each element that has one, the client's first. They have
    the form of entries of C{X-Forwarded-For}.
    """
    found: list[bytes] = []
    for line in lines:
        for element in _elements(line):
            found.extend(value for name, value in element if name == b"for")
    return found


def forwardedFirst(lines: Sequence[bytes], parameter: bytes) -> bytes | None:
    """
    A parameter of the first element of the first line.

    @param parameter: Its name in lower case.
    @return: C{None} where it is not there, or comes after something that is no parameter.
    """
    # Empty elements are ignored (RFC 9110 section 5.6.1.2).
    named = (element for line in lines[:1] for element in _elements(line) if element)
    for name, value in next(named, []):
        if name is None:
            return None
        if name == parameter:
            return value
    return None


def _elements(line: bytes) -> list[list[tuple[bytes | None, bytes]]]:
    """
    The elements of a line, each with its parameters; there is always one. What is no parameter
    has C{None} for a name.
    """
    elements: list[list[tuple[bytes | None, bytes]]] = [[]]
    for piece in _PIECE.findall(line[:MAX_LINE_BYTES]):
        if piece == b",":
            elements.append([])
        elif piece != b";":
            name, equals, value = piece.strip(b" \t").partition(b"=")
            if equals:
                elements[-1].append((name.strip(b" \t").lower(), _unquoted(value.strip(b" \t"))))
            elif piece.strip(b" \t"):
                elements[-1].append((None, b""))
    return elements


def _unquoted(value: bytes) -> bytes:
    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
        return re.sub(rb"\\(.)", rb"\1", value[1:-1])
    return value
