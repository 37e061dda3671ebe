# -*- test-case-name: tests.test_start -*-
"""
The choice of the reactor: asyncio, on uvloop where it is installed.

WebRTC needs an asyncio loop, and C{twistd} would pick another reactor as soon as somebody
imports the default one. When C{twistd} builds the plugin's options nothing is chosen yet,
so that is the moment to choose.
"""

from __future__ import annotations

import asyncio
import select
import signal
import sys
from types import FrameType
from typing import Any, Callable, Iterable

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.process import reapAllProcesses

from aero.errors import StartError

#: Seconds between two looks for sockets that broke unnoticed.
SWEEP_INTERVAL = 1.0


class UVLoopReactor(AsyncioSelectorReactor):
    """
    The asyncio reactor on uvloop, with the connections noticed that uvloop gives up on.

    When a socket has an error, uvloop calls its reader and writer once more and then closes
    its poll handle for good. A reader that still found data then, as it does when a peer
    sends something and resets the connection at once, never hears of the reset: the
    connection would stay forever, and the first write to it would raise C{RuntimeError}.

    So a write that meets a closed handle replaces it, and once a second one C{poll} over all
    sockets finds those with errors, whose handles are replaced as well. The new handle
    reports the error at once.

    uvloop also puts a wake-up descriptor of its own in the place of the one through which Twisted
    hears of children that ended: they would stay zombies, and nobody would be told. A handler
    that does not need the descriptor takes its place.
    """

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        """
        Begin to look for broken sockets.
        """
        super().startRunning(installSignalHandlers=installSignalHandlers)
        if installSignalHandlers:
            signal.signal(signal.SIGCHLD, self._childEnded)
        self.callLater(SWEEP_INTERVAL, self._sweep)  # type: ignore[no-untyped-call]

    def addReader(self, reader: Any) -> None:
        """
        Watch for something to read.
        """
        self._add(super().addReader, reader)

    def addWriter(self, writer: Any) -> None:
        """
        Watch for room to write.
        """
        self._add(super().addWriter, writer)

    def _childEnded(self, number: int, frame: FrameType | None) -> None:
        self.callFromThread(reapAllProcesses)  # type: ignore[no-untyped-call]

    def _add(self, add: Callable[[Any], None], selectable: Any) -> None:
        try:
            add(selectable)
        except RuntimeError:
            self._renew(selectable)
            add(selectable)

    def _renew(self, selectable: Any) -> None:
        """
        Watch a socket with a new handle, for what it is watched for now.
        """
        fd = selectable.fileno()
        if fd < 0:
            return
        self._asyncioEventloop.remove_reader(fd)
        self._asyncioEventloop.remove_writer(fd)
        if self._readers.pop(selectable, None) is not None:
            super().addReader(selectable)  # type: ignore[no-untyped-call]
        if self._writers.pop(selectable, None) is not None:
            super().addWriter(selectable)  # type: ignore[no-untyped-call]

    def _sweep(self) -> None:
        self.callLater(SWEEP_INTERVAL, self._sweep)  # type: ignore[no-untyped-call]
        watched = {fd: selectable for selectable, fd in self._readers.items()}
        watched.update((fd, selectable) for selectable, fd in self._writers.items())
        for fd in _broken(watched):
            self._renew(watched[fd])


def _broken(descriptors: Iterable[int]) -> list[int]:
    """
    Those descriptors that have an error or were hung up on.
    """
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, 0)
    return [fd for fd, _ in poll.poll(0)]


def installReactor() -> None:
    """
    Put the asyncio reactor in place, unless a reactor is there already.

    @raise StartError: Another kind of reactor was asked for.
    """
    if "twisted.internet.reactor" not in sys.modules:
        _install()
    reactor = sys.modules["twisted.internet.reactor"]
    if not isinstance(reactor, AsyncioSelectorReactor):
        raise StartError(
            f"aero runs on the asyncio reactor, not on {type(reactor).__name__}: leave --reactor"
            " out, or say --reactor=asyncio"
        )


def _install() -> None:
    from twisted.internet.main import installReactor as install

    try:
        import uvloop
    except ImportError:
        install(AsyncioSelectorReactor(asyncio.new_event_loop()))
    else:
        install(UVLoopReactor(uvloop.new_event_loop()))
