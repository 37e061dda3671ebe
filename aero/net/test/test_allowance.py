"""
Tests for L{aero.net.allowance} and L{aero.net.commons}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import shares as rows
from aero.net.allowance import Allowance
from aero.net.commons import Commons
from aero.settings import load


class AllowanceTests(SynchronousTestCase):
    """
    Messages that lead to nothing.
    """

    def test_burstAndRate(self) -> None:
        """
        A burst, then the rate; each client has its own, and every kind of message counts.
        """
        clock, metrics = Clock(), Metrics(ROWS)
        allowance = Allowance(clock, metrics, 10, 100)
        kinds = ("tcp-mux", "l2")
        self.assertEqual(sum(allowance.take("a", kinds[n & 1]) for n in range(500)), 100)
        self.assertEqual(sum(allowance.take("b", "l2") for _ in range(500)), 100)
        clock.advance(2.0)
        self.assertEqual(sum(allowance.take("a", "l2") for _ in range(500)), 20)
        self.assertEqual(metrics.value(rows.NO_EFFECT, "tcp-mux"), 200)

    def test_off(self) -> None:
        """
        Without a rate there is no limit.
        """
        allowance = Allowance(Clock(), Metrics(ROWS))
        self.assertTrue(all(allowance.take("a", "l2") for _ in range(10_000)))


class CommonsTests(SynchronousTestCase):
    """
    What all clients share.
    """

    def test_publicDomain(self) -> None:
        """
        On a public domain every share is finite, for a client less than for all.
        """
        settings = load({}, {"AERO_DOMAIN": "emu.example.com"}).shares
        metrics = Metrics(ROWS)
        commons = Commons(Clock(), metrics, settings)
        for budget in (commons.waiting, commons.sockets):
            self.assertGreater(budget.mostPerKey, 0)
            self.assertGreater(budget.most, budget.mostPerKey)
        self.assertFalse(commons.sockets.take("a", 1_025))
        self.assertTrue(commons.sockets.take("a", 1_024))
        self.assertEqual(metrics.value(rows.SOCKETS), 1_024)
        self.assertEqual(metrics.value(rows.SOCKETS_REFUSED, "client"), 1)

    def test_internalName(self) -> None:
        """
        An internal name has no limits but its turns.
        """
        commons = Commons(Clock(), Metrics(ROWS), load({}, {}).shares)
        self.assertTrue(commons.waiting.take("a", 1 << 40))
        self.assertTrue(commons.sockets.take("a", 1 << 20))
        self.assertGreater(commons.turns.slice, 0)
