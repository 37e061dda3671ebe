"""
Metrics of the guests' LANs: what leaves them, and what is refused.

Those that begin with C{l2_} are the reference's (l2.md section 15).
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow

L2_POLICY_DENIED = CounterRow(
    "l2_policy_denied_total", "Connections, datagrams and names of guests refused by the policy."
)
L2_TCP_ACTIVE = GaugeRow(
    "l2_tcp_conns_active", "Connections to targets for guests, those being made included."
)
L2_TCP_CONNECT_FAILED = CounterRow(
    "l2_tcp_connect_fail_total", "Connections for guests that could not be made."
)
L2_UDP_ACTIVE = GaugeRow("l2_udp_flows_active", "UDP flows of guests now.")
L2_UDP_SEND_FAILED = CounterRow(
    "l2_udp_send_fail_total", "Datagrams of guests that could not be sent, or that nobody took."
)
L2_UDP_FLOW_LIMIT = CounterRow(
    "l2_udp_flow_limit_exceeded_total", "Datagrams dropped because a guest has too many flows."
)
L2_DNS_QUERIES = CounterRow(
    "l2_dns_queries_total", "Questions of guests that their LAN could not answer from its cache."
)
L2_DNS_FAILED = CounterRow("l2_dns_fail_total", "Questions of guests that found no answer.")

LANS = GaugeRow("aero_lan_active", "Guests' LANs now.")
REFUSALS = CounterRow(
    "aero_lan_refusals_total",
    "What guests were refused, by what they wanted and by the rule.",
    ("wanted", "reason"),
)
DIAL_SECONDS = HistogramRow(
    "aero_lan_dial_seconds", "Seconds from a guest's SYN to a connection with its target."
)
TCP_ENDED = CounterRow(
    "aero_lan_tcp_ended_total",
    "Connections of guests that ended, by how.",
    ("reason",),
)
BYTES = CounterRow(
    "aero_lan_bytes_total",
    "Bytes of payload between guests and their targets; up is from the guest.",
    ("protocol", "direction"),
)
UDP_SOCKETS = GaugeRow("aero_lan_udp_sockets", "UDP sockets open for guests now.")
UDP_EVICTED = CounterRow(
    "aero_lan_udp_flows_evicted_total", "Silent UDP flows that made room for new ones."
)
UDP_FILTERED = CounterRow(
    "aero_lan_udp_filtered_total", "Datagrams dropped because the guest had not written there."
)
PINGS = CounterRow(
    "aero_lan_pings_total",
    "Pings of guests to the outside: sent, answered, failed (an ICMP error came), refused, limited or unavailable.",
    ("outcome",),
)
DNS_LIMITED = CounterRow(
    "aero_lan_dns_limited_total",
    "Questions of guests that were not asked because a guest or a client address sent too many.",
    ("limit",),
)
DNS_SECONDS = HistogramRow(
    "aero_lan_dns_seconds", "Seconds until a guest's question was answered, the cache aside."
)
DHCP = CounterRow(
    "aero_lan_dhcp_total",
    "DHCP and BOOTP messages, those of guests and the answers, by type.",
    ("message",),
)
STACK_DROPS = CounterRow(
    "aero_lan_stack_drops_total",
    "Frames and packets of guests that their stack dropped, by reason.",
    ("reason",),
)
FLOWS_NOT_LOGGED = CounterRow(
    "aero_lan_flows_not_logged_total", "Lines left out of the log of flows to keep its rate."
)
