# -*- test-case-name: aero.wire.test.test_l2tunnel -*-
"""
The messages of C{aero-l2-tunnel-v1}: Ethernet frames, keepalive and errors, one in each message
of whatever carries them (l2.md section 9).

A message is four bytes, C{magic version type flags}, and a payload. Types that are not known are
well-formed messages that mean nothing, so that the protocol can grow.
"""

from __future__ import annotations

from typing import Final

from aero.errors import DecodeError

#: The WebSocket subprotocol, and the protocol of the data channel.
SUBPROTOCOL: Final = "aero-l2-tunnel-v1"

MAGIC: Final = 0xA2
VERSION: Final = 0x03
HEADER_BYTES: Final = 4

FRAME: Final = 0x00
PING: Final = 0x01
PONG: Final = 0x02
ERROR: Final = 0x7F

#: The codes of a structured ERROR (section 9.1). The server sends 1, 6, 7 and 9; the others are
#: refusals of the upgrade, which a client hears as an HTTP status.
PROTOCOL_ERROR: Final = 1
AUTH_REQUIRED: Final = 2
AUTH_INVALID: Final = 3
ORIGIN_MISSING: Final = 4
ORIGIN_DENIED: Final = 5
QUOTA_BYTES: Final = 6
QUOTA_FRAMES: Final = 7
QUOTA_CONNECTIONS: Final = 8
BACKPRESSURE: Final = 9

#: What a FRAME begins with; the hot path puts it in front of a frame by itself.
FRAME_HEADER: Final = bytes((MAGIC, VERSION, FRAME, 0))
PING_HEADER: Final = bytes((MAGIC, VERSION, PING, 0))
PONG_HEADER: Final = bytes((MAGIC, VERSION, PONG, 0))
_ERROR_HEADER: Final = bytes((MAGIC, VERSION, ERROR, 0))

_MAX_TEXT: Final = 65_535


def encode(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """
    Write one message.

    @param kind: The type, 0 to 255.
    @param payload: At most what the other side takes of this type.
    """
    return bytes((MAGIC, VERSION, kind, flags)) + payload


def decode(message: bytes, maxFrame: int, maxControl: int) -> tuple[int, bytes]:
    """
    Read one message.

    @param maxFrame: Bytes of payload that a FRAME may have.
    @param maxControl: The same for every other type.
    @return: The type and the payload. Flags mean nothing yet.
    @raise DecodeError: With the sentence of section 9, which the sender is told.
    """
    if len(message) < HEADER_BYTES:
        raise DecodeError(f"message too short: {len(message)} < {HEADER_BYTES}")
    if message[0] != MAGIC:
        raise DecodeError(f"invalid magic: 0x{message[0]:02x}")
    if message[1] != VERSION:
        raise DecodeError(f"unsupported version: 0x{message[1]:02x}")
    kind, size = message[2], len(message) - HEADER_BYTES
    limit = maxFrame if kind == FRAME else maxControl
    if size > limit:
        raise DecodeError(f"payload too large: {size} > {limit}")
    return kind, message[HEADER_BYTES:]


def encodeError(code: int, text: str, maxControl: int) -> bytes:
    """
    Write a structured ERROR that fits the limit: the text is cut at a character, and below four
    bytes nothing is left (section 9.1).
    """
    if maxControl < 4:
        return _ERROR_HEADER
    cut = text.encode("utf-8", "replace")[: min(maxControl - 4, _MAX_TEXT)]
    cut = cut.decode("utf-8", "ignore").encode("utf-8")
    return _ERROR_HEADER + code.to_bytes(2, "big") + len(cut).to_bytes(2, "big") + cut


def decodeError(payload: bytes) -> tuple[int | None, str]:
    """
    Read the payload of an ERROR.

    @return: The code and the text; C{None} and the whole payload as text where it is not
        structured, with whatever is not UTF-8 replaced.
    """
    if len(payload) >= 4 and len(payload) == 4 + int.from_bytes(payload[2:4], "big"):
        try:
            return int.from_bytes(payload[:2], "big"), payload[4:].decode("utf-8")
        except UnicodeDecodeError:
            return None, payload.decode("utf-8", "replace")
    return None, payload.decode("utf-8", "replace")
