# -*- test-case-name: aero.net.test.test_prompt -*-
"""
Keep the C library from giving memory back between two chunks of a transfer.

glibc returns the top of the heap to the kernel whenever 128 KiB of it are free, and the next
read of 64 KiB then faults every page in again. On a bulk transfer that was a third of all
processor time. Freeing one large block once makes glibc raise that limit by itself
(C{mallopt(3)}, "dynamic mmap threshold"), without a foreign call and without touching the
block's pages; elsewhere it does nothing.
"""

from __future__ import annotations

from functools import cache

#: The block. glibc then keeps up to twice as much free memory.
BLOCK_BYTES = 8 * 1024 * 1024


@cache
def keepFreedMemory() -> None:
    """
    Raise the limit, once in the life of the process.
    """
    block = bytes(BLOCK_BYTES)
    del block
