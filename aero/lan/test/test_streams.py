"""
Properties of connections through a guest's LAN: whatever either side does and however slow it
is, what one writes the other reads, and no more is held than may be.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import lan as rows
from aero.testing.lan import LANRig
from aero.testing.properties import given, settings, strategies

TARGET = "93.184.215.14"

#: What may happen: a side writes so much, stops reading, reads again, or time passes.
_STEPS = strategies.lists(
    strategies.one_of(
        strategies.tuples(
            strategies.sampled_from(["guest writes", "target writes"]),
            strategies.integers(1, 120_000),
        ),
        strategies.tuples(
            strategies.sampled_from(
                ["target stops", "target goes on", "guest stops", "guest goes on", "wait"]
            ),
            strategies.just(0),
        ),
    ),
    max_size=25,
)


def stream(start: int, size: int) -> bytes:
    """
    Part of a stream in which every place looks different.
    """
    return b"".join(n.to_bytes(4, "big") for n in range(start // 4, (start + size) // 4 + 1))[
        start % 4 : start % 4 + size
    ]


class StreamTests(SynchronousTestCase):
    """
    Both directions of one connection.
    """

    @settings(max_examples=60)
    @given(_STEPS, strategies.booleans())
    def test_nothingLost(self, steps: list[tuple[str, int]], guestFirst: bool) -> None:
        """
        Both streams arrive whole and in order, whatever happens on the way and whoever ends
        first; nobody who waits is given more than fits.
        """
        rig = LANRig(tcpBufferBytes=65_536, sendBuffer=8)
        guest = rig.guest.connect(TARGET, 80)
        target = rig.acceptTarget()
        rig.settle()
        fromGuest = fromTarget = 0
        flushed = False
        arrived = b""
        for what, size in steps:
            if what == "guest writes":
                guest.write(stream(fromGuest, size))
                fromGuest += size
            elif what == "target writes" and not target.isPaused:
                target.send(stream(fromTarget, size))
                fromTarget += size
            elif what == "target stops":
                target.block()
            elif what == "target goes on":
                arrived += target.take()
                target.unblock()
            elif what == "guest stops":
                guest.openWindow(0)
            elif what == "guest goes on":
                guest.openWindow(65_535)
            else:
                rig.settle(5)
            stack: Any = rig.lan.driver.stack
            # What the target sent at once is taken whole, once.
            self.assertLessEqual(stack.tcp.heldBytes(1), 3 * 65_536 + 120_000)
        ends = [guest.close, target.end]
        for end in ends if guestFirst else reversed(ends):
            end()
            guest.openWindow(65_535)
            for _ in range(40):
                target.unblock()
                arrived += target.take()
                rig.settle(5)
            if target.transport.halfClosed and not flushed:
                flushed = True
                target.flush()
        rig.settle()
        self.assertEqual(arrived + target.take(), stream(0, fromGuest))
        self.assertEqual(guest.received, stream(0, fromTarget))
        self.assertTrue(guest.ended and guest.finished and not guest.wasReset)
        self.assertEqual(rig.metrics.value(rows.TCP_ENDED, "done"), 1)
        self.assertEqual(rig.metrics.value(rows.BYTES, "tcp", "up"), fromGuest)
        self.assertEqual(rig.metrics.value(rows.BYTES, "tcp", "down"), fromTarget)
