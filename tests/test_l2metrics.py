"""
The metrics of C{/l2} by name and type (l2.md section 15).
"""

from __future__ import annotations

from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import OPEN, l2Options
from tests.support.metrics import counted, exposition, metric
from tests.support.server import Aero

#: The table of the specification, in its order.
SPECIFIED = (
    ("l2_upgrade_rejected_total", "counter"),
    ("l2_upgrade_reject_max_connections_per_session_total", "counter"),
    ("l2_auth_reject_total", "counter"),
    ("l2_sessions_active", "gauge"),
    ("l2_sessions_total", "counter"),
    ("aero_l2_idle_timeouts_total", "counter"),
    ("l2_sessions_closed_quota_bytes_total", "counter"),
    ("l2_sessions_closed_quota_fps_total", "counter"),
    ("l2_sessions_closed_backpressure_total", "counter"),
    ("l2_upgrade_reject_origin_missing_total", "counter"),
    ("l2_upgrade_reject_origin_not_allowed_total", "counter"),
    ("l2_upgrade_reject_host_missing_total", "counter"),
    ("l2_upgrade_reject_host_invalid_total", "counter"),
    ("l2_upgrade_reject_host_not_allowed_total", "counter"),
    ("l2_upgrade_reject_auth_missing_total", "counter"),
    ("l2_upgrade_reject_auth_invalid_total", "counter"),
    ("l2_upgrade_reject_max_connections_total", "counter"),
    ("l2_upgrade_reject_max_tunnels_per_session_total", "counter"),
    ("l2_upgrade_ip_limit_exceeded_total", "counter"),
    ("l2_auth_failures_total", "counter"),
    ("l2_session_connection_denied_total", "counter"),
    ("l2_frames_rx_total", "counter"),
    ("l2_frames_tx_total", "counter"),
    ("l2_bytes_rx_total", "counter"),
    ("l2_bytes_tx_total", "counter"),
    ("l2_frames_dropped_total", "counter"),
    ("l2_capture_bytes_total", "counter"),
    ("l2_capture_frames_total", "counter"),
    ("l2_capture_frames_dropped_total", "counter"),
    ("l2_capture_errors_total", "counter"),
    ("l2_policy_denied_total", "counter"),
    ("l2_tcp_conns_active", "gauge"),
    ("l2_tcp_connect_fail_total", "counter"),
    ("l2_udp_flows_active", "gauge"),
    ("l2_udp_send_fail_total", "counter"),
    ("l2_udp_flow_limit_exceeded_total", "counter"),
    ("l2_dns_queries_total", "counter"),
    ("l2_dns_fail_total", "counter"),
    ("l2_ping_rtt_ms", "histogram"),
)

#: The one with a label, its values in order.
REASONS = (
    "missing_credentials",
    "invalid_api_key",
    "invalid_cookie",
    "invalid_jwt",
    "jwt_origin_mismatch",
)

#: The buckets of the histogram.
BOUNDS = ("1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "+Inf")


@cache
def usual() -> Aero:
    """
    A server without any tunnel.
    """
    return Aero(*l2Options(), state=None, runDir=None, **OPEN)


class SpecifiedTests(SynchronousTestCase):
    """
    A server that nobody has used yet.
    """

    def test_names(self) -> None:
        """
        Each metric has its type and a help text, and is there as a whole number from the start,
        under just the name that scrapers look for.
        """
        self.assertEqual(len(SPECIFIED), 39)
        lines = exposition(usual()).splitlines()
        types = [line.split(" ")[2:4] for line in lines if line.startswith("# TYPE ")]
        for name, kind in SPECIFIED:
            self.assertEqual([found[1] for found in types if found[0] == name], [kind], name)
            helps = [line for line in lines if line.startswith(f"# HELP {name} ")]
            self.assertEqual(len(helps), 1, name)
            self.assertGreater(len(helps[0].split(" ", 3)[3].split()), 1, name)
            self.assertLess(lines.index(helps[0]), lines.index(f"# TYPE {name} {kind}"))
        # Scrapers of the reference compare everything before the first space.
        samples = [tuple(line.split(" ", 1)) for line in lines if not line.startswith("#")]
        alike = {"l2_auth_reject_total", "l2_ping_rtt_ms"}
        for name, _ in SPECIFIED:
            if name not in alike:
                self.assertEqual([v for k, v in samples if k.split("{")[0] == name], ["0"], name)
                self.assertIn((name, "0"), samples)
        self.assertEqual(
            [sample for sample in samples if sample[0].startswith("l2_auth_reject_total")],
            [(f'l2_auth_reject_total{{reason="{reason}"}}', "0") for reason in REASONS],
        )
        *buckets, one, other = (
            sample for sample in samples if sample[0].startswith("l2_ping_rtt_ms")
        )
        self.assertEqual(
            buckets, [(f'l2_ping_rtt_ms_bucket{{le="{bound}"}}', "0") for bound in BOUNDS]
        )
        self.assertEqual({one, other}, {("l2_ping_rtt_ms_sum", "0"), ("l2_ping_rtt_ms_count", "0")})

    def test_helper(self) -> None:
        """
        What tests read metrics with takes no wrong name for 0.
        """
        server = usual()
        self.assertEqual(metric(server, "l2_sessions_total"), 0)
        self.assertEqual(metric(server, "l2_ping_rtt_ms_count"), 0)
        self.assertEqual(metric(server, "l2_auth_reject_total", reason="invalid_jwt"), 0)
        self.assertEqual(counted(server, "l2_auth_reject_total", reason="other"), 0)
        self.assertEqual(counted(server, "l2_ping_rtt_ms_bucket", le="2"), 0)
        for read in (metric, counted):
            for name in ("l2_sessions", "l2_sessions_total_", "l2_ping_rtt_ms_coun"):
                self.assertRaises(AssertionError, read, server, name)
        wrong = {"reason": "other"}
        self.assertRaises(AssertionError, metric, server, "l2_auth_reject_total", **wrong)
