"""
Metrics of the DNS.
"""

from __future__ import annotations

from ._rows import CounterRow, GaugeRow, HistogramRow

QUERIES = CounterRow(
    "dns_queries_total",
    "Questions answered, by type, by result, and by where the answer came from.",
    ("qtype", "rcode", "source"),
)
CACHE_HITS = CounterRow("dns_cache_hits_total", "Questions answered from the cache.", ("qtype",))
CACHE_MISSES = CounterRow(
    "dns_cache_misses_total", "Questions that the cache could not answer.", ("qtype",)
)
UPSTREAM_ERRORS = CounterRow(
    "dns_upstream_errors_total",
    "Attempts at an upstream that failed.",
    ("upstream", "kind"),
)
UPSTREAM_LATENCY = HistogramRow(
    "dns_upstream_latency_seconds",
    "Seconds that an attempt at an upstream took, whether it failed or not.",
    ("upstream", "kind"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0),
)
FAILOVERS = CounterRow(
    "aero_dns_failovers_total",
    "Times that the next upstream was asked, by what was wrong with the one before.",
    ("reason",),
)
MISMATCHES = CounterRow(
    "aero_dns_mismatches_total",
    "Datagrams dropped because they do not answer what was asked.",
    ("reason",),
)
TCP_RETRIES = CounterRow(
    "aero_dns_tcp_retries_total",
    "Questions asked again over TCP, by why.",
    ("reason",),
)
MERGED = CounterRow(
    "aero_dns_merged_total", "Questions that waited for the answer to an equal one."
)
REFUSED = CounterRow(
    "aero_dns_refused_total",
    "Questions not asked of any upstream, by the rule or limit that stopped them.",
    ("reason",),
)
STALE = CounterRow(
    "aero_dns_stale_total", "Answers given after their time because every upstream failed."
)
LIMITED = CounterRow(
    "aero_dns_limited_total", "Requests refused because their client sent too many."
)
PENDING = GaugeRow("aero_dns_pending", "Different questions that wait for an upstream now.")
CACHE_ENTRIES = GaugeRow("aero_dns_cache_entries", "Answers in the cache now.")
CACHE_BYTES = GaugeRow("aero_dns_cache_bytes", "Bytes that the cache takes now, about.")
EVICTIONS = CounterRow(
    "aero_dns_cache_evictions_total", "Answers dropped from the cache to make room."
)
