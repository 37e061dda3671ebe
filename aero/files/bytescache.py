# -*- test-case-name: aero.files.test.test_bytescache -*-
"""
A cache of byte strings with a bound in bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, Hashable, Protocol, TypeVar

_K = TypeVar("_K", bound=Hashable)

#: What an entry costs besides its bytes: key, list node, object headers. It keeps a cache of
#: many tiny or empty entries bounded too.
OVERHEAD: Final = 512


class _Gauge(Protocol):
    def set(self, value: float) -> None: ...


class BytesCache(Generic[_K]):
    """
    The most recently used byte strings, as many as fit.

    @ivar held: The bytes accounted for, L{OVERHEAD} included.
    """

    def __init__(self, limit: int, gauge: _Gauge | None = None) -> None:
        """
        @param limit: The most bytes to hold; 0 holds nothing.
        @param gauge: Told what is held whenever that changes.
        """
        self.limit = limit
        self.held = 0
        self._gauge = gauge
        self._entries: OrderedDict[_K, bytes] = OrderedDict()

    def get(self, key: _K) -> bytes | None:
        """
        The bytes of a key, which become the most recently used.
        """
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: _K, value: bytes) -> None:
        """
        Keep the bytes of a key. What alone exceeds the limit is not kept, and evicts nothing.
        """
        old = self._entries.pop(key, None)
        if old is not None:
            self.held -= len(old) + OVERHEAD
        cost = len(value) + OVERHEAD
        if cost <= self.limit:
            self._entries[key] = value
            self.held += cost
            while self.held > self.limit:
                _, dropped = self._entries.popitem(last=False)
                self.held -= len(dropped) + OVERHEAD
        if self._gauge is not None:
            self._gauge.set(self.held)
