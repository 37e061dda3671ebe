# -*- test-case-name: aero.policy.test.test_guestegress -*-
"""
Addresses that really are somewhere else, because the operator says so (l2.md section 18).
"""

from __future__ import annotations

from typing import Iterable, NamedTuple


class Forward(NamedTuple):
    """
    Where connections to one address and port lead.

    @ivar host: A name or an address, IPv6 without brackets.
    """

    address: int
    port: int
    host: str
    hostPort: int


class ForwardMap:
    """
    All forwards of one protocol; of two about one address and port the later counts.
    """

    def __init__(self, forwards: Iterable[Forward]) -> None:
        self._targets = {(each.address, each.port): (each.host, each.hostPort) for each in forwards}

    def find(self, address: int, port: int) -> tuple[str, int] | None:
        """
        The host and port that an address and port lead to; C{None} where it is what it says.
        """
        return self._targets.get((address, port))
