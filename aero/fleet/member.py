# -*- test-case-name: aero.fleet.test.test_hub -*-
"""
The shared state of a worker: what its supervisor keeps.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .store import Answer, Claim, Revoked


class Channel(Protocol):
    """
    A conversation with the supervisor.
    """

    def ask(self, question: str, value: Any = None) -> Deferred[Any]:
        """
        Ask, and get an answer.
        """

    def tell(self, question: str, value: Any = None) -> None:
        """
        Say something that has no answer.
        """


class SupervisedStore:
    """
    See L{SharedStore}. A supervisor that does not answer is gone, and so will be this process:
    nothing new is begun.
    """

    _log = Logger()

    def __init__(
        self, channel: Channel, answer: Callable[[str, Callable[[Any], Any]], None]
    ) -> None:
        """
        @param answer: Registers what answers a question of the supervisor.
        """
        self._channel = channel
        self._answer = answer
        self._listeners: list[Revoked] = []
        answer("revoked", self._revoked)

    def acquire(self, holder: str, claims: Sequence[Claim]) -> Deferred[str]:
        """
        See L{SharedStore.acquire}.
        """
        return self._channel.ask("acquire", [holder, [list(claim) for claim in claims]])

    def release(self, holder: str) -> None:
        """
        See L{SharedStore.release}. The pipe keeps the order, so it cannot overtake.
        """
        self._channel.tell("release", holder)

    def debit(
        self, kind: str, rate: float, burst: float, amounts: Mapping[str, int]
    ) -> Deferred[Mapping[str, float]]:
        """
        See L{SharedStore.debit}.
        """
        return self._channel.ask("debit", [kind, rate, burst, dict(amounts)])

    def revoke(self, sid: str, until: float, byOperator: bool) -> None:
        """
        See L{SharedStore.revoke}.
        """
        self._channel.tell("revoke", [sid, until, byOperator])

    def onRevoked(self, revoked: Revoked) -> None:
        """
        See L{SharedStore.onRevoked}.
        """
        self._listeners.append(revoked)

    def answer(self, question: str, answer: Answer) -> None:
        """
        See L{SharedStore.answer}.
        """
        self._answer(question, lambda _: answer())

    def askAll(self, question: str) -> Deferred[tuple[Sequence[Any], bool]]:
        """
        See L{SharedStore.askAll}.
        """
        return self._channel.ask("askAll", question).addCallback(tuple)

    def start(self) -> None:
        """
        Learn what ended before this process began.
        """
        asked = self._channel.ask("revocations")
        asked.addCallback(self._revokedBefore).addErrback(self._unanswered)

    def stop(self) -> None:
        """
        Nothing: the supervisor gives everything back once the process is gone.
        """

    def _unanswered(self, failure: Failure) -> None:
        self._log.failure("The supervisor did not tell which sessions ended", failure)

    def _revokedBefore(self, found: Sequence[Sequence[Any]]) -> None:
        for each in found:
            self._revoked(each)

    def _revoked(self, value: Sequence[Any]) -> None:
        sid, until, byOperator = value
        for listener in self._listeners:
            listener(sid, until, byOperator)
