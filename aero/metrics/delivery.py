"""
Metrics of data that is delivered to targets after their client has gone.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

CONNECTIONS = GaugeRow(
    "aero_delivery_connections", "Connections to targets that stay open after their client went."
)
BYTES = GaugeRow("aero_delivery_bytes", "Bytes that wait on those connections.")
ENDED = CounterRow(
    "aero_delivery_ended_total",
    "Such connections by what became of the bytes: delivered, lost (the target or its path failed), timeout"
    " or shutdown.",
    ("outcome",),
)
REFUSED = CounterRow(
    "aero_delivery_refused_total",
    "Connections reset because a limit was reached: connections or bytes, of the client or of the process.",
    ("limit", "scope"),
)
