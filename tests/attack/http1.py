"""
Slow clients of HTTP/1.1, and floods of TLS.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import Iterator

from .answers import HTTP1Answers
from .flood import Flood
from .pump import Client, drive
from .site import Site

#: Connections of a flood from one address; a public server takes 512.
CONNECTIONS = 400


def slowHeaders(site: Site, deadline: float, tally: Counter[str]) -> None:
    """
    Headers that come a line a second and have no end.
    """
    context = site.context()

    def lines() -> Iterator[bytes]:
        yield f"GET / HTTP/1.1\r\nHost: {site.host}\r\n".encode()
        yield from itertools.repeat(b"X-Slow: 1\r\n")

    def connect() -> Client | None:
        try:
            made = site.tls(context=context)
        except OSError:
            tally["refused"] += 1
            return None
        return Client(made, lines(), tally, HTTP1Answers(tally), pace=1.0)

    drive(connect, CONNECTIONS, deadline, tally)


def slowReaders(site: Site, deadline: float, tally: Counter[str]) -> None:
    """
    Downloads that nobody reads.
    """
    context = site.context()
    ask = f"GET /large.bin HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode()

    def connect() -> Client | None:
        try:
            made = site.tls(context=context, receiveBuffer=4_096)
        except OSError:
            tally["refused"] += 1
            return None
        return Client(made, [ask], tally, None)

    drive(connect, CONNECTIONS, deadline, tally, comeBack=False)


def handshakes(site: Site, deadline: float, tally: Counter[str]) -> None:
    """
    Full handshakes one after another, each closed at once.
    """
    context = site.context()
    while time.monotonic() < deadline:
        try:
            site.tls(context=context).close()
            tally["handshakes"] += 1
        except OSError:
            tally["refused"] += 1
            time.sleep(0.01)


def halfOpen(site: Site, deadline: float, tally: Counter[str]) -> None:
    """
    Connections that never begin a handshake.
    """

    def connect() -> Client | None:
        try:
            made = site.tcp()
        except OSError:
            tally["refused"] += 1
            return None
        return Client(made, [], tally, HTTP1Answers(tally))

    drive(connect, 2 * CONNECTIONS, deadline, tally)


FLOODS = (
    Flood("h1-headers", "HTTP/1.1: 400 connections with slow headers", slowHeaders),
    Flood("h1-slow", "HTTP/1.1: 400 slow readers of a large file", slowReaders),
    Flood("tls-handshakes", "TLS: handshakes, two at a time", handshakes, processes=2),
    Flood("tls-half-open", "TLS: 800 connections without a handshake", halfOpen),
)
