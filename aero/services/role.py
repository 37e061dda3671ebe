# -*- test-case-name: aero.services.test.test_l2 -*-
"""
What a service is when it runs alone: the server that it replaces, at its own address and in its
own words.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, Iterable, Mapping, Sequence

from twisted.web.resource import IResource

from aero.http.gates import Gate


def _silent(host: str, port: int) -> Iterable[str]:
    """
    Nothing more to say.
    """
    return ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    How a service listens and answers when no other runs beside it.

    @ivar addresses: The IP addresses to listen on.
    @ivar port: The port; 0 is any free one.
    @ivar option: The option that chooses them, for error messages.
    @ivar grace: Seconds that its connections have when the process stops.
    @ivar resources: What replaces the resources that every server has.
    @ivar gates: What every request passes; C{None} for what all services share.
    @ivar isBare: Whether errors of routing have no body, and C{OPTIONS} is no special method.
    @ivar anyHost: Whether requests with a malformed C{Host}, or none, are taken.
    @ivar listening: Called with the address and the port that are bound; gives more lines for
        standard output.
    """

    addresses: Sequence[str]
    port: int
    option: str
    grace: float
    resources: Mapping[str, IResource] = dataclasses.field(default_factory=dict)
    gates: Sequence[Gate] | None = None
    isBare: bool = False
    anyHost: bool = False
    listening: Callable[[str, int], Iterable[str]] = _silent
