# -*- test-case-name: aero.stack.test.test_framequeue -*-
"""
Frames that wait for the guest.
"""

from __future__ import annotations

from collections import deque


class FrameQueue:
    """
    A queue with a bound in bytes, beyond which the newest frame is lost: those that are in it
    were asked for first.

    @ivar size: Bytes waiting.
    """

    def __init__(self, maxBytes: int) -> None:
        self._maxBytes = maxBytes
        self._frames: deque[bytes] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: bytes) -> bool:
        """
        Append a frame.

        @return: Whether there was room for it.
        """
        if self.size + len(frame) > self._maxBytes:
            return False
        self._frames.append(frame)
        self.size += len(frame)
        return True

    def take(self, limit: int) -> list[bytes]:
        """
        Remove and return the oldest frames, at most so many.
        """
        frames = self._frames
        if len(frames) <= limit:
            taken = list(frames)
            frames.clear()
            self.size = 0
            return taken
        taken = [frames.popleft() for _ in range(limit)]
        self.size -= sum(map(len, taken))
        return taken
