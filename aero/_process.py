# -*- test-case-name: aero.test.test_process -*-
"""
The process around the composition: log observer, signals, the ready line, the drain.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Callable, Iterable, Protocol, Sequence

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from aero._launch import Launch
from aero.errors import StartError
from aero.log import Caution, SecurityWarning

#: What the operator is told about an error that nobody foresaw.
UNEXPECTED = "the server cannot start because of an unexpected error; its log has the reason"


class Drainable(Protocol):
    """
    Something with connections of its own.
    """

    def drain(self) -> Deferred[Any]:
        """
        Take nothing new and ask what is open to end; fires when nothing is left.
        """

    def abort(self) -> None:
        """
        End at once what did not end by itself.
        """


class ServerProcess(MultiService):
    """
    Starts the listeners, says so, and lets connections finish when the process is asked to stop.

    SIGTERM and SIGINT end the process with status 0 after the drain; a second one does not wait
    for it. Twisted's own handlers would end the process with the signal instead.
    """

    log = Logger(namespace="aero")

    def __init__(
        self,
        reactor: Any,
        *,
        ready: Callable[[], Iterable[str]],
        log: ILogObserver | None,
        listeners: Sequence[IService],
        drainables: Sequence[Drainable],
        drainStarted: Callable[[], None],
        reload: Callable[[], None],
        stopped: Callable[[], None],
        notices: Sequence[str],
        drainDelay: float,
        grace: float,
        launch: Launch | None = None,
    ) -> None:
        """
        @param ready: Gives the lines that standard output gets once everything listens; none where
            somebody else tells when the server is ready.
        @param log: Replaces twistd's log observer unless it is C{None}.
        @param drainStarted: Called first of all when the process is asked to stop.
        @param reload: Called on SIGHUP.
        @param stopped: Called last of all, when no connection is left.
        @param notices: Sentences for the operator, logged once the process is ready.
        @param drainDelay: Seconds between being not ready and accepting no more connections, for
            a load balancer to notice.
        @param grace: Seconds that open connections have after that.
        @param launch: Is told how the start went.
        """
        super().__init__()
        self._reactor = reactor
        self._ready = ready
        self._observer = log
        self._listeners = MultiService()
        self._listeners.setServiceParent(self)
        for listener in listeners:
            listener.setServiceParent(self._listeners)
        self._drainables = drainables
        self._drainStarted = drainStarted
        self._reload = reload
        self._stopped = stopped
        self._notices = notices
        self._drainDelay = drainDelay
        self._grace = grace
        self._launch = Launch() if launch is None else launch
        self._impatient: Deferred[None] | None = None

    def setServiceParent(self, parent: Any) -> None:
        """
        Become a part of twistd's application and give it the log observer.
        """
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """
        Bind every port, or end the process with one sentence.
        """
        try:
            super().privilegedStartService()
        except StartError as error:
            if self._launch.inBackground:
                self.log.error("{sentence}", sentence=str(error))
            self._launch.failed(str(error))
            raise SystemExit(1) from None

    def startService(self) -> None:
        """
        Accept connections and say so once the reactor runs.
        """
        super().startService()
        self._reactor.callWhenRunning(self._reactorStarted)

    @inlineCallbacks
    def stopService(self) -> Any:
        """
        Drain: not ready, then no new connections, then the open ones end, then the rest is cut.
        """
        self.log.info("stopping: {grace:g} s for open connections", grace=self._grace)
        impatient: Deferred[None] = Deferred()
        self._impatient = impatient
        self._drainStarted()
        if self._drainDelay:
            yield _firstOf(deferLater(self._reactor, self._drainDelay), impatient)
        yield self._listeners.stopService()
        drained = DeferredList([part.drain() for part in self._drainables], consumeErrors=True)
        yield _firstOf(drained, impatient, deferLater(self._reactor, self._grace))
        for part in self._drainables:
            part.abort()
        self._stopped()
        self.running = 0
        self.log.info("stopped")

    def _reactorStarted(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stopSignalled)
        signal.signal(signal.SIGHUP, self._reloadSignalled)
        try:
            lines = list(self._ready())
        except Exception:  # noqa: BLE001 (whatever it is, nobody must wait for a ready line)
            self.log.failure("The server cannot start")
            endStart(self._reactor, self._launch, UNEXPECTED)
            return
        if lines:
            tellReady(self._launch, self.log, lines)
        for notice in self._notices:
            self._notify(notice)

    def _notify(self, notice: str) -> None:
        if isinstance(notice, SecurityWarning):
            self.log.warn(
                "startup security warning: {notice} ({warning_code})",
                notice=str(notice),
                warning_code=notice.code,
                **notice.fields,
            )
        elif isinstance(notice, Caution):
            self.log.warn("{notice}", notice=str(notice))
        else:
            self.log.info("{notice}", notice=notice)

    def _stopSignalled(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._stopRequested)

    def _stopRequested(self) -> None:
        if self._impatient is not None:
            if not self._impatient.called:
                self._impatient.callback(None)
            return
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            self.log.debug("already stopping")

    def _reloadSignalled(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._reload)


def endStart(reactor: Any, launch: Launch, sentence: str, status: int = 1) -> None:
    """
    End a process that runs already and cannot start.

    @param sentence: See L{Launch.failed}.
    @param status: Its exit status, which twistd would replace with 0.
    """
    launch.failed(sentence, status)
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, status)
    reactor.stop()


def tellReady(launch: Launch, log: Logger, lines: Sequence[str]) -> None:
    """
    Print the ready line. The log of a server in the background has it too, because nobody sees
    the terminal later; in the foreground it would be there twice.
    """
    launch.ready(lines)
    if launch.inBackground:
        for line in lines:
            log.info("{line}", line=line)


def _firstOf(*events: Deferred[Any]) -> Deferred[Any]:
    """
    Fires when the first of several things has happened.
    """
    return DeferredList(events, fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True)
