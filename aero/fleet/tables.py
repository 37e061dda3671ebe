# -*- test-case-name: aero.fleet.test.test_tables -*-
"""
Claims and buckets in the memory of one process.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Mapping, Sequence

from aero.policy.quota import Slots

from .store import Claim

#: The most buckets of one kind that are kept.
MAX_KEYS = 10_000


class FleetTables:
    """
    The tables behind L{SharedStore}, without anything that takes time.
    """

    def __init__(self) -> None:
        self._slots: dict[tuple[str, int], Slots] = {}
        self._held: dict[str, list[Claim]] = {}
        self._balances: dict[str, OrderedDict[str, tuple[float, float]]] = {}

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

    def debit(
        self, kind: str, rate: float, burst: float, amounts: Mapping[str, int], now: float
    ) -> dict[str, float]:
        """
        See L{SharedStore.debit}.
        """
        balances = self._balances.setdefault(kind, OrderedDict())
        waits = {}
        for key, amount in amounts.items():
            tokens, last = balances.pop(key, (burst, now))
            tokens = min(burst, tokens + max(0.0, now - last) * rate) - amount
            tokens = max(tokens, -burst)
            balances[key] = tokens, now
            if tokens < 1.0:
                waits[key] = (1.0 - tokens) / rate
            if len(balances) > MAX_KEYS:
                # The one that was asked about the longest time ago is full by now, or nearly.
                balances.popitem(last=False)
        return waits

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
