# -*- test-case-name: aero.stack.tcp.test.test_sender -*-
"""
Finding out what was lost, and what to do about the congestion window (RFC 5681, RFC 6582,
RFC 6675, RFC 6937, RFC 8985).

Where the guest sends selective acknowledgments, RACK tells what is lost; where it does not,
three duplicate acknowledgments do, and after them each partial one. Once something is taken for
lost, an episode begins that ends when all that was on its way then is acknowledged. The window
is cut once in an episode, and only if more than a small share was lost (C{lossTolerance}):
then it comes down in proportion to what is delivered. Where timestamps show that nothing was
lost at all, the episode is undone (RFC 3522, RFC 4015): guests stand still whenever their tab
is in the background.
"""

from __future__ import annotations

from aero.wire.seqnum import MASK

from .config import TCPConfig
from .congestion import CongestionWindow
from .flight import Flight, Segment
from .rtt import RoundTrip

_OPEN = 0
_RECOVERY = 1
_LOSS = 2

#: Duplicate acknowledgments that mean a loss (RFC 5681 section 3.2).
_DUPLICATES = 3

#: The reordering window is never more than so many quarters of the shortest round trip.
_MOST_STEPS = 16

#: Episodes after which it is one quarter again, if none of them had a duplicate.
_STEPS_LAST = 16

#: Whether a retransmission was needed: nothing was sent again yet; it is known.
_UNDECIDED = -1
_DECIDED = -2

_HALF = 0x80000000


