# -*- test-case-name: tests.test_fuzz -*-
"""
The framing of datagrams on C{/udp} and on the data channel C{udp}.
"""

from __future__ import annotations

from aero.wire.udprelay import MAX_HEADER, UDPRelayError, canonical, decode, encode, parseHeader

from .explore import main

_LIMIT = 64


# A message is a datagram or an error with a sentence, and only a payload over the limit is
# oversized. What was read is written as the same bytes, and the hot path's reading of the header
# says the same.
def check(data: bytes) -> None:
    isV2 = data[:2] == b"\xa2\x02"
    size = 8 if not isV2 else 24 if data[2:3] == b"\x06" else 12
    header = parseHeader(data[:size])
    try:
        found = decode(data, _LIMIT)
    except UDPRelayError as error:
        assert str(error)
        assert error.oversized == (header is not None)
        if error.oversized:
            assert len(data) > size + _LIMIT
        return
    assert header == tuple(found)[:4]
    assert found.version == (2 if isV2 else 1)
    assert len(found.payload) <= _LIMIT and len(data) - len(found.payload) <= MAX_HEADER
    assert encode(*found) == data
    assert len(canonical(found.remote)) in (4, len(found.remote))


if __name__ == "__main__":
    main(check)
