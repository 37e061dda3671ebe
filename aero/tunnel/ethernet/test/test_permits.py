"""
Tests for L{aero.tunnel.ethernet.permits} (l2.md section 5, rows 12 to 14).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.metrics import ROWS, Metrics
from aero.metrics import l2 as rows
from aero.settings.l2 import L2Settings
from aero.tunnel.ethernet.permits import TunnelPermits


class PermitTests(SynchronousTestCase):
    """
    L{TunnelPermits}.
    """

    def setUp(self) -> None:
        self.metrics = Metrics(ROWS)

    def make(self, process: int = 0, session: int = 0, address: int = 0) -> TunnelPermits:
        """
        Permits with some limits.
        """
        settings = L2Settings(
            maxConnections=process,
            maxConnectionsPerSession=session,
            maxConnectionsPerIP=address,
        )
        return TunnelPermits(settings, self.metrics)

    def refusal(self, permits: TunnelPermits, address: str, sid: str | None) -> tuple[str, str]:
        """
        Ask for one permit too many.
        """
        refused = self.assertRaises(Refused, permits.acquire, address, sid)
        self.assertEqual(refused.status, 429)
        return refused.message, refused.reason

    def counted(self, *expected: object) -> None:
        """
        Exactly these counters were counted, each once.
        """
        found = [
            row
            for row in vars(rows).values()
            if isinstance(row, type(rows.SESSIONS)) and not row.labels and self.metrics.value(row)
        ]
        self.assertEqual(found, list(expected))

    def test_process(self) -> None:
        """
        The process has so many, whoever asks.
        """
        permits = self.make(process=2)
        first = permits.acquire("192.0.2.1", None)
        permits.acquire("192.0.2.2", "a")
        self.assertEqual(
            self.refusal(permits, "192.0.2.3", "b"), ("max connections exceeded", "process")
        )
        self.counted(rows.UPGRADE_REJECTED, rows.REJECT_MAX_CONNECTIONS)
        first.release()
        permits.acquire("192.0.2.3", "b")

    def test_session(self) -> None:
        """
        A session has its share; who has none is not limited by it.
        """
        permits = self.make(session=1)
        permits.acquire("192.0.2.1", "a")
        permits.acquire("192.0.2.1", "b")
        permits.acquire("192.0.2.1", None)
        permits.acquire("192.0.2.1", None)
        self.assertEqual(
            self.refusal(permits, "192.0.2.2", "a"),
            ("quota_connections: max connections per session exceeded", "session"),
        )
        self.counted(
            rows.UPGRADE_REJECTED,
            rows.REJECT_PER_SESSION,
            rows.REJECT_MAX_TUNNELS_PER_SESSION,
            rows.SESSION_DENIED,
        )

    def test_address(self) -> None:
        """
        An address has its share, an IPv6 network of one subscriber together (W47).
        """
        permits = self.make(address=1)
        permits.acquire("192.0.2.1", None)
        permits.acquire("192.0.2.2", None)
        permits.acquire("2001:db8::1", None)
        for address in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::2"):
            self.assertEqual(
                self.refusal(permits, address, None), ("max connections per ip exceeded", "ip")
            )
        permits.acquire("2001:db8:0:1::1", None)
        self.assertEqual(self.metrics.value(rows.REJECT_PER_IP), 3)

    def test_order(self) -> None:
        """
        The address is looked at first, the session last.
        """
        permits = self.make(1, 1, 1)
        permits.acquire("192.0.2.1", "a")
        self.assertEqual(self.refusal(permits, "192.0.2.1", "a")[1], "ip")
        self.assertEqual(self.refusal(permits, "192.0.2.2", "a")[1], "process")

    def test_refusalsTakeNothing(self) -> None:
        """
        Who is refused holds nothing, whichever limit it was.
        """
        permits = self.make(2, 1, 2)
        first = permits.acquire("192.0.2.1", "a")
        for _ in range(5):
            self.refusal(permits, "192.0.2.1", "a")
        second = permits.acquire("192.0.2.1", "b")
        for _ in range(5):
            self.refusal(permits, "192.0.2.2", "c")
        first.release()
        first.release()
        second.release()
        self.assertEqual(permits.held, 0)
        permits.acquire("192.0.2.2", "a")
        permits.acquire("192.0.2.2", "c")
