# -*- test-case-name: aero.dns.test.test_stream -*-
"""
One connection to an upstream that all questions share.

It is opened when there is something to ask. An upstream may close an idle connection at the
very moment it is used again (RFC 7766 section 6.2.4), so a question that loses a connection it
did not open is asked once more on a new one.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.python.failure import Failure

from .exchange import ExchangeFailed

#: The reason of a failure that a new connection may mend.
LOST: Final = "closed"


class Shareable(Protocol):
    """
    A connection.
    """

    def rest(self) -> None:
        """
        Close after a while unless something is asked.
        """

    def abort(self) -> None:
        """
        Close at once; what is asked fails.
        """


C = TypeVar("C", bound=Shareable)
T = TypeVar("T")


class SharedConnection(Generic[C]):
    """
    The connection of one upstream, and those who wait for it.
    """

    def __init__(self, open: Callable[[], Deferred[C]]) -> None:
        """
        @param open: Opens one, within bounded time.
        """
        self._open = open
        self._current: C | None = None
        self._opening: Deferred[Any] | None = None
        self._waiting: list[Deferred[C]] = []

    async def ask(self, use: Callable[[C], Awaitable[T]]) -> T:
        """
        Use the connection, which is opened if need be.

        @param use: Asks something. It may be called twice.
        @raise ExchangeFailed: There is no connection, or what C{use} raised.
        """
        connection = self._current
        if connection is not None:
            try:
                return await use(connection)
            except ExchangeFailed as error:
                if error.reason != LOST:
                    raise
            self.lost(connection)
            connection = self._current
        if connection is None:
            connection = await self._wait()
        return await use(connection)

    def lost(self, connection: C) -> None:
        """
        A connection takes no more questions.
        """
        if self._current is connection:
            self._current = None

    def stop(self) -> None:
        """
        Close what there is.
        """
        if self._opening is not None:
            self._opening.cancel()
        if self._current is not None:
            self._current.abort()

    def _wait(self) -> Deferred[C]:
        """
        Wait for the connection that is being opened; one wait may end before the others.
        """
        waiting: Deferred[C] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if self._opening is None:
            self._opening = self._open()
            self._opening.addCallbacks(self._opened, self._notOpened)
        return waiting

    def _opened(self, connection: C) -> None:
        self._opening = None
        self._current = connection
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(connection)
        connection.rest()

    def _notOpened(self, failure: Failure) -> None:
        self._opening = None
        reason, message = "connect", failure.getErrorMessage()
        if isinstance(failure.value, ExchangeFailed):
            reason = failure.value.reason
        elif failure.check(ConnectError):
            reason = "network"
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.errback(ExchangeFailed(reason, message))
