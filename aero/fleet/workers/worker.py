# -*- test-case-name: aero.fleet.workers.test.test_supervisor -*-
"""
One worker, as its supervisor sees it.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from .channel import Handler, WorkerChannel

#: File descriptor of standard error, and the bytes of one line of it that wait for its end.
STDERR, MAX_LINE = 2, 65_536

#: File descriptors of a worker: what the supervisor says, what it answers, and the first of its
#: listening sockets.
FROM_SUPERVISOR, TO_SUPERVISOR, FIRST_SOCKET = 3, 4, 5

#: The variables that make a process a worker: its number, how many there are, and the names of
#: the sockets that it inherited.
NUMBER, COUNT, SOCKETS = "AERO_WORKER", "AERO_WORKER_COUNT", "AERO_WORKER_SOCKETS"
MEMBER_VARIABLES = (NUMBER, COUNT, SOCKETS)


class Worker(ProcessProtocol):
    """
    One process.

    @ivar number: Which of the workers it is; one that takes the place of another has its number.
    @ivar channel: The conversation with it.
    @ivar lines: What it would have printed when it was ready.
    @ivar isReady: Whether it listens.
    @ivar wasReady: Whether it ever did.
    @ivar started: When it was started, in seconds of the supervisor's clock.
    """

    def __init__(
        self,
        number: int,
        handlers: Mapping[str, Handler],
        started: float,
        errors: Callable[[bytes], None] | None = None,
    ) -> None:
        """
        @param errors: Takes what it writes to standard error, in whole lines.
        """
        self.number = number
        self._errors = errors
        self._line = b""
        self.channel = WorkerChannel({**handlers, "ready": self._ready})
        self.lines: Sequence[str] = ()
        self.isReady = self.wasReady = False
        self.started = started
        self._whenReady: Deferred[bool] = Deferred()
        self._whenEnded: Deferred[int] = Deferred()

    def whenReady(self) -> Deferred[bool]:
        """
        Fires once: with C{True} when it listens, with C{False} when it ended before it did.
        """
        return self._whenReady

    def whenEnded(self) -> Deferred[int]:
        """
        Fires once with the exit status; a signal counts as its negative number.
        """
        return self._whenEnded

    def signal(self, name: str) -> None:
        """
        Send a signal, if it is still there.
        """
        transport: IProcessTransport | None = self.transport
        if transport is not None:
            try:
                transport.signalProcess(name)
            except ProcessExitedAlready:
                return

    # -- ProcessProtocol

    def connectionMade(self) -> None:
        """
        The process was started.
        """
        self.channel.makeConnection(_Pipes(self.transport))  # type: ignore[no-untyped-call]

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It said something.
        """
        if childFD == TO_SUPERVISOR:
            self.channel.dataReceived(data)  # type: ignore[no-untyped-call]
        elif childFD == STDERR and self._errors is not None:
            lines, newline, self._line = (self._line + data).rpartition(b"\n")
            if lines or newline:
                self._errors(lines + newline)
            if len(self._line) > MAX_LINE:
                line, self._line = self._line, b""
                self._errors(line)

    def processEnded(self, reason: Failure) -> None:
        """
        It is gone.
        """
        self.channel.connectionLost(Failure(ConnectionDone()))
        value: Any = reason.value
        status = -value.signal if value.signal is not None else value.exitCode or 0
        self.isReady = False
        if self._line and self._errors is not None:
            line, self._line = self._line, b""
            self._errors(line + b"\n")
        if not self._whenReady.called:
            self._whenReady.callback(False)
        self._whenEnded.callback(status)

    def _ready(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.isReady = self.wasReady = True
        if not self._whenReady.called:
            self._whenReady.callback(True)


class _Pipes:
    """
    The pipe to the process as the transport of a protocol that only writes.
    """

    disconnecting = False

    def __init__(self, process: Any) -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        """
        Write to the process.
        """
        self._process.writeToChild(FROM_SUPERVISOR, data)

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """
        Write to the process.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        The other end broke the form of the conversation: it cannot be relied on any more.
        """
        self._process.signalProcess("KILL")
