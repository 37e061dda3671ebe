"""
Tests for L{aero.tunnel.slots}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import tcp as rows
from aero.policy.budget import Budget
from aero.settings.tcp import TCPSettings
from aero.tunnel.slots import TunnelSlots


class TunnelSlotsTests(SynchronousTestCase):
    """
    How many connections are allowed.
    """

    def test_release(self) -> None:
        """
        A slot is given back once, however often it is released.
        """
        slots = TunnelSlots(TCPSettings(maxConnections=2), Metrics(ROWS))
        first, second = slots.acquire("s", "192.0.2.1"), slots.acquire("s", "192.0.2.1")
        assert first is not None and second is not None
        self.assertIsNone(slots.acquire("s", "192.0.2.1"))
        first.release()
        first.release()
        self.assertEqual(slots.held("s"), 1)

    def test_address(self) -> None:
        """
        An address that has its share, in any spelling and anywhere in its /64, costs the
        session nothing; both refusals are counted.
        """
        metrics = Metrics(ROWS)
        slots = TunnelSlots(TCPSettings(maxConnections=1, maxConnectionsPerIP=1), metrics)
        self.assertIsNotNone(slots.acquire("a", "2001:db8::1"))
        self.assertIsNone(slots.acquire("b", "2001:db8::2"))
        self.assertEqual(slots.held("b"), 0)
        self.assertIsNone(slots.acquire("a", "192.0.2.1"))
        self.assertEqual(metrics.value(rows.TCP_SLOTS_REFUSED, "address"), 1)
        self.assertEqual(metrics.value(rows.TCP_SLOTS_REFUSED, "session"), 1)

    def test_sockets(self) -> None:
        """
        Sockets are counted over everything that a client has open, whichever session it is; a
        refusal costs nothing, and a release gives the socket back.
        """
        metrics = Metrics(ROWS)
        sockets = Budget(10, 2)
        sockets.take("192.0.2.1", 1)  # a guest's
        slots = TunnelSlots(TCPSettings(), metrics, sockets=sockets)
        lease = slots.acquire("a", "192.0.2.1")
        assert lease is not None
        self.assertIsNone(slots.acquire("b", "192.0.2.1"))
        self.assertEqual((slots.held("b"), sockets.used), (0, 2))
        self.assertIsNotNone(slots.acquire("b", "192.0.2.2"))
        self.assertEqual(metrics.value(rows.TCP_SLOTS_REFUSED, "sockets"), 1)
        lease.release()
        lease.release()
        self.assertEqual(sockets.usedBy("192.0.2.1"), 1)
        self.assertIsNotNone(slots.acquire("b", "192.0.2.1"))
