"""
How C{--services l2} starts, and how it does not (l2.md sections 2 and 20.1).
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import OPEN, l2Options
from tests.support.l2case import KEY, SECRET, L2Case, cookie
from tests.support.server import run


class RefusalTests(SynchronousTestCase):
    """
    Starts that must fail say why in one line, with status 1.
    """

    def refused(self, *words: str, **variables: str) -> None:
        """
        A start with these settings fails, and says these words.
        """
        result = run(*l2Options(), **variables)
        self.assertEqual(result.returncode, 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_noAuthentication(self) -> None:
        """
        Without any settings of authentication nothing starts, in the open mode alone neither (C6).
        """
        self.refused("AERO_L2_AUTH_MODE", AERO_L2_OPEN="1")

    def test_missingKeys(self) -> None:
        """
        A mode without its key does not start (C2 to C4).
        """
        self.refused("SESSION_SECRET", AERO_L2_AUTH_MODE="session")
        self.refused("AERO_L2_API_KEY", AERO_L2_AUTH_MODE="token")
        mode = {"AERO_L2_AUTH_MODE": "session_and_token"}
        self.refused("AERO_L2_API_KEY", SESSION_SECRET=SECRET, **mode)
        self.refused("SESSION_SECRET", AERO_L2_TOKEN=KEY, **mode)

    def test_origin(self) -> None:
        """
        An origin with a path is refused, with its variable (C10).
        """
        self.refused(
            "AERO_L2_ALLOWED_ORIGINS",
            "https://example.com/path",
            **OPEN | {"AERO_L2_ALLOWED_ORIGINS": "https://example.com/path"},
        )

    def test_ports(self) -> None:
        """
        A port that is none is refused, with its variable and what it is for (C11).
        """
        for kind in ("tcp", "udp"):
            variable = f"AERO_L2_ALLOWED_{kind.upper()}_PORTS"
            self.refused(variable, f"{kind} port allowlist", **OPEN | {variable: "80,nope"})

    def test_command(self) -> None:
        """
        A bad address and an unknown option are refused as well.
        """
        result = run("--services", "l2", "--l2-listen", "localhost:80", **OPEN)
        self.assertEqual(result.returncode, 1)
        self.assertIn("--l2-listen=localhost:80", result.stderr)
        self.assertNotEqual(run("--services", "l2", "--magic", **OPEN).returncode, 0)


class StartTests(L2Case, SynchronousTestCase):
    """
    Starts that work.
    """

    def test_secrets(self) -> None:
        """
        Of the three names of the session secret the first that is not blank counts (C1, S19), and
        C{cookie} is C{session} (C2).
        """
        names = ("AERO_GATEWAY_SESSION_SECRET", "SESSION_SECRET", "AERO_L2_SESSION_SECRET")
        for blanks in range(3):
            variables = {
                name: "  " if index < blanks else f"secret-{index}"
                for index, name in enumerate(names)
            }
            server = self.closed(AERO_L2_AUTH_MODE="cookie", AERO_L2_OPEN="1", **variables)
            for index in range(3):
                expected = 101 if index == blanks else 401
                given = cookie(secret=f"secret-{index}")
                self.assertEqual(self.status(server, cookie=given), expected, (blanks, index))
            server.kill()

    def test_blankMode(self) -> None:
        """
        A mode of spaces is none: the token that is there decides (C5).
        """
        server = self.closed(AERO_L2_AUTH_MODE="   ", AERO_L2_TOKEN=KEY, AERO_L2_OPEN="1")
        self.assertEqual(self.status(server), 401)
        self.assertEqual(self.status(server, f"/l2?token={KEY}"), 101)

    def test_insecure(self) -> None:
        """
        The two words together start without any authentication (C6), and the lines that harnesses
        wait for are there, with the port that was found.
        """
        server = self.closed(
            AERO_L2_OPEN="1", AERO_L2_INSECURE_ALLOW_NO_AUTH="1", AERO_L2_READY_STDOUT="1"
        )
        self.assertEqual(self.status(server), 101)
        self.assertIn(f"AERO_L2_PROXY_READY ws://127.0.0.1:{server.port}/l2", server.lines)
        line = re.compile(rf"aero-l2-proxy listening on http://127\.0\.0\.1:{server.port}\b")
        self.eventually(
            lambda: any(line.search(each) for each in server.log), "the log does not say so"
        )
