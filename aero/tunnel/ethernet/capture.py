# -*- test-case-name: aero.tunnel.ethernet.test.test_capture -*-
"""
One PCAPNG file for each tunnel (l2.md section 19).

Frames are put into blocks where they pass and written by a thread, one write of a file at a
time, so that a slow disk holds up no guest. What gathers meanwhile is bounded: beyond it frames
are left out of the file, and counted. A file has a size, and so have all files of the process
together; one that reached either stays as it is.
"""

from __future__ import annotations

import os
from typing import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from aero.metrics import Metrics
from aero.metrics import l2 as rows
from aero.settings.l2 import L2Settings
from aero.wire.pcapng import enhancedPacket, interfaceDescription, packetSize, sectionHeader

#: What a file begins with.
HEADER = sectionHeader("aero-l2-proxy") + interfaceDescription("l2-tunnel")

#: Bytes after which a buffer is written, and the most that wait for the disk.
WRITE_BYTES = 65_536
MAX_PENDING_BYTES = 4_194_304

#: Runs a function in a thread.
RunInThread = Callable[[Callable[[], int]], "Deferred[int]"]

_log = Logger(namespace="aero.l2.capture")


class Captures:
    """
    The capture files of a process.
    """

    def __init__(
        self,
        settings: L2Settings,
        *,
        clock: IReactorTime,
        metrics: Metrics,
        runInThread: RunInThread,
        now: Callable[[], float],
    ) -> None:
        """
        @param now: Seconds since 1970.
        """
        self.settings = settings
        self.clock = clock
        self.runInThread = runInThread
        self.now = now
        self.frames = metrics.counter(rows.CAPTURE_FRAMES)
        self.dropped = metrics.counter(rows.CAPTURE_FRAMES_DROPPED)
        self.bytes = metrics.counter(rows.CAPTURE_BYTES)
        self.errors = metrics.counter(rows.CAPTURE_ERRORS)
        self.total = 0
        self.isFull = False
        self._open = 0
        self._idle: list[Deferred[None]] = []
        self._directory = settings.captureDir if settings.captureDir.strip() else ""
        if self._directory:
            self._prepare()

    def _prepare(self) -> None:
        """
        Make the directory; without it there are no captures, and everything else works.
        """
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
        except OSError as error:
            self.errors.inc()
            _log.warn(
                "cannot create the capture directory {path}: {error}; nothing is captured",
                path=self._directory,
                error=error.strerror,
            )
            self._directory = ""

    def begin(self, number: int) -> Capture | NoRoom | None:
        """
        Begin the file of a tunnel.

        @return: C{None} where nothing is captured. Where all files together have no room for
            another there is no file, and what it would have had is counted.
        """
        if not self._directory:
            return None
        most = self.settings.captureTotalBytes
        if most and self.total + len(HEADER) > most:
            if not self.isFull:
                self.isFull = True
                _log.warn(
                    "the captures have {size} of AERO_L2_CAPTURE_MAX_TOTAL_BYTES={most} bytes:"
                    " there are no more files",
                    size=self.total,
                    most=most,
                )
            return NoRoom(self)
        name = f"{int(self.now() * 1000):013d}-session-{number}.pcapng"
        self._open += 1
        return Capture(self, os.path.join(self._directory, name))

    def ended(self) -> None:
        """
        A file is complete.
        """
        self._open -= 1
        if not self._open:
            waiting, self._idle = self._idle, []
            for waiter in waiting:
                waiter.callback(None)

    def whenIdle(self) -> Deferred[None]:
        """
        Fires when no file is open.
        """
        if not self._open:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._idle.append(waiter)
        return waiter


class NoRoom:
    """
    In the place of a file for which there is no room.
    """

    def __init__(self, captures: Captures) -> None:
        self._dropped = captures.dropped

    def record(self, frames: Sequence[bytes], direction: int) -> None:
        """
        Count frames that are in no file.
        """
        self._dropped.inc(len(frames))

    def end(self) -> None:
        """
        There is nothing to close.
        """


class Capture:
    """
    The file of one tunnel.
    """

    def __init__(self, captures: Captures, path: str) -> None:
        settings = captures.settings
        self._captures = captures
        self._path = path
        self._maxBytes = settings.captureMaxBytes
        self._maxTotal = settings.captureTotalBytes
        self._interval = settings.captureFlush
        self._file: int | None = None
        self._blocks = [HEADER]
        self._size = len(HEADER)  # of the file once everything is written
        self._buffered = len(HEADER)
        self._writing = 0  # bytes that the thread has
        self._full = self._broken = self._over = False
        self._timer: IDelayedCall | None = None
        captures.total += len(HEADER)
        if self._interval:
            self._write()

    def record(self, frames: Sequence[bytes], direction: int) -> None:
        """
        Put frames into the file.

        @param direction: See L{aero.wire.pcapng.enhancedPacket}.
        """
        captures = self._captures
        if self._full or self._broken:
            captures.dropped.inc(len(frames))
            return
        nanoseconds = int(captures.now() * 1e9)
        taken = 0
        for frame in frames:
            size = packetSize(len(frame))
            if self._exceeds(size):
                self._full = True
                break
            if self._buffered + self._writing + size > MAX_PENDING_BYTES:
                break
            self._blocks.append(enhancedPacket(frame, nanoseconds, direction))
            self._size += size
            self._buffered += size
            captures.total += size
            taken += 1
        captures.frames.inc(taken)
        if taken < len(frames):
            captures.dropped.inc(len(frames) - taken)
        if self._buffered >= WRITE_BYTES:
            self._write()
        elif self._buffered and self._interval and self._timer is None:
            self._timer = captures.clock.callLater(self._interval, self._flush)

    def end(self) -> None:
        """
        The tunnel is over: write the rest and close the file.
        """
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._write()

    def _exceeds(self, size: int) -> bool:
        """
        Whether a block has no room in this file, or in all of them.
        """
        if self._maxBytes and self._size + size > self._maxBytes:
            return True
        return bool(self._maxTotal) and self._captures.total + size > self._maxTotal

    def _flush(self) -> None:
        self._timer = None
        self._write()

    def _write(self) -> None:
        """
        Have everything that gathered written, unless a write goes on: that looks again.
        """
        if self._writing or not (self._buffered or self._over):
            return
        blocks, self._blocks = self._blocks, []
        self._writing, self._buffered = max(self._buffered, 1), 0
        last = self._over
        work = self._captures.runInThread(lambda: self._work(b"".join(blocks), last))
        work.addCallbacks(self._captures.bytes.inc, self._failed)
        work.addCallback(lambda ignored: self._wrote(last))

    def _work(self, data: bytes, last: bool) -> int:
        """
        Write, in a thread.

        @return: The bytes that were written.
        """
        if self._broken:
            return 0
        if self._file is None:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            last = True
            raise
        finally:
            if last:
                file, self._file = self._file, None
                os.close(file)
        return len(data)

    def _failed(self, failure: Failure) -> None:
        """
        The file is what it is; the tunnel goes on.
        """
        self._broken = True
        self._captures.errors.inc()
        if failure.check(OSError):
            _log.warn("cannot write {path}: {error}", path=self._path, error=failure.value)
        else:
            _log.failure("Writing {path} failed", failure=failure, path=self._path)

    def _wrote(self, last: bool) -> None:
        self._writing = 0
        if not last:
            if self._over or self._buffered >= WRITE_BYTES:
                self._write()
            return
        if not self._broken:
            _log.info("wrote capture file {path}", path=self._path)
        self._captures.ended()
