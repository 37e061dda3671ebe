"""
Floods of small WebSocket frames, and of datagrams.
"""

from __future__ import annotations

import itertools
from collections import Counter
from functools import partial
from typing import Callable, Iterator

from tests.support.relay import v1
from tests.support.websocket import PING, tcpTarget

from .answers import WebSocketAnswers
from .flood import Attack, Flood
from .mux import MANY, over
from .site import Site
from .tunnel import Pieces, attack, masked

#: Connections of a flood.
CONNECTIONS = 4

_PINGS = over(masked(b"ping", PING) * MANY)
_BYTES = over(masked(b"x") * MANY)


def sink(site: Site) -> str:
    """
    A tunnel to the target that takes everything.
    """
    return tcpTarget("127.0.0.1", site.targets["sink"])


def datagrams(ports: int) -> Attack:
    """
    Datagrams to the sink, from so many guest ports.
    """

    def run(site: Site, deadline: float, tally: Counter[str]) -> None:
        messages = [
            masked(v1(1_024 + number, "127.0.0.1", site.targets["udp"], bytes(64)))
            for number in range(ports)
        ]

        def pieces(answers: WebSocketAnswers) -> Iterator[bytes]:
            turn = itertools.cycle(messages)
            while True:
                yield b"".join(itertools.islice(turn, 200))

        attack(site, deadline, tally, target="/udp", pieces=pieces, count=CONNECTIONS)

    return run


def _flood(target: str | Callable[[Site], str], pieces: Pieces) -> Attack:
    return partial(attack, target=target, pieces=pieces, count=CONNECTIONS)


FLOODS = (
    Flood("tcp-ping", "/tcp: WebSocket pings", _flood(sink, _PINGS)),
    Flood("tcp-bytes", "/tcp: messages of one byte", _flood(sink, _BYTES)),
    Flood("udp-ping", "/udp: WebSocket pings", _flood("/udp", _PINGS)),
    Flood("udp-bytes", "/udp: messages of one byte", _flood("/udp", _BYTES)),
    Flood("udp-one", "/udp: datagrams from one port", datagrams(1)),
    Flood("udp-many", "/udp: datagrams from 1,000 ports", datagrams(1_000)),
)
