# -*- test-case-name: aero.fleet.test.test_claims -*-
"""
Claims of one process: a name for each, and nothing left behind.
"""

from __future__ import annotations

import itertools
from typing import Callable, Sequence

from twisted.internet.defer import Deferred

from .store import Claim, SharedStore


class Held:
    """
    What somebody holds in the whole fleet, or is about to.

    @ivar granted: Fires with an empty string, or with the kind that refused.
    """

    __slots__ = ("_name", "_store", "granted")

    def __init__(self, store: SharedStore, name: str, claims: Sequence[Claim]) -> None:
        self._store: SharedStore | None = store
        self._name = name
        self.granted: Deferred[str] = store.acquire(name, claims)

    def release(self) -> None:
        """
        Give it back; once is enough, and it may come before the answer.
        """
        store, self._store = self._store, None
        if store is not None:
            store.release(self._name)


async def granted(held: Held | None, giveBack: Callable[[], None]) -> bool:
    """
    Wait for the answer.

    @param giveBack: Gives back all that is held, here and elsewhere; called where something
        refused, and where whoever waits is cancelled.
    @return: Whether it is held.
    """
    agreed = held is None
    try:
        if held is not None:
            agreed = not await held.granted
    finally:
        if not agreed:
            giveBack()
    return agreed


class Claims:
    """
    Where this process claims what all share.
    """

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self._numbers = itertools.count(1)

    def hold(self, *claims: Claim) -> Held | None:
        """
        Claim something.

        @return: C{None} where none of it has a limit.
        """
        if not any(claim.limit > 0 for claim in claims):
            return None
        return Held(self._store, str(next(self._numbers)), claims)
