"""
Metrics of the sessions, origins and rate limits.
"""

from __future__ import annotations

from ._rows import CounterRow

SESSIONS_CREATED = CounterRow(
    "aero_sessions_created_total",
    "Sessions that began.",
)
SESSIONS_RENEWED = CounterRow(
    "aero_sessions_renewed_total",
    "Sessions that were given a later end.",
)
SESSIONS_REFUSED = CounterRow(
    "aero_sessions_refused_total",
    "Requests for a session that got none: body, or rate for too many new ones from one address.",
    ("reason",),
)
SESSIONS_ENDED = CounterRow(
    "aero_sessions_ended_total",
    "Sessions that ended before their time: by client for a log-out, by operator.",
    ("by",),
)
RELAY_TOKENS = CounterRow(
    "aero_relay_tokens_total",
    "Requests for relay credentials by result: ok, off, origin, session, rate or error.",
    ("result",),
)
GATE_REFUSALS = CounterRow(
    "aero_http_gate_refusals_total",
    "Requests that no resource saw: origin for a foreign Origin, rate for too many from one address.",
    ("gate",),
)
PREFLIGHTS = CounterRow(
    "aero_http_preflights_total",
    "CORS preflights that were granted.",
)
METRICS_REFUSED = CounterRow(
    "aero_metrics_refused_total",
    "Requests for the metrics page that were refused: token or address.",
    ("reason",),
)
