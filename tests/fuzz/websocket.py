# -*- test-case-name: tests.test_fuzz -*-
"""
WebSocket frames of clients.
"""

from __future__ import annotations

from typing import Iterable

from aero.wire.websocket import BINARY, CLOSE, Event, FrameReader, parseClose

from .explore import main, pieces

_LIMIT = 2_000

_Outcome = tuple[list[Event], int, str]


# Nothing raises. However the bytes are cut, the messages and the violation found are the same,
# no message is longer than the limit, and the pieces of a stream join to the binary messages.
def check(data: bytes) -> None:
    whole = _read([data], stream=False)
    streamed = _merged(_read([data], stream=True))
    for cut in pieces(data):
        assert _read(cut, stream=False) == whole
        assert _merged(_read(cut, stream=True)) == streamed
    assert (whole[1], whole[2]) == (streamed[1], streamed[2])
    binary = b"".join(payload for opcode, payload in whole[0] if opcode == BINARY)
    flow = b"".join(payload for opcode, payload in streamed[0] if opcode == BINARY)
    # The stream is ahead by the message that is not complete.
    assert flow.startswith(binary)
    assert len(flow) - len(binary) <= _LIMIT


def _read(parts: Iterable[bytes], *, stream: bool) -> _Outcome:
    reader = FrameReader(_LIMIT, stream=stream)
    events: list[Event] = []
    for part in parts:
        events += reader.receive(part)
    for opcode, payload in events:
        assert len(payload) <= (125 if opcode >= CLOSE else _LIMIT)
        if opcode == CLOSE:
            parseClose(payload)
    assert bool(reader.failure) == bool(reader.why)
    if reader.failure:
        assert reader.receive(b"\x89\x80\0\0\0\0") == []
    return events, reader.failure, reader.why


def _merged(outcome: _Outcome) -> _Outcome:
    events: list[Event] = []
    for opcode, payload in outcome[0]:
        if opcode == BINARY and events and events[-1][0] == BINARY:
            events[-1] = (BINARY, events[-1][1] + payload)
        else:
            events.append((opcode, payload))
    return events, outcome[1], outcome[2]


if __name__ == "__main__":
    main(check)
