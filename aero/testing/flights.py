"""
Whether what a sender counts is what its segments say.
"""

from __future__ import annotations

from aero.stack.tcp.flight import Segment
from aero.stack.tcp.sender import Sender


def checkBooks(sender: Sender) -> None:
    """
    What is counted as on its way, lost and delivered is what is marked so, and no more of what the
    guest says is kept than there are segments.

    @raise AssertionError: It is not.
    """
    flight = sender.flight
    there = flight.segments[flight.head :]
    assert sum(map(_size, there)) == flight.nxt - flight.una
    assert sum(_size(each) for each in there if each.lost) == flight.lost
    assert sum(_size(each) for each in there if each.again) == flight.again
    if sender.sack:
        assert sum(_size(each) for each in there if each.sacked) == flight.sacked
    assert not any(each.sacked and (each.lost or each.again) for each in there)
    assert len(flight._ranges) <= len(there) + 1


def _size(segment: Segment) -> int:
    return segment.end - segment.start
