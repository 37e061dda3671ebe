"""
Many requests at once, from a client that was made for it.
"""

from __future__ import annotations

import subprocess

from twisted.trial.unittest import SynchronousTestCase

from .support.frontend import sharedRoot
from .support.http import request
from .support.metrics import counted, metric
from .support.server import shared
from .support.tools import require

REQUESTS = 2_000


class LoadTests(SynchronousTestCase):
    """
    Under load every request gets its response.
    """

    def load(self, *options: str) -> None:
        """
        Send L{REQUESTS} requests, and check that all succeeded and left nothing behind.
        """
        server = shared("edge", "--frontend-root", sharedRoot())
        before = counted(server, "http_requests_total", method="GET", status_code="200")
        result = subprocess.run(
            [require("h2load"), "-n", str(REQUESTS), *options, f"{server.url}/main.js"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(
            f"requests: {REQUESTS} total, {REQUESTS} started, {REQUESTS} done,"
            f" {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout",
            result.stdout,
        )
        self.assertIn(f"status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx", result.stdout)
        after = metric(server, "http_requests_total", method="GET", status_code="200")
        self.assertGreaterEqual(after - before, REQUESTS)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)
        self.assertEqual(metric(server, "aero_http_errors_total"), 0)

    def test_http1(self) -> None:
        """
        2,000 requests over ten HTTP/1.1 connections: none fails.
        """
        self.load("--h1", "-c", "10")

    def test_pipelined(self) -> None:
        """
        2,000 pipelined requests over two HTTP/1.1 connections: none fails.
        """
        self.load("--h1", "-c", "2", "-m", "8")

    def test_http2(self) -> None:
        """
        2,000 requests over ten HTTP/2 connections with twenty streams each: none fails.
        """
        self.load("-c", "10", "-m", "20")
