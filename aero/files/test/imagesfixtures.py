"""
A tree of disk images in memory and on disk, and a client of it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.sessions import Sessions
from aero.files.imagegate import ImageGate
from aero.files.images import ImageTree
from aero.files.test.statics import Pool, ThreadClock
from aero.http.router import Router
from aero.metrics import ROWS, Metrics
from aero.metrics import images as rows
from aero.policy.headers import ResponseHeaders
from aero.settings.images import ImageSettings
from aero.testing.web import HeaderLines, WebClient, WebResponse

OWN = "https://site.example"
CONTENT = bytes(range(256)) * 1024


class ImagesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        """
        Have a directory with an image.
        """
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.base = Path(directory.name)
        self.root = self.base / "images"
        (self.root / "win").mkdir(parents=True)
        (self.root / "disk.img").write_bytes(CONTENT)
        (self.root / "win" / "manifest.json").write_text("{}")
        (self.base / "secret").write_text("secret")
        self.metrics = Metrics(ROWS)
        self.clock = ThreadClock()
        self.pool = Pool()
        self.sessions = Sessions(["secret"], 3_600, "Lax")
        self.serve()

    def serve(self, base: str = "/", **settings: Any) -> None:
        """
        Have these settings from now on.
        """
        values = ImageSettings(root=str(self.root), **settings)
        self.tree = ImageTree(
            values,
            sessions=lambda: self.sessions,
            now=lambda: 1_000.0,
            metrics=self.metrics,
            reactor=self.clock,
            pool=self.pool,
        )
        self.addCleanup(self.tree.close)
        headers = ResponseHeaders.edge(0)
        router = Router(base=base)
        router.addTree(
            "/images",
            self.tree,
            ImageGate(
                headers,
                own=[OWN],
                listed=values.corsOrigins,
                resourcePolicy=values.resourcePolicy,
                metrics=self.metrics,
            ),
        )
        self.client = WebClient(
            router, metrics=self.metrics, clock=self.clock, responseHeaders=headers
        )

    def get(
        self, target: str = "/images/disk.img", headers: HeaderLines = (), method: bytes = b"GET"
    ) -> WebResponse:
        """
        The response to a request.
        """
        return self.client.request(method, target, headers)

    def refused(self, reason: str) -> float:
        """
        How many requests were refused so.
        """
        return self.metrics.value(rows.REFUSALS, reason)
