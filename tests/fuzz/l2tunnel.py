# -*- test-case-name: tests.test_fuzz -*-
"""
The messages of C{aero-l2-tunnel-v1}: the first two bytes choose the limits.
"""

from __future__ import annotations

from aero.errors import DecodeError
from aero.wire.l2tunnel import ERROR, FRAME, decode, decodeError, encode, encodeError

from .explore import main


# Any bytes are a message within the limits, which is written as the same bytes, or a
# DecodeError of one short line. A structured error that was read says no more than it holds.
def check(data: bytes) -> None:
    maxFrame, maxControl = (*data[:2], 0, 0)[:2]
    message = data[2:]
    try:
        kind, payload = decode(message, maxFrame, maxControl)
    except DecodeError as error:
        assert len(str(error)) < 60 and str(error).isprintable()
    else:
        assert len(payload) <= (maxFrame if kind == FRAME else maxControl)
        assert encode(kind, payload, message[3]) == message
        if kind == ERROR:
            _checkError(payload, maxControl)
    _checkError(message, maxControl)


def _checkError(payload: bytes, limit: int) -> None:
    code, text = decodeError(payload)
    if code is not None:
        assert payload[4:] == text.encode("utf-8")
        again = encodeError(code, text, limit)[4:]
        assert len(again) <= limit
        assert not again or decodeError(again)[0] == code


if __name__ == "__main__":
    main(check)
