"""
Tests for L{aero.lan.flowlog}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from aero.lan.flowlog import FlowLog
from aero.lan.peer import GuestPeer
from aero.metrics import ROWS, Metrics
from aero.metrics import lan as rows

PEER = GuestPeer("tunnel-7", "198.51.100.23", "session-1")


class FlowLogTests(SynchronousTestCase):
    """
    The log of flows.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)
        self.events: list[dict[str, Any]] = []
        observer: Any = self.keep
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def keep(self, event: dict[str, Any]) -> None:
        """
        Keep what the log of flows says.
        """
        if event.get("log_namespace") == "aero.lan.flowlog.FlowLog":
            self.events.append(event)

    def log(self, **options: Any) -> FlowLog:
        """
        A log with a rate of one line a second.
        """
        return FlowLog(self.clock, self.metrics, **{"rate": 1, **options})

    def end(self, log: FlowLog) -> None:
        log.flowEnded(
            PEER, "tcp", 0x5DB8D70E, 443, sent=100, received=2_000, began=0.0, reason="done"
        )

    def test_flow(self) -> None:
        """
        Who, where, how long, how much each way, how it ended; addresses are blurred.
        """
        self.clock.advance(2)
        self.end(self.log())
        self.assertEqual(
            formatEvent(self.events[0]),
            "tunnel tunnel-7 of 198.51.100.0/24: tcp to 93.184.215.0/24:443 done after 2.0 s,"
            " 100 bytes sent, 2000 received",
        )
        self.assertEqual(self.events[0]["session"], "session-1")

    def test_fullAddresses(self) -> None:
        """
        Or whole, where the operator wants them so.
        """
        self.end(self.log(fullAddresses=True))
        self.assertIn("of 198.51.100.23: tcp to 93.184.215.14:443", formatEvent(self.events[0]))

    def test_refusal(self) -> None:
        """
        What was refused, and by which rule.
        """
        self.log().refused(PEER, "udp", 0x0A000001, 53, reason="private")
        self.assertEqual(
            formatEvent(self.events[0]),
            "tunnel tunnel-7 of 198.51.100.0/24: udp to 10.0.0.0/24:53 refused, private",
        )

    def test_rate(self) -> None:
        """
        There are no more lines than the rate allows, in bursts of four; what is left out is
        counted, and said with the next line.
        """
        log = self.log()
        for _ in range(10):
            self.end(log)
        self.assertEqual(len(self.events), 4)
        self.clock.advance(1)
        self.end(log)
        self.assertTrue(formatEvent(self.events[-1]).endswith(" (6 lines left out before)"))
        self.clock.advance(1)
        self.end(log)
        self.assertNotIn("left out", formatEvent(self.events[-1]))
        self.assertEqual(self.metrics.value(rows.FLOWS_NOT_LOGGED), 6)

    def test_share(self) -> None:
        """
        One guest gets a fifth of the lines, so that others are still written about.
        """
        log = self.log(rate=10)
        for _ in range(100):
            self.end(log)
        self.assertEqual(len(self.events), 8)
        log.refused(PEER._replace(tunnel="tunnel-8"), "tcp", 1, 2, reason="port")
        self.assertEqual(len(self.events), 9)

    def test_none(self) -> None:
        """
        A rate of 0 writes nothing.
        """
        self.end(self.log(rate=0))
        self.assertEqual(self.events, [])
