"""
Tests for the command that starts the server.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero._launch import Launch
from aero.errors import StartError


class LaunchTests(SynchronousTestCase):
    """
    L{Launch}.
    """

    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()

    def make(self, **options: Any) -> Launch:
        return Launch(options, stdout=self.stdout, stderr=self.stderr)

    def test_foreground(self) -> None:
        """
        In the foreground the lines are printed, and nothing is waited for.
        """
        for launch in (Launch(stdout=self.stdout), self.make(nodaemon=1), self.make(debug=1)):
            self.assertFalse(launch.inBackground)
            launch.detach()
        self.assertTrue(self.make(nodaemon=0).inBackground)
        launch = self.make(nodaemon=1)
        launch.ready(["one", "two"])
        launch.failed("no port", 2)
        launch.failed("", 2)
        self.assertEqual(self.stdout.getvalue(), "one\ntwo\n")
        self.assertEqual(self.stderr.getvalue(), "aero: no port\n")

    def test_closedTerminal(self) -> None:
        """
        A terminal that is gone does not stop the start.
        """

        class Gone(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        launch = Launch({"nodaemon": 1}, stdout=Gone(), stderr=Gone())
        launch.ready(["one"])
        launch.failed("no port")

    def test_pidFile(self) -> None:
        """
        The file with the process id goes when the start fails, if it is this process'.
        """
        path = Path(self.mktemp())
        for text, stays in ((str(os.getpid()), False), ("1", True), ("nonsense", True)):
            path.write_text(text)
            self.make(nodaemon=1, pidfile=str(path)).failed("no port")
            self.assertEqual(path.exists(), stays, text)
        path.unlink()
        self.make(nodaemon=1, pidfile=str(path)).failed("no port")

    def test_check(self) -> None:
        """
        Each file that twistd is going to write is checked, with the option that names another.
        """
        there = Path(self.mktemp())
        there.mkdir()
        here = {"rundir": str(there), "pidfile": str(there / "pid")}
        for good in (
            {"nodaemon": 1},
            {"nodaemon": 1, **here},
            {"nodaemon": 1, "logfile": "-", **here},
            {"logfile": str(there / "log"), **here},
            {"syslog": 1, "logfile": "/nonexistent/log", **here},
        ):
            self.make(**good).check()
        for bad, words in (
            ({"rundir": "/nonexistent"}, "--rundir=PATH"),
            ({"pidfile": "/nonexistent/pid"}, "--pidfile=PATH"),
            ({"pidfile": str(there)}, "--pidfile=PATH"),
            ({"logfile": "/nonexistent/log"}, "--logfile=PATH"),
            ({"logfile": str(there)}, "--logfile=PATH"),
            ({"logfile": "-"}, "twistd -n"),
        ):
            error = self.assertRaises(StartError, self.make(**{**here, **bad}).check)
            self.assertIn(words, str(error))
