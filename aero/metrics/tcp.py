"""
Metrics of the TCP tunnels.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow
