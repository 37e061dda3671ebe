# -*- test-case-name: aero.auth.test.test_revocations -*-
"""
Sessions that ended before their cookies did, because somebody logged out or an operator ended
them.

A session is a signed cookie and nothing else, so the one thing it cannot do is end early. What
does it is a list of the sessions that did, each kept for as long as a cookie of it may live.
"""

from __future__ import annotations

import heapq
from typing import Callable, Iterator, Protocol


class RevocationStore(Protocol):
    """
    Where it is known which sessions ended early.

    It is asked for every request that has a session, and so it answers at once. A store that
    several processes share keeps the whole list in each of them, tells the others of what is
    new, and calls the listeners in all.
    """

    def revoke(self, sid: str, until: float, now: float, *, byOperator: bool = False) -> None:
        """
        End a session.

        @param until: When the last cookie of the session ends by itself. Who cannot know takes
            the time to live of sessions from now on.
        @param now: Seconds since 1970.
        @param byOperator: Whether an operator ended it, whose word must outlast any number of
            sessions that end themselves.
        """

    def isRevoked(self, sid: str, now: float) -> bool:
        """
        Whether a session ended early.
        """

    def onRevoked(self, listener: Callable[[str], object]) -> None:
        """
        Have something told of each session that ends from now on, by its name.
        """


class Revocations:
    """
    The list of one process. Sessions that ended themselves and those that operators ended
    have lists of their own: a session costs a stranger nothing, so with one list he could end
    so many that the one that an operator ended is forgotten.
    """

    def __init__(self, maxEntries: int = 100_000) -> None:
        """
        @param maxEntries: The most that each list remembers. Beyond that, those whose cookies
            end first are forgotten first.
        """
        self._themselves = _Ended(maxEntries)
        self._byOperators = _Ended(maxEntries)
        self._listeners: list[Callable[[str], object]] = []

    def __len__(self) -> int:
        return len(self._themselves.until) + len(self._byOperators.until)

    def revoke(self, sid: str, until: float, now: float, *, byOperator: bool = False) -> None:
        """
        See L{RevocationStore.revoke}.
        """
        ended = self._byOperators if byOperator else self._themselves
        if ended.add(sid, until, now):
            for listener in self._listeners:
                listener(sid)

    def isRevoked(self, sid: str, now: float) -> bool:
        """
        See L{RevocationStore.isRevoked}.
        """
        return now < self._themselves.until.get(sid, now) or now < self._byOperators.until.get(
            sid, now
        )

    def entries(self, now: float) -> Iterator[tuple[str, float, bool]]:
        """
        All that is remembered: the session, until when, and whether an operator ended it.
        """
        for ended, byOperator in ((self._themselves, False), (self._byOperators, True)):
            for sid, until in ended.until.items():
                if until > now:
                    yield sid, until, byOperator

    def onRevoked(self, listener: Callable[[str], object]) -> None:
        """
        See L{RevocationStore.onRevoked}.
        """
        self._listeners.append(listener)


class _Ended:
    """
    Names that are remembered until a time, so many of them.

    @ivar until: The time of each.
    """

    def __init__(self, maxEntries: int) -> None:
        self.until: dict[str, float] = {}
        self._maxEntries = maxEntries
        self._byEnd: list[tuple[float, str]] = []

    def add(self, sid: str, until: float, now: float) -> bool:
        """
        Remember a name.

        @return: Whether that is longer than before.
        """
        if until <= max(now, self.until.get(sid, now)):
            return False
        self.until[sid] = until
        heapq.heappush(self._byEnd, (until, sid))
        while self._byEnd and (self._byEnd[0][0] <= now or len(self.until) > self._maxEntries):
            self._forgetFirst()
        if len(self._byEnd) > 2 * self._maxEntries:
            self._byEnd = [(end, name) for name, end in self.until.items()]
            heapq.heapify(self._byEnd)
        return True

    def _forgetFirst(self) -> None:
        end, sid = heapq.heappop(self._byEnd)
        if self.until.get(sid) == end:
            del self.until[sid]
