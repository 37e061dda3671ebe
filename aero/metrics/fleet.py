"""
Metrics of what several processes agree about.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

REDIS_CONFIGURED = GaugeRow(
    "aero_redis_configured", "Whether REDIS_URL is set: 1, or 0.", merged="largest"
)
REDIS_UP = GaugeRow(
    "aero_redis_up",
    "Whether Redis answers: 1, or 0 while it is away and without REDIS_URL. Of several workers, 0 where one of them"
    " gets no answer.",
    merged="smallest",
)
ASKED = CounterRow(
    "aero_shared_operations_total",
    "Questions about shared limits, by what was asked: acquire, refresh, release, debit or revoke.",
    ("operation",),
)
REFUSED = CounterRow(
    "aero_shared_refused_total",
    "What shared limits in Redis refused that this process alone would have allowed, by kind.",
    ("kind",),
)
UNANSWERED = CounterRow(
    "aero_shared_unanswered_total",
    "Questions that were decided by a setting because Redis was away: open or closed.",
    ("decision",),
)
