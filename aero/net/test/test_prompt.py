"""
Tests for L{aero.net.prompt} and L{aero.net.memory}.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from aero.net.memory import keepFreedMemory
from aero.net.prompt import READ_BYTES, directWriter, promptWriter, readMore


class Quiet:
    """
    A reactor that notes who wants to write.
    """

    def __init__(self) -> None:
        self.writers: set[object] = set()

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)


class _ConnectedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        near, self.far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(self.far.close)
        self.far.setblocking(False)
        self.reactor = Quiet()
        reactor: Any = self.reactor
        self.transport = Connection(near, Protocol(), reactor)
        self.transport.connected = 1


class PromptWriterTests(_ConnectedTestCase):
    """
    Writing now.
    """

    def test_writes(self) -> None:
        """
        What was written is in the socket at once, and the reactor has nothing left to do.
        """
        self.transport.writeSequence([b"head", b"body"])
        promptWriter(self.transport)()
        self.assertEqual(self.far.recv(100), b"headbody")
        self.assertEqual(self.reactor.writers, set())

    def test_fullSocket(self) -> None:
        """
        What the socket does not take is left to the reactor.
        """
        self.transport.write(b"x" * 4_000_000)
        promptWriter(self.transport)()
        self.assertTrue(self.far.recv(100))
        self.assertEqual(self.reactor.writers, {self.transport})

    def test_brokenSocket(self) -> None:
        """
        A broken socket is left to the reactor as well.
        """
        self.far.close()
        self.transport.write(b"x")
        promptWriter(self.transport)()
        self.assertEqual(self.reactor.writers, {self.transport})

    def test_readMore(self) -> None:
        """
        A plain TCP connection reads a quarter of a megabyte at once; others are left alone.
        """
        readMore(self.transport)
        self.assertEqual(self.transport.bufferSize, READ_BYTES)
        readMore(StringTransport())

    def test_others(self) -> None:
        """
        Nothing is done to a transport of another kind.
        """
        transport = StringTransport()
        promptWriter(transport)()
        self.assertEqual(transport.value(), b"")


class DirectWriterTests(_ConnectedTestCase):
    """
    Writing past the buffer of a transport.
    """

    def test_writes(self) -> None:
        """
        The socket has the bytes at once, and neither the transport nor the reactor has anything
        to do with it.
        """
        self.assertEqual(directWriter(self.transport)(memoryview(b"at once")), 7)
        self.assertEqual(self.far.recv(100), b"at once")
        self.assertEqual(self.reactor.writers, set())

    def test_fullSocket(self) -> None:
        """
        A socket takes what it can, then nothing, and what is written then comes after that.
        """
        write, data = directWriter(self.transport), memoryview(b"x" * 4_000_000)
        taken = 0
        while step := write(data[taken:]):
            taken += step
        self.assertLess(taken, len(data))
        self.transport.write(b"last")
        received = bytearray()
        while not received.endswith(b"last"):
            received += self.far.recv(1_000_000)
            self.transport.doWrite()
        self.assertEqual(received, b"x" * taken + b"last")

    def test_order(self) -> None:
        """
        Nothing goes past what waits already.
        """
        self.transport.write(b"first")
        self.assertEqual(directWriter(self.transport)(memoryview(b"second")), 0)

    def test_closing(self) -> None:
        """
        A connection that is being closed, half or whole, or is gone, takes nothing.
        """
        write = directWriter(self.transport)
        for attribute in ("disconnecting", "_writeDisconnected"):
            setattr(self.transport, attribute, True)
            self.assertEqual(write(memoryview(b"x")), 0, attribute)
            setattr(self.transport, attribute, False)
        self.transport.connected = 0
        self.assertEqual(write(memoryview(b"x")), 0)

    def test_brokenSocket(self) -> None:
        """
        A broken socket takes nothing, and the transport finds out by itself.
        """
        self.far.close()
        self.assertEqual(directWriter(self.transport)(memoryview(b"x")), 0)

    def test_others(self) -> None:
        """
        A transport of another kind gets nothing behind its back.
        """
        transport = StringTransport()
        self.assertEqual(directWriter(transport)(memoryview(b"x")), 0)
        self.assertEqual(transport.value(), b"")


class KeepFreedMemoryTests(SynchronousTestCase):
    """
    A hint to the C library.
    """

    def test_once(self) -> None:
        """
        It can be given any number of times.
        """
        keepFreedMemory()
        keepFreedMemory()
        self.assertEqual(keepFreedMemory.cache_info().currsize, 1)
