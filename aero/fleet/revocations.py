# -*- test-case-name: aero.fleet.test.test_revocations -*-
"""
Revocations that everybody in a fleet knows of.
"""

from __future__ import annotations

from typing import Callable

from aero.auth.revocations import Revocations

from .store import SharedStore


class SharedRevocations:
    """
    See L{aero.auth.revocations.RevocationStore}. This process has the whole list, so it answers
    at once and goes on to when the place that shares it is away.
    """

    def __init__(self, store: SharedStore, now: Callable[[], float]) -> None:
        """
        @param now: Seconds since 1970.
        """
        self._list = Revocations()
        self._store = store
        self._now = now
        store.onRevoked(self._heard)

    def revoke(self, sid: str, until: float, now: float, *, byOperator: bool = False) -> None:
        """
        End a session here at once, and everywhere else.
        """
        self._list.revoke(sid, until, now, byOperator=byOperator)
        self._store.revoke(sid, until, byOperator)

    def isRevoked(self, sid: str, now: float) -> bool:
        """
        See L{RevocationStore.isRevoked}.
        """
        return self._list.isRevoked(sid, now)

    def onRevoked(self, listener: Callable[[str], object]) -> None:
        """
        See L{RevocationStore.onRevoked}.
        """
        self._list.onRevoked(listener)

    def _heard(self, sid: str, until: float, byOperator: bool) -> None:
        self._list.revoke(sid, until, self._now(), byOperator=byOperator)
