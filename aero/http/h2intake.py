# -*- test-case-name: aero.http.test.test_h2intake -*-
"""
What has arrived on one HTTP/2 connection and waits for its turn.

L{Intake} counts it in the budget of the client, hands it out in slices, and reads from the
transport only while there is a place for more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aero.net.unsent import unsentBytes
from aero.policy.budget import Share

from .buffers import BODY_PART
from .h2frames import Frame, FrameSplitter
from .turns import Turns

#: Frames in one slice at the most.
_FRAMES = 128

#: From so many bytes that wait for their turn on, no more is read.
_BACKLOG = 16_384

#: So much of a frame or header block may wait for its rest although nothing more may wait.
_TORN = 4_096


class Intake:
    """
    The input of a connection.

    @ivar frames: What was not taken yet.
    """

    def __init__(
        self, transport: Any, share: Share, turns: Turns, client: str, work: Callable[[], bool]
    ) -> None:
        """
        @param share: Holds what waits on the connection itself; its streams have their own.
        @param client: Whose turn it is when there is input.
        @param work: Takes a L{slice} and says whether there is more that can be taken.
        """
        self.frames = FrameSplitter()
        self._transport = transport
        self._share = share
        self._turns = turns
        self._seat = turns.seat(client, work)
        self._paused = False

    def add(self, data: bytes, choked: bool) -> None:
        """
        More arrived.

        @param choked: Whether it must wait until the client takes what was written.
        """
        self.frames.add(data)
        if not choked:
            self._seat.run()

    def goOn(self) -> None:
        """
        What had to wait for the client need not wait any more.
        """
        if self.frames.hasFrame:
            self._seat.run()

    def slice(self) -> Iterator[Frame]:
        """
        Take frames until the turn is over.

        @raise FrameTooLarge: See L{FrameSplitter.take}.
        """
        for _ in range(_FRAMES):
            frame = self.frames.take()
            if frame is None:
                break
            yield frame
            if self._turns.isOver():
                break

    def account(self, choked: bool) -> bool:
        """
        Count what waits, and read more only where there is a place.

        @param choked: Whether the client has to take what was written first.
        @return: Whether it may wait; otherwise the connection is to end.
        """
        waiting = self.frames.waiting
        held = waiting + self.frames.blockBytes
        if choked:
            self._share.keep(held + unsentBytes(self._transport))
        elif held <= _TORN or self._seat.isWaiting:
            self._share.keep(held)
        elif not self._share.resize(held, BODY_PART):
            return False
        self._read(not choked and waiting <= _BACKLOG)
        return True

    def stop(self) -> None:
        """
        Nothing more is taken. What arrives is dropped, so that the end of the connection is seen.
        """
        self._seat.close()
        self.frames = FrameSplitter()
        self._read(True)

    def keep(self, size: int) -> None:
        """
        Count what the client has not taken of a connection that is being closed.
        """
        self._share.keep(size)

    def close(self) -> None:
        """
        The connection is gone.
        """
        self._seat.close()
        self._share.close()

    def _read(self, wanted: bool) -> None:
        if wanted == self._paused:
            self._paused = not wanted
            if wanted:
                self._transport.resumeProducing()
            else:
                self._transport.pauseProducing()
