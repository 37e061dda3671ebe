# -*- test-case-name: aero.stack.tcp.test.test_departure -*-
"""
One connection: its states, its timers and what it sends (RFC 9293).

What arrives is judged in L{aero.stack.tcp.arrival}; the two halves of the connection are
L{aero.stack.tcp.sender} and L{aero.stack.tcp.receiver}. Positions count bytes from the initial
sequence numbers and never wrap; headers hold their lowest 32 bits.
"""

from __future__ import annotations

from typing import Protocol

from aero.wire.seqnum import MASK
from aero.wire.tcp import (
    Options,
)

from ..events import Event, TCPEstablished, TCPWriteReady
from .config import TCPConfig
from .options import Agreement
from .receiver import Receiver
from .sender import NEVER, Sender
from .states import (
    CLOSED,
    FIN_WAIT_2,
    SYN_SENT,
    WRITING,
    after,
)
from .timewait import Key

#: A segment, with its source and destination address.
Outgoing = tuple[int, int, bytes]

#: Acknowledgments sent at once although nothing waits for company, so that a guest that begins
#: with a window of one segment is not held up.
_QUICK_ACKS = 4

#: Duplicate acknowledgments owed at most; three make a guest send again.
_MOST_DUPLICATES = 4

#: Answers to segments that should not have come, within a second (RFC 5961 section 7). The
#: limit is kept for each connection, so that it tells nobody anything about another.
_CHALLENGES = 10


class Owner(Protocol):
    """
    What a connection needs of the table that it is in.
    """

    def emit(self, event: Event) -> None:
        """
        Tell the outside.
        """

    def drop(self, reason: str) -> None:
        """
        Count a segment that is thrown away.
        """

    def enqueue(self, connection: Connection) -> None:
        """
        It has something to send, and is not queued yet.
        """

    def arm(self, connection: Connection, at: float) -> None:
        """
        Call C{handleTimeout} then.
        """

    def reply(self, source: int, destination: int, segment: bytes) -> None:
        """
        Send a segment before those of the connections.
        """

    def resets(self, connection: Connection) -> None:
        """
        Send a reset for a connection.
        """

    def rest(self, connection: Connection, now: float) -> None:
        """
        A connection came to TIME-WAIT: acknowledge, and keep no more of it than that needs.
        """

    def handshakeOver(self) -> None:
        """
        A connection of the guest is not half open any more.
        """

    def connectionOver(self, connection: Connection, reason: str) -> None:
        """
        Forget a connection.
        """


