# -*- test-case-name: aero.tunnel.streams.test.test_sender -*-
"""
Share one WebSocket among the streams that have something to send.

While the WebSocket takes everything, what a stream writes is sent at once. When it does not,
each stream keeps what it has, and once there is room again they take turns, with pieces that
are the smaller the more of them there are: a stream with a few bytes to say waits for one
short round and not for the megabytes of another.

What is sent while the frames of one read are handled is gathered and written together.
"""

from __future__ import annotations

from collections import deque
from typing import Callable, Sequence

from .stream import MAX_DATA_BYTES, MuxStream, dataFrame

#: Bytes written at once, about what a transport buffers before it pauses its producer.
BATCH_BYTES = 262_144
#: The shortest turn of a stream.
_LEAST_TURN = 8_192


class FairSender:
    """
    The order of everything that goes to one client.

    @ivar repliedBytes: Bytes that L{send} sent while the WebSocket was paused: they are sent
        unasked, so whoever causes them has to be stopped. Reset by L{resumed}.
    """

    def __init__(
        self, sendMessages: Callable[[Sequence[bytes]], object], isPaused: Callable[[], bool]
    ) -> None:
        """
        @param sendMessages: Writes messages, each of them one frame.
        @param isPaused: Whether the WebSocket takes no more for now.
        """
        self.repliedBytes = 0
        self._sendMessages = sendMessages
        self._isPaused = isPaused
        self._turns: deque[MuxStream] = deque()
        self._waiting: set[MuxStream] = set()
        self._batch: list[bytes] = []
        self._batchBytes = 0
        self._corked = False
        self._pumping = False

    @property
    def hasRoom(self) -> bool:
        """
        Whether a stream may send at once.
        """
        return not self._turns and not self._pumping and not self._isPaused()

    def sendData(self, streamId: int, data: bytes) -> int:
        """
        Send data of a stream that has nothing waiting, if there is room and nobody waits.

        @return: How many bytes were sent.
        """
        size = len(data)
        if not self.hasRoom:
            return 0
        if size <= MAX_DATA_BYTES:
            self._write([dataFrame(streamId, data)], size)
            return size
        sent = 0
        view = memoryview(data)
        while sent < size and not self._isPaused():
            stop = min(size, sent + BATCH_BYTES)
            frames = [
                dataFrame(streamId, bytes(view[at : min(stop, at + MAX_DATA_BYTES)]))
                for at in range(sent, stop, MAX_DATA_BYTES)
            ]
            self._write(frames, stop - sent)
            sent = stop
        return sent

    def send(self, frame: bytes) -> None:
        """
        Send a frame that does not wait for anything.
        """
        if self._isPaused():
            self.repliedBytes += len(frame)
        self._write([frame], len(frame))

    def enqueue(self, stream: MuxStream) -> None:
        """
        A stream has something to send when it is its turn.
        """
        if stream not in self._waiting:
            self._waiting.add(stream)
            self._turns.append(stream)

    def cork(self) -> None:
        """
        Gather what is sent until L{uncork}.
        """
        self._corked = True

    def uncork(self) -> None:
        """
        Write what was gathered.
        """
        self._corked = False
        self._flush()

    def resumed(self) -> None:
        """
        The WebSocket has room again.
        """
        self.repliedBytes = 0
        self._pump()

    def clear(self) -> None:
        """
        The WebSocket is gone.
        """
        self._turns.clear()
        self._waiting.clear()
        self._batch = []

    def _pump(self) -> None:
        """
        Let the streams take turns until the WebSocket is full. What they are told after their
        turn may make them write more, which then has to wait for the next.
        """
        if self._pumping:
            return
        self._pumping = True
        turns = self._turns
        while turns and not self._isPaused():
            frames: list[bytes] = []
            served: list[MuxStream] = []
            size = 0
            limit = max(_LEAST_TURN, min(MAX_DATA_BYTES, BATCH_BYTES // len(turns)))
            while turns and size < BATCH_BYTES:
                stream = turns.popleft()
                taken = stream.takeOutput(limit)
                frames += taken
                size += sum(map(len, taken))
                if stream.hasOutput:
                    turns.append(stream)
                else:
                    self._waiting.discard(stream)
                served.append(stream)
            if frames:
                self._write(frames, size)
            for stream in served:
                stream.outputTaken()
        self._pumping = False

    def _write(self, frames: list[bytes], size: int) -> None:
        if not self._corked:
            self._sendMessages(frames)
            return
        self._batch += frames
        self._batchBytes += size
        if self._batchBytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        self._batchBytes = 0
        if batch:
            self._sendMessages(batch)
