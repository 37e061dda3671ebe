"""
Metrics of certificates from a public CA.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

ATTEMPTS = CounterRow(
    "aero_acme_attempts_total",
    "Orders for a certificate, by outcome: success, failure, limited (the CA's rate limit), error (a fault of ours).",
    ("outcome",),
)
CHALLENGES = CounterRow(
    "aero_acme_challenges_total",
    "Orders that a kind of challenge decided, by kind and outcome: success, failure.",
    ("kind", "outcome"),
)
FAILURES = GaugeRow(
    "aero_acme_consecutive_failures",
    "Failed orders since the last that succeeded.",
    merged="largest",
)
NEXT_ATTEMPT = GaugeRow(
    "aero_acme_next_attempt_timestamp_seconds",
    "When the certificate is going to be ordered or renewed next, in seconds since 1970.",
    merged="largest",
)
PLACEHOLDER = GaugeRow(
    "aero_acme_placeholder",
    "Whether there is no certificate from the CA yet (1), so that a self-signed one is served, or there is (0).",
    merged="largest",
)
