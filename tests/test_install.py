"""
The distribution as users install it: built, installed into an environment of its own, started.
"""

from __future__ import annotations

import atexit
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request
from .support.server import ROOT, Aero, edgeOptions
from .support.tools import missing, require

#: Seconds that a build or an installation may take on a busy machine.
PATIENCE = 180.0


def run(*command: str | Path, cwd: Path | None = None) -> bytes:
    """
    Run a program that has to succeed, and give its output.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command} failed:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout


def temporary() -> Path:
    """
    A directory that is gone after the tests.
    """
    directory = Path(tempfile.mkdtemp(prefix="aero-install-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@cache
def wheel() -> Path:
    """
    A wheel of the last commit, built without the network.
    """
    if not (ROOT / ".git").exists():
        missing("this is not a git checkout")
    directory = temporary()
    archive = run(require("git"), "archive", "HEAD", cwd=ROOT)
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        source.extractall(directory / "source", filter="data")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"),
        *("--no-build-isolation", "--wheel-dir", directory, directory / "source"),
    )
    (found,) = directory.glob("*.whl")
    return found


@cache
def environment() -> Path:
    """
    A fresh environment with that wheel in it. Its dependencies are those of the tests, found
    by path, so that none has to be fetched.
    """
    directory = temporary()
    venv.create(directory, with_pip=False, symlinks=True)
    (packages,) = directory.glob("lib/python*/site-packages")
    installed = [path for path in sys.path if path.endswith("-packages")]
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in installed))
    run(
        *(sys.executable, "-m", "pip", "--python", directory / "bin" / "python", "install"),
        *("--no-deps", "--no-index", "--ignore-installed", wheel()),
    )
    twistd = directory / "bin" / "twistd"
    twistd.write_text(
        f"#!{directory}/bin/python\nimport sys\nfrom twisted.scripts.twistd import run\nsys.exit(run())\n"
    )
    twistd.chmod(0o755)
    return directory


class WheelTests(SynchronousTestCase):
    """
    What is in the wheel.
    """

    def test_page(self) -> None:
        """
        Every file of the page is there, in whichever directory, and nothing else is.
        """
        listed = run(require("git"), "ls-tree", "-r", "--name-only", "HEAD", "static", cwd=ROOT)
        prefix = "data/share/aero/"
        with zipfile.ZipFile(wheel()) as archive:
            names = [name.partition(prefix)[2] for name in archive.namelist() if prefix in name]
        self.assertIn("static/index.html", names)
        self.assertEqual(sorted(names), sorted(listed.decode().split()))

    def test_modules(self) -> None:
        """
        Every module is there, the plugin, and the mark that says there are types; nothing
        makes a package of C{twisted} or of its plugins.
        """
        with zipfile.ZipFile(wheel()) as archive:
            names = set(archive.namelist())
        listed = run(require("git"), "ls-tree", "-r", "--name-only", "HEAD", "aero", cwd=ROOT)
        self.assertEqual(set(listed.decode().split()) - names, set())
        self.assertIn("aero/py.typed", names)
        self.assertEqual(
            {name for name in names if name.startswith("twisted/")},
            {"twisted/plugins/aero_plugin.py"},
        )
        self.assertEqual({name for name in names if name.startswith(("tests/", "docs/"))}, set())


class InstalledTests(SynchronousTestCase):
    """
    The server from an installation, away from its sources.
    """

    def test_start(self) -> None:
        """
        C{twistd -n aero} in an empty directory serves the packaged page with its modules.
        """
        server = Aero(
            *edgeOptions(), command=[str(environment() / "bin" / "twistd")], PYTHONPATH=""
        )
        self.addCleanup(server.kill)
        self.assertEqual(request(server, "GET", "/healthz").json(), {"ok": True})
        for path in ("index.html", "main.js", "worker.js", "smoke/page.js", "favicon.svg"):
            answer = request(server, "GET", f"/{path}")
            self.assertEqual(answer.status, 200, path)
            self.assertEqual(answer.body, (ROOT / "static" / path).read_bytes(), path)
        self.assertEqual(server.stop(), 0)

    def test_whereItIs(self) -> None:
        """
        Both the package and the page come from the installation.
        """
        python = environment() / "bin" / "python"
        script = "import aero, aero._page; print(aero.__file__); print(aero._page.packagedPage())"
        for line in run(python, "-I", "-c", script).decode().split():
            self.assertTrue(Path(line).is_relative_to(environment().resolve()), line)
