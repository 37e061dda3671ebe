"""
Tests for L{aero.tunnel.slots}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import tcp as rows
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
