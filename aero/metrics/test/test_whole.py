"""
Tests for L{aero.metrics._whole}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import CounterRow, GaugeRow, HistogramRow, Metrics
from aero.metrics._whole import wholeNumbers


class WholeNumberTests(SynchronousTestCase):
    """
    L{wholeNumbers}.
    """

    def test_values(self) -> None:
        """
        A whole number has neither point nor exponent, whatever its size.
        """
        for given, expected in (
            (b"x 0.0\n", b"x 0\n"),
            (b"x 12.0\n", b"x 12\n"),
            (b"x 1e+06\n", b"x 1000000\n"),
            (b"x 1.234567e+06\n", b"x 1234567\n"),
            (b'x{a="b"} 9.007199254740992e+15\n', b'x{a="b"} 9007199254740992\n'),
        ):
            self.assertEqual(wholeNumbers(given), expected)

    def test_others(self) -> None:
        """
        Every other number, and every comment, stays what it is.
        """
        page = (
            b"# HELP x Version 1.0\n# TYPE x gauge\nx 0.5\ny 1.5e-05\nz +Inf\n"
            b'b{le="0.5"} 1.25\nq{a="1.0"} -1.0\n'
        )
        self.assertEqual(wholeNumbers(page), page)

    def test_exposition(self) -> None:
        """
        A page has whole counters, and bounds as the reference writes them.
        """
        counter = CounterRow("aero_test_things_total", "Things.")
        gauge = GaugeRow("aero_test_level", "Level.")
        histogram = HistogramRow("aero_test_ms", "Times.", (), (1, 2.5))
        metrics = Metrics([counter, gauge, histogram])
        metrics.counter(counter).inc(2_500_000)
        metrics.gauge(gauge).set(0.5)
        metrics.histogram(histogram).observe(2)
        page = metrics.exposition().decode()
        for line in (
            "aero_test_things_total 2500000",
            "aero_test_level 0.5",
            'aero_test_ms_bucket{le="1"} 0',
            'aero_test_ms_bucket{le="2.5"} 1',
            'aero_test_ms_bucket{le="+Inf"} 1',
            "aero_test_ms_sum 2",
        ):
            self.assertIn(line + "\n", page)
