# -*- test-case-name: aero.net.test.test_deliveries -*-
"""
Connections to targets that stay open after their client has gone, until the target has what this
server accepted from the client.

L{Deliveries.leave} takes such a connection. It is limited in time, and its bytes and connections
are counted for the client's address and for the process. Where a limit is reached, a connection
with bytes that wait is reset, and one without is closed in order.

The bytes of a connection are given back as the target's system acknowledges them; the connection
itself counts until it is gone. A process that stops waits for the bytes only
(L{Deliveries.after}).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Protocol, Sequence

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from aero.metrics import Metrics
from aero.metrics import delivery as rows
from aero.policy.budget import Budget, Share
from aero.policy.quota import addressKey
from aero.settings.delivery import DeliverySettings

#: Seconds between two looks at what the targets have acknowledged.
LOOK_INTERVAL = 0.25


class Leaving(Protocol):
    """
    A connection without its client: L{aero.net.pump.TargetConnection}, or something that is still
    to become one.
    """

    @property
    def isOver(self) -> bool:
        """
        Whether the connection is gone.
        """

    @property
    def undelivered(self) -> int:
        """
        Bytes that the target's system has not acknowledged.
        """

    @property
    def isDelivered(self) -> bool:
        """
        Whether it has everything, or never will.
        """

    @property
    def isClean(self) -> bool:
        """
        Whether the connection is gone after both directions had ended in order.
        """

    def detach(self, timeout: float, over: Callable[[], object]) -> None:
        """
        Deliver what there is, then end.

        @param timeout: Seconds.
        @param over: To be called once when nothing is left of the connection.
        """

    def leave(self) -> None:
        """
        There is no time: end in order where nothing waits in this process, else drop the
        connection.
        """

    def abort(self) -> None:
        """
        Drop the connection.
        """


class Drainable(Protocol):
    """
    A part of the process that ends, see L{aero._process.Drainable}.
    """

    def drain(self) -> Deferred[Any]:
        """
        Begin; fires when nothing is left.
        """

    def abort(self) -> None:
        """
        End what did not end by itself.
        """


class Deliveries:
    """
    All such connections of a process.
    """

    _log = Logger(namespace="aero.delivery")

    def __init__(
        self, settings: DeliverySettings, *, clock: IReactorTime, metrics: Metrics
    ) -> None:
        """
        @param clock: The reactor.
        """
        self.timeout = settings.timeout
        self.clock = clock
        self._metrics = metrics
        self._number = Budget(
            settings.most,
            settings.mostPerClient,
            changed=metrics.gauge(rows.CONNECTIONS).set,
            refused=partial(self._refused, "connections"),
        )
        self._bytes = Budget(
            settings.maxBytes,
            settings.maxBytesPerClient,
            changed=metrics.gauge(rows.BYTES).set,
            refused=partial(self._refused, "bytes"),
        )
        self._left: set[Leaving] = set()
        self._pending: dict[Leaving, _Delivery] = {}  # those of them that bytes wait on
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []
        self._warned = False

    def leave(self, connection: Leaving, client: str) -> None:
        """
        The client of a connection is gone: deliver what it sent. Once is enough.

        @param client: The address of the client.
        """
        if connection.isOver or connection in self._left:
            return
        key, size = addressKey(client), connection.undelivered
        number, held = self._number.share(key), self._bytes.share(key)
        if number.take(1):
            if held.take(size):
                delivery = _Delivery(self, connection, number, held)
                self._left.add(connection)
                self._pending[connection] = delivery
                connection.detach(self.timeout, delivery.over)
                self._lookSoon()
                return
            number.close()
        if size:
            connection.abort()
        else:
            connection.leave()

    def whenDelivered(self) -> Deferred[None]:
        """
        Fires when no bytes wait any more.
        """
        if not self._pending:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def abort(self) -> None:
        """
        The process has no more time: reset the connections with bytes that wait. What the system
        has taken already it delivers by itself.
        """
        for connection, delivery in list(self._pending.items()):
            delivery.settle("shutdown")
            connection.leave()

    def after(self, parts: Sequence[Drainable]) -> Drainable:
        """
        Other parts of the process, with the deliveries that their end leads to.
        """
        return _ThenDelivered(self, parts)

    # -- private

    def _settled(self, connection: Leaving, outcome: str) -> None:
        self._metrics.counter(rows.ENDED, outcome).inc()
        del self._pending[connection]
        if not self._pending:
            self._warned = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def _refused(self, limit: str, scope: str) -> None:
        self._metrics.counter(rows.REFUSED, limit, scope).inc()
        if not self._warned:
            self._warned = True
            self._log.warn(
                "the limit on {limit} for delivery after the client has gone is reached ({scope}):"
                " connections to targets are reset",
                limit=limit,
                scope=scope,
            )

    def _lookSoon(self) -> None:
        if self._timer is None and self._pending:
            self._timer = self.clock.callLater(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = None
        for delivery in list(self._pending.values()):
            delivery.look()
        self._lookSoon()


class _Delivery:
    """
    One connection, and its part of the limits.
    """

    __slots__ = ("_by", "_connection", "_held", "_isSettled", "_number", "_owner")

    def __init__(self, owner: Deliveries, connection: Leaving, number: Share, held: Share) -> None:
        self._owner = owner
        self._connection = connection
        self._number = number
        self._held = held
        self._by = owner.clock.seconds() + owner.timeout
        self._isSettled = False

    def look(self) -> None:
        """
        See what the target has by now.
        """
        if self._isSettled:
            return
        if self._connection.isDelivered:
            self.settle("delivered")
        elif self._owner.clock.seconds() >= self._by:
            self._connection.abort()
        else:
            self._held.resize(min(self._held.held, self._connection.undelivered))

    def over(self) -> None:
        """
        The connection is gone.
        """
        if self._connection.isClean:
            outcome = "delivered"
        else:
            outcome = "timeout" if self._owner.clock.seconds() >= self._by else "lost"
        self.settle(outcome)
        self._owner._left.discard(self._connection)
        self._number.close()

    def settle(self, outcome: str) -> None:
        """
        No bytes wait any more.
        """
        if not self._isSettled:
            self._isSettled = True
            self._held.close()
            self._owner._settled(self._connection, outcome)


class _ThenDelivered:
    """
    Parts of the process and the deliveries after them.
    """

    def __init__(self, deliveries: Deliveries, parts: Sequence[Drainable]) -> None:
        self._deliveries = deliveries
        self._parts = parts

    def drain(self) -> Deferred[Any]:
        """
        See L{Drainable}.
        """
        drained = DeferredList([part.drain() for part in self._parts], consumeErrors=True)
        return drained.addCallback(lambda _: self._deliveries.whenDelivered())

    def abort(self) -> None:
        """
        See L{Drainable}.
        """
        for part in self._parts:
            part.abort()
        self._deliveries.abort()
