"""
Metrics of the streams of C{/tcp-mux}.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

STREAMS = GaugeRow("aero_mux_streams", "Streams of /tcp-mux open now.")
OPENED = CounterRow("aero_mux_streams_opened_total", "Streams of /tcp-mux that began.")
CLOSED = CounterRow(
    "aero_mux_streams_closed_total",
    "Streams of /tcp-mux that ended: finished on both sides, reset by the client, failed with an"
    " error, or lost with their WebSocket.",
    ("reason",),
)
ERRORS = CounterRow(
    "aero_mux_errors_total", "ERROR frames sent on /tcp-mux, by their code.", ("code",)
)
QUEUE_BYTES = GaugeRow(
    "aero_mux_queue_bytes",
    "Bytes waiting in the queues of streams; up is towards the target.",
    ("direction",),
)
STALLED = CounterRow(
    "aero_mux_stalled_total",
    "Times that a stream stopped holding up its WebSocket because its target took nothing.",
)
