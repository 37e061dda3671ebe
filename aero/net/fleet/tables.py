# -*- test-case-name: aero.net.fleet.test.test_tables -*-
"""
Claims and buckets in the memory of one process.
"""

from __future__ import annotations

from typing import Sequence

from aero.policy.quota import Slots, TokenBuckets

from .store import Claim


class FleetTables:
    """
    The tables behind L{SharedStore}, without anything that takes time.
    """

    def __init__(self) -> None:
        self._slots: dict[tuple[str, int], Slots] = {}
        self._held: dict[str, list[Claim]] = {}
        self._buckets: dict[tuple[str, float, float], TokenBuckets] = {}

    def acquire(self, holder: str, claims: Sequence[Claim]) -> str:
        """
        See L{SharedStore.acquire}.
        """
        taken: list[Claim] = []
        for claim in claims:
            if claim.limit <= 0:
                continue
            if not self._of(claim).acquire(claim.key):
                self._giveBack(taken)
                return claim.kind
            taken.append(claim)
        if taken:
            self._held.setdefault(holder, []).extend(taken)
        return ""

    def release(self, holder: str) -> None:
        """
        See L{SharedStore.release}.
        """
        self._giveBack(self._held.pop(holder, []))

    def take(self, kind: str, key: str, rate: float, burst: float, now: float) -> float:
        """
        See L{SharedStore.take}.
        """
        name = kind, rate, burst
        buckets = self._buckets.get(name)
        if buckets is None:
            buckets = self._buckets[name] = TokenBuckets(rate, burst)
        return buckets.take(key, now)

    def holders(self) -> list[str]:
        """
        Who holds anything.
        """
        return list(self._held)

    def _of(self, claim: Claim) -> Slots:
        name = claim.kind, claim.limit
        slots = self._slots.get(name)
        if slots is None:
            slots = self._slots[name] = Slots(claim.limit)
        return slots

    def _giveBack(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._of(claim).release(claim.key)
