"""
Tests for L{aero.tunnel.keepalive}, through a tunnel (l2.md section 11).
"""

from __future__ import annotations

from aero.metrics import l2 as rows
from aero.wire.l2tunnel import PING, PONG, encode

from ..ethernet.test.test_tunnel import TunnelTestCase


def numbered(kind: int, number: int) -> bytes:
    """
    A message with a number of eight bytes.
    """
    return encode(kind, number.to_bytes(8, "big"))


class PingTests(TunnelTestCase):
    """
    PINGs of the server.
    """

    def rtt(self) -> tuple[float, float]:
        sample = self.metrics.registry.get_sample_value
        count = sample("l2_ping_rtt_ms_count") or 0.0
        return count, sample("l2_ping_rtt_ms_sum") or 0.0

    def test_first(self) -> None:
        """
        The first goes out at once, the next after the interval once it was answered; the time
        between is observed in whole milliseconds.
        """
        carrier = self.begin(pingInterval=2.0)
        self.assertEqual(carrier.take(), [numbered(PING, 1)])
        self.clock.advance(0.0425)
        carrier.deliver(numbered(PONG, 1))
        self.assertEqual(self.rtt(), (1, 42))
        self.clock.advance(2.0)
        self.assertEqual(carrier.take(), [numbered(PING, 2)])

    def test_foreign(self) -> None:
        """
        Only the answer to the last one counts, and only once.
        """
        carrier = self.begin(pingInterval=2.0)
        for wrong in (numbered(PONG, 2), encode(PONG, b"\1"), encode(PONG), encode(PONG, bytes(9))):
            carrier.deliver(wrong)
        self.assertEqual(self.rtt()[0], 0)
        carrier.deliver(numbered(PONG, 1), numbered(PONG, 1))
        self.assertEqual(self.rtt()[0], 1)

    def test_oneAtATime(self) -> None:
        """
        While one is on its way no other is sent, for three intervals; a missing answer never
        closes.
        """
        carrier = self.begin(pingInterval=1.0)
        carrier.take()
        self.clock.pump([1.0, 1.0, 1.0])
        self.assertEqual(carrier.take(), [])
        self.clock.pump([1.0])
        self.assertEqual(carrier.take(), [numbered(PING, 2)])
        carrier.deliver(numbered(PONG, 1))
        self.assertEqual(self.rtt()[0], 0)
        self.clock.pump([1.0] * 100)
        self.assertFalse(self.tunnel.isOver)

    def test_off(self) -> None:
        """
        Without an interval there are none.
        """
        carrier = self.begin()
        self.clock.advance(3_600)
        self.assertEqual(carrier.take(), [])


class IdleTests(TunnelTestCase):
    """
    Silence.
    """

    def test_silence(self) -> None:
        """
        A client that says nothing for the time is closed, without an ERROR (F13).
        """
        self.begin(idleTimeout=0.05)
        self.clock.advance(0.05)
        self.assertEnded(1008, "idle timeout", None, "idle")
        self.assertEqual(self.metrics.value(rows.IDLE_TIMEOUTS), 1)

    def test_anythingCounts(self) -> None:
        """
        Every message is a sign of life, the carrier's own included; what is sent to the guest is
        none (F14).
        """
        carrier = self.begin(idleTimeout=1.0)
        for _ in range(5):
            self.clock.advance(0.9)
            carrier.deliver(encode(PONG))
            self.clock.advance(0.9)
            self.tunnel.otherReceived(0)
        self.clock.advance(0.9)
        self.lan.port.sendFrames([b"x"])
        self.clock.advance(0.2)
        self.assertEqual(carrier.closed, (1008, "idle timeout"))

    def test_end(self) -> None:
        """
        After the end nothing expires.
        """
        self.begin(idleTimeout=1.0)
        self.tunnel.connectionLost("client")
        self.clock.advance(5)
        self.assertEqual(self.metrics.value(rows.IDLE_TIMEOUTS), 0)
