# -*- test-case-name: aero.stack.tcp.test.test_connection -*-
"""
One connection: its states, its timers and what it sends (RFC 9293).

What arrives is judged in L{aero.stack.tcp.arrival}; the two halves of the connection are
L{aero.stack.tcp.sender} and L{aero.stack.tcp.receiver}. Positions count bytes from the initial
sequence numbers and never wrap; headers hold their lowest 32 bits.
"""

from __future__ import annotations

from typing import Protocol

from ...wire.seqnum import MASK
from ...wire.tcp import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    TIMESTAMP_PREFIX,
    TIMESTAMP_STRUCT,
    Options,
    build,
    buildOptions,
)
from ..events import Event, TCPEstablished, TCPWriteReady
from .config import TCPConfig
from .options import Agreement
from .receiver import Receiver
from .rtt import INITIAL_TIMEOUT
from .sender import NEVER, Sender
from .states import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_2,
    SYN_RECEIVED,
    SYN_SENT,
    TRANSMITTING,
    WRITING,
    after,
)
from .timewait import Key, Remains

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
    @ivar stamp: The last timestamp of the guest to echo: TS.Recent.
    @ivar lastAck: The last position acknowledged: Last.ACK.sent.
    @ivar heardAt: When the guest was last heard of.
    @ivar finAt: The position of the guest's FIN, -1 until it is known.
    @ivar updatedBy: Sequence position and acknowledgment of the segment that told the window
        last: SND.WL1 and SND.WL2.
    @ivar wasFull: Whether the outside waits for room to send.
    """

    __slots__ = (
        "_ackAt",
        "_ackDue",
        "_challenges",
        "_challengesFrom",
        "_finWaitAt",
        "_handshakeAt",
        "_holdAt",
        "_keepAt",
        "_keepProbe",
        "_keepProbes",
        "_offset",
        "_quick",
        "_synAt",
        "_synDue",
        "_synSentAt",
        "_syns",
        "_unacked",
        "accepted",
        "agreement",
        "config",
        "finAt",
        "gone",
        "halfOpen",
        "heardAt",
        "held",
        "irs",
        "iss",
        "key",
        "lastAck",
        "number",
        "owner",
        "pseudoSum",
        "queued",
        "receiver",
        "scheduled",
        "sender",
        "stamp",
        "state",
        "syn",
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
        self.iss, self._offset = begin
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
        self._synDue = False
        self._synSentAt = -1.0
        self._syns = 0
        self._ackDue = 0
        self._unacked = 0
        self._quick = _QUICK_ACKS
        self._challenges = 0
        self._challengesFrom = -1.0
        self._keepProbe = False
        self._keepProbes = 0
        self._holdAt = NEVER
        self._synAt = NEVER
        self._handshakeAt = now + config.handshakeTimeout
        self._ackAt = NEVER
        self._keepAt = NEVER
        self._finWaitAt = NEVER

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
        self._synDue = True
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
        self._synDue = True
        self.wake()

    def write(self, data: bytes) -> None:
        """
        Queue data for the guest.
        """
        if self.state not in WRITING or self.sender.closing:
            return
        sender = self.sender
        sender.write(data)
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
        if not self._ackDue:
            self._ackDue = 1
        self.wake()

    def duplicate(self) -> None:
        """
        Acknowledge something out of order. Guests without selective acknowledgments count
        duplicates, so each segment gets its own (RFC 5681 section 4.2).
        """
        if self.agreement.sack:
            self.acknowledge()
            return
        if self._ackDue < _MOST_DUPLICATES:
            self._ackDue += 1
        self.wake()

    def dataTaken(self, now: float) -> None:
        """
        A segment in order was taken: every second one is acknowledged at once (RFC 9293
        section 3.8.6.3).
        """
        self._unacked += 1
        if self._unacked > 1 or self._quick:
            if self._quick:
                self._quick -= 1
            self.acknowledge()
        elif self._ackAt == NEVER:
            self._ackAt = now + self.config.delayedAck

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
        return self._syns > 0

    def synAgain(self) -> None:
        """
        The SYN came again: our answer was lost.
        """
        if not self.held:
            self._synDue = True
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
        if self._syns == 1 and self._synSentAt >= 0.0:
            sender.rtt.measured(now - self._synSentAt, now)
        sender.window = sender.maxWindow = window
        self._handshakeOver()
        self._synDue = False
        self._synAt = NEVER
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
        The guest has our FIN; now we wait for its own.
        """
        self._finWaitAt = now + self.config.finWait2
        self._keepAt = NEVER

    def reset(self, reason: str, now: float) -> None:
        """
        Send a reset, and be over.
        """
        guest, guestPort, address, port = self.key
        sequence = 0 if self.state == SYN_RECEIVED and not self._syns else self.sender.nxt & MASK
        if self.state != SYN_SENT:
            segment = build(
                port,
                guestPort,
                sequence,
                self.receiver.next & MASK,
                RST | ACK,
                0,
                self.pseudoSum,
            )
            self.owner.reply(address, guest, segment)
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

    # What it sends.

    def remains(self, now: float) -> Remains:
        """
        What TIME-WAIT needs of it.
        """
        return Remains(
            self.sender.nxt & MASK,
            self.receiver.next & MASK,
            self._tellWindow(),
            self.agreement.timestamps,
            self.stamp,
            self._offset,
            now + self.config.timeWait,
        )

    def stampNow(self, now: float) -> int:
        """
        Our timestamp: milliseconds from an origin of its own.
        """
        return (int(now * 1000) + self._offset) & MASK

    def output(self, now: float, out: list[Outgoing], stop: int) -> bool:
        """
        Make segments until nothing may leave, or C{out} has C{stop}.

        @return: Whether there may be more.
        """
        if self._synDue:
            self._sendSYN(now, out)
        sender = self.sender
        if self.state in TRANSMITTING:
            self._sendData(now, out, stop)
            if sender.persistProbe:
                sender.persistProbe = False
                out.append(self._bare(now, sender.nxt - 1))
        if self._keepProbe:
            self._keepProbe = False
            out.append(self._bare(now, sender.nxt - 1))
        while self._ackDue and len(out) < stop:
            self._ackDue -= 1
            out.append(self.acknowledgment(now))
        self.schedule()
        return len(out) >= stop

    def _sendData(self, now: float, out: list[Outgoing], stop: int) -> None:
        sender = self.sender
        stamp = self.stampNow(now)
        segment = sender.next(now, stamp) if len(out) < stop else None
        if segment is None:
            return
        guest, guestPort, address, port = self.key
        options = b""
        if self.agreement.timestamps:
            options = TIMESTAMP_STRUCT.pack(TIMESTAMP_PREFIX, stamp, self.stamp)
        window = self._tellWindow()
        acknowledgment = self.lastAck & MASK
        pseudoSum = self.pseudoSum
        if not self.receiver.blocks:
            self._ackDue = 0
        while segment is not None:
            flags = ACK
            if segment.push:
                flags = ACK | PSH
            if segment.fin:
                flags |= FIN
                if self.state == ESTABLISHED or self.state == CLOSE_WAIT:
                    self.move("FIN sent")
            out.append(
                (
                    address,
                    guest,
                    build(
                        port,
                        guestPort,
                        segment.start & MASK,
                        acknowledgment,
                        flags,
                        window,
                        pseudoSum,
                        options,
                        segment.data,
                    ),
                )
            )
            if len(out) >= stop:
                return
            segment = sender.next(now, stamp)

    def _tellWindow(self) -> int:
        """
        The window field of a segment that acknowledges everything.
        """
        receiver = self.receiver
        self.lastAck = receiver.next
        self._unacked = 0
        self._ackAt = NEVER
        return receiver.window() >> self.agreement.receiveShift

    def acknowledgment(self, now: float) -> Outgoing:
        """
        An acknowledgment alone, with what was received out of order.
        """
        ranges: list[tuple[int, int]] = []
        if self.agreement.sack and (self.receiver.blocks or self.receiver.duplicate):
            most = 3 if self.agreement.timestamps else 4
            ranges = [(left & MASK, right & MASK) for left, right in self.receiver.ranges(most)]
        return self._bare(now, self.sender.nxt, tuple(ranges))

    def _bare(
        self, now: float, position: int, ranges: tuple[tuple[int, int], ...] = ()
    ) -> Outgoing:
        """
        A segment without data.
        """
        guest, guestPort, address, port = self.key
        options = b""
        if self.agreement.timestamps:
            options = TIMESTAMP_STRUCT.pack(TIMESTAMP_PREFIX, self.stampNow(now), self.stamp)
        if ranges:
            options += buildOptions(Options(sack=ranges))
        window = self._tellWindow()
        return (
            address,
            guest,
            build(
                port,
                guestPort,
                position & MASK,
                self.lastAck & MASK,
                ACK,
                window,
                self.pseudoSum,
                options,
            ),
        )

    def _sendSYN(self, now: float, out: list[Outgoing]) -> None:
        """
        Send a SYN, or the answer to one.
        """
        self._synDue = False
        guest, guestPort, address, port = self.key
        flags = SYN
        acknowledgment = 0
        window = min(0xFFFF, self.config.receiveBuffer)
        if self.state == SYN_RECEIVED:
            flags = SYN | ACK
            # Data that came early is acknowledged after it: not every guest expects more here.
            acknowledgment = (self.irs + 1) & MASK
            window = min(0xFFFF, self.receiver.window())
            if self.lastAck < 0:
                self.lastAck = self.irs + 1
        if self._syns == 0:
            self._synSentAt = now
        self._syns += 1
        timeout = min(INITIAL_TIMEOUT * (1 << min(self._syns - 1, 16)), self.config.maxRTO)
        self._synAt = now + timeout
        options = self.agreement.options((self.stampNow(now), self.stamp))
        segment = build(
            port,
            guestPort,
            self.iss & MASK,
            acknowledgment,
            flags,
            window,
            self.pseudoSum,
            options,
        )
        out.append((address, guest, segment))

    # What is due.

    def deadline(self) -> float:
        """
        When L{handleTimeout} has something to do.
        """
        return min(
            self._holdAt,
            self._synAt,
            self._handshakeAt,
            self._ackAt,
            self._keepAt,
            self._finWaitAt,
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
        if self._synAt <= now:
            self._synAt = NEVER
            self._synDue = True
            self.wake()
        if self._ackAt <= now:
            self._ackAt = NEVER
            self.acknowledge()
        sender = self.sender
        if sender.deadline() <= now:
            if sender.handleTimeout(now):
                self.wake()
            if sender.failed:
                self.reset("timeout", now)
                return
        if self._finWaitAt <= now:
            self._finWaitAt = self.heardAt + self.config.finWait2
            if self._finWaitAt <= now and self.state == FIN_WAIT_2:
                self.reset("timeout", now)
                return
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
        due = self.heardAt + config.keepaliveIdle
        sender = self.sender
        if due > now or sender.una != sender.nxt or sender.pending:
            self._keepProbes = 0
            self._keepAt = due if due > now else now + config.keepaliveIdle
            return True
        if self._keepProbes >= config.keepaliveProbes:
            return False
        self._keepProbes += 1
        self._keepProbe = True
        self._keepAt = now + config.keepaliveInterval
        self.wake()
        return True

    def heldBytes(self) -> int:
        """
        Bytes held for both sides, as counted against the limits.
        """
        return self.sender.buffered() + self.receiver.held + self.receiver.waiting
