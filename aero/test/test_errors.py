"""
Tests for the errors.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError, Refused


class ConfigurationErrorTests(SynchronousTestCase):
    """
    The sentence that stops a start.
    """

    def test_oneLine(self) -> None:
        """
        The sentence is one line of bounded length, whatever the value holds.
        """
        for value in ("a\nb", "x" * 10_000, "", " padded "):
            text = str(ConfigurationError("NAME", value, "expected a number"))
            self.assertNotIn("\n", text)
            self.assertLess(len(text), 160)
            self.assertTrue(text.endswith(": expected a number"), text)


class RefusedTests(SynchronousTestCase):
    """
    What a peer is told.
    """

    def test_reason(self) -> None:
        """
        The label for metrics is the code unless it is given.
        """
        self.assertEqual(Refused(403, "forbidden", "No").reason, "forbidden")
        self.assertEqual(Refused(403, "forbidden", "No", reason="origin").reason, "origin")
