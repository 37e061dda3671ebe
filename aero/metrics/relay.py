# -*- test-case-name: aero.metrics.test.test_events -*-
"""
Metrics of the UDP relay, its sessions and WebRTC (relay.md section 14).

The reference has one family of events; its names are kept, each with what it counts. Gauges and
what the reference counts nowhere are families of their own.
"""

from __future__ import annotations

from ._rows import CounterRow, EventRow, GaugeRow

#: What becomes of a datagram, for each of the two carriers of datagrams.
_DROPS = (
    "dropped",  # each of the following
    "dropped_malformed",  # a message that is no datagram
    "dropped_oversized",  # a payload over the limit, either way; the reference: not /udp's inbound
    "dropped_denied_by_policy",  # a destination that the policy refuses
    "dropped_rate_limited",  # over a rate, either way
    "dropped_quota_exceeded",  # one destination too many
    "dropped_backpressure",  # the client is slow and its queue full
    "dropped_too_many_bindings",  # no socket to be had for the guest port
)
_DATAGRAMS = ("datagrams_in", "datagrams_out", *_DROPS)

EVENTS = EventRow(
    "aero_webrtc_udp_relay_events_total",
    "Events of the relay: datagrams, drops by reason, refusals, limits and closes.",
    ("event",),
    (
        "auth_failure",
        "too_many_sessions",
        "session_hard_closed",
        "webrtc_session_connect_timeout",
        "ice_gathering_timeout",
        "rate_limited",
        "quota_exceeded",
        "too_many_destinations",
        "udp_per_dest_bucket_evictions",
        "udp_remote_allowlist_evictions_total",
        "udp_remote_allowlist_overflow_drops_total",
        "udp_ws_connections",
        *(f"udp_ws_{name}" for name in _DATAGRAMS),
        *(f"webrtc_udp_{name}" for name in _DATAGRAMS),
        "webrtc_datachannel_rejected_unknown_label",
        "webrtc_datachannel_rejected_duplicate_udp",
        "webrtc_datachannel_rejected_duplicate_l2",
        "webrtc_datachannel_udp_message_too_large",
        "webrtc_datachannel_l2_message_too_large",
        "l2_bridge_dials_total",
        "l2_bridge_dial_errors_total",
        "l2_bridge_messages_from_client_total",
        "l2_bridge_bytes_from_client_total",
        "l2_bridge_messages_to_client_total",
        "l2_bridge_bytes_to_client_total",
        "l2_bridge_dropped_oversized_total",
        "l2_bridge_dropped_rate_limited_total",
    ),
)
SESSIONS = GaugeRow("aero_relay_sessions", "Relay sessions now, reserved ones included.")
SESSIONS_REFUSED = CounterRow(
    "aero_relay_sessions_refused_total",
    "Relay sessions refused: the limit, or that of one address, is reached, or the session is active elsewhere.",
    ("reason",),
)
BINDINGS = GaugeRow("aero_relay_udp_bindings", "Guest ports that have a socket now.")
BINDINGS_CLOSED = CounterRow(
    "aero_relay_udp_bindings_closed_total",
    "Guest ports whose sockets were closed: idle, evicted by another port, or with their session.",
    ("reason",),
)
SEND_ERRORS = CounterRow(
    "aero_relay_udp_send_errors_total", "Datagrams that the system did not send."
)
BYTES = CounterRow(
    "aero_relay_udp_bytes_total",
    "Bytes of payload relayed, from clients (up) and to them (down).",
    ("direction",),
)
QUEUE_BYTES = GaugeRow("aero_relay_queue_bytes", "Bytes waiting for clients that are slow.")
PEERS = GaugeRow("aero_relay_peer_connections", "WebRTC connections now.")
CHANNELS = GaugeRow("aero_relay_data_channels", "Data channels open now.", ("label",))
CHANNELS_REFUSED = CounterRow(
    "aero_relay_data_channels_refused_total",
    "Data channels closed when they opened, by why.",
    ("label", "reason"),
)
ICE_REFUSED = CounterRow(
    "aero_relay_ice_refused_total",
    "Candidates and connectivity checks of ICE that were left out: by the policy about addresses, or because of the"
    " limit on candidates, or on unanswered checks of an address, a session, a client or the process.",
    ("reason",),
)
SCTP = CounterRow(
    "aero_relay_sctp_total",
    "What WebRTC connections that have ended had trouble with: packets that were none, fragments sent again, messages"
    " given up, datagrams that the system had no room for.",
    ("what",),
)
