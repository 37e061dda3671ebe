"""
Tests for L{aero.net.shallow}.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.net.shallow import UNSENT_BYTES, keepShallow


class Handle:
    """
    A socket as far as its options go.

    @ivar options: What was set.
    """

    def __init__(self, error: OSError | None = None) -> None:
        self.options: list[tuple[int, int, int]] = []
        self._error = error

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """
        Keep it, or fail.
        """
        if self._error is not None:
            raise self._error
        self.options.append((level, option, value))


class Layer:
    """
    A transport: a socket's, or one on another.
    """

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class ShallowTests(SynchronousTestCase):
    """
    L{keepShallow}.
    """

    def test_plain(self) -> None:
        """
        The bound is set on the socket of a TCP transport.
        """
        handle = Handle()
        self.assertTrue(keepShallow(Layer(socket=handle)))
        expected = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.assertEqual(handle.options, [expected])

    def test_layers(self) -> None:
        """
        Under TLS it is the socket at the bottom.
        """
        handle = Handle()
        lowest = Layer(socket=handle)
        self.assertTrue(keepShallow(Layer(transport=Layer(transport=lowest)), 4_096))
        self.assertEqual(handle.options[0][2], 4_096)

    def test_others(self) -> None:
        """
        What has no socket, a socket that does not know it, and a system that does not, go on
        without.
        """
        self.assertFalse(keepShallow(Layer()))
        self.assertFalse(keepShallow(Layer(socket=Handle(OSError(92, "not available")))))
        self.patch(socket, "TCP_NOTSENT_LOWAT", None)
        self.assertFalse(keepShallow(Layer(socket=Handle())))
