"""
Tests for L{aero.policy.datagramlimits}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.datagramlimits import Bucket, OutboundLimits, Violations

ONE, TWO = b"\x08\x08\x08\x08", b"\x08\x08\x04\x04"


class BucketTests(SynchronousTestCase):
    """
    L{Bucket}.
    """

    def test_refill(self) -> None:
        """
        After draining five a second, 200 ms give exactly one.
        """
        bucket = Bucket(5, 0.0)
        self.assertEqual([bucket.take(1, 0.0) for _ in range(6)], [True] * 5 + [False])
        self.assertTrue(bucket.take(1, 0.2))
        self.assertFalse(bucket.take(1, 0.2))

    def test_capacity(self) -> None:
        """
        It never holds more than one second of its rate.
        """
        bucket = Bucket(2, 0.0)
        self.assertEqual([bucket.take(1, 100.0) for _ in range(3)], [True, True, False])

    def test_clockBackwards(self) -> None:
        """
        A clock that goes backwards refills nothing.
        """
        bucket = Bucket(1, 10.0)
        self.assertTrue(bucket.take(1, 10.0))
        self.assertFalse(bucket.take(1, 5.0))
        self.assertFalse(bucket.take(1, 5.5))

    def test_tooLarge(self) -> None:
        """
        More than one second of the rate never passes.
        """
        self.assertFalse(Bucket(10, 0.0).take(11, 1000.0))


class OutboundTests(SynchronousTestCase):
    """
    L{OutboundLimits}.
    """

    def test_unlimited(self) -> None:
        """
        Without limits everything may go.
        """
        limits = OutboundLimits(0.0)
        self.assertEqual({limits.refusal(ONE, port, 1200, 0.0) for port in range(5000)}, {""})

    def test_datagrams(self) -> None:
        """
        Datagrams of all destinations count together.
        """
        limits = OutboundLimits(0.0, perSecond=2)
        found = [limits.refusal(remote, 1, 1, 0.0) for remote in (ONE, TWO, ONE)]
        self.assertEqual(found, ["", "", "rate"])

    def test_bytes(self) -> None:
        """
        Payloads count by their bytes.
        """
        limits = OutboundLimits(0.0, bytesPerSecond=100)
        found = [limits.refusal(ONE, 1, size, 0.0) for size in (60, 41, 40, 1)]
        self.assertEqual(found, ["", "rate", "", "rate"])

    def test_uniqueDestinations(self) -> None:
        """
        Known destinations stay open when new ones are refused.
        """
        limits = OutboundLimits(0.0, uniqueDestinations=1)
        found = [limits.refusal(ONE, port, 1, 0.0) for port in (1, 2, 1)]
        self.assertEqual(found, ["", "quota", ""])

    def test_perDestination(self) -> None:
        """
        One busy destination holds up no other.
        """
        limits = OutboundLimits(0.0, perDestination=1)
        found = [limits.refusal(remote, 1, 1, 0.0) for remote in (ONE, ONE, TWO)]
        self.assertEqual(found, ["", "rate", ""])

    def test_evictions(self) -> None:
        """
        The least recently used destination is forgotten, and one that comes back starts
        afresh.
        """
        limits = OutboundLimits(0.0, perDestination=1, maxDestinations=2)
        for port in (1, 2, 1, 3):
            limits.refusal(ONE, port, 1, 0.0)
        self.assertEqual(limits.evictions, 1)
        self.assertEqual(limits.refusal(ONE, 1, 1, 0.0), "rate")
        self.assertEqual(limits.refusal(ONE, 2, 1, 0.0), "")

    def test_refusedCostsNothing(self) -> None:
        """
        A datagram refused by its destination's rate leaves the session's rate alone.
        """
        limits = OutboundLimits(0.0, perSecond=3, perDestination=1)
        found = [limits.refusal(ONE, 1, 1, 0.0) for _ in range(5)]
        self.assertEqual(found, ["", "rate", "rate", "rate", "rate"])
        self.assertEqual(
            [limits.refusal(TWO, port, 1, 0.0) for port in (1, 2, 3)], ["", "", "rate"]
        )


class ViolationTests(SynchronousTestCase):
    """
    L{Violations}.
    """

    def test_off(self) -> None:
        """
        With 0 a session is never closed.
        """
        violations = Violations(0, 10.0)
        self.assertFalse(any(violations.add(0.0) for _ in range(100)))

    def test_inWindow(self) -> None:
        """
        The third within the window closes.
        """
        violations = Violations(3, 10.0)
        self.assertEqual([violations.add(now) for now in (0.0, 5.0, 10.0)], [False, False, True])

    def test_slides(self) -> None:
        """
        Violations just under a window apart never add up.
        """
        violations = Violations(3, 10.0)
        self.assertFalse(any(violations.add(number * 9.0) for number in range(50)))

    def test_one(self) -> None:
        """
        A limit of one closes at the first.
        """
        self.assertTrue(Violations(1, 10.0).add(0.0))

    def test_forEver(self) -> None:
        """
        Without a window all of them count.
        """
        violations = Violations(2, 0.0)
        self.assertEqual([violations.add(now) for now in (0.0, 1e6)], [False, True])
