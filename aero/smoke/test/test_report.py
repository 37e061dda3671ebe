"""
Tests for the report and for running checks.
"""

from __future__ import annotations

import io
import json

from twisted.trial.unittest import SynchronousTestCase

from aero.smoke.report import Outcome, Report


class ReportTests(SynchronousTestCase):
    """
    L{Report}.
    """

    def test_lines(self) -> None:
        """
        Each outcome is a line at once, and the sum is the last.
        """
        stream = io.StringIO()
        report = Report(stream)
        report.add(Outcome("ok", "it is there"))
        report.add(Outcome("FAIL", "it is well", "it is not"))
        self.assertEqual(stream.getvalue(), "ok   it is there\nFAIL it is well: it is not\n")
        self.assertEqual(report.finish(), 1)
        self.assertTrue(stream.getvalue().endswith("\n1 ok, 1 failed, 0 skipped\n"))

    def test_nothingChecked(self) -> None:
        """
        A run that skipped everything proves nothing.
        """
        report = Report(io.StringIO())
        report.add(Outcome("skip", "it is there", "nobody knows"))
        self.assertEqual(report.finish(), 1)

    def test_allWell(self) -> None:
        """
        It is well where something was checked and nothing failed.
        """
        report = Report(io.StringIO())
        report.add(Outcome("ok", "it is there"))
        report.add(Outcome("skip", "it is large", "size was not asked for"))
        self.assertEqual(report.finish(), 0)

    def test_json(self) -> None:
        """
        Programs get an object a line and nothing else.
        """
        stream = io.StringIO()
        report = Report(stream, asJSON=True)
        report.add(Outcome("ok", "it is there", "here"))
        report.finish()
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        self.assertEqual(lines, [{"result": "ok", "name": "it is there", "words": "here"}])
