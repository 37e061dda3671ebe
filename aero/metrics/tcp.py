"""
Metrics of WebSockets and of the TCP tunnels.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow

OWN_ADDRESSES = GaugeRow(
    "aero_own_addresses",
    "Addresses of this machine's interfaces, which clients may not reach; 0 where they cannot be read.",
)

# -- every WebSocket endpoint

WS_CONNECTIONS = GaugeRow("aero_ws_connections", "WebSockets open now.", ("endpoint",))
WS_UPGRADES = CounterRow("aero_ws_upgrades_total", "WebSocket upgrades accepted.", ("endpoint",))
WS_REFUSALS = CounterRow(
    "aero_ws_refusals_total", "WebSocket upgrades refused, by reason.", ("endpoint", "reason")
)
WS_CLOSED = CounterRow(
    "aero_ws_closed_total",
    "WebSockets ended, by the close code; 1006 is an end without one.",
    ("endpoint", "code"),
)
WS_BYTES = CounterRow(
    "aero_ws_bytes_total",
    "Bytes of WebSocket traffic; up is from the client.",
    ("endpoint", "direction"),
)
WS_MESSAGES = CounterRow(
    "aero_ws_messages_total",
    "WebSocket messages; up is from the client. A message that came in pieces counts once for each.",
    ("endpoint", "direction"),
)
WS_PING_TIMEOUTS = CounterRow(
    "aero_ws_ping_timeouts_total",
    "WebSockets given up because a ping was not answered.",
    ("endpoint",),
)
WS_PAUSES = CounterRow(
    "aero_ws_pauses_total",
    "Times that one side was not read because the other was slow; up is the client.",
    ("endpoint", "direction"),
)

# -- connections to targets, whoever asks for them

TCP_DIALS = CounterRow(
    "aero_tcp_dials_total", "Connections to targets attempted, by how that went.", ("outcome",)
)
TCP_DIAL_SECONDS = HistogramRow(
    "aero_tcp_dial_seconds", "Seconds from the first attempt to a connection."
)
TCP_LOOKUPS = CounterRow(
    "aero_tcp_lookups_total", "Names of targets looked up, by how that went.", ("outcome",)
)
TCP_LOOKUP_SECONDS = HistogramRow(
    "aero_tcp_lookup_seconds", "Seconds that looking up the name of a target took."
)
TCP_SLOTS_REFUSED = CounterRow(
    "aero_tcp_slots_refused_total",
    "Connections refused because a session or a client address had its share.",
    ("limit",),
)
BLOCKED_BY_HOST_POLICY = CounterRow(
    "tcp_proxy_blocked_by_host_policy_total",
    "Targets refused for their host name, or because it is none.",
)
BLOCKED_BY_IP_POLICY = CounterRow(
    "tcp_proxy_blocked_by_ip_policy_total", "Targets refused because their address is not public."
)
BLOCKED_BY_PORT_POLICY = CounterRow(
    "aero_tcp_blocked_by_port_policy_total", "Targets refused for their port."
)
