"""
Tests for the manual page and the generated documentation.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.settings import GROUPS, rowsOf
from aero.usage import manualPage


class ManualPageTests(SynchronousTestCase):
    """
    C{twistd aero --help}.
    """

    def test_everySettingIsThere(self) -> None:
        """
        Each option and each variable is named once, with its default.
        """
        page = manualPage().replace("=\n      (", "=  (")  # where both do not fit a line
        for cls in GROUPS.values():
            for row in rowsOf(cls):
                name = f"--{row.option}=  ({row.variable})" if row.option else f"  {row.variable}\n"
                self.assertEqual(page.count(name), 1, name)

    def test_fitsATerminal(self) -> None:
        """
        No line is longer than 80 characters.
        """
        self.assertEqual([line for line in manualPage().splitlines() if len(line) > 80], [])
