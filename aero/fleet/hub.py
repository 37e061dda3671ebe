# -*- test-case-name: aero.fleet.test.test_hub -*-
"""
What the supervisor keeps for its workers.
"""

from __future__ import annotations

from typing import Any, Callable

from aero.auth.revocations import Revocations

from .store import Claim
from .tables import FleetTables

#: Tells all workers something: a question, and its value.
TellAll = Callable[[str, Any], None]

#: What a worker may ask.
QUESTIONS = ("acquire", "release", "debit", "revoke", "revocations")


class Hub:
    """
    The tables of all workers. What a worker holds is given back when it ends, however it ends.
    """

    def __init__(
        self, *, seconds: Callable[[], float], now: Callable[[], float], tellAll: TellAll
    ) -> None:
        """
        @param seconds: A clock that is never set, in seconds.
        @param now: The wall clock, in seconds since 1970.
        """
        self._tables = FleetTables()
        self._revocations = Revocations()
        self._seconds = seconds
        self._now = now
        self._tellAll = tellAll

    def answer(self, worker: str, question: str, value: Any) -> Any:
        """
        Answer one question of one worker.

        @param worker: A name of the process that no other ever has.
        @raise ValueError: There is no such question.
        """
        tables = self._tables
        if question == "acquire":
            holder, claims = value
            return tables.acquire(f"{worker}/{holder}", [Claim(*claim) for claim in claims])
        if question == "release":
            tables.release(f"{worker}/{value}")
            return None
        if question == "debit":
            kind, rate, burst, amounts = value
            return tables.debit(kind, rate, burst, amounts, self._seconds())
        if question == "revoke":
            sid, until, byOperator = value
            self._revocations.revoke(sid, until, self._now(), byOperator=byOperator)
            self._tellAll("revoked", value)
            return None
        if question == "revocations":
            return list(self._revocations.entries(self._now()))
        raise ValueError(f"no such question: {question}")

    def workerEnded(self, worker: str) -> None:
        """
        Give back what a worker held.
        """
        for holder in self._tables.holders():
            if holder.startswith(f"{worker}/"):
                self._tables.release(holder)
