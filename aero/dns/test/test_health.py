"""
Tests for L{aero.dns.health}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.dns.health import ATTEMPTS, PROBE, SILENCE, UpstreamHealth

from .fakes import FakeExchange


class UpstreamHealthTests(SynchronousTestCase):
    """
    Tests for L{UpstreamHealth}.
    """

    def setUp(self) -> None:
        self.first, self.second = FakeExchange("first"), FakeExchange("second")
        self.health = UpstreamHealth([self.first, self.second])

    def silence(self, start: float) -> float:
        """
        Let the first one be silent for as long as it takes.

        @return: When the last attempt failed.
        """
        for _ in range(ATTEMPTS):
            self.health.failed(self.first, "timeout", start)
        self.health.failed(self.first, "timeout", start + SILENCE)
        return start + SILENCE

    def assertOrder(self, now: float, *labels: str) -> None:
        """
        The upstreams are asked in this order.
        """
        self.assertEqual([one.label for one in self.health.inOrder(now)], list(labels))

    def test_settings(self) -> None:
        """
        Upstreams that work are asked in the order of the settings.
        """
        self.assertOrder(0.0, "first", "second")
        self.health.answered(self.second)
        self.assertOrder(1.0, "first", "second")

    def test_silent(self) -> None:
        """
        One that was silent for long enough is asked last, but for one question now and then.
        """
        down = self.silence(5.0)
        self.assertOrder(down - 0.1, "first", "second")
        self.assertOrder(down, "second", "first")
        self.assertOrder(down + PROBE - 0.1, "second", "first")
        self.assertOrder(down + PROBE, "first", "second")
        self.assertOrder(down + PROBE, "second", "first")

    def test_back(self) -> None:
        """
        With its first answer it has its place again.
        """
        down = self.silence(0.0)
        self.assertOrder(down, "second", "first")
        self.health.answered(self.first)
        self.assertOrder(down, "first", "second")

    def test_stillSilent(self) -> None:
        """
        One that fails when it is tried again stays last.
        """
        down = self.silence(0.0)
        self.assertOrder(down + PROBE, "first", "second")
        self.health.failed(self.first, "timeout", down + PROBE + 2.0)
        self.assertOrder(down + PROBE + 2.0, "second", "first")
        self.assertOrder(down + 2 * PROBE + 2.0, "first", "second")

    def test_fewFailures(self) -> None:
        """
        A failure now and then, however far apart, makes nobody silent.
        """
        for number in range(ATTEMPTS - 1):
            self.health.failed(self.first, "timeout", 100.0 * number)
        self.assertOrder(1_000.0, "first", "second")

    def test_slowNames(self) -> None:
        """
        Whoever asks for names that are never answered cannot push an upstream away that
        answers others.
        """
        for number in range(100):
            self.health.failed(self.first, "timeout", float(number))
            self.health.failed(self.first, "timeout", float(number))
            self.health.answered(self.first)
        self.assertOrder(100.0, "first", "second")

    def test_answersOfNoUse(self) -> None:
        """
        An answer that cannot be used shows that somebody is there.
        """
        down = self.silence(0.0)
        self.health.failed(self.first, "size", down)
        self.assertOrder(down, "first", "second")

    def test_allSilent(self) -> None:
        """
        When all are silent they are asked in the order of the settings, and none is left out.
        """
        for exchange in (self.first, self.second):
            for _ in range(ATTEMPTS):
                self.health.failed(exchange, "network", 0.0)
            self.health.failed(exchange, "network", SILENCE)
        self.assertOrder(SILENCE, "first", "second")
