# -*- test-case-name: aero.tunnel.ethernet.test.test_tunnel -*-
"""
The metrics of Ethernet tunnels, looked up once for all of them.
"""

from __future__ import annotations

from aero.metrics import CounterRow, Metrics
from aero.metrics import l2 as rows


class TunnelCounts:
    """
    The metrics of tunnels, looked up once.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.active = metrics.gauge(rows.ACTIVE)
        self.opened = metrics.counter(rows.SESSIONS)
        self.framesRx = metrics.counter(rows.FRAMES_RX)
        self.framesTx = metrics.counter(rows.FRAMES_TX)
        self.bytesRx = metrics.counter(rows.BYTES_RX)
        self.bytesTx = metrics.counter(rows.BYTES_TX)
        self.framesDropped = metrics.counter(rows.FRAMES_DROPPED)
        self.pauses = metrics.counter(rows.PAUSES)
        self.rtt = metrics.histogram(rows.PING_RTT).observe

    def count(self, row: CounterRow, *labels: str) -> None:
        """
        Count something that is rare.
        """
        self._metrics.counter(row, *labels).inc()
