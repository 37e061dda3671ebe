"""
Metrics of the HTTP server and its limits.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow
