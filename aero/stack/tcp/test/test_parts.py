"""
Tests for the small parts of the sending half: L{aero.stack.tcp.outbox}, L{aero.stack.tcp.pace},
L{aero.stack.tcp.rtt}, L{aero.stack.tcp.congestion}, L{aero.stack.tcp.isn},
L{aero.stack.tcp.options} and L{aero.stack.tcp.timewait}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.tcp.config import TCPConfig
from aero.stack.tcp.congestion import CongestionWindow
from aero.stack.tcp.isn import DYNAMIC_PORTS, SequenceSource
from aero.stack.tcp.options import Agreement, offeredMSS, shiftFor
from aero.stack.tcp.outbox import Outbox
from aero.stack.tcp.pace import Pace
from aero.stack.tcp.rtt import RoundTrip
from aero.stack.tcp.timewait import Remains, TimeWait
from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.wire.tcp import Options


class OutboxTests(SynchronousTestCase):
    """
    Data that waits.
    """

    @given(st.lists(st.tuples(st.integers(1, 6000), st.integers(0, 9000)), max_size=20))
    def test_order(self, steps: list[tuple[int, int]]) -> None:
        """
        However it is written and taken, what comes out is what went in.
        """
        outbox = Outbox()
        written = taken = b""
        for size, most in steps:
            data = bytes((len(written) + at) & 0xFF for at in range(size))
            outbox.write(data)
            written += data
            taken += outbox.take(min(most, outbox.pending))
            self.assertEqual(outbox.pending, len(written) - len(taken))
        self.assertEqual(taken + outbox.take(outbox.pending), written)

    def test_clear(self) -> None:
        """
        What is thrown away does not come back.
        """
        outbox = Outbox()
        outbox.write(b"abc")
        outbox.take(1)
        outbox.clear()
        outbox.write(b"xyz")
        self.assertEqual(outbox.take(3), b"xyz")


class PaceTests(SynchronousTestCase):
    """
    How fast segments may follow each other.
    """

    def test_credit(self) -> None:
        """
        A burst leaves at once; then as much as twice the window in a round trip, and no more
        than a burst is saved.
        """
        pace = Pace(8000)
        window = CongestionWindow(1000, 8, 10**6)
        trip = RoundTrip(0.2, 30.0)
        trip.measured(0.1, 0.0)
        for _ in range(8):
            self.assertEqual(pace.wait(1000, window, trip, 1.0), 0.0)
            pace.sent(1000)
        # 8,000 bytes in 0.1 seconds, doubled, are 160 in a millisecond; wait for half a burst.
        self.assertAlmostEqual(pace.wait(1000, window, trip, 1.0), 0.025)
        self.assertEqual(pace.wait(1000, window, trip, 1.025), 0.0)
        sent = 0
        while not pace.wait(1000, window, trip, 9.0):
            pace.sent(1000)
            sent += 1
        self.assertEqual(sent, 8)

    def test_fast(self) -> None:
        """
        Where a millisecond brings more than a burst, that is what may be saved.
        """
        pace = Pace(8000)
        window = CongestionWindow(1000, 100, 10**6)
        trip = RoundTrip(0.2, 30.0)
        trip.measured(0.001, 0.0)
        sent = 0
        now = 1.0
        while not pace.wait(1000, window, trip, now) and sent < 10**6:
            pace.sent(1000)
            sent += 1
        self.assertEqual(sent, 200)


class RoundTripTests(SynchronousTestCase):
    """
    RFC 6298.
    """

    def test_first(self) -> None:
        """
        A second before anything was measured; then the time and four times its half.
        """
        trip = RoundTrip(0.2, 30.0)
        self.assertEqual(trip.timeout, 1.0)
        trip.measured(0.5, 0.0)
        self.assertEqual((trip.smoothed, trip.variance), (0.5, 0.25))
        self.assertEqual(trip.timeout, 1.5)
        trip.measured(0.9, 0.0)
        self.assertAlmostEqual(trip.smoothed, 0.55)
        self.assertAlmostEqual(trip.variance, 0.2875)
        self.assertAlmostEqual(trip.timeout, 1.7)

    def test_bounds(self) -> None:
        """
        It is never shorter than the least, nor longer than the most, however often it doubles.
        """
        trip = RoundTrip(0.2, 30.0)
        for _ in range(50):
            trip.measured(0.0, 0.0)
        self.assertAlmostEqual(trip.timeout, 0.2, places=4)
        self.assertAlmostEqual(trip.backedOff(3), 1.6, places=3)
        self.assertEqual(trip.backedOff(1000), 30.0)

    def test_minimum(self) -> None:
        """
        The shortest is forgotten after a while.
        """
        trip = RoundTrip(0.2, 30.0)
        trip.measured(0.1, 0.0)
        trip.measured(0.5, 1.0)
        self.assertEqual(trip.minimum, 0.1)
        trip.measured(0.4, 60.0)
        self.assertEqual(trip.minimum, 0.4)


class CongestionTests(SynchronousTestCase):
    """
    RFC 9438.
    """

    def test_slowStart(self) -> None:
        """
        The window grows by what is delivered, up to the most.
        """
        window = CongestionWindow(1000, 8, 20_000)
        window.acknowledged(8000, 0.0, 0.1)
        self.assertEqual(window.window, 16_000)
        window.acknowledged(16_000, 0.1, 0.1)
        self.assertEqual(window.window, 20_000)

    def test_loss(self) -> None:
        """
        Seven tenths are left, and never less than two segments.
        """
        window = CongestionWindow(1000, 100, 10**6)
        window.lossDetected(100_000)
        self.assertEqual((window.window, window.threshold), (70_000, 70_000))
        window.lossDetected(500)
        self.assertEqual(window.window, 2000)

    def test_cubic(self) -> None:
        """
        It grows quickly at first, hardly at the size of the loss, and quickly beyond it (RFC
        9438 figure 1); K is the cube root of (100 - 70) / 0.4 seconds.
        """
        window = CongestionWindow(1000, 100, 10**9)
        window.lossDetected(100_000)
        sizes = []
        for step in range(900):
            window.acknowledged(window.window // 20, step / 100, 0.2)
            sizes.append(window.window / 1000)
        k = (30 / 0.4) ** (1 / 3)
        at = int((k - 0.2) * 100)
        self.assertAlmostEqual(sizes[at] / 100, 1.0, places=1)
        self.assertGreater(sizes[100] - sizes[0], sizes[at] - sizes[at - 100])
        self.assertGreater(sizes[at + 300] - sizes[at + 200], sizes[at + 100] - sizes[at])

    def test_timeout(self) -> None:
        """
        One segment is left; the threshold is that of the first timeout in a row.
        """
        window = CongestionWindow(1000, 100, 10**6)
        window.timedOut(100_000, again=False)
        window.timedOut(1000, again=True)
        self.assertEqual((window.window, window.threshold), (1000, 70_000))
        self.assertTrue(window.inSlowStart())

    def test_undo(self) -> None:
        """
        What was no loss leaves no trace.
        """
        window = CongestionWindow(1000, 100, 10**6)
        window.timedOut(100_000, again=False)
        window.undo()
        self.assertEqual(window.window, 100_000)

    def test_idle(self) -> None:
        """
        After a long pause it is what it was at first, and grows back quickly.
        """
        window = CongestionWindow(1000, 8, 10**6)
        window.acknowledged(92_000, 0.0, 0.1)
        window.idled()
        self.assertEqual(window.window, 8000)
        self.assertTrue(window.inSlowStart())


class SequenceTests(SynchronousTestCase):
    """
    RFC 6528.
    """

    def test_clock(self) -> None:
        """
        For the same addresses the number grows by one in four microseconds, and wraps.
        """
        source = SequenceSource(b"secret")
        first, origin = source.begin(1, 2, 3, 4, 0.0)
        second, same = source.begin(1, 2, 3, 4, 10.0)
        self.assertEqual((second - first) % 2**32, 2_500_000)
        self.assertEqual(origin, same)

    def test_differs(self) -> None:
        """
        Any other address, port or secret gives another number.
        """
        seen = {
            SequenceSource(secret).begin(*numbers, 0.0)
            for secret in (b"one", b"two")
            for numbers in ((1, 2, 3, 4), (9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9))
        }
        self.assertEqual(len(seen), 10)

    def test_neverAcknowledgedByZero(self) -> None:
        """
        No connection begins with the number whose acknowledgment is 0.
        """
        source = SequenceSource(b"secret")
        first, _ = source.begin(1, 2, 3, 4, 0.0)
        ticks = 0xFFFFFFFF - first
        self.assertEqual(source.begin(1, 2, 3, 4, (ticks - 0.5) / 250_000)[0], 0xFFFFFFFE)
        self.assertEqual(source.begin(1, 2, 3, 4, (ticks + 0.5) / 250_000)[0], 0)

    def test_ports(self) -> None:
        """
        Where the search for a port begins depends on whom it is for.
        """
        source = SequenceSource(b"secret")
        seen = {source.firstPort(1, 2, port) for port in range(20)}
        self.assertGreater(len(seen), 15)
        self.assertTrue(all(0 <= port < DYNAMIC_PORTS for port in seen))


class AgreementTests(SynchronousTestCase):
    """
    Options of both sides.
    """

    def test_both(self) -> None:
        """
        Only what both want is used.
        """
        everything = Options(1460, 7, True, (1, 0))
        for config, scale, stamps, sack in (
            (TCPConfig(), True, True, True),
            (TCPConfig(windowScale=False), False, True, True),
            (TCPConfig(timestamps=False), True, False, True),
            (TCPConfig(sack=False), True, True, False),
        ):
            made = Agreement(config, 1460)
            made.synReceived(everything)
            self.assertEqual((made.scale, made.timestamps, made.sack), (scale, stamps, sack))
            self.assertEqual(made.mss, 1448 if stamps else 1460)
            self.assertEqual((made.sendShift, made.receiveShift), (7, 3) if scale else (0, 0))
        bare = Agreement(TCPConfig(), 1460)
        bare.synReceived(Options())
        self.assertEqual((bare.scale, bare.timestamps, bare.sack), (False, False, False))
        self.assertEqual((bare.mss, bare.sendShift, bare.receiveShift), (536, 0, 0))

    def test_offer(self) -> None:
        """
        We offer what the MTU allows, and what an IPv4 packet can hold.
        """
        self.assertEqual(offeredMSS(TCPConfig(), 1500), 1460)
        self.assertEqual(offeredMSS(TCPConfig(mss=70_000), 65_535), 65_495)
        self.assertEqual(offeredMSS(TCPConfig(mss=70_000), 65_520), 65_480)
        self.assertEqual(offeredMSS(TCPConfig(), 68), 88)

    def test_shift(self) -> None:
        """
        Windows are shifted as far as needed.
        """
        for size, shift in ((65_535, 0), (65_536, 1), (262_144, 3), (1 << 40, 14)):
            self.assertEqual(shiftFor(size), shift)


class TimeWaitTests(SynchronousTestCase):
    """
    What is left of connections.
    """

    def remains(self, until: float, **more: bool) -> Remains:
        """
        One with the number 1000 of the guest and the timestamp 50.
        """
        return Remains(7, 1000, 99, more.get("timestamps", False), 50, 0, until)

    def test_expires(self) -> None:
        """
        Each is let go in time, the oldest first.
        """
        waiting = TimeWait(2.0, 10)
        for port in range(3):
            waiting.add((1, port, 2, 80), self.remains(10.0 + port))
        self.assertEqual(waiting.nextTimeout(), 10.0)
        waiting.handleTimeout(11.0)
        self.assertEqual((len(waiting), waiting.nextTimeout()), (1, 12.0))
        waiting.restart((1, 2, 2, 80), 20.0)
        self.assertEqual(waiting.nextTimeout(), 22.0)
        waiting.remove((1, 2, 2, 80))
        self.assertIsNone(waiting.nextTimeout())

    def test_bounded(self) -> None:
        """
        Beyond the bound the oldest goes.
        """
        waiting = TimeWait(2.0, 2)
        for port in range(3):
            waiting.add((1, port, 2, 80), self.remains(10.0))
        self.assertEqual(len(waiting), 2)
        self.assertIsNone(waiting.get((1, 0, 2, 80)))
        TimeWait(2.0, 0).add((1, 0, 2, 80), self.remains(10.0))

    def test_reuse(self) -> None:
        """
        A SYN is new if its timestamp is, or else its number (RFC 6191).
        """
        plain = self.remains(1.0)
        self.assertTrue(plain.isReusedBy(1001, None))
        self.assertFalse(plain.isReusedBy(999, 60))
        stamped = self.remains(1.0, timestamps=True)
        self.assertTrue(stamped.isReusedBy(5, 51))
        self.assertFalse(stamped.isReusedBy(5000, 49))
        self.assertTrue(stamped.isReusedBy(5000, 50))
