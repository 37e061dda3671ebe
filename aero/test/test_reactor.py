"""
Tests for L{aero._reactor}.
"""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from aero import _reactor


class Loop:
    """
    An event loop as uvloop is: a handle that was closed refuses everything until it is removed.
    """

    def __init__(self) -> None:
        self.reading: set[int] = set()
        self.writing: set[int] = set()
        self.closed: set[int] = set()

    def breakHandle(self, fd: int) -> None:
        """
        The socket has an error; nobody is called any more.
        """
        self.reading.discard(fd)
        self.writing.discard(fd)
        self.closed.add(fd)

    def add_reader(self, fd: int, *call: Any) -> None:
        """
        See C{asyncio}.
        """
        self._check(fd)
        self.reading.add(fd)

    def add_writer(self, fd: int, *call: Any) -> None:
        """
        See C{asyncio}.
        """
        self._check(fd)
        self.writing.add(fd)

    def remove_reader(self, fd: int) -> None:
        """
        See C{asyncio}.
        """
        self.closed.discard(fd)
        self.reading.discard(fd)

    def remove_writer(self, fd: int) -> None:
        """
        See C{asyncio}.
        """
        self.closed.discard(fd)
        self.writing.discard(fd)

    def _check(self, fd: int) -> None:
        if fd in self.closed:
            raise RuntimeError("the handler is closed")


class Selectable:
    """
    A transport, as far as a reactor cares.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """
        Its descriptor.
        """
        return self._fd


class UVLoopReactorTests(SynchronousTestCase):
    """
    Connections that uvloop gives up on are not forgotten.
    """

    def setUp(self) -> None:
        self.loop = Loop()
        self.reactor = _reactor.UVLoopReactor.__new__(_reactor.UVLoopReactor)
        reactor: Any = self.reactor
        reactor._asyncioEventloop = self.loop
        reactor._readers, reactor._writers = {}, {}
        reactor._continuousPolling = mock.Mock(_readers={}, _writers={})
        self.delayed: list[Any] = []
        reactor.callLater = lambda delay, call: self.delayed.append(call)

    def test_writeToClosedHandle(self) -> None:
        """
        Writing to a connection whose handle was closed watches it anew, for reading as well.
        """
        connection = Selectable(7)
        self.reactor.addReader(connection)
        self.loop.breakHandle(7)
        self.reactor.addWriter(connection)
        self.assertEqual((self.loop.reading, self.loop.writing), ({7}, {7}))

    def test_sweep(self) -> None:
        """
        A connection that only waits to be read, and broke, is watched anew within a second;
        one that is whole is left alone.
        """
        broken, whole = os.pipe()
        idle, other = os.pipe()
        for fd in (broken, idle, other):
            self.addCleanup(os.close, fd)
        os.close(whole)  # the reading end of a pipe hangs up
        for fd in (broken, idle):
            self.reactor.addReader(Selectable(fd))
            self.loop.breakHandle(fd)
        self.reactor._sweep()
        self.assertEqual(self.loop.reading, {broken})
        self.assertEqual(self.delayed, [self.reactor._sweep])

    def test_gone(self) -> None:
        """
        A connection without a descriptor is not watched.
        """
        self.reactor._renew(Selectable(-1))
        self.assertEqual(self.loop.reading, set())
