# -*- test-case-name: tests.test_fuzz -*-
"""
Bodies in the chunked transfer coding.
"""

from __future__ import annotations

from typing import Iterable

from aero.errors import Refused
from aero.http.chunked import MAX_TRAILER, ChunkedDecoder

from .explore import main, pieces


# Any bytes are the beginning of a body, or a body and what follows it, or a Refused. However
# they are cut, the outcome is the same, and no more than one line stays in the buffer.
def check(data: bytes) -> None:
    whole = _decode([data])
    for cut in pieces(data):
        assert _decode(cut) == whole
    if whole is not None and whole[1]:
        content, _, left = whole
        assert len(content) + len(left) + 5 <= len(data)


def _decode(parts: Iterable[bytes]) -> tuple[bytes, bool, bytes] | None:
    """
    The content, whether it is complete and what is left; C{None} for a refusal.
    """
    decoder = ChunkedDecoder()
    buffer = bytearray()
    content: list[bytes] = []
    for part in parts:
        buffer += part
        if decoder.done:
            continue
        try:
            found = decoder.decode(buffer)
        except Refused as refused:
            assert refused.status in (400, 431)
            return None
        assert all(found)
        assert decoder.done or len(buffer) <= MAX_TRAILER
        content += found
    return b"".join(content), decoder.done, bytes(buffer)


if __name__ == "__main__":
    main(check)
