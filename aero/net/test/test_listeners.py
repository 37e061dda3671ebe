"""
Tests for listening sockets. They bind loopback, because what is promised is what the kernel says.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.protocol import ServerFactory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import StartError
from aero.net.binding import Binding
from aero.net.listeners import Listener


class Adopting(MemoryReactor):
    """
    A reactor in memory that remembers the addresses it was given sockets for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """
        Look at the socket.
        """
        with socket.socket(fileno=os.dup(fileDescriptor)) as given:
            self.addresses.append(given.getsockname()[0])
        return super().adoptStreamPort(fileDescriptor, addressFamily, factory)


class ListenerTests(SynchronousTestCase):
    """
    Binding, and saying why not.
    """

    def listener(self, *addresses: str, port: int = 0) -> tuple[Adopting, Listener]:
        reactor = Adopting()
        binding = Binding("http", addresses, port, "port")
        return reactor, Listener(reactor, ServerFactory(), binding)

    def test_everyAddress(self) -> None:
        """
        One port is opened on each address.
        """
        reactor, listener = self.listener("127.0.0.1", "127.0.0.2")
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(reactor.addresses, ["127.0.0.1", "127.0.0.2"])

    def test_addressThatIsNotHere(self) -> None:
        """
        An address that this machine does not have is passed over while another one works.
        """
        reactor, listener = self.listener("192.0.2.1", "127.0.0.1")
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(reactor.addresses, ["127.0.0.1"])

    def test_noAddress(self) -> None:
        """
        When none of them is here, the sentence names them and the option.
        """
        _, listener = self.listener("192.0.2.1")
        error = self.assertRaises(StartError, listener.privilegedStartService)
        self.assertIn("192.0.2.1", str(error))
        self.assertIn("--bind", str(error))

    def test_taken(self) -> None:
        """
        A port in use is named, with the option that chooses another.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            _, listener = self.listener("127.0.0.1", port=port)
            error = self.assertRaises(StartError, listener.privilegedStartService)
        self.assertEqual(
            str(error),
            f"cannot listen on port {port} on 127.0.0.1: another program uses it; choose another"
            " with --port",
        )

    def test_boundBefore(self) -> None:
        """
        Sockets from outside are used as they are, and nothing else is bound.
        """
        bound = socket.create_server(("127.0.0.3", 0))
        reactor = Adopting()
        binding = Binding("http", ["192.0.2.1"], 1, "port")
        listener = Listener(reactor, ServerFactory(), binding, [bound])
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(reactor.addresses, ["127.0.0.3"])
