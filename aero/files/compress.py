# -*- test-case-name: aero.files.test.test_compress -*-
"""
Compressing files on the fly, once.

The work runs in a thread; zlib and zstd let go of the interpreter while they compress. All
requests that come for the same file and coding meanwhile wait for the one result instead of
getting plain bytes: the wait is shorter than sending the larger body over most links, and a
client never sees the same URL change its entity tag without the file having changed. What
must not wait is everything else, so the bytes being compressed at once are bounded, and a
request beyond that bound gets the plain file.
"""

from __future__ import annotations

import os
import zlib
from time import perf_counter
from typing import Callable, Final

import zstandard
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from aero.metrics import Metrics
from aero.metrics import static as rows

from .bytescache import BytesCache
from .filebody import Torn, readExactly
from .webroot import Stamp

#: Bodies up to this many bytes stay as they are: there is nothing to gain (edge.md section 7).
MINIMUM: Final = 512

# Each body is compressed once and sent many times, so the levels are above the usual ones for
# streams. This zstd level looks back 4 MiB at most, and browsers refuse more than 8 (RFC 9659).
_ZSTD_LEVEL: Final = 10
_GZIP_LEVEL: Final = 7
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS

_Key = tuple[Stamp, bytes]


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, _GZIP_LEVEL, _GZIP_WINDOW)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)


_CODECS: Final[dict[bytes, Callable[[bytes], bytes]]] = {b"zstd": _zstd, b"gzip": _gzip}

#: The codings on offer, the one preferred first.
CODINGS: Final[tuple[bytes, ...]] = tuple(_CODECS)


class Compressor:
    """
    The compressed bodies of files, made when first asked for and kept while there is room.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        cacheBytes: int,
        maxFileBytes: int,
        reactor: IReactorFromThreads,
        pool: ThreadPool,
        metrics: Metrics,
    ) -> None:
        """
        @param cacheBytes: Bytes of results to keep, and of files being compressed at once.
        @param maxFileBytes: The largest file to compress.
        """
        # A result that could not be kept would be made again for every request.
        self._largest = min(maxFileBytes, cacheBytes)
        self._limit = cacheBytes
        self._reactor = reactor
        self._pool = pool
        self._metrics = metrics
        self._cache: BytesCache[_Key] = BytesCache(
            cacheBytes, metrics.gauge(rows.CACHE_BYTES, "compressed")
        )
        self._waiting: dict[_Key, list[Deferred[bytes]]] = {}
        self._working = 0

    def accepts(self, size: int) -> bool:
        """
        Whether a file of this size is compressed at all.
        """
        return MINIMUM < size <= self._largest

    def cached(self, stamp: Stamp, coding: bytes) -> bytes | None:
        """
        A result made before: empty where compressing did not make the file smaller, C{None}
        where it was not tried.
        """
        return self._cache.get((stamp, coding))

    def compress(
        self, stamp: Stamp, coding: bytes, openFile: Callable[[], int]
    ) -> Deferred[bytes] | None:
        """
        Compress a file, or wait for it where that is under way.

        @param openFile: Gives a descriptor of exactly this version, which is then owned here.
            Called only when the work begins.
        @return: The body; empty where the plain file is to be sent. C{None} when too much
            is being compressed already.
        """
        key = (stamp, coding)
        waiting = self._waiting.get(key)
        if waiting is None:
            if self._working + stamp.size > self._limit:
                self._metrics.counter(rows.COMPRESSIONS, coding.decode("ascii"), "busy").inc()
                return None
            descriptor = openFile()
            waiting = self._waiting[key] = []
            result: Deferred[bytes] = Deferred()
            waiting.append(result)
            self._working += stamp.size
            work = deferToThreadPool(
                self._reactor, self._pool, _compressed, descriptor, stamp, coding
            )
            work.addCallbacks(self._stored, self._failed, callbackArgs=(key,), errbackArgs=(key,))
            return result
        result = Deferred()
        waiting.append(result)
        return result

    def _stored(self, made: tuple[bytes, float], key: _Key) -> None:
        body, seconds = made
        stamp, coding = key
        label = coding.decode("ascii")
        self._metrics.histogram(rows.COMPRESSION_SECONDS, label).observe(seconds)
        useful = len(body) < stamp.size
        if not useful:
            body = b""
        self._metrics.counter(rows.COMPRESSIONS, label, "stored" if useful else "useless").inc()
        self._cache.put(key, body)
        self._release(key, body)

    def _failed(self, failure: Failure, key: _Key) -> None:
        self._metrics.counter(rows.COMPRESSIONS, key[1].decode("ascii"), "failed").inc()
        if not failure.check(Torn):
            self._log.failure("Compressing a file failed", failure)
        self._release(key, b"")

    def _release(self, key: _Key, body: bytes) -> None:
        self._working -= key[0].size
        for waiting in self._waiting.pop(key):
            waiting.callback(body)


def _compressed(descriptor: int, stamp: Stamp, coding: bytes) -> tuple[bytes, float]:
    """
    Runs in a thread: the compressed file and the seconds that it took.
    """
    try:
        began = perf_counter()
        body = _CODECS[coding](readExactly(descriptor, stamp, 0, stamp.size))
        return body, perf_counter() - began
    finally:
        os.close(descriptor)
