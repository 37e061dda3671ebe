# -*- test-case-name: aero.docs.test.test_pages -*-
"""
The panels of the dashboard that a person looks at first.
"""

from __future__ import annotations

from typing import NamedTuple

from aero.metrics import Row, dns, fleet, http, l2, lan, relay, tcp, tls, workers


class Panel(NamedTuple):
    """
    One panel.

    @ivar title: What it shows, in words.
    @ivar description: What is normal, and what to do where it is not.
    @ivar unit: Grafana's name of the unit.
    @ivar queries: Queries with their legends.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _of(row: Row, labels: str = "") -> str:
    return f'{row.name}{{job=~"$job"{"," if labels else ""}{labels}}}'


def _rate(row: Row, by: str = "", labels: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped}(rate({_of(row, labels)}[$__rate_interval]))"


def _process(name: str) -> str:
    return f'{name}{{job=~"$job"}}'


def _quantile(quantile: float) -> str:
    name = f'{http.DURATION.name}_bucket{{job=~"$job"}}'
    return f"histogram_quantile({quantile:g}, sum by (le)(rate({name}[$__rate_interval])))"


FIRST_LOOK = (
    Panel(
        "Is it up and ready?",
        "1 for yes. A server that is not ready drains, or has no certificate yet: /readyz says"
        " which.",
        "short",
        (
            (f"min by (instance)({_of(workers.READY)})", "{{instance}} ready"),
            (f"sum by (instance)({_of(workers.WORKERS)})", "{{instance}} workers"),
            (
                f"min by (instance)({_of(fleet.REDIS_UP)})"
                f" and on (instance) {_of(fleet.REDIS_CONFIGURED)} == 1",
                "{{instance}} Redis",
            ),
        ),
    ),
    Panel(
        "Requests a second, by status",
        "Finished responses. 4xx are refusals and mistakes of clients, 5xx are the server's.",
        "reqps",
        ((_rate(http.REQUESTS, "status_code"), "{{status_code}}"),),
    ),
    Panel(
        "Time of a request",
        "Half of the requests, and all but one of a hundred, take no longer than this.",
        "s",
        ((_quantile(0.5), "half"), (_quantile(0.99), "99 of 100")),
    ),
    Panel(
        "Unexpected errors a second",
        "Should be 0. The log has a traceback for each.",
        "ops",
        ((_rate(http.ERRORS), "errors"),),
    ),
    Panel(
        "Open connections and tunnels",
        "Clients that are connected now, and what they have open.",
        "short",
        (
            (f"sum({_of(http.CONNECTIONS)})", "client connections"),
            (f"sum by (endpoint)({_of(tcp.WS_CONNECTIONS)})", "WebSockets {{endpoint}}"),
            (f"sum({_of(relay.PEERS)})", "WebRTC"),
        ),
    ),
    Panel(
        "Traffic of tunnels",
        "Bytes a second between clients and this server, by what carries them.",
        "Bps",
        (
            (_rate(tcp.WS_BYTES, "endpoint, direction"), "{{endpoint}} {{direction}}"),
            (_rate(relay.BYTES, "direction"), "datagrams {{direction}}"),
            (_rate(lan.BYTES, "direction"), "guests and their targets {{direction}}"),
        ),
    ),
    Panel(
        "Refused, by reason",
        "Connections, requests and upgrades a second that a limit or a rule refused.",
        "ops",
        (
            (_rate(http.CONNECTIONS_REFUSED, "reason"), "connection: {{reason}}"),
            (_rate(http.REFUSED, "reason"), "request: {{reason}}"),
            (_rate(tcp.WS_REFUSALS, "endpoint, reason"), "{{endpoint}}: {{reason}}"),
        ),
    ),
    Panel(
        "Guests on a LAN",
        "Emulators with an Ethernet tunnel, and what they have open to the outside.",
        "short",
        (
            (f"sum({_of(l2.ACTIVE)})", "guests"),
            (f"sum({_of(lan.L2_TCP_ACTIVE)})", "TCP connections"),
            (f"sum({_of(lan.L2_UDP_ACTIVE)})", "UDP flows"),
        ),
    ),
    Panel(
        "Names looked up a second",
        "Questions by what became of them, and attempts at an upstream that failed.",
        "ops",
        (
            (_rate(dns.QUERIES, "rcode"), "{{rcode}}"),
            (_rate(dns.UPSTREAM_ERRORS, "kind"), "upstream failed: {{kind}}"),
        ),
    ),
    Panel(
        "Life left of the certificate",
        "It is renewed when a third of its life is left. Where less than a quarter is, the log says"
        " why.",
        "s",
        ((f"min by (name)({_of(tls.CERTIFICATE_NOT_AFTER)}) - time()", "{{name}}"),),
    ),
    Panel(
        "Processor and open files",
        "Cores in use by process, one at most: add workers when it is near 1. The share of the file"
        " descriptors in use: raise LimitNOFILE when it is near 1.",
        "short",
        (
            (
                "sum by (instance, worker)"
                f"(rate({_process('process_cpu_seconds_total')}[$__rate_interval]))",
                "cores {{instance}} {{worker}}",
            ),
            (
                f"max({_process('process_open_fds')} / {_process('process_max_fds')})",
                "share of open files",
            ),
        ),
    ),
    Panel(
        "Memory in use",
        "Resident memory by process.",
        "bytes",
        (
            (
                f"sum by (instance, worker)({_process('process_resident_memory_bytes')})",
                "{{instance}} {{worker}}",
            ),
        ),
    ),
)
