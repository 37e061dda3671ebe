"""
Tests for L{aero.net.interfaces}.
"""

from __future__ import annotations

import socket
from typing import Any, Collection

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import tcp as rows
from aero.net.interfaces import LOOK_INTERVAL, Interfaces, openNotifications, readAddresses
from aero.policy.reach import OwnAddresses

FIRST, SECOND = "93.184.216.34", "93.184.216.35"


class InterfacesTests(SynchronousTestCase):
    """
    L{Interfaces}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.metrics = Metrics(ROWS)
        self.own = OwnAddresses()
        self.addresses: Collection[str] = [FIRST]
        self.looks = 0
        self.kernel, self.notified = socket.socketpair(type=socket.SOCK_DGRAM)
        self.notified.setblocking(False)
        self.addCleanup(self.kernel.close)
        self.addCleanup(self.notified.close)

    def read(self) -> Collection[str]:
        self.looks += 1
        if not self.addresses:
            raise PermissionError(1, "Operation not permitted")
        return self.addresses

    def make(self, *, notified: bool = True) -> Interfaces:
        def openSocket() -> socket.socket:
            if not notified:
                raise PermissionError(1, "Operation not permitted")
            return self.notified

        return Interfaces(
            self.own, self.reactor, self.metrics, read=self.read, openNotifications=openSocket
        )

    def test_look(self) -> None:
        """
        The policy and the metrics know the addresses after a look.
        """
        self.make().look()
        self.assertTrue(self.own.refuses(FIRST))
        self.assertEqual(self.metrics.value(rows.OWN_ADDRESSES), 1)

    def test_notification(self) -> None:
        """
        After a change is notified of the addresses are read anew, once for many notifications.
        """
        interfaces = self.make()
        interfaces.start()
        (reader,) = self.reactor.getReaders()
        self.addresses, before = [SECOND], self.looks
        for _ in range(3):
            self.kernel.send(b"changed")
            reader.doRead()
            self.kernel.send(b"changed")
        reader.doRead()
        self.reactor.advance(0.2)
        self.assertEqual(self.looks, before + 1)
        self.assertTrue(self.own.refuses(SECOND))
        self.assertFalse(self.own.refuses(FIRST))

    def test_interval(self) -> None:
        """
        Without notifications a change is found at the next look.
        """
        interfaces = self.make(notified=False)
        interfaces.look()
        interfaces.start()
        self.assertEqual(self.reactor.getReaders(), [])
        self.addresses = [SECOND]
        self.reactor.advance(LOOK_INTERVAL)
        self.assertTrue(self.own.refuses(SECOND))
        self.addresses = [FIRST]
        self.reactor.advance(LOOK_INTERVAL)
        self.assertTrue(self.own.refuses(FIRST))

    def test_stop(self) -> None:
        """
        Nothing is left after the end.
        """
        interfaces = self.make()
        interfaces.start()
        self.assertEqual(len(self.reactor.getReaders()), 1)
        interfaces.stop()
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.notified.fileno(), -1)
        interfaces.stop()

    def test_unreadable(self) -> None:
        """
        Where the addresses cannot be read those of the last time stay, and one line says so.
        """
        interfaces = self.make()
        interfaces.look()
        self.addresses = []
        with capturedLogs() as captured:
            interfaces.look()
            interfaces.look()
        self.assertTrue(self.own.refuses(FIRST))
        (event,) = captured
        self.assertIn("AERO_OWN_NETWORKS", event["log_format"])

    def test_real(self) -> None:
        """
        This machine has its loopback address, and a socket for notifications.
        """
        self.assertIn("127.0.0.1", readAddresses())
        openNotifications().close()
