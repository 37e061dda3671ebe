"""
Tests for the catalogue of metrics.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, CounterRow, Metrics
from aero.metrics._rows import HistogramRow

#: The names that dashboards of the reference use (gateway.md section 8).
REFERENCE = {
    "http_requests_total": ("method", "route", "status_code"),
    "http_request_duration_seconds": ("method", "route", "status_code"),
    "dns_queries_total": ("qtype", "rcode", "source"),
    "dns_cache_hits_total": ("qtype",),
    "dns_cache_misses_total": ("qtype",),
    "dns_upstream_errors_total": ("upstream", "kind"),
    "dns_upstream_latency_seconds": ("upstream", "kind"),
    "tcp_proxy_blocked_by_host_policy_total": (),
    "tcp_proxy_blocked_by_ip_policy_total": (),
}


class CatalogueTests(SynchronousTestCase):
    """
    The table is consistent.
    """

    def test_usable(self) -> None:
        """
        All rows can be metrics of one process.
        """
        self.assertTrue(Metrics(ROWS).exposition())

    def test_names(self) -> None:
        """
        Names are unique; counters end in C{_total}; new ones begin with C{aero_}.
        """
        names = [row.name for row in ROWS]
        self.assertEqual(len(names), len(set(names)))
        for row in ROWS:
            self.assertEqual(isinstance(row, CounterRow), row.name.endswith("_total"), row.name)
            known = row.name in REFERENCE or row.name.startswith(("aero_", "l2_"))
            self.assertTrue(known, row.name)
            if isinstance(row, HistogramRow):
                self.assertRegex(row.name, r"_(seconds|bytes|ms)$")

    def test_reference(self) -> None:
        """
        The reference's metrics are there with its labels.
        """
        labels = {row.name: row.labels for row in ROWS}
        for name, expected in REFERENCE.items():
            self.assertEqual(labels.get(name), expected, name)

    def test_help(self) -> None:
        """
        Every row says what it counts, in a sentence.
        """
        for row in ROWS:
            self.assertRegex(row.help, r"^[A-Z].*[.]$", row.name)
