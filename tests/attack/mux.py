"""
Floods of C{/tcp-mux} frames.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Iterable, Iterator

from tests.support.mux import SUBPROTOCOL, closeFrame, dataFrame, openFrame, pingFrame

from .answers import WebSocketAnswers
from .flood import Attack, Flood
from .tunnel import Pieces, attack, masked

#: Messages in a piece.
MANY = 500

#: A port that no server of the bench lets clients reach.
DENIED = 0x1E61


def deniedOpens(answers: WebSocketAnswers) -> Iterator[bytes]:
    """
    Streams to a port that policy denies.
    """
    for first in itertools.count(1, MANY):
        yield b"".join(
            masked(openFrame(stream & 0x7FFFFFFF, "127.0.0.1", DENIED))
            for stream in range(first, first + MANY)
        )


def over(piece: bytes) -> Pieces:
    """
    One piece over and over.
    """

    def pieces(answers: WebSocketAnswers) -> Iterable[bytes]:
        return itertools.repeat(piece)

    return pieces


def _flood(pieces: Pieces, count: int) -> Attack:
    return partial(attack, target="/tcp-mux", pieces=pieces, count=count, protocol=SUBPROTOCOL)


_PINGS = over(masked(pingFrame(bytes(8))) * MANY)
_EMPTY = over(masked(dataFrame(7, b"")) * MANY)
_UNKNOWN = over(masked(closeFrame(7) + dataFrame(9, b"x")) * MANY)
_PACKED = over(masked(pingFrame() * MANY) * 4)

FLOODS = (
    Flood("mux-open", "/tcp-mux: denied OPENs, 1 connection", _flood(deniedOpens, 1)),
    Flood("mux-open-8", "/tcp-mux: denied OPENs, 8 connections", _flood(deniedOpens, 8)),
    Flood("mux-ping", "/tcp-mux: PING, 1 connection", _flood(_PINGS, 1)),
    Flood("mux-ping-8", "/tcp-mux: PING, 8 connections", _flood(_PINGS, 8)),
    Flood("mux-packed", "/tcp-mux: 500 PINGs in each message", _flood(_PACKED, 1)),
    Flood("mux-empty", "/tcp-mux: empty DATA", _flood(_EMPTY, 1)),
    Flood("mux-unknown", "/tcp-mux: CLOSE and DATA of unknown streams", _flood(_UNKNOWN, 1)),
)
