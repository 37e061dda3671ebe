"""
Metrics of several processes that are one server.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

WORKERS = GaugeRow(
    "aero_workers", "Worker processes that accept connections; 0 without a supervisor."
)
RESTARTS = CounterRow(
    "aero_worker_restarts_total",
    "Workers that ended unasked and were started anew.",
)
