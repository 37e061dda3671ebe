# -*- test-case-name: aero.stack.tcp.test.test_sender -*-
"""
What the guest gets: data that waits, data on its way, and when to send which (RFC 9293
section 3.8, RFC 5681, RFC 6298, RFC 6582, RFC 6675, RFC 6937, RFC 8985).

Theory of operation. Data waits in the chunks it came in until it is cut into segments; a
segment stays in the L{Flight} until it is acknowledged. L{Sender.next} names the next segment
to send: what was lost first, then what is new. Four things hold it back:

  - the guest's window;
  - the congestion window, or in recovery what proportional rate reduction allows;
  - the clock: while no acknowledgment came since the path was empty, no more than C{burst}
    segments, since nothing says yet that the guest's driver is emptying its ring;
  - the pace: credit that grows with the window per round trip, of which no more is saved than
    C{burst} segments, or what a millisecond brings (timers are not finer).

Loss is found by RACK where the guest sends selective acknowledgments, and by three duplicate
acknowledgments where it does not; the loss of the last segments by a probe, and everything else
by the retransmission timeout. Where timestamps show that a retransmission was not needed, what
it cost is undone (RFC 4015): guests stand still whenever their tab is in the background.

Positions count bytes from the initial sequence number and never wrap.
"""

from __future__ import annotations

from collections import deque

from ...wire.seqnum import MASK
from .config import TCPConfig
from .congestion import CongestionWindow
from .flight import MAX_SEGMENTS, Flight, Segment
from .rtt import RoundTrip

#: Nothing is due.
NEVER = float("inf")

_OPEN = 0
_RECOVERY = 1
_LOSS = 2

#: Duplicate acknowledgments that mean a loss (RFC 5681 section 3.2).
_DUPLICATES = 3

#: How long an acknowledgment of one segment alone may be held back (RFC 8985 section 7.2).
_WORST_DELAY = 0.2

#: The shortest wait before a probe; timers are not exact.
_SHORTEST_PROBE = 0.01

#: Chunks smaller than this are joined, so that single bytes do not cost fifty each.
_SMALL = 4096

_UNLIMITED = 1 << 62

#: Whether a retransmission was needed: nothing was sent again yet; it is known.
_UNDECIDED = -1
_DECIDED = -2


class Sender:
    """
    The sending half of a connection.

    @ivar una: The first position that is not acknowledged: SND.UNA.
    @ivar nxt: The next to be sent: SND.NXT.
    @ivar window: What the guest takes behind C{una}: SND.WND.
    @ivar mss: The most payload of a segment.
    @ivar sack: Whether the guest sends selective acknowledgments.
    @ivar pending: Bytes that were never sent.
    @ivar closing: Whether a FIN follows them.
    @ivar finEnd: The position behind our FIN once it was sent; -1 before.
    @ivar failed: Whether the guest has not answered for too long.
    """

    __slots__ = (
        "_at",
        "_chunks",
        "_clockEdge",
        "_config",
        "_credit",
        "_creditAt",
        "_cut",
        "_dsackPoint",
        "_duplicates",
        "_forced",
        "_limited",
        "_lostSince",
        "_mode",
        "_point",
        "_priorFlight",
        "_probe",
        "_prrDelivered",
        "_prrOut",
        "_quantum",
        "_reorderSteps",
        "_retransEnd",
        "_retransStamp",
        "_sentAt",
        "_tailEnd",
        "_tailRepeated",
        "_timeouts",
        "_tolerated",
        "closing",
        "cwnd",
        "failed",
        "finEnd",
        "flight",
        "maxWindow",
        "mss",
        "nxt",
        "paceAt",
        "pending",
        "persistAt",
        "persistProbe",
        "probeAt",
        "progressAt",
        "reorderAt",
        "rtoAt",
        "rtt",
        "sack",
        "una",
        "window",
    )

    def __init__(self, config: TCPConfig, start: int, mss: int) -> None:
        """
        @param start: The position of the first byte.
        """
        self._config = config
        self.una = start
        self.nxt = start
        self.window = 0
        self.maxWindow = 0
        self.mss = mss
        self.sack = False
        self.pending = 0
        self.closing = False
        self.finEnd = -1
        self.failed = False
        self.flight = Flight()
        self.rtt = RoundTrip(config.minRTO, config.maxRTO)
        self.cwnd = CongestionWindow(mss, config.burst, 2 * config.sendBuffer)
        self._chunks: deque[bytes] = deque()
        self._at = 0
        self._mode = _OPEN
        self._point = start
        self._duplicates = 0
        self._priorFlight = 0
        self._prrDelivered = 0
        self._prrOut = 0
        self._cut = False
        self._lostSince = 0
        self._tolerated = 0
        self._limited = False
        self._timeouts = 0
        self._retransStamp = _UNDECIDED
        self._retransEnd = start
        self._reorderSteps = 1
        self._dsackPoint = start
        self._tailEnd = -1
        self._tailRepeated = False
        self._probe = False
        self._forced = False
        self._clockEdge = start
        self._quantum = config.burst * mss
        self._credit = self._quantum
        self._creditAt = 0.0
        self._sentAt = -1.0
        self.persistProbe = False
        self.rtoAt = NEVER
        self.probeAt = NEVER
        self.reorderAt = NEVER
        self.persistAt = NEVER
        self.paceAt = NEVER
        self.progressAt = -1e9

    # What the outside offers.

    def write(self, data: bytes) -> None:
        """
        Queue data.
        """
        chunks = self._chunks
        if chunks and len(data) + len(chunks[-1]) <= _SMALL and (self._at == 0 or len(chunks) > 1):
            chunks[-1] += data
        else:
            chunks.append(data)
        self.pending += len(data)

    def buffered(self) -> int:
        """
        Bytes held for the guest.
        """
        return self.pending + self.nxt - self.una

    def forget(self) -> None:
        """
        Let go of everything: nothing more will be sent.
        """
        self._chunks.clear()
        self.pending = 0
        self.flight = Flight()
        self.una = self.nxt

    def _take(self, size: int) -> bytes:
        """
        Cut off so many of the waiting bytes.
        """
        self.pending -= size
        chunks = self._chunks
        chunk = chunks[0]
        at = self._at
        stop = at + size
        if stop < len(chunk):
            self._at = stop
            return chunk[at:stop]
        parts = []
        while size:
            chunk = chunks[0]
            part = chunk[self._at : self._at + size]
            size -= len(part)
            self._at += len(part)
            if self._at == len(chunk):
                chunks.popleft()
                self._at = 0
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # What may be sent.

    def inFlight(self) -> int:
        """
        Bytes believed to be on their way: the pipe of RFC 6675.
        """
        flight = self.flight
        return self.nxt - self.una - flight.sacked - flight.lost + flight.again

    def next(self, now: float, stamp: int) -> Segment | None:
        """
        The next segment to send now; it counts as sent. C{None} says that an acknowledgment,
        data or a timer has to come first.

        @param stamp: The timestamp it will carry.
        """
        flight = self.flight
        if self._probe:
            self._probe = False
            return self._sendProbe(now, stamp)
        if flight.lost:
            segment = flight.firstLost()
            if segment is not None:
                return self._repeat(segment, now, stamp)
        if not self.pending and (not self.closing or self.finEnd >= 0):
            return None
        nxt = self.nxt
        una = self.una
        if nxt == una:
            if now - self._sentAt > self.rtt.timeout and self._sentAt >= 0.0:
                self.cwnd.idled()
            if now - self.progressAt > self.rtt.smoothed:
                self._clockEdge = nxt + self._config.burst * self.mss
        size = self.mss
        if size > self.pending:
            size = self.pending
        usable = una + self.window - nxt
        if usable < size + (not size):
            size = self._squeezed(usable, now)
            if size < 0:
                return None
        inFlight = nxt - una - flight.sacked - flight.lost + flight.again
        if inFlight + size > self.cwnd.window and inFlight > 0:
            self._limited = True
            return None
        if nxt + size > self._clockEdge or len(flight.segments) - flight.head >= MAX_SEGMENTS:
            return None
        if self._credit < size and not self._refill(size, now):
            return None
        return self._sendNew(size, now)

    def _squeezed(self, usable: int, now: float) -> int:
        """
        Decide what to do with a window that is too small for what would be sent (RFC 9293
        section 3.8.6.2.1).

        @return: What to send; -1 for nothing.
        """
        if usable > 0 and self.pending and 2 * usable >= self.maxWindow:
            return usable
        if self.nxt == self.una:
            if self.persistProbe and usable > 0:
                self.persistProbe = False
                self.persistAt = NEVER
                return min(usable, self.pending)
            if self.persistAt == NEVER:
                self.persistAt = now + self.rtt.backedOff(self._timeouts)
                if not self._timeouts:
                    self.progressAt = now
        return -1

    def _refill(self, size: int, now: float) -> bool:
        """
        Add the credit that the time since the last brought.

        @return: Whether it is enough; otherwise a timer is set for when it will be.
        """
        trip = self.rtt.smoothed
        latest = self.rtt.latest
        if latest < trip:
            trip = latest
        if trip <= 0.0:
            # Nothing was measured, so nothing but the clock limits us.
            self._credit = self._quantum
            return True
        cwnd = self.cwnd
        rate = (2.0 if cwnd.window < cwnd.threshold else 1.25) * cwnd.window / trip
        quantum = self._config.burst * self.mss
        if rate * 0.001 > quantum:
            quantum = int(rate * 0.001)
        self._quantum = quantum
        credit = self._credit + (now - self._creditAt) * rate
        self._creditAt = now
        if credit > quantum:
            credit = quantum
        self._credit = int(credit)
        if self._credit >= size:
            return True
        wanted = quantum // 2 if quantum // 2 > size else size
        self.paceAt = now + (wanted - credit) / rate
        return False

    def _sendNew(self, size: int, now: float) -> Segment:
        data = self._take(size) if size else b""
        fin = self.closing and not self.pending and self._finFits(size)
        segment = Segment(self.nxt, data, fin, not self.pending, now)
        if fin:
            self.finEnd = segment.end
        if self.nxt == self.una:
            self.progressAt = now
        self.flight.segments.append(segment)
        self.nxt = segment.end
        self._prrOut += size
        self._sent(size, now)
        if self.rtoAt == NEVER:
            self._setTimeout(now)
        self._setProbe(now)
        return segment

    def _finFits(self, size: int) -> bool:
        return self.una + self.window - self.nxt > size

    def _sent(self, size: int, now: float) -> None:
        if self._credit >= self._quantum:
            self._creditAt = now
        self._credit -= size
        self._sentAt = now
        self.paceAt = NEVER

    def _repeat(self, segment: Segment, now: float, stamp: int) -> Segment | None:
        """
        Send a lost segment again, if the window allows it.
        """
        size = segment.end - segment.start
        if self._forced:
            # After a timeout one segment is sent whatever else is believed to be on its way.
            self._forced = False
        else:
            inFlight = self.inFlight()
            if inFlight + size > self.cwnd.window and inFlight > 0:
                self._limited = True
                return None
            if self._credit < size and not self._refill(size, now):
                return None
        if len(segment.data) > self.mss:
            self.flight.split(self.mss)
            found = self.flight.firstLost()
            if found is None:
                return None
            segment = found
            size = segment.end - segment.start
        self._again(segment, now, stamp)
        self._prrOut += size
        return segment

    def _again(self, segment: Segment, now: float, stamp: int) -> None:
        self.flight.sentAgain(segment, now)
        if self._retransStamp == _UNDECIDED and self._mode != _OPEN:
            self._retransStamp = stamp
            self._retransEnd = segment.end
        self._sent(segment.end - segment.start, now)
        if self.rtoAt == NEVER:
            self._setTimeout(now)

    def _sendProbe(self, now: float, stamp: int) -> Segment | None:
        """
        Send something that makes the guest tell what it has (RFC 8985 section 7.3): new data if
        the window has room, or the last segment again.
        """
        segments = self.flight.segments
        if self.flight.head >= len(segments):
            return None
        size = min(self.mss, self.pending)
        if size and self.nxt + size <= self.una + self.window and len(self.flight) < MAX_SEGMENTS:
            segment = self._sendNew(size, now)
            self._tailRepeated = False
        else:
            segment = segments[-1]
            self._again(segment, now, stamp)
            self._tailRepeated = True
        self._tailEnd = self.nxt
        self.probeAt = NEVER
        self._setTimeout(now, restart=True)
        return segment

    # What the guest says.

    def ackReceived(
        self,
        ack: int,
        window: int,
        blocks: list[tuple[int, int]] | None,
        echo: int,
        stamp: int,
        pure: bool,
        now: float,
    ) -> None:
        """
        An acceptable acknowledgment came.

        @param ack: From C{una} to C{nxt}.
        @param window: The window with it, scaled; -1 to keep the one we know.
        @param blocks: Selective acknowledgments, as positions, valid ones only; what lies below
            C{ack} tells of duplicates.
        @param echo: The timestamp it echoes; -1 for none.
        @param stamp: Our timestamp now.
        @param pure: Whether it came without data, SYN or FIN.
        """
        flight = self.flight
        acked = ack - self.una
        before = self.nxt - self.una - flight.sacked - flight.lost + flight.again
        flight.sample = -1.0
        repeat = False
        delivered = 0
        if window >= 0:
            if not acked and pure and not blocks and window == self.window and before > 0:
                repeat = not self.sack
            self.window = window
            if window > self.maxWindow:
                self.maxWindow = window
            if not window:
                # It is there; it only takes nothing (RFC 9293 section 3.8.6.1).
                self.progressAt = now
            elif self.persistAt != NEVER:
                self.persistAt = NEVER
                self._timeouts = 0
        minimum = self.rtt.minimum
        if acked:
            delivered = flight.acknowledge(ack, now, minimum)
            self.una = ack
            self.progressAt = now
            self._timeouts = 0
            self._clockEdge = _UNLIMITED
        if blocks:
            duplicate = False
            for left, right in blocks:
                if left < ack:
                    duplicate = True
                else:
                    delivered += flight.sack(left, right, now, minimum)
            if duplicate:
                self._duplicateTold()
        if flight.sample >= 0.0:
            self.rtt.measured(flight.sample, now)
        elif acked and echo >= 0:
            self._measureEcho(echo, stamp, now)
        if self._retransStamp >= 0 and ack >= self._retransEnd:
            # Only the first acknowledgment after it can tell (RFC 3522 section 3.2).
            if echo >= 0 and (echo - self._retransStamp) & MASK > 0x7FFFFFFF:
                self._undo()
            self._retransStamp = _DECIDED
        if not self.sack:
            self._countDuplicates(repeat, acked)
        if flight.sacked or self._mode != _OPEN or flight.lost or flight.again:
            self._judge(delivered, acked, repeat, before, now)
        elif delivered and before + self.mss >= self._mostUsed():
            self.cwnd.acknowledged(delivered, now, self.rtt.smoothed)
            self._limited = False
        if self._tailEnd >= 0 and ack >= self._tailEnd:
            self._tailOver(before)
        if acked:
            if self.nxt == ack:
                self.rtoAt = NEVER
                self.probeAt = NEVER
                self.reorderAt = NEVER
            else:
                self._setTimeout(now, restart=True)
                self._setProbe(now)

    def _mostUsed(self) -> int:
        """
        How much must have been on its way for the window to have been what limited us.
        """
        window = self.cwnd.window
        if self._limited:
            return 0
        return window // 2 if window < self.cwnd.threshold else window

    def _measureEcho(self, echo: int, stamp: int, now: float) -> None:
        trip = (stamp - echo) & MASK
        if trip < 60_000:
            self.rtt.measured(trip / 1000, now)

    def _duplicateTold(self) -> None:
        """
        A retransmission was not needed: wait longer for segments that come out of order, but
        not more than once per round trip (RFC 8985 section 6.2, step 4).
        """
        self._tailRepeated = False
        if self.una > self._dsackPoint:
            self._dsackPoint = self.nxt
            if self._reorderSteps < 16:
                self._reorderSteps += 1

    def _countDuplicates(self, repeat: bool, acked: int) -> None:
        """
        Without selective acknowledgments, each duplicate says that some segment has left the
        path (RFC 5681 section 3.2).
        """
        flight = self.flight
        if acked:
            self._duplicates = 0
            if flight.sacked:
                flight.sacked = 0
        elif repeat:
            self._duplicates += 1
            room = self.nxt - self.una - flight.lost - self.mss
            flight.sacked = max(0, min(self._duplicates * self.mss, room))

    def _judge(self, delivered: int, acked: int, repeat: bool, before: int, now: float) -> None:
        """
        Look for losses, and go into and out of recovery.
        """
        flight = self.flight
        lost = flight.lost
        if self._mode != _OPEN and self.una >= self._point:
            self._recovered()
        if self.sack:
            wait = flight.loseLate(now, self._reorderWindow())
            self.reorderAt = now + wait if wait else NEVER
        elif self._mode == _OPEN:
            if self._duplicates >= _DUPLICATES and self.una >= self._point:
                flight.loseFirst()
        elif self._mode == _RECOVERY and acked:
            # A partial acknowledgment: the next is missing as well (RFC 6582).
            flight.loseFirst()
        if flight.lost > lost:
            self._lossFound(flight.lost - lost, before)
        if self._mode == _RECOVERY and self._cut:
            self._reduce(delivered if self.sack else (acked or (self.mss if repeat else 0)))
        elif delivered and (self._mode == _LOSS or before + self.mss >= self._mostUsed()):
            self.cwnd.acknowledged(delivered, now, self.rtt.smoothed)
            self._limited = False

    def _reorderWindow(self) -> float:
        """
        How long to wait for segments that may have been overtaken (RFC 8985 section 6.2,
        step 4).
        """
        if not self.flight.reordered and (
            self._mode != _OPEN or self.flight.sackedCount >= _DUPLICATES
        ):
            return 0.0
        window = self._reorderSteps * self.rtt.minimum / 4
        return window if window < self.rtt.smoothed else self.rtt.smoothed

    def _lossFound(self, size: int, before: int) -> None:
        """
        So many more bytes are taken for lost.

        @param before: What was believed to be on its way.
        """
        if self._mode == _OPEN:
            self._recover(before, _RECOVERY)
        self._lostSince += size
        if self._cut or self._lostSince <= self._tolerated:
            return
        self._cut = True
        self.cwnd.lossDetected(self._priorFlight)

    def _recover(self, before: int, mode: int) -> None:
        self._mode = mode
        self._cut = mode == _LOSS
        self._lostSince = 0
        self._point = self.nxt
        self._retransStamp = _UNDECIDED
        self._priorFlight = max(before, self.mss)
        tolerance = self._config.lossTolerance if self.sack else 0.0
        self._tolerated = int(tolerance * self._priorFlight + self.mss) if tolerance else 0
        self._prrDelivered = 0
        self._prrOut = 0
        self._tailEnd = -1
        self.probeAt = NEVER

    def _reduce(self, delivered: int) -> None:
        """
        Bring the window down to the threshold in proportion to what is delivered (RFC 6937).
        """
        self._prrDelivered += delivered
        inFlight = self.inFlight()
        threshold = self.cwnd.threshold
        if inFlight > threshold:
            target = -(-self._prrDelivered * threshold // self._priorFlight) - self._prrOut
        else:
            target = max(self._prrDelivered - self._prrOut, delivered) + self.mss
            target = min(threshold - inFlight, target)
        if not self._prrOut and target < self.mss:
            target = self.mss
        self.cwnd.window = max(self.mss, inFlight + max(target, 0))

    def _recovered(self) -> None:
        if self._mode == _RECOVERY and self._cut:
            self.cwnd.window = min(
                self.cwnd.threshold, max(self.inFlight(), self.mss) + self._config.burst * self.mss
            )
        self._mode = _OPEN
        self._retransStamp = _UNDECIDED
        self._duplicates = 0

    def _undo(self) -> None:
        """
        The guest acknowledged the first transmission (RFC 3522).
        """
        self.flight.nothingLost()
        if self._cut:
            self.cwnd.undo()
        self._mode = _OPEN
        self._retransStamp = _UNDECIDED
        self._duplicates = 0

    def _tailOver(self, before: int) -> None:
        """
        The probe for the tail was answered. If its retransmission filled a hole, there was a
        loss that nothing else has told of (RFC 8985 section 7.4.2).
        """
        self._tailEnd = -1
        if self._tailRepeated and self._mode == _OPEN:
            self.cwnd.lossDetected(before)
        self._tailRepeated = False

    # What is due.

    def _setTimeout(self, now: float, restart: bool = False) -> None:
        """
        Start the retransmission timer (RFC 6298 section 5), which also ends the waiting for a
        guest that does not answer.
        """
        at = now + self.rtt.backedOff(self._timeouts)
        limit = self.progressAt + self._config.userTimeout
        self.rtoAt = at if at < limit or limit <= now else limit

    def _setProbe(self, now: float) -> None:
        """
        Start the timer of the probe for a lost tail (RFC 8985 section 7.2).
        """
        if not self.sack or self._mode != _OPEN or self._tailEnd >= 0 or self.flight.sacked:
            self.probeAt = NEVER
            return
        smoothed = self.rtt.smoothed
        if not smoothed:
            return
        wait = 2 * smoothed
        if wait < _SHORTEST_PROBE:
            wait = _SHORTEST_PROBE
        if len(self.flight) == 1:
            wait += _WORST_DELAY
        at = now + wait
        self.probeAt = at if at < self.rtoAt else NEVER

    def deadline(self) -> float:
        """
        When L{handleTimeout} has something to do.
        """
        return min(self.rtoAt, self.probeAt, self.reorderAt, self.persistAt, self.paceAt)

    def handleTimeout(self, now: float) -> bool:
        """
        Do what is due.

        @return: Whether there is something to send now. C{failed} may have been set.
        """
        due = False
        if self.paceAt <= now:
            self.paceAt = NEVER
            due = True
        if self.reorderAt <= now:
            self.reorderAt = NEVER
            before = self.inFlight()
            lost = self.flight.lost
            wait = self.flight.loseLate(now, self._reorderWindow())
            if wait:
                self.reorderAt = now + wait
            if self.flight.lost > lost:
                self._lossFound(self.flight.lost - lost, before)
            if self._mode == _RECOVERY and self._cut:
                self._reduce(0)
            due = True
        if self.rtoAt <= now:
            self._timedOut(now)
            due = True
        elif self.probeAt <= now:
            self.probeAt = NEVER
            if self._mode == _OPEN and len(self.flight):
                self._probe = True
                due = True
        if self.persistAt <= now:
            self.persistAt = NEVER
            if now - self.progressAt >= self._config.userTimeout:
                self.failed = True
            elif self.pending or (self.closing and self.finEnd < 0):
                self._timeouts += 1
                self.persistProbe = True
            due = True
        return due

    def _timedOut(self, now: float) -> None:
        """
        The retransmission timer went off (RFC 6298 section 5.4 to 5.6). It starts again when
        something is sent, so that a tunnel that takes nothing is not taken for a guest that
        answers nothing.
        """
        self.rtoAt = NEVER
        self.probeAt = NEVER
        self.reorderAt = NEVER
        flight = self.flight
        if not len(flight):
            return
        if now - self.progressAt >= self._config.userTimeout:
            self.failed = True
            return
        before = self.inFlight()
        again = self._timeouts > 0
        if not self.sack:
            flight.sacked = 0
        flight.timedOut(now, self._reorderWindow())
        self.cwnd.timedOut(before, again)
        if not again or self._mode != _LOSS:
            self._recover(before, _LOSS)
        self._timeouts += 1
        self._duplicates = 0
        self._forced = True
        self._clockEdge = _UNLIMITED

    def negotiated(self, mss: int, sack: bool) -> None:
        """
        What the guest takes is known; nothing was sent before.
        """
        self.mss = mss
        self.sack = sack
        self.cwnd = CongestionWindow(mss, self._config.burst, 2 * self._config.sendBuffer)
        self._quantum = self._credit = self._config.burst * mss

    def pathNarrowed(self, mss: int) -> None:
        """
        Segments have to be smaller (RFC 1191): what was larger is sent again at once.
        """
        self.mss = mss
        self.cwnd.setSegment(mss)
        self.flight.split(mss)
