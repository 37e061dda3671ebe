"""
Tests for the choice of whom to agree with.
"""

from __future__ import annotations

import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.errors import ConfigurationError
from aero.fleet.member import SupervisedStore
from aero.fleet.rates import SharedBuckets
from aero.fleet.workers.member import Member
from aero.metrics import ROWS, Metrics
from aero.net.inherited import InheritedSockets
from aero.policy.quota import TokenBuckets
from aero.services.fleet import Fleet, sharedStore
from aero.settings.fleet import FleetSettings


class FleetTests(SynchronousTestCase):
    """
    L{Fleet} and L{sharedStore}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ROWS)

    def test_alone(self) -> None:
        """
        The only process asks nobody.
        """
        store = sharedStore(FleetSettings(), None, clock=self.clock, metrics=self.metrics)
        self.assertIsNone(store)
        fleet = Fleet(store, clock=self.clock, now=self.clock.seconds)
        self.assertIsNone(fleet.claims)
        self.assertIs(type(fleet.makeBuckets("dns", 1, 1)), TokenBuckets)
        fleet.start()
        fleet.stop()

    def test_worker(self) -> None:
        """
        A worker asks its supervisor.
        """
        member = Member(1, 2, InheritedSockets())
        store = sharedStore(FleetSettings(), member, clock=self.clock, metrics=self.metrics)
        self.assertIsInstance(store, SupervisedStore)
        fleet = Fleet(store, clock=self.clock, now=self.clock.seconds)
        self.assertIsInstance(fleet.makeBuckets("dns", 1, 1), SharedBuckets)

    def test_withoutClient(self) -> None:
        """
        Without the client for Redis the start says what to install, and no password.
        """
        self.patch(sys, "modules", {**sys.modules, "aero.fleet.redisstore": None})
        settings = FleetSettings(redisURL="redis://:secret@127.0.0.1/")
        error = self.assertRaises(
            ConfigurationError,
            sharedStore,
            settings,
            None,
            clock=self.clock,
            metrics=self.metrics,
        )
        self.assertIn("aero-edge[redis]", str(error))
        self.assertNotIn("secret", str(error))
