# -*- test-case-name: aero.lan.test.test_ports -*-
"""
A connection from the LAN to the guest, until it is there or not.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from .transport import GuestConnection

#: Seconds that the guest has to answer a connection to it.
CONNECT_TIMEOUT = 30.0


class Connecting:
    """
    A connection to the guest that is not there yet.

    @ivar done: Fires with the protocol after its C{connectionMade}.
    """

    def __init__(
        self,
        connection: GuestConnection,
        factory: Any,
        *,
        clock: IReactorTime,
        abandon: Callable[[int], None],
    ) -> None:
        """
        @param factory: Makes the protocol.
        @param abandon: Called with the number of the connection when nobody waits for it any
            more.
        """
        self.done: Deferred[Any] = Deferred(lambda done: self._cancelled())
        self._clock = clock
        self._abandon = abandon
        self._connection = connection
        self._factory = factory
        self._timer: IDelayedCall | None = None

    def start(self, timeout: float) -> None:
        """
        Give the guest so many seconds.
        """
        self._factory.doStart()
        self._timer = self._clock.callLater(timeout, self._timedOut)

    def established(self) -> None:
        """
        The guest answered.
        """
        self._stopTimer()
        connection = self._connection
        problem: Exception | Failure = error.NoProtocol()
        try:
            protocol = self._factory.buildProtocol(connection.getPeer())
        except Exception:  # noqa: BLE001 - a user's factory may raise anything
            protocol, problem = None, Failure()
        if protocol is None:
            self._factory.doStop()
            connection.abortConnection()
            self.done.errback(problem)
            return
        connection.clientFactory = self._factory
        connection.connect(protocol)
        self.done.callback(protocol)

    def closed(self, reason: str) -> None:
        """
        It did not, or refused.
        """
        kinds: dict[str, Callable[[], Exception]] = {
            "reset": error.ConnectionRefusedError,
            "timeout": error.TimeoutError,
            "unreachable": error.NoRouteError,
        }
        make = kinds.get(reason)
        self.fail(error.ConnectError(string=reason) if make is None else make())

    def fail(self, problem: Exception) -> None:
        """
        It will not come.
        """
        running = self._stopTimer()
        self._abandon(self._connection.number)
        if running:
            self._factory.doStop()
        if not self.done.called:
            self.done.errback(problem)

    def _timedOut(self) -> None:
        self._connection.abortConnection()
        self._timer = None
        self._factory.doStop()
        self.fail(error.TimeoutError())

    def _cancelled(self) -> None:
        self._connection.abortConnection()
        self.fail(error.UserError())

    def _stopTimer(self) -> bool:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        return timer is not None
