# -*- test-case-name: aero.metrics.test.test_catalogue -*-
"""
Metrics of the Ethernet tunnel (l2.md section 15); those of the LAN behind it are in
L{aero.metrics.lan}.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow

#: The values of the label of L{AUTH_REJECT}, in the reference's order.
AUTH_REASONS = (
    "missing_credentials",
    "invalid_api_key",
    "invalid_cookie",
    "invalid_jwt",
    "jwt_origin_mismatch",
)

UPGRADE_REJECTED = CounterRow(
    "l2_upgrade_rejected_total",
    "Upgrades to a tunnel refused for authentication, Origin, Host or a connection limit.",
)
REJECT_PER_SESSION = CounterRow(
    "l2_upgrade_reject_max_connections_per_session_total",
    "Upgrades refused because their session has its share of tunnels.",
)
AUTH_REJECT = CounterRow(
    "l2_auth_reject_total", "Upgrades refused for authentication, by what was wrong.", ("reason",)
)
ACTIVE = GaugeRow("l2_sessions_active", "Tunnels open now.")
SESSIONS = CounterRow("l2_sessions_total", "Tunnels opened.")
IDLE_TIMEOUTS = CounterRow(
    "aero_l2_idle_timeouts_total", "Tunnels closed because their client said nothing for too long."
)
CLOSED_QUOTA_BYTES = CounterRow(
    "l2_sessions_closed_quota_bytes_total", "Tunnels closed because of the limit on bytes."
)
CLOSED_QUOTA_FPS = CounterRow(
    "l2_sessions_closed_quota_fps_total",
    "Tunnels closed because of the limit on messages a second.",
)
CLOSED_BACKPRESSURE = CounterRow(
    "l2_sessions_closed_backpressure_total",
    "Tunnels closed because their client did not read what could not wait.",
)
REJECT_ORIGIN_MISSING = CounterRow(
    "l2_upgrade_reject_origin_missing_total", "Upgrades refused for having no Origin."
)
REJECT_ORIGIN_NOT_ALLOWED = CounterRow(
    "l2_upgrade_reject_origin_not_allowed_total",
    "Upgrades refused for their Origin: not allowed, not readable, or more than one.",
)
REJECT_HOST_MISSING = CounterRow(
    "l2_upgrade_reject_host_missing_total", "Upgrades refused for having no Host."
)
REJECT_HOST_INVALID = CounterRow(
    "l2_upgrade_reject_host_invalid_total", "Upgrades refused for a malformed Host."
)
REJECT_HOST_NOT_ALLOWED = CounterRow(
    "l2_upgrade_reject_host_not_allowed_total", "Upgrades refused for a Host that is not allowed."
)
REJECT_AUTH_MISSING = CounterRow(
    "l2_upgrade_reject_auth_missing_total", "Upgrades refused for having no credentials."
)
REJECT_AUTH_INVALID = CounterRow(
    "l2_upgrade_reject_auth_invalid_total", "Upgrades refused for credentials that are not valid."
)
REJECT_MAX_CONNECTIONS = CounterRow(
    "l2_upgrade_reject_max_connections_total",
    "Upgrades refused because the process has as many tunnels as it may.",
)
REJECT_MAX_TUNNELS_PER_SESSION = CounterRow(
    "l2_upgrade_reject_max_tunnels_per_session_total",
    "The same as l2_upgrade_reject_max_connections_per_session_total, by its older name.",
)
REJECT_PER_IP = CounterRow(
    "l2_upgrade_ip_limit_exceeded_total",
    "Upgrades refused because their client address has its share of tunnels.",
)
AUTH_FAILURES = CounterRow("l2_auth_failures_total", "Upgrades refused for authentication.")
SESSION_DENIED = CounterRow(
    "l2_session_connection_denied_total",
    "Upgrades refused because their session has its share of tunnels.",
)
FRAMES_RX = CounterRow("l2_frames_rx_total", "Ethernet frames received from guests.")
FRAMES_TX = CounterRow("l2_frames_tx_total", "Ethernet frames sent to guests.")
BYTES_RX = CounterRow("l2_bytes_rx_total", "Bytes of Ethernet frames received from guests.")
BYTES_TX = CounterRow("l2_bytes_tx_total", "Bytes of Ethernet frames sent to guests.")
FRAMES_DROPPED = CounterRow(
    "l2_frames_dropped_total",
    "Messages from clients that are none, and frames to guests that are too long or came while"
    " their client took nothing.",
)
CAPTURE_BYTES = CounterRow("l2_capture_bytes_total", "Bytes written to capture files.")
CAPTURE_FRAMES = CounterRow("l2_capture_frames_total", "Ethernet frames written to capture files.")
CAPTURE_FRAMES_DROPPED = CounterRow(
    "l2_capture_frames_dropped_total",
    "Ethernet frames left out of capture files: a file or all files together have their size, or"
    " the disk is slow.",
)
CAPTURE_ERRORS = CounterRow(
    "l2_capture_errors_total", "Capture files and directories that could not be written."
)
PING_RTT = HistogramRow(
    "l2_ping_rtt_ms",
    "Milliseconds from a PING to its PONG.",
    (),
    (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500),
)
CLOSED = CounterRow(
    "aero_l2_tunnels_closed_total",
    "Tunnels that ended, by why: client, lost, shutdown, protocol, quota_bytes, quota_fps,"
    " backpressure, idle, too_long, session or error.",
    ("reason",),
)
PAUSES = CounterRow(
    "aero_l2_pauses_total",
    "Times that a LAN stopped making frames because the client of its tunnel took none.",
)
