# -*- test-case-name: aero.fleet.test.test_hub -*-
"""
The interface of what is shared.

Three things are: claims, of which a key may have so many at once wherever they are held (tunnels
of a session, the one session of a C{sid}); rates, by token buckets; and the sessions that ended
before their time. Everything else a process decides by itself.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Protocol, Sequence

from twisted.internet.defer import Deferred


class Claim(NamedTuple):
    """
    One thing that somebody wants to hold.

    @ivar kind: What it is, such as C{tcp.session}; also the name of what refuses.
    @ivar key: Whose it is.
    @ivar limit: How many claims of the kind the key may have; 0 for any number, which is granted
        unseen.
    """

    kind: str
    key: str
    limit: int


#: Told of a session that was revoked: its C{sid}, until when that holds, in seconds since 1970,
#: and whether an operator did it.
Revoked = Callable[[str, float, bool], None]

#: Answers a question that a process asks all of them, with plain values.
Answer = Callable[[], Any]


class SharedStore(Protocol):
    """
    What is shared, wherever it is kept. Nothing here ever blocks; where the place that keeps it
    is away, each kind is decided as the settings say.
    """

    def acquire(self, holder: str, claims: Sequence[Claim]) -> Deferred[str]:
        """
        Hold all of some claims, or none of them.

        @param holder: A name that nobody else in the fleet uses; what L{release} is told.
        @return: Fires with an empty string when they are held, else with the kind that is full.
        """

    def release(self, holder: str) -> None:
        """
        Give back what a holder has, if anything. It may come before L{acquire} is through.
        """

    def debit(
        self, kind: str, rate: float, burst: float, amounts: Mapping[str, int]
    ) -> Deferred[Mapping[str, float]]:
        """
        Take tokens out of the buckets of one kind that were spent already.

        @param rate: Tokens a second that each bucket gets.
        @param burst: What a bucket holds; it may be overdrawn by as much.
        @param amounts: The tokens, by key.
        @return: Fires with the seconds until a token will be there, for each key that has none.
        """

    def revoke(self, sid: str, until: float, byOperator: bool) -> None:
        """
        Tell everybody that a session ended; whoever says so hears of it too.
        """

    def onRevoked(self, revoked: Revoked) -> None:
        """
        Ask to be told of sessions that ended, wherever, those before L{start} included.
        """

    def answer(self, question: str, answer: Answer) -> None:
        """
        Answer a question that any process may ask all of them.
        """

    def askAll(self, question: str) -> Deferred[tuple[Sequence[Any], bool]]:
        """
        Ask every process, this one included.

        @return: Fires with the answers that came in time, and whether those are all.
        """

    def start(self) -> None:
        """
        Begin.
        """

    def stop(self) -> None:
        """
        Give back everything that is held, and end.
        """
