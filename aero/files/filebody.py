# -*- test-case-name: aero.files.test.test_filebody -*-
"""
The bytes of one version of a file, and how they go out at the speed of the client.

A descriptor stays open for the whole response, so a file that is replaced by renaming goes
on being sent as it was. One that is rewritten in place cannot be: size and modification
time are looked at after every read, and when they differ the response is cut off rather
than completed with bytes of another version.

Reads happen on the reactor thread. A block is at most L{BLOCK} bytes: copying it out of the
page cache takes tens of microseconds, less than handing the work to a thread and back, and
even a cold block of a local disk is read ahead by the kernel because the access is
sequential. Compressing, which is slow, is what threads are for. Disk images are read here and
there and do not fit in any cache, so for them a sender may be given threads for the blocks that
are not in memory.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Callable, Final, Iterable, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from aero.http.replies import abort

from .ranges import ByteRange
from .webroot import Stamp

#: Bytes read and written at a time over HTTP/1.
BLOCK: Final = 262_144

#: The same over HTTP/2, where the connection is shared: what waits is counted for each stream,
#: and smaller blocks keep that count close to where the stream wants it.
FRAMED_BLOCK: Final = 131_072

#: The same where so many bytes wait for the client, or for all of them, that no more should.
TIGHT_BLOCK: Final = 16_384

#: Bytes between two that are looked for in the page cache; the least that Linux reads ahead.
PROBE_STRIDE: Final = 65_536

_NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)

#: Runs a function that may wait for a disk, somewhere else.
Runner = Callable[..., Deferred[bytes]]

#: Blocks written before other connections get a turn, when the transport never says stop.
BURST: Final = 4


_log = Logger()


class Torn(Exception):
    """
    The file is no longer the version that was promised.
    """


class Body(Protocol):
    """
    Bytes that can be read at any offset.
    """

    size: int

    def isReady(self, offset: int, length: int) -> bool:
        """
        Whether these bytes can be read without waiting for a disk, as far as that can be told.
        """

    def read(self, offset: int, length: int) -> bytes:
        """
        Exactly C{length} bytes.

        @raise Torn: See there.
        """

    def close(self) -> None:
        """
        Let go of what backs the bytes.
        """


class MemoryBody:
    """
    Bytes in memory.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def isReady(self, offset: int, length: int) -> bool:
        """
        Always.
        """
        return True

    def read(self, offset: int, length: int) -> bytes:
        """
        See L{Body.read}.
        """
        if offset == 0 and length == self.size:
            return self.data
        return self.data[offset : offset + length]

    def close(self) -> None:
        """
        Nothing to do.
        """


