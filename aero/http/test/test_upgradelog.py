"""
Tests for L{aero.http.upgradelog}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from aero.http.test.routes import UPGRADE, Page, makeRouter
from aero.testing.web import WebClient

from ..upgradelog import CLIENT_BURST, RATE, UpgradeLog


class UpgradeLogTests(SynchronousTestCase):
    """
    Tests for the log of refused upgrades.
    """

    def setUp(self) -> None:
        """
        Look at the log.
        """
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[str]:
        """
        The lines since the last call.
        """
        found = [
            formatEvent(event)
            for event in self.events
            if event.get("log_namespace") == UpgradeLog._log.namespace
        ]
        self.events.clear()
        return found

    def client(self, **common: Any) -> WebClient:
        """
        A client of a site with a page.
        """
        return WebClient(makeRouter(fallback=Page()), clock=Clock(), **common)

    def test_line(self) -> None:
        """
        A line has the path without the query, the status, the reason in words and in one word,
        and the client's address blurred.
        """
        client = self.client(peer="198.51.100.77")
        client.request(b"GET", b"/l2%FF?token=secret", UPGRADE)
        (line,) = self.lines()
        self.assertEqual(
            line,
            "refused a WebSocket upgrade to /l2%FF with 404: No WebSocket endpoint has this path."
            " Endpoints of this server: /tcp (upgrade-path), client 198.51.100.0/24",
        )

    def test_fullAddress(self) -> None:
        """
        The address is whole where the operator wants it so.
        """
        client = self.client(peer="198.51.100.77")
        client.site.upgradeLog = UpgradeLog(client.clock, fullAddresses=True)
        client.request(b"GET", b"/l2", UPGRADE)
        self.assertIn("client 198.51.100.77", self.lines()[0])

    def test_oneClient(self) -> None:
        """
        A client that is refused again and again gets few lines, and the next line says how many
        were left out; another client gets its own.
        """
        client = self.client()
        for _ in range(50):
            client.request(b"GET", b"/l2", UPGRADE)
        self.assertEqual(len(self.lines()), CLIENT_BURST)
        client.request(b"GET", b"/l2", UPGRADE, peer="203.0.113.1")
        self.assertIn(f"({50 - int(CLIENT_BURST)} lines left out before)", self.lines()[0])
        client.clock.advance(1)
        client.request(b"GET", b"/l2", UPGRADE)
        self.assertNotIn("left out", self.lines()[0])

    def test_manyClients(self) -> None:
        """
        Refusals of many clients together have a rate as well.
        """
        client = self.client()
        for number in range(200):
            client.request(b"GET", b"/l2", UPGRADE, peer=f"203.0.113.{number}")
        first = len(self.lines())
        self.assertLess(first, 30)
        client.clock.advance(1)
        for number in range(200):
            client.request(b"GET", b"/l2", UPGRADE, peer=f"192.0.2.{number}")
        self.assertEqual(len(self.lines()), RATE)
