"""
Metrics of the TLS.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow
