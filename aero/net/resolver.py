# -*- test-case-name: aero.net.test.test_resolver -*-
"""
Names of targets to addresses, through the system's own resolver.

C{getaddrinfo} knows C{/etc/hosts} and whatever else the host is set up with, but it blocks,
for as long as the slowest name server likes. Each lookup therefore has a thread of its own,
of which there is a bounded number; more lookups wait, up to a bounded number again; a name
that several clients ask for at once is looked up once; and nobody waits longer than the
timeout, even though the thread may. The threads are daemons, so that one that hangs does not
keep the process from stopping.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Iterable, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from aero.errors import AeroError
from aero.metrics import Metrics
from aero.metrics import tcp as rows
from aero.settings.tcp import EgressSettings


class LookupFailed(AeroError):
    """
    A name has no address, or none was found in time.

    @ivar reason: C{failed}, C{timeout} or C{busy}.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"looking up {name!r}: {reason}")
        self.name = name
        self.reason = reason


class Resolver(Protocol):
    """
    Anything that finds the addresses of a name.
    """

    def resolve(self, name: str) -> Deferred[list[str]]:
        """
        Look a name up.

        @return: Its addresses of both families, best first; at least one. It fails with
            L{LookupFailed}, and may be cancelled.
        """
        ...


def systemLookup(name: str) -> list[str]:
    """
    Ask C{getaddrinfo}; blocks.

    @return: Addresses in the order of RFC 6724, each once.
    @raise OSError: There is none.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def inDaemonThread(work: Callable[[], None]) -> None:
    """
    Run something that may never end.
    """
    threading.Thread(target=work, name="aero lookup", daemon=True).start()


class _Lookup:
    """
    One name being looked up, and who waits for it.
    """

    __slots__ = ("name", "running", "started", "timer", "waiting")

    def __init__(self, name: str, started: float) -> None:
        self.name = name
        self.started = started
        self.running = False
        self.waiting: list[Deferred[list[str]]] = []
        self.timer: IDelayedCall | None = None


class SystemResolver:
    """
    The L{Resolver} that asks the operating system.
    """

    #: Lookups that may wait for a thread, for each thread.
    queueFactor = 16

    def __init__(
        self,
        reactor: Any,
        settings: EgressSettings,
        metrics: Metrics,
        *,
        lookup: Callable[[str], Iterable[str]] = systemLookup,
        runInThread: Callable[[Callable[[], None]], None] = inDaemonThread,
    ) -> None:
        """
        @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads}.
        @param lookup: What blocks; a replacement for tests.
        @param runInThread: What runs it elsewhere.
        """
        self._reactor = reactor
        self._timeout = settings.lookupTimeout
        self._threads = settings.maxLookups
        self._lookup = lookup
        self._runInThread = runInThread
        self._running = 0
        self._queue: deque[_Lookup] = deque()
        self._lookups: dict[str, _Lookup] = {}
        self._metrics = metrics
        self._seconds = metrics.histogram(rows.TCP_LOOKUP_SECONDS)

    def resolve(self, name: str) -> Deferred[list[str]]:
        """
        Look a name up. See L{Resolver.resolve}.
        """
        lookup = self._lookups.get(name)
        if lookup is None:
            if self._running >= self._threads and len(self._queue) >= (
                self._threads * self.queueFactor
            ):
                self._count("busy")
                refused: Deferred[list[str]] = Deferred()
                refused.errback(LookupFailed(name, "busy"))
                return refused
            lookup = _Lookup(name, self._reactor.seconds())
            self._lookups[name] = lookup
            lookup.timer = self._reactor.callLater(self._timeout, self._timedOut, lookup)
            self._queue.append(lookup)
        found = lookup
        waiter: Deferred[list[str]] = Deferred(lambda gone: self._left(found, gone))
        found.waiting.append(waiter)
        self._startNext()
        return waiter

    def _startNext(self) -> None:
        while self._queue and self._running < self._threads:
            lookup = self._queue.popleft()
            lookup.running = True
            self._running += 1
            self._runInThread(lambda lookup=lookup: self._work(lookup))  # type: ignore[misc]

    def _work(self, lookup: _Lookup) -> None:
        """
        The part that runs in a thread.
        """
        try:
            result: list[str] | Failure = list(self._lookup(lookup.name))
        except Exception:  # noqa: BLE001 - the name service may fail in any way
            result = Failure()
        with suppress(RuntimeError):  # the loop is closed: the process ends and nobody waits
            self._reactor.callFromThread(self._finished, lookup, result)

    def _finished(self, lookup: _Lookup, result: list[str] | Failure) -> None:
        self._running -= 1
        if self._lookups.get(lookup.name) is lookup:
            self._seconds.observe(self._reactor.seconds() - lookup.started)
            if isinstance(result, Failure) or not result:
                self._fail(lookup, "failed")
            else:
                self._count("found")
                for waiter in self._ended(lookup):
                    waiter.callback(list(result))
        self._startNext()

    def _timedOut(self, lookup: _Lookup) -> None:
        """
        Free those who wait. The thread goes on and keeps its place, because it is in use.
        """
        self._fail(lookup, "timeout")

    def _fail(self, lookup: _Lookup, reason: str) -> None:
        self._count(reason)
        for waiter in self._ended(lookup):
            waiter.errback(LookupFailed(lookup.name, reason))

    def _left(self, lookup: _Lookup, waiter: Deferred[list[str]]) -> None:
        """
        One of those who wait was cancelled.
        """
        if waiter in lookup.waiting:
            lookup.waiting.remove(waiter)
        if not lookup.waiting and not lookup.running:
            self._ended(lookup)

    def _ended(self, lookup: _Lookup) -> list[Deferred[list[str]]]:
        if self._lookups.get(lookup.name) is lookup:
            del self._lookups[lookup.name]
        if not lookup.running and lookup in self._queue:
            self._queue.remove(lookup)
        if lookup.timer is not None and lookup.timer.active():
            lookup.timer.cancel()
        waiting, lookup.waiting = lookup.waiting, []
        return waiting

    def _count(self, outcome: str) -> None:
        self._metrics.counter(rows.TCP_LOOKUPS, outcome).inc()
