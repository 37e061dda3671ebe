# -*- test-case-name: aero.stack.tcp.test.test_windowprobe -*-
"""
The byte that asks a guest for its window (RFC 9293 section 3.8.6.1).

A guest with a closed window need not answer a segment without data, and some only answer data. So
the question carries the first byte that waits. The byte stays in the outbox until the guest
acknowledges it: most guests do not take it, and then it is sent again with what follows it as soon
as the window opens.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from .flight import Flight, Segment
from .outbox import Outbox
from .recovery import Recovery


class WindowProbe:
    """
    The question, and whether the guest took the byte with it.

    @ivar asked: How often the guest was asked since data was sent to it.
    """

    __slots__ = ("_askedAt", "asked")

    def __init__(self) -> None:
        self.asked = 0
        self._askedAt = 0.0

    def ask(self, outbox: Outbox, now: float) -> bytes:
        """
        The guest is asked.

        @return: The byte to send behind what was sent; none where only a FIN waits.
        """
        self.asked += 1
        self._askedAt = now
        return outbox.first()

    def over(self) -> None:
        """
        The byte was sent as usual.
        """
        self.asked = 0

    def taken(self, outbox: Outbox, position: int) -> Segment:
        """
        The guest took the byte.

        @param position: The position of the byte.
        @return: The segment that it was sent in.
        """
        data = outbox.take(1)
        segment = Segment(position, data, False, not outbox.pending, self._askedAt)
        segment.repeated = self.asked > 1
        self.asked = 0
        return segment


class Asking(Protocol):
    """
    The L{aero.stack.tcp.sender.Sender} that asks.
    """

    windowProbe: WindowProbe
    outbox: Outbox
    flight: Flight
    recovery: Recovery
    persistAt: float


def probeTaken(sender: Asking, ack: int) -> bool:
    """
    See whether an acknowledgment, of more than was sent, is for the byte that the guest was asked
    with. If so, the byte counts as sent from now on.
    """
    flight = sender.flight
    if not (sender.windowProbe.asked and sender.outbox.pending and ack == flight.nxt + 1):
        return False
    flight.add(sender.windowProbe.taken(sender.outbox, flight.nxt))
    sender.recovery.sent(1)
    sender.persistAt = inf
    return True
