"""
Metrics of the HTTP server and its limits.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow

REQUESTS = CounterRow(
    "http_requests_total",
    "Finished HTTP responses; the route is its template, or unknown.",
    ("method", "route", "status_code"),
)
DURATION = HistogramRow(
    "http_request_duration_seconds",
    "Time from the end of a request's headers to the end of its response.",
    ("method", "route", "status_code"),
)
CONNECTIONS = GaugeRow(
    "aero_http_connections",
    "Client connections open now, upgraded ones included.",
    ("listener",),
)
CONNECTIONS_REFUSED = CounterRow(
    "aero_http_connections_refused_total",
    "Connections closed at accept because of a limit: total or address.",
    ("reason",),
)
PROXY_HEADERS = CounterRow(
    "aero_http_proxy_headers_total",
    "Connections by what became of their PROXY header: v1, v2, local (the proxy's own), malformed, timeout, closed"
    " (before it came), limit (too many waiting), untrusted (from elsewhere than a trusted network).",
    ("outcome",),
)
PROTOCOLS = CounterRow(
    "aero_http_accepted_total",
    "Connections by what they turned out to speak: http/1.1 or h2.",
    ("protocol",),
)
UPGRADES = CounterRow(
    "aero_http_upgrades_total",
    "HTTP/1.1 connections handed over to another protocol.",
    ("route",),
)
REFUSED = CounterRow(
    "aero_http_refused_total",
    "Requests refused at the door, by what was wrong with them.",
    ("reason",),
)
TIMEOUTS = CounterRow(
    "aero_http_timeouts_total",
    "Connections and streams ended by a timeout: handshake, header, body, idle, write or close.",
    ("kind",),
)
BUFFER_BYTES = GaugeRow(
    "aero_http_buffer_bytes",
    "Bytes that wait in HTTP now: headers, request bodies and replies that clients have not taken.",
)
BUFFER_REFUSED = CounterRow(
    "aero_http_buffer_refused_total",
    "Requests and bodies refused because too many bytes wait already, of one client or in the process.",
    ("scope",),
)
DEFERRED_TURNS = CounterRow(
    "aero_http_deferred_turns_total",
    "Times that a client's input had to wait for a later turn, because it takes more than its part of the processor.",
)
FLOODS = CounterRow(
    "aero_http2_floods_total",
    "HTTP/2 connections ended because of a flood of frames that ask for work and carry none, by their kind: ping, settings,"
    " priority, window, unknown, empty (DATA), closed (DATA on a closed stream),"
    " headers (a header block too large to be read), reset.",
    ("kind",),
)
ERRORS = CounterRow(
    "aero_http_errors_total",
    "Requests that ended in an unexpected error of the server.",
)
