"""
Metrics of the TLS.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

HANDSHAKES = CounterRow(
    "aero_tls_handshakes_total",
    "TLS handshakes by protocol version (empty unless completed) and outcome: full, resumed,"
    " refused (a name without a certificate), plaintext (an HTTP request), timeout, failed, closed.",
    ("version", "outcome"),
)
CERTIFICATE_NOT_AFTER = GaugeRow(
    "aero_tls_certificate_not_after_timestamp_seconds",
    "When the certificate of this name expires, in seconds since 1970. Of several workers the earliest counts.",
    ("name",),
    merged="smallest",
)
CERTIFICATE_NOT_BEFORE = GaugeRow(
    "aero_tls_certificate_not_before_timestamp_seconds",
    "When the certificate of this name became valid, in seconds since 1970; what is left of that to now is its age.",
    ("name",),
    merged="smallest",
)
RELOADS = CounterRow(
    "aero_tls_certificate_reloads_total",
    "Attempts to read or renew a certificate while running, by outcome: success, failure."
    " After a failure the previous certificate stays in use.",
    ("outcome",),
)
