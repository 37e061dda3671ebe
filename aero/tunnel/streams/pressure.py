# -*- test-case-name: aero.tunnel.streams.test.test_pressure -*-
"""
When to stop reading a client whose uploads are faster than their targets.

All streams of a WebSocket arrive on one connection, and C{aero-tcp-mux-v1} has no credits: to
slow down one stream its client has to be slowed down as a whole. So there are two evils, to
make other streams wait and to end a stream whose queue is full, and this is the rule that
weighs them:

  - A stream is I{congested} while more waits for its target than should.
  - The client is not read while some stream is congested and every stream that it has sent
    data on within the last second is: then nobody else is made to wait.
  - Nor is it read while a congested stream is half way to its limit, whoever else is busy: most
    congestion is over in a moment, and a stream is not to be lost because of it.
  - It is read again as soon as one of them is relieved. The first kind of pause lasts as long
    as the congested targets take anything at all, and L{PATIENCE} without that; the second
    kind lasts L{GRACES} times L{GRACE} as long as they do, and L{GRACE} without. After that
    the streams that were the cause are I{given up}: until they are relieved they hold up
    nobody, and when they reach their limit they end.
"""

from __future__ import annotations

from typing import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .stream import MuxStream

#: Seconds without data from the client after which a stream does not count as busy.
QUIET = 1.0
#: Seconds that a target which takes nothing may hold up its client when nobody else is busy.
PATIENCE = 10.0
#: Seconds that it may when somebody is, and how many times that a target which takes something.
GRACE = 0.25
GRACES = 4


class UploadPressure:
    """
    The rule for one client.

    @ivar holding: Whether the client is not to be read.
    """

    def __init__(
        self,
        clock: IReactorTime,
        streams: Callable[[], Iterable[MuxStream]],
        *,
        pause: Callable[[], object],
        resume: Callable[[], object],
        gaveUp: Callable[[], object],
    ) -> None:
        """
        @param streams: The client's streams.
        @param pause: Stop reading the client.
        @param resume: Read it again.
        @param gaveUp: A stream was given up.
        """
        self.holding = False
        self._clock = clock
        self._streams = streams
        self._pause = pause
        self._resume = resume
        self._gaveUp = gaveUp
        self._congested: dict[MuxStream, object] = {}  # with its progress when last looked at
        self._given: set[MuxStream] = set()
        self._call: IDelayedCall | None = None
        self._patient = False
        self._graces = 0

    def streamCongested(self, stream: MuxStream) -> None:
        """
        Too much waits for a stream's target.
        """
        self._congested[stream] = stream.progress()

    def streamRelieved(self, stream: MuxStream) -> None:
        """
        Nothing does any more, or the stream is over.
        """
        self._given.discard(stream)
        if self._congested.pop(stream, self) is not self:
            self._release()

    def readHandled(self) -> None:
        """
        Decide, now that the data of one read has been given to the streams.
        """
        if not self._congested or self.holding:
            return
        now = self._clock.seconds()
        patient = not any(
            stream.heard > now - QUIET and stream.remoteOpen
            for stream in self._streams()
            if stream not in self._congested and stream not in self._given
        )
        if patient or self._anyFull():
            self.holding = True
            self._patient = patient
            self._graces = 0
            for stream in self._congested:
                self._congested[stream] = stream.progress()
            self._call = self._clock.callLater(PATIENCE if patient else GRACE, self._waited)
            self._pause()

    def stop(self) -> None:
        """
        The client is gone.
        """
        self._congested.clear()
        self._given.clear()
        self.holding = False
        self._cancel()

    def _waited(self) -> None:
        """
        Time is up: go on waiting for targets that are slow, but not for those that stand still.
        """
        self._call = None
        self._graces += 1
        waiting = self._patient or self._graces < GRACES
        for stream, before in list(self._congested.items()):
            progress = stream.progress()
            if waiting and progress != before:
                self._congested[stream] = progress
            elif self._patient or stream.isFull:
                del self._congested[stream]
                self._given.add(stream)
                self._gaveUp()
        if waiting and (self._congested if self._patient else self._anyFull()):
            self._call = self._clock.callLater(PATIENCE if self._patient else GRACE, self._waited)
        else:
            self._release()

    def _anyFull(self) -> bool:
        return any(stream.isFull for stream in self._congested)

    def _release(self) -> None:
        if self.holding:
            self.holding = False
            self._cancel()
            self._resume()

    def _cancel(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
