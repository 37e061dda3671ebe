"""
Tests for revocations that everybody knows of.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.fleet.hub import Hub
from aero.fleet.member import SupervisedStore
from aero.fleet.revocations import SharedRevocations

from .test_hub import Line


class SharedRevocationsTests(SynchronousTestCase):
    """
    L{SharedRevocations} of two workers.
    """

    def setUp(self) -> None:
        self.lines: list[Line] = []
        hub = Hub(seconds=lambda: 0.0, now=lambda: 1000.0, tellAll=self.tellAll)
        self.one, self.two = self.worker(hub, "1"), self.worker(hub, "2")

    def tellAll(self, question: str, value: object) -> None:
        for line in self.lines:
            line.handlers[question](value)

    def worker(self, hub: Hub, name: str) -> SharedRevocations:
        line = Line(hub, name)
        self.lines.append(line)
        store = SupervisedStore(line, line.handlers.__setitem__)
        return SharedRevocations(store, lambda: 1000.0)

    def test_everywhere(self) -> None:
        """
        A session that one worker ended is over for the other, whose listeners hear of it once.
        """
        ended: list[str] = []
        self.one.onRevoked(ended.append)
        self.two.onRevoked(ended.append)
        self.one.revoke("sid", 2000.0, 1000.0)
        self.assertTrue(self.one.isRevoked("sid", 1000.0))
        self.assertTrue(self.two.isRevoked("sid", 1999.0))
        self.assertFalse(self.two.isRevoked("sid", 2000.0))
        self.assertEqual(ended, ["sid", "sid"])
