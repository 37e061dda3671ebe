"""
Tests for the live metrics.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import CounterRow, GaugeRow, Metrics
from aero.metrics._rows import HistogramRow

COUNTER = CounterRow("aero_test_things_total", "Things.", ("kind",))
GAUGE = GaugeRow("aero_test_level", "Level.")
HISTOGRAM = HistogramRow("aero_test_seconds", "Time.", (), (0.1, 1.0))


class MetricsTests(SynchronousTestCase):
    """
    Counting, and what is told of it.
    """

    def setUp(self) -> None:
        self.metrics = Metrics((COUNTER, GAUGE, HISTOGRAM))

    def test_values(self) -> None:
        """
        Each combination of labels is a series of its own.
        """
        self.metrics.counter(COUNTER, "a").inc()
        self.metrics.counter(COUNTER, "a").inc(2)
        self.metrics.counter(COUNTER, "b").inc()
        self.metrics.gauge(GAUGE).set(7)
        self.assertEqual(self.metrics.value(COUNTER, "a"), 3)
        self.assertEqual(self.metrics.value(COUNTER, "b"), 1)
        self.assertEqual(self.metrics.value(COUNTER, "c"), 0)
        self.assertEqual(self.metrics.value(GAUGE), 7)

    def test_exposition(self) -> None:
        """
        The text has help, type and samples, and nothing about when a series was made.
        """
        self.metrics.counter(COUNTER, "a").inc()
        self.metrics.histogram(HISTOGRAM).observe(0.5)
        text = self.metrics.exposition().decode()
        self.assertIn("# HELP aero_test_things_total Things.\n", text)
        self.assertIn("# TYPE aero_test_things_total counter\n", text)
        self.assertIn('aero_test_things_total{kind="a"} 1\n', text)
        self.assertIn('aero_test_seconds_bucket{le="1"} 1\n', text)
        self.assertNotIn("_created", text)

    def test_kinds(self) -> None:
        """
        A row is only used as what it is.
        """
        self.assertRaises(TypeError, self.metrics.counter, GAUGE)

    def test_twoProcessesInOne(self) -> None:
        """
        Two sets of metrics do not share their values.
        """
        other = Metrics((COUNTER, GAUGE, HISTOGRAM))
        self.metrics.counter(COUNTER, "a").inc()
        self.assertEqual(other.value(COUNTER, "a"), 0)
