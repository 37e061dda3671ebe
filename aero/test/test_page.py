"""
Tests for finding the packaged front end.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero._page import packagedPage


class PackagedPageTests(SynchronousTestCase):
    """
    The page comes with aero.
    """

    def test_complete(self) -> None:
        """
        The directory has the page, and every script the page's scripts import.
        """
        page = packagedPage()
        for name in ("index.html", "main.js", "styles.css", "worker.js"):
            self.assertTrue((page / name).is_file(), name)
        imported = [
            line.split('"')[1]
            for line in (page / "main.js").read_text("utf-8").splitlines()
            if line.startswith("import ") or line.startswith("} from ")
        ]
        self.assertTrue(imported)
        for name in imported:
            self.assertTrue((page / name).is_file(), name)
