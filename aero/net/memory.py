# -*- test-case-name: aero.net.test.test_memory -*-
"""
Keep the C library from giving memory back between two chunks of a transfer, and have it give
back what is free when much was freed.

glibc returns the top of the heap to the kernel whenever 128 KiB of it are free, and the next
read of 64 KiB then faults every page in again. On a bulk transfer that was a third of all
processor time. Freeing one large block once makes glibc raise that limit by itself
(C{mallopt(3)}, "dynamic mmap threshold"), without a foreign call and without touching the
block's pages; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import Callable

from twisted.internet.interfaces import IReactorTime

#: Seconds after a fall from a peak at which memory is returned.
RELEASE_DELAY = 5.0
#: So many bytes less than at the last peak are a reason to return memory to the system.
RELEASE_BYTES = 16_777_216

#: The block. glibc then keeps up to twice as much free memory.
BLOCK_BYTES = 8 * 1024 * 1024


@cache
def keepFreedMemory() -> None:
    """
    Raise the limit, once in the life of the process.
    """
    block = bytes(BLOCK_BYTES)
    del block


def returnFreedMemory() -> bool:
    """
    Give the memory that is free back to the system (C{malloc_trim(3)}): glibc by itself gives back
    only what lies above the last block in use. Objects that refer to each other in a circle are
    freed first. This takes milliseconds, up to a tenth of a second after hundreds of megabytes.

    @return: Whether this C library can do that.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


class ReleaseAfterPeak:
    """
    Returns memory some time after something fell far from its peak: bytes that waited, or open
    connections. Returning it costs time, so small changes and a steady load lead to nothing.
    """

    def __init__(self, clock: IReactorTime, fall: int, release: Callable[[], object]) -> None:
        """
        @param fall: The least fall from the peak, in the unit of L{changed}.
        @param release: Returns freed memory: L{returnFreedMemory}.
        """
        self._clock = clock
        self._fall = fall
        self._release = release
        self._level = self._peak = 0
        self._isDue = False

    def changed(self, level: int) -> None:
        """
        There is so much now.
        """
        self._level = level
        if level > self._peak:
            self._peak = level
        elif self._peak - level >= self._fall and not self._isDue:
            self._isDue = True
            self._clock.callLater(RELEASE_DELAY, self._releaseNow)

    def _releaseNow(self) -> None:
        self._isDue = False
        self._peak = self._level
        self._release()
