"""
A static tree in a temporary directory behind the real site, for the tests of all its parts.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.files.static import StaticTree
from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.settings.http import StaticSettings
from aero.testing.web import HeaderLines, WebClient, WebResponse

#: A modification time, and one a second later, in nanoseconds.
BEFORE = 1_700_000_000_000_000_000
AFTER = BEFORE + 1_000_000_000


class ThreadClock(Clock):
    """
    A clock that is also the reactor that threads report to.
    """

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        """
        There is only one thread, so at once.
        """
        function(*args)


class Pool:
    """
    A thread pool whose work is done when the test says so, or at once.
    """

    def __init__(self) -> None:
        self.holds = False
        self.waiting: list[Callable[[], None]] = []
        self.done = 0

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], None], function: Callable[..., Any], *args: Any
    ) -> None:
        """
        Take a piece of work.
        """

        def work() -> None:
            self.done += 1
            try:
                result = function(*args)
            except Exception as error:  # noqa: BLE001
                onResult(False, error)
            else:
                onResult(True, result)

        self.waiting.append(work)
        if not self.holds:
            self.work()

    def work(self) -> None:
        """
        Do what waits.
        """
        waiting, self.waiting = self.waiting, []
        for piece in waiting:
            piece()


class StaticTestCase(SynchronousTestCase):
    """
    Gives each test an empty root and a client.
    """

    settings = StaticSettings()

    def setUp(self) -> None:
        """
        Make the root and the tree.
        """
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        self.base = Path(self._directory.name)
        self.root = self.base / "root"
        self.root.mkdir()
        self.pool = Pool()
        self.metrics = Metrics(ROWS)
        self.clock = ThreadClock()
        self.tree = self.makeTree(self.settings)
        self.client = self.makeClient(self.tree)

    def makeTree(self, settings: StaticSettings, base: str = "/") -> StaticTree:
        """
        A tree of the root.
        """
        pool: Any = self.pool
        tree = StaticTree(
            self.root, settings, metrics=self.metrics, reactor=self.clock, pool=pool, base=base
        )
        self.addCleanup(tree.close)
        return tree

    def makeClient(self, tree: Any) -> WebClient:
        """
        A client of a site with nothing but a tree.
        """
        router = Router(fallback=tree)
        return WebClient(router, metrics=self.metrics, clock=self.clock)

    def write(self, name: str, content: bytes | str, modified: int = BEFORE) -> Path:
        """
        Put a file below the root.
        """
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.utime(path, ns=(modified, modified))
        return path

    def get(self, target: str | bytes, headers: HeaderLines = ()) -> WebResponse:
        """
        The response to a GET.
        """
        return self.client.request(b"GET", target, headers)

    def openFiles(self) -> list[str]:
        """
        What this process has open below the temporary directory.
        """
        found = []
        for number in os.listdir("/proc/self/fd"):
            try:
                path = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue
            if path.startswith(str(self.base)):
                found.append(path)
        return found
