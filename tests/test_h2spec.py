"""
h2spec, the conformance test of HTTP/2, against the edge.
"""

from __future__ import annotations

import re
import subprocess

from twisted.trial.unittest import TestCase

from tests.support.server import shared
from tests.support.tools import require

#: Seconds that h2spec waits for each answer.
_PATIENCE = 5


class H2SpecTests(TestCase):
    """
    What RFC 9113 and RFC 7541 ask of a server.
    """

    def test_all(self) -> None:
        """
        Every case of the suite passes, none is skipped.
        """
        command = [require("h2spec"), "--tls", "--insecure", "--host", "localhost"]
        server = shared("edge")
        result = subprocess.run(
            [*command, "--port", str(server.port), "--timeout", str(_PATIENCE)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        summary = re.search(
            r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", result.stdout
        )
        assert summary is not None, result.stdout[-2_000:] + result.stderr[-2_000:]
        total, passed, skipped, failed = map(int, summary.groups())
        self.assertEqual((passed, skipped, failed), (total, 0, 0), result.stdout[-8_000:])
        self.assertGreaterEqual(total, 145)
        self.assertEqual(result.returncode, 0)
