# -*- test-case-name: aero.fleet.workers.test.test_supervisor -*-
"""
The supervisor: binds the sockets, starts the workers that share them, and keeps them going.

It serves nothing itself. The sockets stay open in it whatever becomes of a worker, so a
connection that nobody has accepted yet waits for the next one: workers come and go, and nobody
is refused.
"""

from __future__ import annotations

import itertools
import socket
from functools import partial
from typing import Any, Callable, Iterable, Mapping, Protocol, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.metrics import Metrics
from aero.metrics import workers as rows
from aero.metrics.merge import SUPERVISOR, mergeExpositions

from ..hub import QUESTIONS, Hub
from .channel import Handler
from .worker import (
    COUNT,
    FIRST_SOCKET,
    FROM_SUPERVISOR,
    NUMBER,
    SOCKETS,
    TO_SUPERVISOR,
    Worker,
)

#: Seconds before a worker that ended unasked is started anew: at first, and at most.
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0

#: A worker that ran for so many seconds was well; what follows is a new misfortune.
STEADY = 60.0

#: Seconds that workers have to tell their metrics.
PATIENCE = 3.0


class Binding(Protocol):
    """
    What binds listening sockets for the workers.
    """

    name: str

    def bind(self) -> Sequence[socket.socket]:
        """
        Bind them.

        @raise StartError: It cannot be done.
        """

    def describe(self, bound: socket.socket) -> str:
        """
        Say where one of them listens and what for.
        """