class FileBody:
    """
    An open file.
    """

    def __init__(self, descriptor: int, stamp: Stamp) -> None:
        """
        @param descriptor: Owned by this object from now on.
        """
        self.size = stamp.size
        self._descriptor = descriptor
        self._stamp = stamp

    def isReady(self, offset: int, length: int) -> bool:
        """
        Whether the page cache has these bytes; see L{isCached}.
        """
        return isCached(self._descriptor, offset, length)

    def read(self, offset: int, length: int) -> bytes:
        """
        See L{Body.read}.
        """
        return readExactly(self._descriptor, self._stamp, offset, length)

    def close(self) -> None:
        """
        Close the file; more than once does nothing.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def readExactly(descriptor: int, stamp: Stamp, offset: int, length: int) -> bytes:
    """
    Read bytes of one version of a file.

    @raise Torn: There are fewer, the file has changed, or the disk failed.
    """
    try:
        data = os.pread(descriptor, length, offset)
        status = os.fstat(descriptor)
    except OSError as error:
        raise Torn from error
    # The inode's change time is not compared: it moves when the name is taken away, which
    # is what an atomic replacement does and leaves these bytes alone.
    if len(data) != length or status.st_mtime_ns != stamp.modified or status.st_size != stamp.size:
        raise Torn
    return data


def isCached(descriptor: int, offset: int, length: int) -> bool:
    """
    Whether the page cache has a part of a file.

    A byte of every L{PROBE_STRIDE} is asked for without waiting, as the kernel reads ahead in
    larger pieces than that. Where a file system cannot answer, everything counts as there.
    """
    if _NOWAIT is None:
        return True
    probe = bytearray(1)
    last = offset + length - 1
    try:
        for at in (*range(offset, last, PROBE_STRIDE), last):
            os.preadv(descriptor, (probe,), at, _NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@implementer(IPushProducer)
class BodySender:
    """
    Sends pieces of a body after the headers were set, then finishes the response.

    At most one block is in the hands of this object, and the transport is given the next one
    only while it takes more, so a slow client costs one block and the transport's buffer
    whatever the size of the file.
    """

    def __init__(
        self,
        request: Request,
        body: Body,
        pieces: Iterable[bytes | ByteRange],
        *,
        clock: IReactorTime,
        torn: Callable[[], None],
        run: Runner | None = None,
    ) -> None:
        """
        @param body: Closed when the response ends, in whatever way.
        @param pieces: Literal bytes and ranges of the body, in the order to be sent.
        @param torn: Called when the response had to be broken off.
        @param run: Reads what is not in memory; by default that happens here.
        """
        self._request = request
        self._body = body
        self._pieces: deque[bytes | ByteRange] = deque(pieces)
        self._clock = clock
        self._torn = torn
        self._run = run
        self._reading = False
        self._block = FRAMED_BLOCK if request.clientproto == b"HTTP/2" else BLOCK
        self._paused = False
        self._writing = False
        self._done = False
        self._turn: Any = None

    def start(self) -> None:
        """
        Begin to send.
        """
        self._request.notifyFinish().addErrback(self._connectionLost)
        self._request.registerProducer(self, True)
        self._write()

    def pauseProducing(self) -> None:
        """
        The transport has enough for now.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The transport takes more.
        """
        self._paused = False
        self._write()

    def stopProducing(self) -> None:
        """
        The transport is gone.
        """
        self._close()

    def _write(self) -> None:
        # A transport may resume its producer from inside write(); the loop below goes on then.
        if self._writing or self._reading or self._turn is not None:
            return
        self._writing = True
        budget = BURST
        try:
            while not (self._paused or self._done):
                if not self._pieces:
                    self._finish()
                elif budget == 0:
                    self._turn = self._clock.callLater(0, self._nextTurn)
                    break
                elif self._run is not None and self._mustWait():
                    self._readLater(self._run)
                    break
                else:
                    budget -= 1
                    self._request.write(self._nextBlock())
        except Torn:
            self._breakOff()
        finally:
            self._writing = False

    def _mustWait(self) -> bool:
        piece = self._pieces[0]
        if isinstance(piece, bytes):
            return False
        return not self._body.isReady(piece.start, min(self._blockSize(), piece.stop - piece.start))

    def _readLater(self, run: Runner) -> None:
        """
        Have the next block read while others get their turn.
        """
        self._reading = True
        start, length = self._takeRange()
        run(self._body.read, start, length).addCallback(self._read).addErrback(self._readFailed)

    def _read(self, data: bytes) -> None:
        self._reading = False
        if self._done:
            # The client left meanwhile, and the file had to stay open for the thread.
            self._body.close()
            return
        self._request.write(data)
        self._turn = self._clock.callLater(0, self._nextTurn)

    def _readFailed(self, failure: Failure) -> None:
        self._reading = False
        if self._done:
            self._body.close()
            return
        if failure.check(Torn) is None:
            _log.failure("A block of a file cannot be read", failure=failure)
        self._breakOff()

    def _breakOff(self) -> None:
        self._close()
        self._torn()
        abort(self._request)

    def _nextTurn(self) -> None:
        self._turn = None
        self._write()

    def _nextBlock(self) -> bytes:
        piece = self._pieces[0]
        if isinstance(piece, bytes):
            self._pieces.popleft()
            return piece
        return self._body.read(*self._takeRange())

    def _blockSize(self) -> int:
        tight = getattr(self._request.channel, "isTight", False) is True
        return TIGHT_BLOCK if tight else self._block

    def _takeRange(self) -> tuple[int, int]:
        """
        Take the next block off the range that comes next: its offset and length.
        """
        piece = self._pieces.popleft()
        assert isinstance(piece, ByteRange)
        stop = min(piece.start + self._blockSize(), piece.stop)
        if stop < piece.stop:
            self._pieces.appendleft(ByteRange(stop, piece.stop))
        return piece.start, stop - piece.start

    def _finish(self) -> None:
        self._close()
        self._request.unregisterProducer()
        self._request.finish()

    def _connectionLost(self, reason: Failure) -> None:
        self._close()

    def _close(self) -> None:
        self._done = True
        if not self._reading:
            self._body.close()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
