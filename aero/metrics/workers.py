"""
Metrics of several processes that are one server.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

WORKERS = GaugeRow(
    "aero_workers", "Worker processes that accept connections; 0 without a supervisor."
)
WORKERS_CONFIGURED = GaugeRow(
    "aero_workers_configured", "Worker processes that there should be; 0 without a supervisor."
)
READY = GaugeRow(
    "aero_ready",
    "Whether /readyz answers 200: 1, or 0 while the process drains or a part such as the certificate is missing. Of"
    " several workers, 0 where one of them is not ready.",
    merged="smallest",
)
RESTARTS = CounterRow(
    "aero_worker_restarts_total",
    "Workers that ended unasked and were started anew.",
)
