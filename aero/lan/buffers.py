# -*- test-case-name: aero.lan.test.test_buffers -*-
"""
The memory of a guest's TCP connections, out of one budget for all guests.

Bytes that were acknowledged must not be lost, so a connection reserves what it may hold before it
may hold it. A client that has little gets large buffers. The more of its budget a client uses, the
smaller the buffers of its next connections are; when nothing is left, connections are refused.

A connection begins with L{FIRST} bytes for each direction where there is a limit at all. Its
buffers grow to the size of the settings as it fills them, while the client has half of its budget
left.
"""

from __future__ import annotations

from typing import Any, Callable, Final

from aero.policy.budget import Budget
from aero.stack.commands import ConsumeTCP, LimitTCP

from .driver import StackDriver

#: Bytes that a connection begins with, for each direction, and the share of the budget that may be
#: in use for that. The smallest is what the settings allow at least.
FIRST: Final = ((65_536, 0.5), (16_384, 0.75), (4_096, 1.0))

#: What one byte of the buffer towards the guest stands for: itself, and one more that was read
#: from the target when there was no room.
_SEND: Final = 2
#: The same from the guest: itself, and one more that waits for the target.
_RECEIVE: Final = 2


class Buffers:
    """
    The buffers of one connection.

    @ivar send: Bytes of the buffer towards the guest; 0 where the connection is refused.
    @ivar receive: Bytes of the other.
    """

    __slots__ = ("_budget", "_key", "_most", "_set", "_share", "_taken", "receive", "send")

    def __init__(self, budget: Budget, key: str, most: int) -> None:
        """
        @param budget: For all guests.
        @param key: The client: L{aero.policy.quota.addressKey} of its address.
        @param most: The largest size of one buffer.
        """
        self.send = self.receive = 0
        self._budget = budget
        self._key = key
        self._most = most
        self._share = budget.share(key)
        self._set: Callable[[int, int], object] | None = None
        self._taken = 0  # from the guest since the buffer grew

    def reserve(self) -> bool:
        """
        Reserve what the connection begins with.

        @return: Whether there is any; if not, it must be refused.
        """
        most = self._most
        if self._usage(0) < 0.0:
            sizes = [(most, 1.0)]
        else:
            sizes = [(min(size, most), usage) for size, usage in FIRST]
        for size, usage in sizes:
            wanted = size * (_SEND + _RECEIVE)
            if self._usage(wanted) <= usage and self._share.take(wanted):
                self.send = self.receive = size
                return True
        self._share.take(sizes[-1][0] * (_SEND + _RECEIVE))  # which counts the refusal
        return False

    def apply(self, set: Callable[[int, int], object]) -> None:
        """
        Tell the stack, now and whenever they grow.

        @param set: Called with the sizes towards and from the guest.
        """
        self._set = set
        if self.send < self._most:
            set(self.send, self.receive)

    def full(self) -> bool:
        """
        The buffer towards the guest is full.

        @return: Whether it is larger now.
        """
        more = min(self._most - self.send, self.send)
        if not self._grow(more * _SEND):
            return False
        self.send += more
        self._tell()
        return True

    def taken(self, size: int) -> None:
        """
        The other side took bytes of the guest; a buffer that was taken once may be larger.
        """
        if self.receive >= self._most:
            return
        self._taken += size
        if self._taken < self.receive:
            return
        self._taken = 0
        more = min(self._most - self.receive, self.receive)
        if self._grow(more * _RECEIVE):
            self.receive += more
            self._tell()

    def close(self) -> None:
        """
        Give everything back.
        """
        self._share.close()

    def _grow(self, size: int) -> bool:
        return size > 0 and self._usage(size) <= FIRST[0][1] and self._share.take(size)

    def _tell(self) -> None:
        if self._set is not None:
            self._set(self.send, self.receive)

    def _usage(self, size: int) -> float:
        """
        The part of its budget that the client would use with so many bytes more, or of the
        budget of all if that is more; -1.0 without a limit.
        """
        budget = self._budget
        usage = -1.0
        if budget.mostPerKey > 0:
            usage = (budget.usedBy(self._key) + size) / budget.mostPerKey
        if budget.most > 0:
            usage = max(usage, (budget.used + size) / budget.most)
        return usage


class Buffered:
    """
    The part of a guest's connection that has buffers of its own size.

    @ivar buffers: Its memory; C{None} for the sizes of the settings and no budget.
    """

    buffers: Buffers | None = None
    clientFactory: Any = None

    number: int
    _driver: StackDriver
    _sendBuffer: int

    def useBuffers(self, buffers: Buffers) -> None:
        """
        Have buffers out of a budget.
        """
        self.buffers = buffers
        buffers.apply(self.setBuffers)

    def setBuffers(self, send: int, receive: int) -> None:
        """
        Change the sizes towards and from the guest.
        """
        self._sendBuffer = send
        self._driver.apply(LimitTCP(self.number, receive, send))

    def forgotten(self) -> None:
        """
        Nothing more can happen.
        """
        if self.buffers is not None:
            self.buffers.close()
        if self.clientFactory is not None:
            self.clientFactory.doStop()

    def room(self) -> int:
        """
        Bytes that the send buffer has room for; 0 and less when it is full.
        """
        return self._driver.stack.sendRoom(self.number)

    def isFull(self) -> bool:
        """
        Whether the send buffer is full, and can get no larger.
        """
        while self.room() <= 0:
            if self.buffers is None or not self.buffers.full():
                return True
        return False

    def consumed(self, size: int) -> None:
        """
        The protocol took data: open the window.
        """
        self._driver.apply(ConsumeTCP(self.number, size))
        if self.buffers is not None:
            self.buffers.taken(size)
