# -*- test-case-name: tests.test_fuzz -*-
"""
The payloads of C{aero-tcp-mux-v1}: OPEN, ERROR and CLOSE.
"""

from __future__ import annotations

import contextlib

from aero.errors import DecodeError
from aero.wire.tcpmux import Error, Open, decodeClose, encodeClose

from .explore import main


# Any bytes are a payload or a DecodeError. A target that was read is written as the same bytes,
# and its host has nothing in it that ends a line or a word.
def check(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        opened = Open.decode(data)
        assert _encoded(opened) == data
        assert opened.host and opened.host.split() == [opened.host]
        assert 0 <= opened.port <= 65_535
    with contextlib.suppress(DecodeError):
        error = Error.decode(data)
        assert Error.decode(error.encode()).code == error.code
        assert "\n" not in Error.decode(error.encode()).message
    with contextlib.suppress(DecodeError):
        assert encodeClose(decodeClose(data)) == data


def _encoded(opened: Open) -> bytes:
    """
    A host that was taken has to be given as well.
    """
    try:
        return opened.encode()
    except DecodeError as error:
        raise AssertionError("read but not written") from error


if __name__ == "__main__":
    main(check)
