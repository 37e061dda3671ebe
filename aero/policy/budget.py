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
    @ivar floor: Bytes that each client may hold although the process has no more to give.
    """

    def __init__(
        self,
        most: int,
        mostPerKey: int = 0,
        *,
        floor: int = 0,
        changed: Callable[[int], object] = lambda used: None,
        refused: Callable[[str], object] = lambda scope: None,
    ) -> None:
        """
        @param most: The most bytes for the process; 0 is no limit.
        @param mostPerKey: The most bytes for one key; 0 is no limit.
        @param floor: Bytes that each client may hold although the process has no more to give, so
            that a few clients that hold everything do not shut out all the others.
        @param changed: Called with the bytes in use after each change, for a gauge.
        @param refused: Called with C{process} or C{client} for each refusal, for a counter.
        """
        self.used = 0
        self.most = most
        self.mostPerKey = mostPerKey
        self.floor = floor
        self._changed = changed
        self._refused = refused
        self._byKey: dict[str, int] = {}

    def share(self, key: str | None) -> Share:
        """
        Make the share of one connection, stream or tunnel. It holds nothing yet.

        @param key: The client: L{aero.policy.quota.addressKey} of its address; C{None} for a
            connection that is not one client's, such as a trusted proxy's.
        """
        return Share(self, key)

    def usedBy(self, key: str) -> int:
        """
        Bytes that the shares of one client hold.
        """
        return self._byKey.get(key, 0)

    def isTight(self, key: str | None) -> bool:
        """
        Whether more than half of what a client or the process may hold is held, so that the
        client should hold no more than it must.
        """
        held = 0 if key is None else self._byKey.get(key, 0)
        return 0 < self.most < 2 * self.used or 0 < self.mostPerKey < 2 * held

    def take(self, key: str | None, size: int, part: float = 1.0) -> bool:
        """
        Take bytes for a client. L{Share.take} is the usual way to call this.

        @param part: The part of the limits that may be in use afterwards; the rest is left for
            what matters more.
        @return: Whether they were there; otherwise nothing was taken.
        """
        held = 0 if key is None else self._byKey.get(key, 0)
        if 0 < self.most * part < self.used + size and (key is None or held + size > self.floor):
            self._refused("process")
            return False
        if 0 < self.mostPerKey * part < held + size:
            self._refused("client")
            return False
        self.add(key, size)
        return True

    def add(self, key: str | None, size: int) -> None:
        """
        Count bytes without asking: those that are already in memory, or given back (negative).
        """
        self.used += size
        if key is not None:
            self._addFor(key, size)
        self._changed(self.used)

    def _addFor(self, key: str, size: int) -> None:
        held = self._byKey.get(key, 0) + size
        if held:
            self._byKey[key] = held
        else:
            self._byKey.pop(key, None)


class Share:
    """
    The part of a budget that one holder has.

    @ivar held: Bytes that it holds.
    """

    __slots__ = ("_budget", "_key", "held")

    def __init__(self, budget: Budget, key: str | None) -> None:
        self._budget = budget
        self._key = key
        self.held = 0

    def take(self, size: int, part: float = 1.0) -> bool:
        """
        Hold more bytes, if the client and the process may.

        @param size: Bytes, not negative.
        @param part: See L{Budget.take}.
        @return: Whether they may; otherwise nothing changed.
        """
        if not self._budget.take(self._key, size, part):
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
        self.keep(size)
        return False

    def resize(self, size: int, part: float = 1.0) -> bool:
        """
        Hold this many bytes from now on. Shrinking always succeeds.

        @param part: See L{Budget.take}.
        @return: Whether it could; otherwise the share holds what it held.
        """
        if size > self.held:
            return self.take(size - self.held, part)
        self.give(self.held - size)
        return True

    @property
    def isTight(self) -> bool:
        """
        See L{Budget.isTight}.
        """
        return self._budget.isTight(self._key)

    def keep(self, size: int) -> None:
        """
        Hold this many bytes from now on without asking, because they are in memory already.
        """
        more = size - self.held
        if more:
            self.held = size
            self._budget.add(self._key, more)

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
