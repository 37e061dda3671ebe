"""
Tests for L{aero.ws.liveness}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.properties import given, strategies

from ..liveness import Liveness


class LivenessTests(SynchronousTestCase):
    """
    L{Liveness}, with an interval of 30 seconds and 20 to answer.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.pings: list[float] = []
        self.gone: list[float] = []
        self.isRead = True
        self.liveness = Liveness(
            self.clock,
            30.0,
            20.0,
            ping=lambda: self.pings.append(self.clock.seconds()),
            isRead=lambda: self.isRead,
            giveUp=lambda: self.gone.append(self.clock.seconds()),
        )
        self.liveness.start()

    def until(self, when: float) -> None:
        """
        Let time pass, second by second.
        """
        while self.clock.seconds() < when:
            self.clock.advance(1.0)

    def test_silent(self) -> None:
        """
        A client that never says a word is pinged after the interval, counted from the handshake,
        and given up after the timeout.
        """
        self.until(100)
        self.assertEqual((self.pings, self.gone), ([30.0], [50.0]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers(self) -> None:
        """
        A client that answers at once is pinged in the interval exactly: neither the handshake nor
        an answer puts a ping off by another interval.
        """
        for number in range(1, 6):
            self.until(30 * number)
            self.assertEqual(self.pings, [30.0 * each for each in range(1, number + 1)])
            self.liveness.received()
        self.assertEqual(self.gone, [])

    def test_traffic(self) -> None:
        """
        While both directions carry something no ping leaves; the next one is due an interval after
        the last byte of the direction that fell silent first.
        """
        for second in range(10, 200, 10):
            self.until(second)
            self.liveness.received()
            self.liveness.sentAt = self.clock.seconds()
        self.assertEqual(self.pings, [])
        self.until(195)
        self.liveness.sentAt = self.clock.seconds()
        self.until(219)
        self.assertEqual(self.pings, [])
        self.until(220)
        self.assertEqual(self.pings, [220.0])

    def test_uploadOnly(self) -> None:
        """
        A client that only sends is pinged, because a proxy counts the direction to it as silent.
        """
        for second in range(5, 100, 5):
            self.until(second)
            self.liveness.received()
        self.assertEqual(self.pings, [30.0, 60.0, 90.0])
        self.assertEqual(self.gone, [])

    def test_downloadOnly(self) -> None:
        """
        A client that only receives is asked for a sign of life, and given up without one.
        """
        for second in range(5, 100, 5):
            self.until(second)
            self.liveness.sentAt = self.clock.seconds()
        self.assertEqual((self.pings, self.gone), ([30.0], [50.0]))

    def test_notRead(self) -> None:
        """
        A client that is not read is pinged in the interval and not given up; read again, it has
        the usual time.
        """
        self.isRead = False
        self.until(200)
        self.assertEqual(self.pings, [30.0 * each for each in range(1, 7)])
        self.assertEqual(self.gone, [])
        self.isRead = True
        self.liveness.received()
        self.until(300)
        self.assertEqual(self.gone, [230.0])

    def test_slow(self) -> None:
        """
        A client that takes data is not given up; one that stops taking it is.
        """
        for second in range(31, 100, 10):
            self.until(second)
            self.liveness.progressed()
        self.assertEqual(self.gone, [])
        self.until(200)
        self.assertEqual(self.gone, [130.0])

    def test_off(self) -> None:
        """
        An interval of 0 sends nothing.
        """
        liveness = Liveness(
            self.clock,
            0.0,
            20.0,
            ping=lambda: self.fail("a ping"),
            isRead=lambda: True,
            giveUp=lambda: self.fail("given up"),
        )
        liveness.start()
        self.clock.advance(1_000)
        liveness.stop()

    def test_stop(self) -> None:
        """
        Nothing happens after the end of a connection.
        """
        self.liveness.stop()
        self.until(100)
        self.assertEqual((self.pings, self.gone), ([], []))

    @given(strategies.lists(strategies.tuples(strategies.integers(0, 40), strategies.booleans())))
    def test_neverLater(self, traffic: list[tuple[int, bool]]) -> None:
        """
        Whatever is sent and received: no direction to the client is silent for longer than the
        interval.
        """
        self.setUp()
        sent, now = 0.0, 0
        for pause, received in traffic:
            for _ in range(pause):
                now += 1
                self.clock.advance(1.0)
                sent = max(sent, self.pings[-1] if self.pings else 0.0)
                if not self.gone:
                    self.assertLessEqual(now - sent, 30)
            if received:
                self.liveness.received()
            else:
                self.liveness.sentAt = sent = self.clock.seconds()
