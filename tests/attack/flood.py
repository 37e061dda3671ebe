"""
One flood: its name, and how it is run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Callable

from .site import Site

#: What a flood does in a process of its own, until a deadline of C{time.monotonic}.
Attack = Callable[[Site, float, Counter[str]], None]


@dataclass(frozen=True)
class Flood:
    """
    One flood.

    @ivar name: For C{--only}.
    @ivar title: For the table.
    @ivar attack: See L{Attack}.
    @ivar processes: How many processes run it.
    @ivar hasGuest: Whether the neighbour has a guest in a tunnel of C{/l2} as well.
    @ivar settings: Settings of the server, beside those of every flood.
    """

    name: str
    title: str
    attack: Attack
    processes: int = 1
    hasGuest: bool = False
    settings: dict[str, str] = field(default_factory=dict)
