"""
Properties of L{aero.tunnel.ethernet.tunnel}: whatever the guest, the carrier and the LAN do, in any order.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import l2 as rows
from aero.testing.l2 import MemoryCarrier, MemoryLANs, makeTunnels
from aero.testing.properties import given
from aero.testing.properties import strategies as st
from aero.tunnel.ethernet.tunnel import BATCH
from aero.wire.l2tunnel import ERROR, FRAME, PING, PONG, encode

#: How many messages come at once: few, or more than one turn handles.
SIZES = st.one_of(st.integers(0, 5), st.integers(BATCH - 1, 2 * BATCH + 1))

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frames"), SIZES),
        st.tuples(st.just("pings"), SIZES),
        st.tuples(st.just("send"), st.integers(0, 3)),
        st.tuples(st.just("time"), st.sampled_from([0.0, 0.4, 1.1, 10.0])),
        st.tuples(st.sampled_from(["full", "empty", "enough", "more", "text"]), st.just(0)),
        st.tuples(st.sampled_from(["garbage", "gone", "drain"]), st.just(0)),
    ),
    max_size=30,
)


class AnyOrderTests(SynchronousTestCase):
    """
    Sequences of everything that can happen to a tunnel.
    """

    def happens(self, kind: str, amount: Any) -> None:
        """
        Let something happen.
        """
        tunnel, carrier, lan = self.tunnel, self.carrier, self.lans.last
        if kind == "frames":
            messages = [encode(FRAME, self.next(self.framesIn)) for _ in range(amount)]
            tunnel.messagesReceived(messages)
        elif kind == "pings":
            tunnel.messagesReceived([encode(PING, self.next(self.pings)) for _ in range(amount)])
        elif kind == "send":
            if not (lan.isPaused or tunnel.isOver):
                lan.port.sendFrames([self.next(self.framesOut) for _ in range(amount)])
        elif kind == "time":
            self.clock.advance(amount)
        elif kind == "full" and carrier.closed is None:
            tunnel.pauseProducing()
        elif kind == "empty" and carrier.closed is None:
            tunnel.resumeProducing()
        elif kind == "enough":
            tunnel.pauseFrames()
        elif kind == "more":
            tunnel.resumeFrames()
        elif kind == "text":
            tunnel.otherReceived(3)
        elif kind == "garbage":
            tunnel.messagesReceived([b"?"])
        elif kind == "gone":
            tunnel.connectionLost("client")
        elif kind == "drain":
            tunnel.drain()

    def next(self, kept: list[bytes]) -> bytes:
        """
        A payload that there was never before.
        """
        kept.append(len(kept).to_bytes(4, "big"))
        return kept[-1]

    @given(STEPS, st.integers(1, 4))
    def test_anyOrder(self, steps: list[tuple[str, Any]], sendBuffer: int) -> None:
        """
        Frames and answers keep their order and none is lost while the tunnel is open; the end
        comes once, with nothing after it, and leaves neither timers nor LANs.
        """
        self.clock = Clock()
        metrics = Metrics(ROWS)
        self.lans, self.carrier = MemoryLANs(), MemoryCarrier()
        self.framesIn: list[bytes] = []
        self.framesOut: list[bytes] = []
        self.pings: list[bytes] = []
        tunnels = makeTunnels(self.lans, self.clock, metrics, sendBuffer=sendBuffer)
        self.tunnel = self.carrier.open(tunnels)
        for kind, amount in steps:
            self.happens(kind, amount)
        if not self.tunnel.isOver:
            # Whatever holds it up lets go.
            self.tunnel.resumeFrames()
            for _ in range(200):
                self.tunnel.resumeProducing()
                self.clock.advance(0)
        lan = self.lans.last
        got = [message[4:] for message in self.carrier.sent if message[2] == PONG]
        sent = [message[4:] for message in self.carrier.sent if message[2] == FRAME]
        self.assertEqual(lan.frames, self.framesIn[: len(lan.frames)])
        self.assertEqual(got, self.pings[: len(got)])
        self.assertEqual(sent, self.framesOut)
        self.assertLessEqual(max(map(len, lan.batches), default=0), BATCH)
        if self.tunnel.isOver:
            self.assertIsNotNone(lan.stopped)
            self.assertEqual(tunnels.open, set())
            self.assertEqual(metrics.value(rows.ACTIVE), 0)
            errors = [message for message in self.carrier.sent if message[2] == ERROR]
            self.assertLessEqual(len(errors), 1)
            self.assertEqual(errors, self.carrier.sent[-1:] if errors else [])
        else:
            self.assertEqual((lan.frames, got), (self.framesIn, self.pings))
            self.assertFalse(self.carrier.isPaused)
            self.assertFalse(lan.isPaused)
            self.tunnel.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])
