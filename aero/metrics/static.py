"""
Metrics of the static files and of the development proxy.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow

RESPONSES = CounterRow(
    "aero_static_responses_total",
    "Static responses by kind: file, encoded, partial, not_modified, redirect, missing, denied, refused.",
    ("kind",),
)
TORN = CounterRow(
    "aero_static_torn_total",
    "Responses cut off because the file changed while it was being sent.",
)
COMPRESSIONS = CounterRow(
    "aero_static_compressions_total",
    "Files compressed on the fly, by coding and result: stored, useless, failed, busy.",
    ("coding", "result"),
)
COMPRESSION_SECONDS = HistogramRow(
    "aero_static_compression_seconds",
    "Time that a thread took to compress a file.",
    ("coding",),
)
CACHE_BYTES = GaugeRow(
    "aero_static_cache_bytes",
    "Bytes held in memory, by cache: compressed, files.",
    ("cache",),
)
PROXY_REQUESTS = CounterRow(
    "aero_frontend_proxy_requests_total",
    "Requests passed to the development server, by result: answered, unreachable, aborted.",
    ("result",),
)
PROXY_WEBSOCKETS = GaugeRow(
    "aero_frontend_proxy_websockets",
    "WebSockets open now to the development server.",
)
