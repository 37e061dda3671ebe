"""
Tests for L{aero.net.resolver}.
"""

from __future__ import annotations

import socket
from typing import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import tcp as rows
from aero.net.resolver import LookupFailed, SystemResolver, systemLookup
from aero.settings.tcp import EgressSettings


class ThreadedClock(Clock):
    """
    A clock that other threads, which are none, call.
    """

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)


class SystemResolverTests(SynchronousTestCase):
    """
    Lookups that take as long as the test likes.
    """

    def setUp(self) -> None:
        self.clock = ThreadedClock()
        self.threads: list[Callable[[], None]] = []
        self.asked: list[str] = []
        self.metrics = Metrics(ROWS)
        self.answers: dict[str, list[str]] = {}
        self.resolver = SystemResolver(
            self.clock,
            EgressSettings(maxLookups=2, lookupTimeout=5.0),
            self.metrics,
            lookup=self.lookup,
            runInThread=self.threads.append,
        )

    def lookup(self, name: str) -> list[str]:
        self.asked.append(name)
        if name in self.answers:
            return self.answers[name]
        raise socket.gaierror("no such name")

    def finish(self) -> None:
        """
        The oldest thread is done.
        """
        self.threads.pop(0)()

    def assertFails(self, result: Deferred[list[str]], reason: str) -> None:
        failure: Failure = self.failureResultOf(result, LookupFailed)
        assert isinstance(failure.value, LookupFailed)
        self.assertEqual(failure.value.reason, reason)

    def test_found(self) -> None:
        """
        Addresses come in the order that the system gave them.
        """
        self.answers["a"] = ["2001:db8::1", "192.0.2.1"]
        result = self.resolver.resolve("a")
        self.assertNoResult(result)
        self.finish()
        self.assertEqual(self.successResultOf(result), ["2001:db8::1", "192.0.2.1"])
        self.assertEqual(self.metrics.value(rows.TCP_LOOKUPS, "found"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed(self) -> None:
        """
        A name that does not exist, or has no address, is a failure.
        """
        self.answers["empty"] = []
        for name in ("gone", "empty"):
            result = self.resolver.resolve(name)
            self.finish()
            self.assertFails(result, "failed")

    def test_timeout(self) -> None:
        """
        Nobody waits longer than the timeout; the answer that comes later changes nothing.
        """
        self.answers["slow"] = ["192.0.2.1"]
        result = self.resolver.resolve("slow")
        self.clock.advance(5)
        self.assertFails(result, "timeout")
        self.finish()
        again = self.resolver.resolve("slow")
        self.finish()
        self.assertEqual(self.successResultOf(again), ["192.0.2.1"])

    def test_singleFlight(self) -> None:
        """
        A name that many ask for at once is looked up once, and each gets a list of its own.
        """
        self.answers["a"] = ["192.0.2.1"]
        results = [self.resolver.resolve("a") for _ in range(3)]
        self.finish()
        found = [self.successResultOf(result) for result in results]
        self.assertEqual(self.asked, ["a"])
        found[0].append("x")
        self.assertEqual(found[1:], [["192.0.2.1"]] * 2)

    def test_bounded(self) -> None:
        """
        More lookups than threads wait; more than may wait fail at once.
        """
        waiting = [self.resolver.resolve(f"n{index}") for index in range(2 + 2 * 16)]
        self.assertEqual(len(self.threads), 2)
        self.assertFails(self.resolver.resolve("another"), "busy")
        self.finish()
        self.assertEqual(len(self.threads), 2)
        self.assertFails(waiting[0], "failed")
        while self.threads:
            self.finish()
        for result in waiting[1:]:
            self.assertFails(result, "failed")

    def test_stalledThreads(self) -> None:
        """
        Threads that hang free those who wait in the queue behind them at their timeout.
        """
        results = [self.resolver.resolve(name) for name in ("a", "b", "c")]
        self.clock.advance(5)
        for result in results:
            self.assertFails(result, "timeout")
        self.assertEqual(len(self.threads), 2)
        self.finish()
        self.finish()
        self.assertEqual(self.asked, ["a", "b"])

    def test_cancelled(self) -> None:
        """
        Whoever leaves is not answered, the others are; a lookup that nobody waits for any
        more and has not begun does not begin.
        """
        self.answers["a"] = ["192.0.2.1"]
        leaving, staying = self.resolver.resolve("a"), self.resolver.resolve("a")
        self.resolver.resolve("b").addErrback(lambda failure: None)
        queued = self.resolver.resolve("c")
        queued.cancel()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.failureResultOf(queued, CancelledError)
        while self.threads:
            self.finish()
        self.assertEqual(self.successResultOf(staying), ["192.0.2.1"])
        self.assertEqual(self.asked, ["a", "b"])


class SystemLookupTests(SynchronousTestCase):
    """
    The operating system itself.
    """

    def test_hostsFile(self) -> None:
        """
        C{localhost} is loopback, each address once.
        """
        found = systemLookup("localhost")
        self.assertTrue(set(found) <= {"127.0.0.1", "::1"} and found, found)
        self.assertEqual(len(found), len(set(found)))
