"""
Tests for sockets that somebody else bound. They are real ones, on loopback.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError
from aero.net.inherited import InheritedSockets, initialEnvironment


class InheritedSocketsTests(SynchronousTestCase):
    """
    L{InheritedSockets}.
    """

    def handedOver(self, *sockets: socket.socket) -> int:
        """
        Put sockets onto descriptors in a row, as systemd does.

        @return: The first descriptor.
        """
        first = 700
        for place, each in enumerate(sockets):
            os.dup2(each.fileno(), first + place)
        return first

    def listening(self) -> socket.socket:
        made = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(made.close)
        return made

    def inherited(self, first: int, count: int, names: str = "https") -> InheritedSockets:
        environ = {"LISTEN_PID": "42", "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}
        return InheritedSockets.fromEnvironment(environ, 42, first)

    def test_byName(self) -> None:
        """
        Each name has its sockets in the order they were handed over, and has them once.
        """
        one, two, three = (self.listening() for _ in range(3))
        inherited = self.inherited(self.handedOver(one, two, three), 3, "https:http:https")
        taken = inherited.take("https")
        for each in taken:
            self.addCleanup(each.close)
        self.assertEqual(
            [each.getsockname() for each in taken], [one.getsockname(), three.getsockname()]
        )
        self.assertEqual(inherited.take("https"), [])
        for each in inherited.take("http"):
            each.close()
        inherited.finish(["https", "http"])

    def test_forAnother(self) -> None:
        """
        What was handed to a parent is not this process's.
        """
        inherited = InheritedSockets.fromEnvironment({"LISTEN_PID": "41", "LISTEN_FDS": "1"}, 42)
        self.assertEqual(inherited.take("https"), [])
        inherited = InheritedSockets.fromEnvironment({}, 42)
        inherited.finish(["https"])

    def test_unknownName(self) -> None:
        """
        A socket that no listener is named after stops the start, with the names there are.
        """
        inherited = self.inherited(self.handedOver(self.listening()), 1, "web")
        error = self.assertRaises(StartError, inherited.finish, ["https", "http"])
        self.assertIn("'web'", str(error))
        self.assertIn("http, https", str(error))
        inherited.take("web")[0].close()

    def test_noListener(self) -> None:
        """
        A datagram socket, a connected one and a file are refused.
        """
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        idle = socket.socket()
        self.addCleanup(idle.close)
        for wrong in (datagrams, idle):
            first = self.handedOver(wrong)
            error = self.assertRaises(StartError, self.inherited, first, 1)
            self.assertIn("no listening TCP socket", str(error))
        reading, writing = os.pipe()
        os.dup2(reading, 700)
        os.close(reading)
        os.close(writing)
        error = self.assertRaises(StartError, self.inherited, 700, 1)
        self.assertIn("no socket", str(error))
        os.close(700)

    def test_malformed(self) -> None:
        """
        A count that is none is named.
        """
        for count in ("", "x", "0", "-1", "5000"):
            environ = {"LISTEN_PID": "42", "LISTEN_FDS": count}
            error = self.assertRaises(StartError, InheritedSockets.fromEnvironment, environ, 42)
            self.assertIn("LISTEN_FDS", str(error))

    def test_initialEnvironment(self) -> None:
        """
        The environment is the one of the start, whatever became of it; without a kernel that
        tells there is none.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"LISTEN_FDS=1\0ODD=a=b\0BYTES=\xff\0")
        found = initialEnvironment(path)
        self.assertEqual(found["LISTEN_FDS"], "1")
        self.assertEqual(found["ODD"], "a=b")
        self.assertEqual(initialEnvironment(Path(self.mktemp())), {})
