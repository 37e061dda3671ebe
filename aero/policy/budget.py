# -*- test-case-name: aero.policy.test.test_budget -*-
"""
One limit on bytes that wait, summed over everything a client has open and over the process.

A limit for each connection, stream or tunnel multiplies by their number. A L{Budget} does not:
every holder takes a L{Share} of it, and each byte that a share holds counts twice, for the
client and for the process.
"""

from __future__ import annotations

from typing import Callable


class Budget:
    """
    The bytes that may wait at once.

    @ivar used: Bytes held by all shares.
    @ivar most: The most bytes for the process; 0 is no limit.
    @ivar mostPerKey: The most bytes for one client; 0 is no limit.
    """

    def __init__(
        self,
        most: int,
        mostPerKey: int = 0,
        *,
        changed: Callable[[int], object] = lambda used: None,
        refused: Callable[[str], object] = lambda scope: None,
    ) -> None:
        """
        @param most: The most bytes for the process; 0 is no limit.
        @param mostPerKey: The most bytes for one key; 0 is no limit.
        @param changed: Called with the bytes in use after each change, for a gauge.
        @param refused: Called with C{process} or C{client} for each refusal, for a counter.
        """
        self.used = 0
        self.most = most
        self.mostPerKey = mostPerKey
        self._changed = changed
        self._refused = refused
        self._byKey: dict[str, int] = {}

    def share(self, key: str) -> Share:
        """
        Make the share of one connection, stream or tunnel. It holds nothing yet.

        @param key: The client: L{aero.policy.quota.addressKey} of its address.
        """
        return Share(self, key)

    def usedBy(self, key: str) -> int:
        """
        Bytes that the shares of one client hold.
        """
        return self._byKey.get(key, 0)

    def take(self, key: str, size: int) -> bool:
        """
        Take bytes for a client. L{Share.take} is the usual way to call this.

        @return: Whether they were there; otherwise nothing was taken.
        """
        held = self._byKey.get(key, 0)
        if 0 < self.most < self.used + size:
            self._refused("process")
            return False
        if 0 < self.mostPerKey < held + size:
            self._refused("client")
            return False
        self.add(key, size)
        return True

    def add(self, key: str, size: int) -> None:
        """
        Count bytes without asking: those that are already in memory, or given back (negative).
        """
        held = self._byKey.get(key, 0) + size
        if held:
            self._byKey[key] = held
        else:
            self._byKey.pop(key, None)
        self.used += size
        self._changed(self.used)


class Share:
    """
    The part of a budget that one holder has.

    @ivar held: Bytes that it holds.
    """

    __slots__ = ("_budget", "_key", "held")

    def __init__(self, budget: Budget, key: str) -> None:
        self._budget = budget
        self._key = key
        self.held = 0

    def take(self, size: int) -> bool:
        """
        Hold more bytes, if the client and the process may.

        @param size: Bytes, not negative.
        @return: Whether they may; otherwise nothing changed.
        """
        if not self._budget.take(self._key, size):
            return False
        self.held += size
        return True

    def hold(self, size: int) -> bool:
        """
        Hold this many bytes from now on, which are in memory already, whatever the limits are.

        @return: Whether they are within the limits; if not, the holder should stop its source.
        """
        if self.resize(size):
            return True
        self._budget.add(self._key, size - self.held)
        self.held = size
        return False

    def resize(self, size: int) -> bool:
        """
        Hold this many bytes from now on. Shrinking always succeeds.

        @return: Whether it could; otherwise the share holds what it held.
        """
        if size > self.held:
            return self.take(size - self.held)
        self.give(self.held - size)
        return True

    def give(self, size: int) -> None:
        """
        Give bytes back.

        @raise ValueError: The share does not hold so many, which is a mistake of the caller.
        """
        if size > self.held:
            raise ValueError("more bytes were given back than the share holds")
        if size:
            self.held -= size
            self._budget.add(self._key, -size)

    def close(self) -> None:
        """
        Give everything back. Calling it again does nothing.
        """
        self.give(self.held)
