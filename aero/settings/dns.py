"""
Settings of DNS over HTTPS and of the resolver behind it.
"""

from __future__ import annotations

from aero.policy.upstreams import Upstream

from ._parsers import flag, integer, listOf, milliseconds, number
from ._table import group, setting


@group
class DNSSettings:
    """
    DNS

    The resolver behind C{/dns-query} and C{/dns-json}.
    """

    upstreams: tuple[Upstream, ...] = setting(
        variable="DNS_UPSTREAMS",
        option="dns-upstreams",
        default=(Upstream.parse("1.1.1.1:53"), Upstream.parse("8.8.8.8:53")),
        parse=listOf(Upstream.parse, "an upstream"),
        blank=True,
        help="The servers to ask, in order: host, host:port, [v6]:port, udp://..., tls://... or an https:// URL.",
    )
    upstreamTimeout: float = setting(
        variable="DNS_UPSTREAM_TIMEOUT_MS",
        option="dns-upstream-timeout-ms",
        default=2.0,
        parse=milliseconds(1),
        shown="2000",
        help="Milliseconds that one attempt at one upstream may take.",
    )
    cacheMaxEntries: int = setting(
        variable="DNS_CACHE_MAX_ENTRIES",
        option="dns-cache-max-entries",
        default=10_000,
        parse=integer(0),
        help="Answers kept; 0 keeps none.",
    )
    cacheMaxBytes: int = setting(
        variable="AERO_DNS_CACHE_MAX_BYTES",
        option="dns-cache-max-bytes",
        default=16_777_216,
        parse=integer(0),
        help="Bytes of answers kept.",
    )
    cacheMaxTTL: int = setting(
        variable="DNS_CACHE_MAX_TTL_SECONDS",
        option="dns-cache-max-ttl",
        default=300,
        parse=integer(0),
        help="Seconds that an answer is kept at the most; 0 keeps none.",
    )
    cacheNegativeTTL: int = setting(
        variable="DNS_CACHE_NEGATIVE_TTL_SECONDS",
        option="dns-cache-negative-ttl",
        default=60,
        parse=integer(0),
        help="Seconds that a negative answer without an SOA record is kept.",
    )
    serveStale: int = setting(
        variable="AERO_DNS_SERVE_STALE_SECONDS",
        option="dns-serve-stale",
        default=0,
        parse=integer(0),
        help="Seconds that an expired answer may still be given when every upstream fails (RFC 8767); 0 is never.",
    )
    maxQueryBytes: int = setting(
        variable="DNS_MAX_QUERY_BYTES",
        option="dns-max-query-bytes",
        default=4_096,
        parse=integer(0),
        help="Bytes of a query; a larger one is a 413.",
    )
    maxResponseBytes: int = setting(
        variable="DNS_MAX_RESPONSE_BYTES",
        option="dns-max-response-bytes",
        default=4_096,
        parse=integer(0),
        help="Bytes of an upstream's answer; a larger one counts as a failure of that upstream.",
    )
    maxPending: int = setting(
        variable="AERO_DNS_MAX_PENDING",
        option="dns-max-pending",
        default=1_000,
        parse=integer(1),
        help="Different questions waiting for upstreams at once; more get SERVFAIL.",
    )
    allowAny: bool = setting(
        variable="DNS_ALLOW_ANY",
        option="dns-allow-any",
        default=False,
        parse=lambda value: value.strip() == "1",
        help="1 answers queries of type ANY.",
    )
    allowPrivatePTR: bool = setting(
        variable="DNS_ALLOW_PRIVATE_PTR",
        option="dns-allow-private-ptr",
        default=False,
        parse=lambda value: value.strip() == "1",
        help="1 answers reverse queries for private addresses.",
    )
    caseMixing: bool = setting(
        variable="AERO_DNS_0X20",
        option="dns-0x20",
        default=True,
        parse=lambda value: value.strip() != "0",
        help="0 stops mixing the case of names sent over UDP, for upstreams that do not repeat it.",
    )
    requireSession: bool = setting(
        variable="AERO_DNS_REQUIRE_SESSION",
        option="dns-require-session",
        default=True,
        parse=flag,
        help="0 answers names without a session, for resolvers and tools that have no cookies; the limit for each"
        " address holds all the same.",
    )
    qpsPerIP: float = setting(
        variable="DNS_QPS_PER_IP",
        option="dns-qps-per-ip",
        default=10,
        parse=number(0),
        help="Queries a second from one client address; more is a 429. 0 is no limit.",
    )
    burstPerIP: float = setting(
        variable="DNS_BURST_PER_IP",
        option="dns-burst-per-ip",
        default=20,
        parse=number(0),
        help="Queries that one client address may send at once; 0 is no limit.",
    )