class Supervisor(Service):
    """
    Keeps a number of workers going.

    SIGHUP replaces them one by one: a new one is ready before an old one stops accepting and
    lets its connections end.
    """

    _log = Logger(namespace="aero")

    def __init__(
        self,
        reactor: Any,
        *,
        count: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        bindings: Sequence[Binding],
        now: Callable[[], float],
        metrics: Metrics,
        grace: float,
        ready: Callable[[Sequence[str]], None],
        failed: Callable[[str, int], None],
        errors: Callable[[bytes], None] | None = None,
    ) -> None:
        """
        @param reactor: Provides C{IReactorProcess} and C{IReactorTime}.
        @param count: How many workers.
        @param command: The program of a worker and its arguments.
        @param environ: Its environment, to which what makes it a worker is added.
        @param bindings: The sockets that the workers share.
        @param now: Gives the seconds since 1970.
        @param metrics: What is measured here.
        @param grace: Seconds that a worker has to end once it was asked to.
        @param ready: Called when all workers are ready, with the lines that the first one would
            print.
        @param failed: Called when the first worker cannot start: the rest would not either. Gets
            the reason, empty where the worker has printed it, and an exit status.
        @param errors: Takes what workers write to standard error, if that is not to be the
            supervisor's own.
        """
        self._reactor = reactor
        self._count = count
        self._command = command
        self._environ = environ
        self._bindings = bindings
        self._hub = Hub(seconds=reactor.seconds, now=now, tellAll=self.tellAll)
        self._names = itertools.count()
        self._metrics = metrics
        self._grace = grace
        self._tellReady = ready
        self._failed = failed
        self._errors = errors
        self._sockets: list[tuple[str, socket.socket]] = []
        self._workers: dict[int, Worker] = {}
        self._all: set[Worker] = set()
        self._failures: dict[int, int] = {}
        self._timers: dict[int, IDelayedCall] = {}
        self._begun = self._stopping = False
        self._rolling = False
        self._rollAgain = False
        self._ready = metrics.gauge(rows.WORKERS)
        metrics.gauge(rows.WORKERS_CONFIGURED).set(count)

    # -- the service

    def privilegedStartService(self) -> None:
        """
        Bind the sockets.

        @raise StartError: It cannot be done.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for binding in self._bindings:
            for bound in binding.bind():
                self._sockets.append((binding.name, bound))
                self._log.info("{line}", line=binding.describe(bound))

    def startService(self) -> None:
        """
        Start the workers. The first one begins alone: it makes the keys that the others find.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(lambda: self._begin().addErrback(self._cannotBegin))

    @inlineCallbacks
    def stopService(self) -> Any:
        """
        Ask every worker to drain, and end those that do not in time.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        ending = [self._retire(worker) for worker in list(self._all)]
        yield DeferredList(ending, consumeErrors=True)
        for _, bound in self._sockets:
            bound.close()
        self._sockets = []

    # -- what it is asked for

    def roll(self) -> None:
        """
        Replace every worker, one after the other.
        """
        if self._rolling:
            self._rollAgain = True
            return
        self._rolling = True
        self._roll().addErrback(
            lambda failure: self._log.failure("Replacing the workers failed", failure)
        )

    @inlineCallbacks
    def gatherMetrics(self) -> Any:
        """
        The metrics of all workers and of the supervisor as one page.
        """
        found, _ = yield self._ask(self._workers.values(), "exposition")
        pages = {str(worker.number): page for worker, page in found.items()}
        return mergeExpositions({**pages, SUPERVISOR: self._metrics.exposition().decode()})

    @inlineCallbacks
    def askAll(self, question: str) -> Any:
        """
        Ask every worker something, those that drain too.

        @return: Fires with the answers, and whether every worker answered.
        """
        found, complete = yield self._ask(self._all, question)
        return list(found.values()), complete

    @inlineCallbacks
    def _ask(self, workers: Iterable[Worker], question: str) -> Any:
        """
        Ask those workers that are ready.

        @return: Fires with the answer of each, and whether every one answered in time.
        """
        asked = {
            worker: worker.channel.ask(question).addTimeout(PATIENCE, self._reactor)
            for worker in workers
            if worker.isReady
        }
        answers = yield DeferredList(list(asked.values()), consumeErrors=True)
        found = {
            worker: answer
            for worker, (worked, answer) in zip(asked, answers, strict=True)
            if worked
        }
        return found, len(found) == len(asked)

    def tellAll(self, what: str, value: Any) -> None:
        """
        Tell every worker something, those that are on their way out too.
        """
        for worker in self._all:
            worker.channel.tell(what, value)

    # -- private

    def _cannotBegin(self, failure: Failure) -> None:
        self._log.failure("The workers cannot be started", failure)
        self._stopping = True
        self._failed(f"the workers cannot be started: {failure.getErrorMessage()}", 1)

    @inlineCallbacks
    def _begin(self) -> Any:
        first = self._start(0)
        started = yield first.whenReady()
        if not started:
            if not self._stopping:
                status = yield first.whenEnded()
                self._stopping = True
                self._failed("", abs(status) or 1)
            return
        yield DeferredList([self._start(number).whenReady() for number in range(1, self._count)])
        if not self._stopping:
            self._tellReady(first.lines)
            self._log.info("{count} workers are ready", count=self._count)

    def _start(self, number: int) -> Worker:
        """
        Start a worker. It takes its place once it is ready, or at once where nobody is there.
        """
        name = str(next(self._names))
        handlers: dict[str, Handler] = {
            question: partial(self._hub.answer, name, question) for question in QUESTIONS
        }
        handlers["metrics"] = lambda _: self.gatherMetrics()
        handlers["askAll"] = self.askAll
        worker = Worker(number, handlers, self._reactor.seconds(), self._errors)
        worker.whenEnded().addCallback(self._givenBack, name)
        self._all.add(worker)
        if number not in self._workers:
            self._workers[number] = worker
        descriptors: dict[int, str | int] = {
            1: 1,
            2: 2 if self._errors is None else "r",
            FROM_SUPERVISOR: "w",
            TO_SUPERVISOR: "r",
        }
        for place, (_, bound) in enumerate(self._sockets):
            descriptors[FIRST_SOCKET + place] = bound.fileno()
        environ = {
            **self._environ,
            NUMBER: str(number),
            COUNT: str(self._count),
            SOCKETS: ",".join(name for name, _ in self._sockets),
        }
        self._reactor.spawnProcess(
            worker, self._command[0], self._command, env=environ, childFDs=descriptors
        )
        worker.whenReady().addCallback(self._started, worker)
        worker.whenEnded().addCallback(self._ended, worker)
        return worker

    def _givenBack(self, status: int, name: str) -> int:
        self._hub.workerEnded(name)
        return status

    def _started(self, ready: bool, worker: Worker) -> bool:
        if ready:
            self._begun = True
            self._workers[worker.number] = worker
            self._ready.inc()
            self._log.info("worker {number} is ready", number=worker.number)
        return ready

    def _ended(self, status: int, worker: Worker) -> int:
        self._all.discard(worker)
        if worker.wasReady:
            self._ready.dec()
        if self._workers.get(worker.number) is worker:
            del self._workers[worker.number]
            # Before anything worked once, a worker that ends says that nothing will.
            if self._begun and not self._stopping:
                self._restart(worker, status)
        return status

    def _restart(self, worker: Worker, status: int) -> None:
        """
        A worker ended unasked: start another one, later each time that it happens again.
        """
        number = worker.number
        lived = self._reactor.seconds() - worker.started
        failures = 0 if lived >= STEADY else self._failures.get(number, 0)
        self._failures[number] = failures + 1
        delay = min(FIRST_DELAY * 2**failures, LONGEST_DELAY)
        self._metrics.counter(rows.RESTARTS).inc()
        self._log.error(
            "worker {number} ended with status {status}; another one starts in {delay:g} s",
            number=number,
            status=status,
            delay=delay,
        )
        self._timers[number] = self._reactor.callLater(delay, self._startAgain, number)

    def _startAgain(self, number: int) -> None:
        del self._timers[number]
        if number not in self._workers:
            self._start(number)

    @inlineCallbacks
    def _roll(self) -> Any:
        try:
            for number in range(self._count):
                old = self._workers.get(number)
                ready = yield self._start(number).whenReady()
                if self._stopping:
                    return
                if not ready:
                    self._log.error(
                        "worker {number} cannot be replaced; the others stay as they are",
                        number=number,
                    )
                    return
                if old is not None:
                    yield self._retire(old)
            self._log.info("all workers were replaced")
        finally:
            self._rolling = False
        if self._rollAgain and not self._stopping:
            self._rollAgain = False
            self.roll()

    def _retire(self, worker: Worker) -> Deferred[Any]:
        """
        Ask a worker to drain.

        @return: Fires when it is gone.
        """
        gone: Deferred[Any] = Deferred()
        killing = deferLater(self._reactor, self._grace, worker.signal, "KILL")
        killing.addErrback(lambda _: None)

        def ended(status: int) -> int:
            killing.cancel()
            gone.callback(None)
            return status

        if worker not in self._all:
            killing.cancel()
            gone.callback(None)
            return gone
        worker.whenEnded().addCallback(ended)
        worker.signal("TERM")
        return gone


def socketNames(environ: Mapping[str, str]) -> Iterable[tuple[str, int]]:
    """
    The listening sockets of a worker: name and file descriptor.
    """
    for place, name in enumerate(environ.get(SOCKETS, "").split(",")):
        if name:
            yield name, FIRST_SOCKET + place
