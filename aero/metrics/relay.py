# -*- test-case-name: aero.metrics.test.test_catalogue -*-
"""
Metrics of the UDP relay, its sessions and WebRTC (relay.md section 14).
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow

EVENTS = CounterRow(
    "aero_webrtc_udp_relay_events_total",
    "Events of the relay: datagrams, drops by reason, refusals, limits and closes.",
    ("event",),
)
SESSIONS = GaugeRow("aero_relay_sessions", "Relay sessions now, reserved ones included.")
PEERS = GaugeRow("aero_relay_peer_connections", "WebRTC connections now.")
CHANNELS = GaugeRow("aero_relay_data_channels", "Data channels open now.", ("label",))
BINDINGS = GaugeRow("aero_relay_udp_bindings", "Guest ports that have a socket now.")
QUEUE_BYTES = GaugeRow("aero_relay_queue_bytes", "Bytes waiting for clients that are slow.")
SESSIONS_REFUSED = CounterRow(
    "aero_relay_sessions_refused_total",
    "Relay sessions refused: the limit is reached, or the session is active elsewhere.",
    ("reason",),
)
CHANNELS_REFUSED = CounterRow(
    "aero_relay_data_channels_refused_total",
    "Data channels closed when they opened, by why.",
    ("label", "reason"),
)
