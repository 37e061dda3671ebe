# -*- test-case-name: aero.tunnel.ethernet.test.test_quota -*-
"""
What one tunnel may cost: bytes in its life, messages in a second (l2.md section 10).
"""

from __future__ import annotations

from typing import Sequence

from aero.metrics import CounterRow
from aero.metrics import l2 as rows
from aero.wire.l2tunnel import HEADER_BYTES


class MessageQuota:
    """
    The counts of one tunnel.

    Each method gives the row that counts the limit which is exceeded, or C{None}.

    @ivar isMetered: Whether there is any limit.
    """

    __slots__ = ("_bytes", "_count", "_maxBytes", "_maxFPS", "_windowStart", "isMetered")

    def __init__(self, maxBytes: int, maxFPS: int, now: float) -> None:
        """
        @param maxBytes: Bytes of messages, both ways; 0 is no limit.
        @param maxFPS: Messages from the guest in one second; 0 is no limit.
        """
        self.isMetered = bool(maxBytes or maxFPS)
        self._maxBytes = maxBytes
        self._maxFPS = maxFPS
        self._bytes = 0
        self._count = 0
        self._windowStart = now

    def received(self, size: int, now: float) -> CounterRow | None:
        """
        The guest sent a message. The second that messages are counted in begins anew with the
        first message after it.
        """
        if self.sent(size):
            return rows.CLOSED_QUOTA_BYTES
        if self._maxFPS:
            if now - self._windowStart >= 1.0:
                self._windowStart, self._count = now, 0
            self._count += 1
            if self._count > self._maxFPS:
                return rows.CLOSED_QUOTA_FPS
        return None

    def sent(self, size: int) -> CounterRow | None:
        """
        A message is about to be sent to the guest; it must not be where it exceeds the limit.
        """
        if self._maxBytes:
            self._bytes += size
            if self._bytes > self._maxBytes:
                return rows.CLOSED_QUOTA_BYTES
        return None

    def sentFrames(self, frames: Sequence[bytes]) -> int:
        """
        Frames are about to be sent.

        @return: How many of them may be, from the first.
        """
        if not self._maxBytes:
            return len(frames)
        for index, frame in enumerate(frames):
            if self.sent(HEADER_BYTES + len(frame)):
                return index
        return len(frames)
