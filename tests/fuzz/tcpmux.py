# -*- test-case-name: tests.test_fuzz -*-
"""
The frames of C{aero-tcp-mux-v1}.
"""

from __future__ import annotations

from typing import Iterable

from aero.errors import DecodeError
from aero.wire.tcpmux import DATA, HEADER_BYTES, PING, Frame, FrameDecoder, encodeFrame

from .explore import main, pieces

_LIMIT = 12_000
#: The longest OPEN and one byte, which shows that it is too long.
_KEPT = 6 + 1_024 + 4_096 + 1


# Nothing raises but the end of the stream in the middle of a frame. However the bytes are cut,
# the frames are the same, those that are complete encode to the bytes they came from, and no
# more is kept than the limit. Taken in pieces, the payloads are the same as well.
def check(data: bytes) -> None:
    whole, failed, complete = _decode([data], stream=False)
    encoded = b"".join(encodeFrame(f.kind, f.streamId, f.payload) for f in whole)
    assert data.startswith(encoded)
    left = data[len(encoded) :]
    size = int.from_bytes(left[5:9], "big") if len(left) >= HEADER_BYTES else 0
    assert failed == (size > _LIMIT)
    assert complete == (failed or not left)
    for cut in pieces(data):
        assert _decode(cut, stream=False) == (whole, failed, complete)
        for parts in (cut, [data]):
            streamed, failedToo, completeToo = _decode(parts, stream=True)
            assert (failedToo, completeToo) == (failed, complete)
            merged = _merge(streamed)
            assert merged[: len(whole)] == [_cut(frame) for frame in whole]
            # What is left over is the beginning of a frame that never ended.
            assert [frame.kind for frame in merged[len(whole) :]] in ([], [DATA])


def _decode(parts: Iterable[bytes], *, stream: bool) -> tuple[list[Frame], bool, bool]:
    decoder = FrameDecoder(_LIMIT, stream=stream)
    frames: list[Frame] = []
    for part in parts:
        frames += decoder.receive(part)
        assert decoder.bufferedBytes <= HEADER_BYTES + _LIMIT
    try:
        decoder.finish()
    except DecodeError:
        return frames, decoder.failed, False
    return frames, decoder.failed, True


def _merge(streamed: list[Frame]) -> list[Frame]:
    merged: list[Frame] = []
    for frame in streamed:
        if frame.begins:
            merged.append(frame)
        else:
            first = merged[-1]
            assert (first.kind, first.streamId) == (frame.kind, frame.streamId)
            merged[-1] = first._replace(payload=first.payload + frame.payload)
    return merged


def _cut(frame: Frame) -> Frame:
    if frame.kind in (DATA, PING):
        return frame
    return frame._replace(payload=frame.payload[:_KEPT])


if __name__ == "__main__":
    main(check)
