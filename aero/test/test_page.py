"""
Tests for L{aero._page}.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from aero._page import packagedPage
from aero.errors import StartError


class CompletePageTests(SynchronousTestCase):
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


class PackagedPageTests(SynchronousTestCase):
    """
    Tests for L{packagedPage}.
    """

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.recorded: list[Path] = []
        self.patch(importlib.metadata, "files", self.files)

    def files(self, name: str) -> list[importlib.metadata.PackagePath]:
        """
        Stand in for the record of an installation.
        """
        self.assertEqual(name, "aero-edge")
        found = []
        for path in self.recorded:
            entry = importlib.metadata.PackagePath(str(path))
            entry.dist = importlib.metadata.PathDistribution(self.home / "aero_edge.dist-info")
            found.append(entry)
        return found

    def page(self, directory: str) -> Path:
        """
        Make a front end.
        """
        path = self.home / directory
        path.mkdir(parents=True)
        (path / "index.html").write_text("page")
        return path.resolve()

    def test_sourceTree(self) -> None:
        """
        The page beside the package comes first, so that a checkout serves its own.
        """
        installed = self.page("prefix/share/aero/static")
        self.recorded.append(installed / "index.html")
        self.assertEqual(packagedPage(self.home), installed)
        beside = self.page("static")
        self.assertEqual(packagedPage(self.home), beside)

    def test_movedInstallation(self) -> None:
        """
        Where the record names files that are not there, as after C{pip install --target}, the
        page is found beside the package.
        """
        self.recorded.append(Path("/nonexistent/share/aero/static/index.html"))
        moved = self.page("share/aero/static")
        self.assertEqual(packagedPage(self.home), moved)

    def test_notInstalled(self) -> None:
        """
        Without an installation and without a page the start says what to do.
        """

        def files(name: str) -> list[importlib.metadata.PackagePath]:
            raise importlib.metadata.PackageNotFoundError(name)

        self.patch(importlib.metadata, "files", files)
        error = self.assertRaises(StartError, packagedPage, self.home)
        self.assertIn("--frontend-root", str(error))