class Connection:
    """
    A connection of the guest.

    @ivar number: Its name for the outside.
    @ivar key: Address and port of the guest, address and port of the other side.
    @ivar state: One of L{aero.stack.tcp.states}.
    @ivar accepted: Whether the outside is connected.
    @ivar held: Whether the guest's SYN was not answered yet.
    @ivar halfOpen: Whether the guest opened it, and did not complete the handshake yet.
    @ivar gone: Whether the table has forgotten it.
    @ivar queued: Whether it waits for its turn to send.
    @ivar scheduled: When the table will call C{handleTimeout}.
    @ivar iss: Our initial sequence number.
    @ivar irs: The guest's.
    @ivar syn: The packet with the guest's SYN, to quote while it is held.
    @ivar offset: What is added to the clock of our timestamps.
    @ivar synDue: Whether a SYN, or the answer to one, is to be sent.
    @ivar syns: How often it was.
    @ivar synSentAt: When it was for the first time.
    @ivar synAt: When it will be again.
    @ivar ackDue: Acknowledgments to send at once.
    @ivar unacked: Segments with data since the last acknowledgment.
    @ivar ackAt: When they are acknowledged at the latest.
    @ivar keepProbe: Whether to ask the guest if it is still there; C{keepProbes} how often it was.
    @ivar stamp: The last timestamp of the guest to echo: TS.Recent.
    @ivar lastAck: The last position acknowledged: Last.ACK.sent.
    @ivar heardAt: When the guest was last heard of.
    @ivar finAt: The position of the guest's FIN, -1 until it is known.
    @ivar updatedBy: Sequence position and acknowledgment of the segment that told the window
        last: SND.WL1 and SND.WL2.
    @ivar wasFull: Whether the outside waits for room to send.
    """

    __slots__ = (
        "_challenges",
        "_challengesFrom",
        "_handshakeAt",
        "_holdAt",
        "_keepAt",
        "_quick",
        "accepted",
        "ackAt",
        "ackDue",
        "agreement",
        "config",
        "finAt",
        "gone",
        "halfOpen",
        "heardAt",
        "held",
        "irs",
        "iss",
        "keepProbe",
        "keepProbes",
        "key",
        "lastAck",
        "number",
        "offset",
        "owner",
        "pseudoSum",
        "queued",
        "receiver",
        "scheduled",
        "sender",
        "stamp",
        "state",
        "syn",
        "synAt",
        "synDue",
        "synSentAt",
        "syns",
        "unacked",
        "unreachable",
        "updatedBy",
        "wasFull",
    )

    def __init__(
        self,
        owner: Owner,
        config: TCPConfig,
        agreement: Agreement,
        number: int,
        key: Key,
        pseudoSum: int,
        begin: tuple[int, int],
        now: float,
    ) -> None:
        """
        @param pseudoSum: The sum over addresses and protocol.
        @param begin: Initial sequence number and the origin of timestamps.
        """
        self.owner = owner
        self.config = config
        self.agreement = agreement
        self.number = number
        self.key = key
        self.pseudoSum = pseudoSum
        self.iss, self.offset = begin
        self.irs = 0
        self.state = CLOSED
        self.accepted = False
        self.held = False
        self.halfOpen = False
        self.gone = False
        self.queued = False
        self.scheduled = NEVER
        self.syn = b""
        self.stamp = 0
        self.lastAck = -1
        self.heardAt = now
        self.finAt = -1
        self.updatedBy = (-1, -1)
        self.unreachable = False
        self.wasFull = False
        self.sender = Sender(config, self.iss + 1, agreement.mss)
        self.receiver = Receiver(0, 0, agreement.offer)
        self.synDue = False
        self.synSentAt = -1.0
        self.syns = 0
        self.ackDue = 0
        self.unacked = 0
        self._quick = _QUICK_ACKS
        self._challenges = 0
        self._challengesFrom = -1.0
        self.keepProbe = False
        self.keepProbes = 0
        self._holdAt = NEVER
        self.synAt = NEVER
        self._handshakeAt = now + config.handshakeTimeout
        self.ackAt = NEVER
        self._keepAt = NEVER

    def move(self, happened: str) -> None:
        """
        Go where something leads.
        """
        self.state = after(self.state, happened)

    def wake(self) -> None:
        """
        Ask for a turn to send.
        """
        if not self.queued:
            self.queued = True
            self.owner.enqueue(self)

    # What the outside does.

    def openPassively(self, sequence: int, options: Options, syn: bytes, now: float) -> None:
        """
        The guest sent a SYN.

        @param syn: Its packet.
        """
        config = self.config
        self.move("passive open")
        self.held = True
        self.halfOpen = True
        self.syn = syn
        self.synReceived(sequence, options)
        self._holdAt = now + config.hold
        self.schedule()

    def openActively(self, now: float) -> None:
        """
        Send a SYN to the guest.
        """
        self.accepted = True
        self.move("active open")
        self.synDue = True
        self.wake()
        self.schedule()

    def synReceived(self, sequence: int, options: Options) -> None:
        """
        Take what the guest's SYN says.
        """
        limit = self.config.receiveBuffer
        if not self.accepted and self.config.maxEarly < limit:
            limit = self.config.maxEarly
        agreement = self.agreement
        agreement.synReceived(options)
        self.irs = sequence
        self.sender.negotiated(agreement.mss, agreement.sack)
        self.receiver = Receiver(sequence + 1, limit, agreement.offer)
        # The first window is told without scaling (RFC 7323 section 2.2).
        self.receiver.window()
        self.receiver.setShift(agreement.receiveShift)
        if options.timestamp is not None:
            self.stamp = options.timestamp[0]

    def accept(self, now: float) -> None:
        """
        The outside is connected.
        """
        if self.accepted:
            return
        self.accepted = True
        self.receiver.setLimit(self.config.receiveBuffer, self.agreement.offer)
        if self.held:
            self.answer(now)
        elif self.receiver.isWorthTelling():
            self.acknowledge()

    def answer(self, now: float) -> None:
        """
        Answer the SYN that was held.
        """
        self.held = False
        self.syn = b""
        self._holdAt = NEVER
        # Until now the guest had nothing to answer.
        self._handshakeAt = now + self.config.handshakeTimeout
        self.synDue = True
        self.wake()

    def write(self, data: bytes) -> None:
        """
        Queue data for the guest.
        """
        if self.state not in WRITING or self.sender.closing:
            return
        sender = self.sender
        sender.outbox.write(data)
        if sender.buffered() >= self.config.sendBuffer:
            self.wasFull = True
        self.wake()

    def close(self) -> None:
        """
        Queue a FIN.
        """
        if self.state in WRITING and not self.sender.closing:
            self.sender.closing = True
            self.wake()

    def consume(self, size: int) -> None:
        """
        The outside took data.
        """
        receiver = self.receiver
        receiver.consumed(size)
        if receiver.isWorthTelling() and not self.held and self.finAt < 0:
            self.acknowledge()

    def room(self) -> int:
        """
        Bytes the outside may offer.
        """
        return self.config.sendBuffer - self.sender.buffered()

    # What is owed to the guest.

    def acknowledge(self) -> None:
        """
        Acknowledge at once.
        """
        if not self.ackDue:
            self.ackDue = 1
        self.wake()

    def duplicate(self) -> None:
        """
        Acknowledge something out of order. Guests without selective acknowledgments count
        duplicates, so each segment gets its own (RFC 5681 section 4.2).
        """
        if self.agreement.sack:
            self.acknowledge()
            return
        if self.ackDue < _MOST_DUPLICATES:
            self.ackDue += 1
        self.wake()

    def dataTaken(self, now: float) -> None:
        """
        A segment in order was taken: every second one is acknowledged at once (RFC 9293
        section 3.8.6.3).
        """
        self.unacked += 1
        if self.unacked > 1 or self._quick:
            if self._quick:
                self._quick -= 1
            self.acknowledge()
        elif self.ackAt == NEVER:
            self.ackAt = now + self.config.delayedAck

    def challenge(self, now: float) -> None:
        """
        Say what we expect, to something that should not have come (RFC 5961).
        """
        if now - self._challengesFrom >= 1.0:
            self._challengesFrom = now
            self._challenges = 0
        if self._challenges >= _CHALLENGES:
            self.owner.drop("tcp challenge limit")
            return
        self._challenges += 1
        self.acknowledge()

    def wasAnswered(self) -> bool:
        """
        Whether our SYN was sent.
        """
        return self.syns > 0

    def synAgain(self) -> None:
        """
        The SYN came again: our answer was lost.
        """
        if not self.held:
            self.synDue = True
            self.wake()

    def roomMade(self) -> None:
        """
        Something was acknowledged: tell the outside, if it waits and half of the room is free.
        """
        if 2 * self.sender.buffered() <= self.config.sendBuffer:
            self.wasFull = False
            self.owner.emit(TCPWriteReady(self.number))

    # Where the connection goes.

    def established(self, window: int, now: float) -> None:
        """
        The handshake is complete.

        @param window: The window of the guest, scaled.
        """
        sender = self.sender
        if self.syns > 1:
            sender.handshakeRepeated()
        elif self.synSentAt >= 0.0:
            sender.rtt.measured(now - self.synSentAt, now)
        sender.window = sender.maxWindow = window
        self._handshakeOver()
        self.synDue = False
        self.synAt = NEVER
        self._handshakeAt = NEVER
        if self.config.keepaliveIdle > 0:
            self._keepAt = now + self.config.keepaliveIdle
        self.owner.emit(TCPEstablished(self.number))
        self.wake()

    def _handshakeOver(self) -> None:
        if self.halfOpen:
            self.halfOpen = False
            self.owner.handshakeOver()

    def finWaits(self, now: float) -> None:
        """
        The guest has our FIN. It may send for as long as it likes, but is asked sooner whether it
        is still there.
        """
        self.keepProbes = 0
        self._keepAt = now + self.config.finWait2

    def reset(self, reason: str, now: float) -> None:
        """
        Send a reset, and be over.
        """
        # A guest that did not answer our SYN has nothing to reset.
        if self.state != SYN_SENT:
            self.owner.resets(self)
        self.over(reason)

    def over(self, reason: str) -> None:
        """
        Be over.
        """
        if self.gone:
            return
        self.gone = True
        if self.state != CLOSED:
            self.move("over")
        self._handshakeOver()
        self.owner.connectionOver(self, reason)
        self.sender.forget()
        self.receiver.forget()

    def stampNow(self, now: float) -> int:
        """
        Our timestamp: milliseconds from an origin of its own.
        """
        return (int(now * 1000) + self.offset) & MASK

    # What is due.

    def deadline(self) -> float:
        """
        When L{handleTimeout} has something to do.
        """
        return min(
            self._holdAt,
            self.synAt,
            self._handshakeAt,
            self.ackAt,
            self._keepAt,
            self.sender.deadline(),
        )

    def schedule(self) -> None:
        """
        See to it that the table calls in time.
        """
        at = self.deadline()
        if at < self.scheduled:
            self.owner.arm(self, at)

    def handleTimeout(self, now: float) -> None:
        """
        Do what is due.
        """
        if self._handshakeAt <= now:
            self.reset("unreachable" if self.unreachable else "timeout", now)
            return
        if self._holdAt <= now:
            self.answer(now)
        if self.synAt <= now:
            self.synAt = NEVER
            self.synDue = True
            self.wake()
        if self.ackAt <= now:
            self.ackAt = NEVER
            self.acknowledge()
        sender = self.sender
        if sender.deadline() <= now:
            sender.handleTimeout(now)
            if sender.failed:
                self.reset("timeout", now)
                return
            self.wake()
        if self._keepAt <= now and not self._keepalive(now):
            self.reset("timeout", now)
            return
        self.schedule()

    def _keepalive(self, now: float) -> bool:
        """
        Probe a guest that is silent (RFC 9293 section 3.8.4).

        @return: Whether to go on.
        """
        config = self.config
        idle = config.finWait2 if self.state == FIN_WAIT_2 else config.keepaliveIdle
        due = self.heardAt + idle
        sender = self.sender
        if due > now or sender.buffered():
            self.keepProbes = 0
            self._keepAt = due if due > now else now + idle
            return True
        if self.keepProbe:
            # The tunnel has not taken the last one: that is not the guest's silence.
            self._keepAt = now + config.keepaliveInterval
            return True
        if self.keepProbes >= config.keepaliveProbes:
            return False
        self.keepProbes += 1
        self.keepProbe = True
        self._keepAt = now + config.keepaliveInterval
        self.wake()
        return True

    def heldBytes(self) -> int:
        """
        Bytes held for both sides, as counted against the limits.
        """
        return self.sender.buffered() + self.receiver.held + self.receiver.waiting
