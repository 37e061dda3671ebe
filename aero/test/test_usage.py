"""
Tests for the manual page and the generated documentation.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from aero.docs import pages
from aero.settings import GROUPS, rowsOf
from aero.usage import configurationPage, manualPage

DOCS = Path(__file__).parents[2] / "docs"


class ManualPageTests(SynchronousTestCase):
    """
    C{twistd aero --help}.
    """

    def test_everySettingIsThere(self) -> None:
        """
        Each option and each variable is named once, with its default.
        """
        page = manualPage()
        for cls in GROUPS.values():
            for row in rowsOf(cls):
                name = f"--{row.option}=  ({row.variable})" if row.option else f"  {row.variable}\n"
                self.assertEqual(page.count(name), 1, name)

    def test_fitsATerminal(self) -> None:
        """
        No line is longer than 80 characters.
        """
        self.assertEqual([line for line in manualPage().splitlines() if len(line) > 80], [])


class DocumentationTests(SynchronousTestCase):
    """
    The generated pages.
    """

    def test_current(self) -> None:
        """
        The pages in C{docs/} are what the tables say; C{python -m aero.docs} writes them again.
        """
        if not DOCS.is_dir():
            raise SkipTest("docs/ is part of the source tree only")
        for name, text in pages().items():
            self.assertEqual((DOCS / name).read_text("utf-8"), text, f"docs/{name} is stale")

    def test_everySettingIsThere(self) -> None:
        """
        Each variable has one row.
        """
        page = configurationPage()
        for cls in GROUPS.values():
            for row in rowsOf(cls):
                self.assertIn(f"`{row.variable}`", page)
