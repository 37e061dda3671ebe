# -*- test-case-name: aero.http.test.test_h2stream -*-
"""
The streams of one HTTP/2 connection that have something to send, each in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import Protocol

#: Bytes that one stream writes before it is the next one's turn.
_QUANTUM = 65_536

#: So many bytes of room an empty frame takes: it makes progress too, so that a turn never lasts
#: for ever.
_FRAME = 64


class Sender(Protocol):
    """
    A stream, as far as it sends.

    @ivar isReady: Whether it is in the rota.
    """

    isReady: bool

    @property
    def streamId(self) -> int:
        """
        Its id.
        """

    @property
    def hasOutput(self) -> bool:
        """
        Whether there is something to send, window or not.
        """

    def send(self, room: int) -> tuple[int, int]:
        """
        Send so many bytes at the most.

        @return: How many bytes that was, and in how many frames.
        """


class Rota:
    """
    The order in which streams send.
    """

    def __init__(self, open: Container[int]) -> None:
        """
        @param open: The ids of the streams that there are.
        """
        self._open = open
        self._ready: deque[Sender] = deque()

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, stream: Sender) -> bool:
        """
        A stream may have something to send.

        @return: Whether it has and was not known to.
        """
        if stream.isReady or not stream.hasOutput:
            return False
        stream.isReady = True
        self._ready.append(stream)
        return True

    def clear(self) -> None:
        """
        Nobody sends any more.
        """
        self._ready.clear()

    def fill(self, room: int) -> int:
        """
        Let each ready stream in its turn send a part.

        @param room: Bytes at the most, in all.
        @return: How many frames were sent.
        """
        ready, total = self._ready, 0
        while ready and room > 0:
            stream = ready.popleft()
            if stream.streamId not in self._open:
                continue
            stream.isReady = False
            sent, frames = stream.send(min(room, _QUANTUM))
            room -= sent + frames * _FRAME
            total += frames
            if frames and stream.hasOutput and not stream.isReady:
                stream.isReady = True
                ready.append(stream)
        return total
