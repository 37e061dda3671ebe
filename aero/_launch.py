# -*- test-case-name: aero.test.test_launch -*-
"""
The command that starts the server: in the foreground, or in the background.

twistd's own way into the background returns before the listeners are bound by workers, cuts an
error to 98 bytes, and waits forever when a start ends with C{SystemExit}. So aero goes into the
background itself: the command that the operator typed waits until the server is ready or has
failed, prints the ready line or the sentence, and ends with the status.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Any, Callable, MutableMapping, NoReturn, Sequence

from aero.errors import StartError

#: The file creation mask of a process in the background, as twistd has it.
UMASK = 0o077

#: What the waiting command prints when the server ended without a report.
SILENT_END = "the server ended before it was ready; its log has the reason"

#: What the waiting command prints when the operator interrupts it.
INTERRUPTED = "the server is still starting in the background"


class Launch:
    """
    One start of the server.

    @ivar inBackground: Whether the server leaves the terminal.
    """

    def __init__(
        self,
        twistd: MutableMapping[str, Any] | None = None,
        *,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
    ) -> None:
        """
        @param twistd: The options of twistd itself; without them the server runs in the
            foreground and has no file with its process id.
        @param stdout: Gets the ready line; standard output by default.
        @param stderr: Gets the sentence of an error; standard error by default.
        """
        self._twistd: MutableMapping[str, Any] = {"nodaemon": True} if twistd is None else twistd
        self.inBackground = not (self._twistd.get("nodaemon") or self._twistd.get("debug"))
        # The names sys.stdout and sys.stderr belong to the log once that has begun.
        self._stdout = stdout or sys.__stdout__
        self._stderr = stderr or sys.__stderr__
        self._status: int | None = None

    def check(self) -> None:
        """
        Check what twistd is going to need, before twistd fails with a traceback.

        @raise StartError: A directory or file cannot be used.
        """
        directory = self._twistd.get("rundir") or "."
        if not os.path.isdir(directory) or not os.access(directory, os.X_OK):
            raise StartError(
                f"cannot enter the directory {directory}: name another with twistd --rundir=PATH"
            )
        pidFile = self._twistd.get("pidfile")
        if pidFile and not _isWritable(Path(pidFile).absolute()):
            raise StartError(
                f"cannot write the file of the process id, {Path(pidFile).absolute()}: start in"
                " another directory, name another file with twistd --pidfile=PATH, or none with"
                " --pidfile="
            )
        if self._twistd.get("logger") or self._twistd.get("syslog"):
            return
        logFile = self._twistd.get("logfile") or ("twistd.log" if self.inBackground else "-")
        if logFile == "-":
            if self.inBackground:
                raise StartError(
                    "a server in the background cannot log to standard output: name a file with"
                    " twistd --logfile=PATH, or stay in the foreground with twistd -n"
                )
        elif not _isWritable(Path(logFile).absolute()):
            raise StartError(
                f"cannot write the log {Path(logFile).absolute()}: start in another directory, or"
                " name another file with twistd --logfile=PATH"
            )

    def detach(self) -> None:
        """
        Go into the background if twistd was asked to. In the process that the operator started
        this does not return: it waits for L{ready} or L{failed} of the other one.
        """
        if not self.inBackground:
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        reading, writing = os.pipe()
        if os.fork():
            os.close(writing)
            self._wait(reading)
        os.close(reading)
        os.setsid()
        if os.fork():
            os._exit(0)
        self._status = writing
        # The terminal, until the server is ready; the standard descriptors leave it now.
        self._stdout, self._stderr = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        # twistd need not do it again.
        self._twistd["nodaemon"] = True
        if self._twistd.get("umask") is None:
            self._twistd["umask"] = UMASK

    def ready(self, lines: Sequence[str]) -> None:
        """
        Everything listens.

        @param lines: What standard output gets.
        """
        for line in lines:
            _print(line, self._stdout)
        self._report(0)

    def failed(self, sentence: str, status: int = 1) -> None:
        """
        The server cannot start, and is about to end.

        @param sentence: The reason; empty where it was printed already.
        @param status: The exit status.
        """
        if sentence:
            _print(f"aero: {sentence}", self._stderr)
        self._removePIDFile()
        self._report(status)

    def errorsTo(self, log: IO[str] | None) -> Callable[[bytes], None]:
        """
        Take what workers of a server in the background write to standard error, which leads
        nowhere then.

        @param log: Gets all of it.
        @return: Takes whole lines. The one with which a worker says why it cannot start is
            printed too, until the start is over.
        """

        def received(data: bytes) -> None:
            text = data.decode("utf-8", "replace")
            for line in text.splitlines():
                if self._status is not None and line.startswith("aero: "):
                    _print(line, self._stderr)
            if log is not None:
                log.write(text)
                log.flush()

        return received

    def _report(self, status: int) -> None:
        descriptor, self._status = self._status, None
        if descriptor is None:
            return
        os.write(descriptor, bytes([status & 0xFF]))
        os.close(descriptor)
        for stream in (self._stdout, self._stderr):
            if stream is not None:
                stream.close()
        self._stdout = self._stderr = None

    def _wait(self, reading: int) -> NoReturn:
        """
        Wait for the server in the background, and end with its status.
        """
        try:
            told = os.read(reading, 1)
        except KeyboardInterrupt:
            _print(f"aero: {INTERRUPTED}", self._stderr)
            os._exit(130)
        if not told:
            _print(f"aero: {SILENT_END}", self._stderr)
        os._exit(told[0] if told else 1)

    def _removePIDFile(self) -> None:
        """
        Remove the file with the number of this process. twistd leaves it behind when a start
        ends with C{SystemExit}.
        """
        name = self._twistd.get("pidfile")
        try:
            if name and int(Path(name).read_text()) == os.getpid():
                os.unlink(name)
        except (OSError, ValueError):
            return


def _print(line: str, stream: IO[str] | None) -> None:
    """
    Write a line to somebody who may be gone.
    """
    if stream is None:
        return
    try:
        print(line, file=stream, flush=True)
    except OSError:
        return


def _isWritable(path: Path) -> bool:
    """
    Whether a file can be written, or made.
    """
    if path.exists():
        return path.is_file() and os.access(path, os.W_OK) and os.access(path.parent, os.X_OK)
    return path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)
