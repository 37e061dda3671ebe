"""
C{/metrics} is what Prometheus reads, with the names that dashboards of the reference gateway use.
"""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request
from .support.server import Aero, shared
from .support.targets import Target, echo
from .support.tools import require
from .support.websocket import WebSocket, tcpTarget

#: The metrics of gateway.md section 8, and of the process itself.
REFERENCE = {
    "http_requests_total": "counter",
    "http_request_duration_seconds": "histogram",
    "dns_queries_total": "counter",
    "dns_cache_hits_total": "counter",
    "dns_cache_misses_total": "counter",
    "dns_upstream_errors_total": "counter",
    "dns_upstream_latency_seconds": "histogram",
    "tcp_proxy_blocked_by_host_policy_total": "counter",
    "tcp_proxy_blocked_by_ip_policy_total": "counter",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_start_time_seconds": "gauge",
}


class ExpositionTests(SynchronousTestCase):
    """
    The page of a server that was used.
    """

    def page(self, server: Aero) -> str:
        """
        The metrics of a server, once there was a tunnel, a refused target and a page missing.
        """
        with (
            Target(echo) as target,
            WebSocket(server, tcpTarget("127.0.0.1", target.port)) as tunnel,
        ):
            tunnel.send(b"x")
            self.assertEqual(tunnel.receiveBytes(1), b"x")
        self.assertEqual(request(server, "GET", "/dns-query").status, 401)
        self.assertEqual(request(server, "GET", "/api/nothing").status, 404)
        response = request(server, "GET", "/metrics")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.one("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        return response.body.decode()

    def servers(self) -> tuple[Aero, Aero]:
        """
        Both ways to run the services.
        """
        return (
            shared("edge", TCP_ALLOW_PRIVATE_IPS="1"),
            shared("gateway", TCP_ALLOW_PRIVATE_IPS="1"),
        )

    def test_promtool(self) -> None:
        """
        Prometheus' own check finds nothing wrong with names, types, units or help, save for a
        name of the reference.
        """
        promtool = require("promtool")
        for server in self.servers():
            checked = subprocess.run(
                [promtool, "check", "metrics"],
                input=self.page(server),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            found = set((checked.stdout + checked.stderr).splitlines())
            abbreviated = "l2_ping_rtt_ms metric names should not contain abbreviated units"
            self.assertEqual(found - {abbreviated}, set())
            self.assertIn(checked.returncode, (0, 3))

    def test_reference(self) -> None:
        """
        Every metric of the reference gateway is there with its type and a help text.
        """
        for server in self.servers():
            lines = self.page(server).splitlines()
            types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
            helps = {
                line.split()[2]: line.split(" ", 3)[3]
                for line in lines
                if line.startswith("# HELP ")
            }
            self.assertEqual({name: types.get(name) for name in REFERENCE}, REFERENCE)
            self.assertEqual([name for name in types if not helps.get(name, "").strip()], [])

    def test_requests(self) -> None:
        """
        Finished requests are counted by method, route template and status.
        """
        for server in self.servers():
            page = self.page(server)
            self.assertRegex(
                page,
                r'(?m)^http_requests_total\{method="GET",route="/dns-query",status_code="401"\} [1-9]',
            )
            self.assertRegex(
                page,
                r'(?m)^http_requests_total\{method="GET",route="unknown",status_code="404"\} [1-9]',
            )