class Recovery:
    """
    What is known of losses on one connection.

    @ivar mode: 0 while nothing is lost; 1 in an episode that an acknowledgment began, 2 in one
        that a timeout did.
    @ivar limitedTo: What was on its way up to here when the window last held something back:
        acknowledgments of it let the window grow (RFC 7661 section 4.1).
    @ivar forced: Whether the next retransmission leaves whatever else is believed to be on its
        way: the first of an episode, and what a partial acknowledgment shows to be missing.
    @ivar sack: Whether the guest sends selective acknowledgments.
    """

    __slots__ = (
        "_burst",
        "_cut",
        "_delivered",
        "_duplicates",
        "_flight",
        "_flightBefore",
        "_lost",
        "_out",
        "_point",
        "_repeatedEnd",
        "_repeatedStamp",
        "_steps",
        "_stepsLast",
        "_stepsPoint",
        "_tolerance",
        "_tolerated",
        "_trip",
        "_window",
        "forced",
        "limitedTo",
        "mode",
        "sack",
    )

    def __init__(
        self,
        config: TCPConfig,
        flight: Flight,
        window: CongestionWindow,
        trip: RoundTrip,
        sack: bool,
    ) -> None:
        self._flight = flight
        self._window = window
        self._trip = trip
        self._tolerance = config.lossTolerance if sack else 0.0
        self._burst = config.burst
        self.sack = sack
        self.mode = _OPEN
        self.limitedTo = flight.una
        self.forced = False
        self._cut = False
        #: The end of the episode.
        self._point = flight.una
        #: Lost in it, and how much may be.
        self._lost = 0
        self._tolerated = 0
        #: On its way when it began, delivered and sent since.
        self._flightBefore = 0
        self._delivered = 0
        self._out = 0
        self._duplicates = 0
        #: The timestamp of the first retransmission, and the end of what it carried.
        self._repeatedStamp = _UNDECIDED
        self._repeatedEnd = 0
        self._steps = 1
        self._stepsLast = _STEPS_LAST
        self._stepsPoint = flight.una

    def reorderWindow(self) -> float:
        """
        How long segments may overtake each other, in seconds (RFC 8985 section 6.2, step 4).
        """
        flight = self._flight
        if not flight.reordered and (self.mode != _OPEN or flight.sackedCount >= _DUPLICATES):
            return 0.0
        window = self._steps * self._trip.minimum / 4
        return window if window < self._trip.smoothed else self._trip.smoothed

    def duplicateTold(self) -> None:
        """
        A retransmission was not needed: segments may overtake each other more than we thought,
        but that is believed only once in a round trip.
        """
        flight = self._flight
        if flight.una > self._stepsPoint:
            self._stepsPoint = flight.nxt
            self._stepsLast = _STEPS_LAST
            if self._steps < _MOST_STEPS:
                self._steps += 1

    def sent(self, size: int) -> None:
        """
        New data left.
        """
        self._out += size

    def sentAgain(self, segment: Segment, stamp: int) -> None:
        """
        A segment was sent again.

        @param stamp: The timestamp it carries.
        """
        self._out += segment.end - segment.start
        if self._repeatedStamp == _UNDECIDED and self.mode != _OPEN:
            self._repeatedStamp = stamp
            self._repeatedEnd = segment.end

    def echoed(self, echo: int) -> None:
        """
        An acknowledgment moved forward: the first that covers the first retransmission tells
        whether it was needed (RFC 3522 section 3.2).

        @param echo: The timestamp it echoes; -1 for none.
        """
        if self._repeatedStamp < 0 or self._flight.una < self._repeatedEnd:
            return
        if echo >= 0 and (echo - self._repeatedStamp) & MASK >= _HALF:
            self._undo()
        self._repeatedStamp = _DECIDED

    def acknowledged(
        self, delivered: int, acked: int, repeat: bool, before: int, now: float
    ) -> float:
        """
        An acknowledgment came: grow the window, or look for losses.

        @param delivered: Bytes that the guest was not known to have.
        @param acked: Bytes by which it moved forward.
        @param repeat: Whether it is a duplicate from a guest that only sends those.
        @param before: What was believed to be on its way before.
        @return: When L{reorderTimedOut} is to be called, in seconds; 0 for never.
        """
        flight = self._flight
        wait = 0.0
        if not self.sack:
            self._countDuplicates(repeat, acked)
        if self.mode != _OPEN and flight.una >= self._point:
            self._recovered()
        if self.mode != _OPEN or flight.sacked or flight.lost or flight.again or self._duplicates:
            lost = flight.lost
            if self.sack:
                wait = flight.loseLate(now, self.reorderWindow())
            elif self.mode == _OPEN:
                if self._duplicates >= _DUPLICATES and flight.una >= self._point:
                    flight.loseFirst()
            elif self.mode == _RECOVERY and acked:
                # A partial acknowledgment: what follows is missing as well (RFC 6582).
                self.forced = flight.loseFirst()
            if flight.lost > lost:
                self._lossFound(flight.lost - lost, before)
        if self.mode == _RECOVERY:
            # Counted from the beginning, as what is sent: the window may be cut later.
            arrived = delivered if self.sack else (acked or (self._window.mss if repeat else 0))
            self._delivered += arrived
            if self._cut:
                self._reduce(arrived)
                return wait
        if delivered:
            if self._isUsed(before):
                self._window.acknowledged(delivered, now, self._trip.smoothed)
            else:
                self._window.paused()
        return wait

    def _isUsed(self, before: int) -> bool:
        """
        Whether the window is what limits us. One that is not used must not grow.
        """
        if self._flight.una <= self.limitedTo or self.mode == _LOSS:
            return True
        window = self._window
        if window.window < window.threshold:
            return 2 * before >= window.window
        return before + window.mss > window.window

    def _countDuplicates(self, repeat: bool, acked: int) -> None:
        """
        Without selective acknowledgments, each duplicate says that some segment has left the
        path (RFC 5681 section 3.2).
        """
        flight = self._flight
        if acked:
            self._duplicates = 0
            flight.sacked = 0
        elif repeat:
            self._duplicates += 1
            mss = self._window.mss
            room = flight.nxt - flight.una - flight.lost - mss
            flight.sacked = max(0, min(self._duplicates * mss, room))

    def reorderTimedOut(self, now: float) -> float:
        """
        What may have been overtaken had its time.

        @return: As for L{acknowledged}.
        """
        flight = self._flight
        before = flight.pipe()
        lost = flight.lost
        wait = flight.loseLate(now, self.reorderWindow())
        if flight.lost > lost:
            self._lossFound(flight.lost - lost, before)
        if self.mode == _RECOVERY and self._cut:
            self._reduce(0)
        return wait

    def timedOut(self, again: bool, now: float) -> None:
        """
        Nothing was heard for so long that all is taken for lost.

        @param again: It is not the first time in a row.
        """
        flight = self._flight
        before = flight.pipe()
        if not self.sack:
            flight.sacked = 0
        flight.timedOut(now, self.reorderWindow())
        self._window.timedOut(before, again)
        if not again or self.mode != _LOSS:
            self._begin(before, _LOSS)
        self.forced = True
        self._duplicates = 0

    def tailLost(self, before: int) -> None:
        """
        A probe has filled a gap that nothing else told of (RFC 8985 section 7.4.2).
        """
        if self.mode == _OPEN and before > self._window.mss * 2:
            self._window.lossDetected(before)

    def _lossFound(self, size: int, before: int) -> None:
        """
        So many more bytes are taken for lost.
        """
        if self.mode == _OPEN:
            self._begin(before, _RECOVERY)
        self._lost += size
        if self._cut or self._lost <= self._tolerated:
            return
        self._cut = True
        self._window.lossDetected(self._flightBefore)

    def _begin(self, before: int, mode: int) -> None:
        """
        Begin an episode.
        """
        mss = self._window.mss
        self.mode = mode
        self.forced = True
        self._cut = mode == _LOSS
        self._point = self._flight.nxt
        self._repeatedStamp = _UNDECIDED
        self._lost = 0
        flight = self._flight
        self._flightBefore = max(before, flight.nxt - flight.una, mss)
        self._tolerated = 0
        if self._tolerance:
            self._tolerated = int(self._tolerance * self._flightBefore) + mss
        self._delivered = 0
        self._out = 0

    def _reduce(self, delivered: int) -> None:
        """
        Bring the window down to the threshold in proportion to what is delivered (RFC 6937).
        """
        window = self._window
        mss = window.mss
        pipe = self._flight.pipe()
        threshold = window.threshold
        if pipe > threshold:
            target = -(-self._delivered * threshold // self._flightBefore) - self._out
        else:
            target = max(self._delivered - self._out, delivered) + mss
            target = min(threshold - pipe, target)
        if not self._out and target < mss:
            target = mss
        window.window = max(mss, pipe + max(target, 0))

    def _recovered(self) -> None:
        """
        The episode is over.
        """
        window = self._window
        if self.mode == _RECOVERY and self._cut:
            # No burst of what could not be sent meanwhile (RFC 6582 section 3.2, step 3).
            room = max(self._flight.pipe(), window.mss) + self._burst * window.mss
            window.window = min(window.threshold, room)
        self._end()

    def _undo(self) -> None:
        """
        The guest acknowledged the first transmission.
        """
        self._flight.nothingLost()
        if self._cut:
            self._window.undo()
        self._end()

    def _end(self) -> None:
        self._stepsLast -= 1
        if self._stepsLast <= 0:
            self._steps = 1
        self.mode = _OPEN
        self.forced = False
        self._cut = False
        self._repeatedStamp = _UNDECIDED
        self._duplicates = 0
