"""
Metrics of the sessions, origins and rate limits.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow
