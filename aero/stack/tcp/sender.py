# -*- test-case-name: aero.stack.tcp.test.test_sender -*-
"""
What the guest gets: data that waits, data on its way, and when to send which (RFC 9293
section 3.8).

Theory of operation. Data waits in the L{Outbox} until it is cut into segments; a segment stays
in the L{Flight} until it is acknowledged. L{Sender.next} names the next segment to send: what
was lost first, then what is new. Four things hold it back: the guest's window, the congestion
window, the clock and the L{Pace}. L{Recovery} finds out what was lost; the loss of the last
segments shows when a probe is answered (RFC 8985 section 7), and everything else ends with the
retransmission timeout (RFC 6298).

The timers: C{rtoAt} while anything is on its way; C{probeAt} for a probe of the tail;
C{reorderAt} while something may have been overtaken; C{persistAt} while the guest's window is
closed; C{paceAt} while credit is short. A timer that goes off only says what may be sent next,
so that a tunnel that takes nothing is not taken for a guest that answers nothing.

Positions count bytes from the initial sequence number and never wrap.
"""

from __future__ import annotations

from aero.wire.seqnum import MASK

from .config import TCPConfig
from .congestion import CongestionWindow
from .flight import MAX_SEGMENTS, Flight, Segment
from .outbox import Outbox
from .pace import Pace
from .recovery import Recovery
from .rtt import RoundTrip
from .windowprobe import WindowProbe

#: Nothing is due.
NEVER = float("inf")

#: How long an acknowledgment of one segment alone may be held back (RFC 8985 section 7.2).
_WORST_DELAY = 0.2

#: The shortest wait before a probe; timers are not exact.
_SHORTEST_PROBE = 0.01

#: Echoes of timestamps that are older are not believed, in milliseconds.
_OLDEST_ECHO = 60_000


class Sender:
    """
    The sending half of a connection.

    @ivar window: What the guest takes behind C{flight.una}: SND.WND.
    @ivar maxWindow: The largest it ever was.
    @ivar mss: The most payload of a segment.
    @ivar sack: Whether the guest sends selective acknowledgments.
    @ivar closing: Whether a FIN follows what is pending.
    @ivar finEnd: The position behind our FIN once it was sent; -1 before.
    @ivar failed: Whether the guest has not answered for too long.
    @ivar persistProbe: Whether the guest should be asked for its window.
    @ivar progressAt: When the guest last acknowledged something, or was given the first of what
        it has not.
    """

    __slots__ = (
        "_config",
        "_dueAt",
        "_probe",
        "_row",
        "_sentAt",
        "_tailEnd",
        "_tailRepeated",
        "_timeouts",
        "closing",
        "cwnd",
        "failed",
        "finEnd",
        "flight",
        "maxWindow",
        "mss",
        "outbox",
        "pace",
        "paceAt",
        "persistAt",
        "persistProbe",
        "probeAt",
        "progressAt",
        "recovery",
        "reorderAt",
        "rtoAt",
        "rtt",
        "sack",
        "window",
        "windowProbe",
    )

    def __init__(self, config: TCPConfig, start: int, mss: int) -> None:
        """
        @param start: The position of the first byte.
        """
        self._config = config
        self.window = 0
        self.maxWindow = 0
        self.closing = False
        self.finEnd = -1
        self.failed = False
        self.persistProbe = False
        self.progressAt = -1e9
        self.outbox = Outbox()
        self.flight = Flight(start)
        self.rtt = RoundTrip(config.minRTO, config.maxRTO)
        #: Timeouts since something was measured, and since something was acknowledged.
        self._timeouts = 0
        self._row = 0
        #: Since when something waits to be sent that a timer asked for; -1 for nothing.
        self._dueAt = -1.0
        self._tailEnd = -1
        self._tailRepeated = False
        self._probe = False
        self._sentAt = -1.0
        self.windowProbe = WindowProbe()
        self.rtoAt = self.probeAt = self.reorderAt = self.persistAt = self.paceAt = NEVER
        self.negotiated(mss, False)

    def negotiated(self, mss: int, sack: bool) -> None:
        """
        What the guest takes is known; nothing was sent before.
        """
        config = self._config
        self.mss = mss
        self.sack = sack
        self.cwnd = CongestionWindow(mss, config.burst, 2 * config.sendBuffer)
        self.pace = Pace(config.burst * mss)
        self.recovery = Recovery(config, self.flight, self.cwnd, self.rtt, sack)

    def handshakeRepeated(self) -> None:
        """
        Our SYN was lost: begin with one segment, and patiently (RFC 5681 section 3.1, RFC 6298
        section 5.7).
        """
        self.cwnd.window = self.mss
        self.rtt.repeated()

    def buffered(self) -> int:
        """
        Bytes held for the guest.
        """
        flight = self.flight
        return self.outbox.pending + flight.nxt - flight.una

    def forget(self) -> None:
        """
        Let go of everything: nothing more will be sent.
        """
        self.outbox.clear()
        self.flight = Flight(self.flight.nxt)

    # What may be sent.

    def next(self, now: float, stamp: int) -> Segment | None:
        """
        The next segment to send now; it counts as sent. C{None} says that an acknowledgment,
        data or a timer has to come first.

        @param stamp: The timestamp it will carry.
        """
        flight = self.flight
        if self._probe:
            self._probe = False
            # What came meanwhile may have told what the probe was to find out.
            if self._mayProbe():
                return self._sendProbe(now, stamp)
            if len(flight) and self.rtoAt == NEVER:
                self._setTimeout(now)
        if flight.lost:
            segment = flight.firstLost()
            if segment is not None:
                return self._repeat(segment, now, stamp)
        pending = self.outbox.pending
        if not pending and (not self.closing or self.finEnd >= 0):
            return None
        nxt = flight.nxt
        una = flight.una
        if nxt == una:
            self._startAfterPause(nxt, now)
        size = self.mss
        if size > pending:
            size = pending
        usable = una + self.window - nxt
        if usable < size + (not size):
            size = self._squeezed(usable, now)
            if size < 0:
                return None
        pipe = nxt - una - flight.sacked - flight.lost + flight.again
        if pipe + size > self.cwnd.window and pipe > 0:
            self.recovery.limitedTo = nxt
            return None
        if nxt + size > self.pace.edge or len(flight.segments) - flight.head >= MAX_SEGMENTS:
            return None
        wait = self.pace.wait(size, self.cwnd, self.rtt, now)
        if wait:
            self.paceAt = now + wait
            return None
        return self._sendNew(size, now)

    def _startAfterPause(self, position: int, now: float) -> None:
        """
        Nothing is on its way: see how much may follow each other (RFC 5681 section 4.1).
        """
        if now - self._sentAt > self.rtt.timeout and self._sentAt >= 0.0:
            self.cwnd.idled()
        if now - self.progressAt > self.rtt.smoothed:
            self.pace.clockStopped(position)

    def _squeezed(self, usable: int, now: float) -> int:
        """
        Decide what to do with a window that is too small for what would be sent (RFC 9293
        section 3.8.6.2.1).

        @return: What to send; -1 for nothing.
        """
        pending = self.outbox.pending
        if usable > 0 and pending and 2 * usable >= self.maxWindow:
            return usable
        if not len(self.flight):
            if self.persistProbe and usable > 0:
                self.persistProbe = False
                self.persistAt = NEVER
                return min(usable, pending)
            if self.persistAt == NEVER:
                self.persistAt = now + self.rtt.backedOff(self._timeouts)
                if not self._timeouts:
                    self.progressAt = now
        return -1

    def _sendNew(self, size: int, now: float) -> Segment:
        outbox = self.outbox
        flight = self.flight
        data = outbox.take(size)
        last = not outbox.pending
        fin = last and self.closing and flight.una + self.window - flight.nxt > size
        segment = Segment(flight.nxt, data, fin, last and size > 0, now)
        if fin:
            self.finEnd = segment.end
        if flight.nxt == flight.una:
            self.progressAt = now
        flight.add(segment)
        self.windowProbe.over()
        self.recovery.sent(size)
        self._sent(size, now)
        self._setProbe(now)
        return segment

    def persistProbeSent(self, now: float) -> bytes:
        """
        The guest is asked for its window.

        @return: The data to ask with, from C{flight.nxt} on.
        """
        self.persistProbe = False
        self._dueWasSent(now)
        return self.windowProbe.ask(self.outbox, now)

    def _dueWasSent(self, now: float) -> None:
        """
        What a timer asked for was sent. The time that the tunnel took nothing is not the guest's.
        """
        if self._dueAt >= 0.0:
            self.progressAt += now - self._dueAt
            self._dueAt = -1.0

    def _sent(self, size: int, now: float) -> None:
        if self._dueAt >= 0.0:
            self._dueWasSent(now)
        self.pace.sent(size)
        self._sentAt = now
        self.paceAt = NEVER
        if self.rtoAt == NEVER:
            self._setTimeout(now)

    def _repeat(self, segment: Segment, now: float, stamp: int) -> Segment | None:
        """
        Send a lost segment again, if the window allows it.
        """
        flight = self.flight
        size = segment.end - segment.start
        if self.recovery.forced:
            self.recovery.forced = False
        else:
            pipe = flight.pipe()
            if pipe + size > self.cwnd.window and pipe > 0:
                self.recovery.limitedTo = flight.nxt
                return None
            wait = self.pace.wait(size, self.cwnd, self.rtt, now)
            if wait:
                self.paceAt = now + wait
                return None
        self._again(segment, now, stamp)
        return segment

    def _again(self, segment: Segment, now: float, stamp: int) -> None:
        self.flight.sentAgain(segment, now)
        self.recovery.sentAgain(segment, stamp)
        self._sent(segment.end - segment.start, now)

    def _sendProbe(self, now: float, stamp: int) -> Segment:
        """
        Send something that makes the guest tell what it has (RFC 8985 section 7.3): new data if
        the window has room, or the last segment again.
        """
        flight = self.flight
        size = min(self.mss, self.outbox.pending)
        if size and flight.nxt + size <= flight.una + self.window and len(flight) < MAX_SEGMENTS:
            segment = self._sendNew(size, now)
            self._tailRepeated = False
        else:
            segment = flight.segments[-1]
            self._again(segment, now, stamp)
            self._tailRepeated = True
        self._tailEnd = flight.nxt
        self.probeAt = NEVER
        self._setTimeout(now)
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

        @param ack: From C{flight.una} to C{flight.nxt}.
        @param window: The window with it, scaled; -1 to keep the one we know.
        @param blocks: Selective acknowledgments, as positions, valid ones only; what lies below
            C{ack} tells of duplicates.
        @param echo: The timestamp it echoes; -1 for none.
        @param stamp: Our timestamp now.
        @param pure: Whether it came without data or FIN.
        """
        flight = self.flight
        recovery = self.recovery
        acked = ack - flight.una
        before = flight.pipe()
        flight.sample = flight.sinceRepeat = -1.0
        repeat = False
        delivered = 0
        if window >= 0:
            if not acked and pure and not blocks and window == self.window and before > 0:
                repeat = not self.sack
            self._windowTold(window, now)
        minimum = self.rtt.minimum
        if acked:
            delivered = flight.acknowledge(ack, now, minimum)
            self.progressAt = now
            self._row = 0
            self._dueAt = -1.0
        if blocks:
            delivered += self._blocksTold(blocks, ack, now, minimum)
        if delivered:
            self.pace.clockRuns()
        # Backed off it stays until something is measured (Karn's algorithm, RFC 6298 section 5).
        if flight.sample >= 0.0:
            self.rtt.measured(flight.sample, now)
            self._timeouts = 0
        elif acked and echo >= 0:
            trip = (stamp - echo) & MASK
            if trip < _OLDEST_ECHO:
                self.rtt.measured(trip / 1000, now)
                self._timeouts = 0
        elif self._timeouts and self.rtt.isUsual(flight.sinceRepeat):
            # What was sent again arrived as soon as it should: the first copy was lost, and not
            # later than we thought.
            self._timeouts = 0
        if acked:
            recovery.echoed(echo)
        wait = recovery.acknowledged(delivered, acked, repeat, before, now)
        self.reorderAt = now + wait if wait else NEVER
        if ack >= self._tailEnd >= 0:
            self._probeAnswered(ack, before, pure and not acked and not blocks)
        if recovery.mode:
            self._tailEnd = -1
        if flight.nxt == ack:
            self.rtoAt = self.probeAt = self.reorderAt = NEVER
        elif acked:
            self._setTimeout(now)
            self._setProbe(now)
        elif delivered:
            self._setProbe(now)

    def _probeAnswered(self, ack: int, before: int, bare: bool) -> None:
        """
        The guest has everything that was there when a probe was sent (RFC 8985 section 7.4.2). If
        nothing was lost it has the last segment twice, and says so: until it did, or acknowledges
        more than that, nothing is known.

        @param bare: Whether it said only the same again.
        """
        if self._tailRepeated:
            if ack > self._tailEnd:
                self.recovery.tailLost(before)
            elif not bare:
                return
        self._tailEnd = -1
        self._tailRepeated = False

    def _windowTold(self, window: int, now: float) -> None:
        self.window = window
        if window > self.maxWindow:
            self.maxWindow = window
        if not window:
            # It is there; it only takes nothing (RFC 9293 section 3.8.6.1).
            self.progressAt = now
        elif self.persistAt != NEVER:
            self.persistAt = NEVER
            self._timeouts = 0

    def _blocksTold(
        self, blocks: list[tuple[int, int]], ack: int, now: float, minimum: float
    ) -> int:
        """
        @return: Bytes that the guest was not known to have.
        """
        delivered = 0
        duplicate = False
        for left, right in blocks:
            if left < ack:
                duplicate = True
            else:
                delivered += self.flight.sack(left, right, now, minimum)
        if duplicate:
            self._tailRepeated = False
            self.recovery.duplicateTold()
        return delivered

    # What is due.

    def _setTimeout(self, now: float) -> None:
        """
        Start the retransmission timer (RFC 6298 section 5), which also ends the waiting for a
        guest that does not answer.
        """
        at = now + self.rtt.backedOff(self._timeouts)
        limit = self.progressAt + self._config.userTimeout
        self.rtoAt = at if at < limit or limit <= now else limit

    def _mayProbe(self) -> bool:
        """
        Whether the loss of the last segments would show in nothing else.
        """
        flight = self.flight
        return len(flight) > 0 and not (self.recovery.mode or flight.sacked)

    def _setProbe(self, now: float) -> None:
        """
        Start the timer of the probe for a lost tail (RFC 8985 section 7.2): at the latest it takes
        the place of the retransmission.
        """
        smoothed = self.rtt.smoothed
        if not self.sack or not smoothed or self._tailEnd >= 0 or not self._mayProbe():
            self.probeAt = NEVER
            return
        wait = 2 * smoothed
        if wait < _SHORTEST_PROBE:
            wait = _SHORTEST_PROBE
        if len(self.flight) == 1:
            wait += _WORST_DELAY
        at = now + wait
        self.probeAt = at if at < self.rtoAt else self.rtoAt

    def deadline(self) -> float:
        """
        When L{handleTimeout} has something to do.
        """
        return min(self.rtoAt, self.probeAt, self.reorderAt, self.persistAt, self.paceAt)

    def handleTimeout(self, now: float) -> None:
        """
        Do what is due: afterwards there may be something to send, or C{failed} is set.
        """
        if self.paceAt <= now:
            self.paceAt = NEVER
        if self.reorderAt <= now:
            wait = self.recovery.reorderTimedOut(now)
            self.reorderAt = now + wait if wait else NEVER
        if self.probeAt <= now:
            self.probeAt = NEVER
            self._probe = self._mayProbe()
            if self._probe and self.rtoAt <= now:
                self.rtoAt = NEVER  # until the probe was sent
        if self.rtoAt <= now:
            self._timedOut(now)
        if self.persistAt <= now:
            self.persistAt = NEVER
            if now - self.progressAt >= self._config.userTimeout:
                self.failed = True
            elif self.outbox.pending or (self.closing and self.finEnd < 0):
                self._timeouts += 1
                self.persistProbe = True
                self._dueAt = now

    def _timedOut(self, now: float) -> None:
        """
        The retransmission timer went off (RFC 6298 section 5.4 to 5.6). It starts again when
        something is sent.
        """
        self.rtoAt = self.probeAt = self.reorderAt = NEVER
        if not len(self.flight):
            return
        if now - self.progressAt >= self._config.userTimeout:
            self.failed = True
            return
        self.recovery.timedOut(self._row > 0, now)
        self._timeouts += 1
        self._row += 1
        self._dueAt = now
        self._tailEnd = -1
        self.pace.clockRuns()

    def pathNarrowed(self, mss: int) -> None:
        """
        Segments have to be smaller (RFC 1191): what was larger is sent again at once.
        """
        self.mss = mss
        self.cwnd.setSegment(mss)
        self.flight.split(mss)
