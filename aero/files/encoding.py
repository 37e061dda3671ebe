# -*- test-case-name: aero.files.test.test_encoding -*-
"""
Which content coding a client gets: RFC 9110 section 12.5.3 as edge.md section 7 narrows it.

The client's weights come first and the server's preference breaks ties. A coding counts
only when the client names it: C{*} is sent by tools that mean "anything at all" and would
be surprised by compressed bytes.
"""

from __future__ import annotations

import re
from typing import Final, Sequence

from aero.wire.fieldlist import elements, hasToken

#: Longer headers are not read: no client sends one, and the parse stays cheap.
MAX_LENGTH: Final = 1_024

_QVALUE = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


def weights(lines: Sequence[bytes]) -> dict[bytes, float]:
    """
    What an C{Accept-Encoding} says: coding in lower case to weight.

    An element whose weight is malformed counts as refused: sending a coding that was
    perhaps excluded breaks the page, sending plain bytes does not.

    @param lines: The header's values as they came.
    """
    found: dict[bytes, float] = {}
    text = b",".join(lines)
    if len(text) > MAX_LENGTH:
        return found
    for element in elements([text.lower()]):
        coding, *parameters = (part.strip(b" \t") for part in element.split(b";"))
        if not coding:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name.strip() == b"q":
                value = value.strip()
                weight = float(value) if _QVALUE.match(value) else 0.0
        found[b"gzip" if coding == b"x-gzip" else coding] = weight
    return found


def preferred(accepted: dict[bytes, float], available: Sequence[bytes]) -> list[bytes]:
    """
    The codings to try, best first; the plain body comes after all of them.

    @param accepted: What L{weights} gave.
    @param available: The codings the server can offer, the one it likes best first.
    """
    # Plain bytes win only where the client ranks them above the coding in so many words.
    plain = accepted.get(b"identity", 0.0)
    usable = [
        coding
        for coding in available
        if (weight := accepted.get(coding, 0.0)) > 0.0 and weight >= plain
    ]
    usable.sort(key=accepted.__getitem__, reverse=True)
    return usable


def forbidsTransform(lines: Sequence[bytes]) -> bool:
    """
    Whether a C{Cache-Control} contains C{no-transform} (RFC 9111 section 5.2.1.6).
    """
    return hasToken(lines, b"no-transform")
