# -*- test-case-name: aero.docs.test.test_pages -*-
"""
Alert rules for Prometheus. They are made from rows of the catalogue, so that a metric that
changes its name changes it here too.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from aero.metrics import acme, dns, fleet, http, tcp, tls, workers

_AFTER, _BEFORE = tls.CERTIFICATE_NOT_AFTER.name, tls.CERTIFICATE_NOT_BEFORE.name
_LEFT = f"({_AFTER} - time())"


class Alert(NamedTuple):
    """
    One rule.

    @ivar name: In CamelCase, as Prometheus' own are.
    @ivar expression: True is an alert.
    @ivar lasting: How long it has to be true.
    @ivar severity: C{critical} wakes somebody up, C{warning} does not.
    @ivar summary: What it means, in a sentence.
    """

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str


ALERTS = (
    Alert("AeroDown", 'up{job="aero"} == 0', "2m", "critical", "aero does not answer Prometheus."),
    Alert(
        "AeroErrors",
        f"rate({http.ERRORS.name}[5m]) > 0.1",
        "5m",
        "warning",
        "Requests end in unexpected errors of the server; the log has the reason.",
    ),
    Alert(
        "AeroConnectionsRefused",
        f"sum by (instance, reason)(rate({http.CONNECTIONS_REFUSED.name}[5m])) > 1",
        "10m",
        "warning",
        "Connections are refused because of a limit: a flood, or a limit that is too small.",
    ),
    Alert(
        "AeroSlowRequests",
        f"histogram_quantile(0.99, sum by (instance, le)(rate({http.DURATION.name}_bucket[5m])))"
        " > 2",
        "10m",
        "warning",
        "One request of a hundred takes over two seconds: the process is short of processor time.",
    ),
    Alert(
        "AeroTunnelsFail",
        f"sum by (instance)(rate({tcp.WS_REFUSALS.name}[5m]))"
        f" > 4 * sum by (instance)(rate({tcp.WS_UPGRADES.name}[5m])) + 1",
        "15m",
        "warning",
        "Far more WebSockets are refused than opened: a client is set up wrongly, or an attack.",
    ),
    Alert(
        "AeroDNSLimited",
        f"sum by (instance)(rate({dns.LIMITED.name}[5m])) > 10",
        "15m",
        "warning",
        "DNS queries are refused because of the limit for one address.",
    ),
    Alert(
        "AeroNotReady",
        f"{workers.READY.name} == 0",
        "10m",
        "critical",
        "/readyz has answered 503 for ten minutes: its body says which part is missing.",
    ),
    Alert(
        "AeroCertificateExpires",
        f"{_LEFT} < 0.25 * ({_AFTER} - {_BEFORE}) and {_LEFT} < {21 * 86_400}",
        "1h",
        "warning",
        "Less than a quarter of the certificate's life is left, and no renewal has worked; the log"
        " says why.",
    ),
    Alert(
        "AeroCertificateExpiresSoon",
        f"{_LEFT} < 0.1 * ({_AFTER} - {_BEFORE}) and {_LEFT} < {3 * 86_400}",
        "5m",
        "critical",
        "The certificate expires within days; browsers will refuse the site.",
    ),
    Alert(
        "AeroCertificateMissing",
        f"{acme.PLACEHOLDER.name} == 1",
        "15m",
        "critical",
        "There is no certificate from the CA yet, so browsers refuse the site; the log has the CA's"
        " words.",
    ),
    Alert(
        "AeroCertificateReloadFails",
        f'increase({tls.RELOADS.name}{{outcome="failure"}}[1h]) > 0',
        "0m",
        "warning",
        "A certificate could not be read or renewed; the one before stays in use.",
    ),
    Alert(
        "AeroACMEFails",
        f"{acme.FAILURES.name} >= 3",
        "1h",
        "warning",
        "Orders for a certificate fail one after the other; the log has the CA's words.",
    ),
    Alert(
        "AeroRedisAway",
        f"{fleet.REDIS_UP.name} == 0 and {fleet.REDIS_CONFIGURED.name} == 1",
        "2m",
        "warning",
        "Redis does not answer: limits hold for each process alone, as AERO_REDIS_AWAY_* say.",
    ),
    Alert(
        "AeroWorkersMissing",
        f"{workers.WORKERS.name} < {workers.WORKERS_CONFIGURED.name}",
        "5m",
        "warning",
        "Fewer workers than configured accept connections; the log says why one does not start.",
    ),
    Alert(
        "AeroWorkersRestart",
        f"increase({workers.RESTARTS.name}[15m]) > 3",
        "0m",
        "critical",
        "Workers end again and again, each time with its tunnels; the log has the status.",
    ),
    Alert(
        "AeroDescriptors",
        'process_open_fds{job="aero"} / process_max_fds{job="aero"} > 0.8',
        "5m",
        "critical",
        "File descriptors run out; raise LimitNOFILE, or lower the limits of connections.",
    ),
)


def alertRules() -> str:
    """
    The rules as a rule file.
    """
    lines = [
        "# Written from aero/docs/alerts.py; python -m aero.docs writes it again.",
        "groups:",
        "  - name: aero",
        "    rules:",
    ]
    for alert in ALERTS:
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(alert.expression)}",
            f"        for: {alert.lasting}",
            "        labels:",
            f"          severity: {alert.severity}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
        ]
    return "\n".join(lines) + "\n"
