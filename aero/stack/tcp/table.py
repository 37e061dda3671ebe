# -*- test-case-name: aero.stack.tcp.test.test_table -*-
"""
All TCP connections of one guest.

The table finds the connection that a segment belongs to, opens new ones, answers strangers with
resets, and gives connections their turns to send. Timers are kept in a heap from which nothing
is ever taken out early: an entry that a connection does not need any more is passed over when
it comes up, and one that came too early is put back. When most entries are such, the heap is
made anew.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Callable

from aero.wire.checksum import pseudoHeader
from aero.wire.ipv4 import TCP
from aero.wire.seqnum import MASK
from aero.wire.tcp import (
    ACK,
    FIN,
    HEADER,
    HEADER_STRUCT,
    RST,
    SYN,
    TIMESTAMP_PREFIX,
    TIMESTAMP_STRUCT,
    build,
    parseOptions,
    verify,
)

from ..commands import (
    AcceptTCP,
    CloseTCP,
    Command,
    ConnectTCP,
    ConsumeTCP,
    LimitTCP,
    RejectTCP,
    SendTCP,
)
from ..config import StackConfig
from ..events import Event, TCPClosed, TCPConnectRequested
from .arrival import segmentReceived
from .connection import Connection, Outgoing
from .departure import acknowledgment, output, remains, reset
from .isn import DYNAMIC_PORTS, FIRST_DYNAMIC_PORT, SequenceSource
from .limits import limitBuffers
from .options import Agreement, offeredMSS
from .sender import NEVER
from .states import CLOSED, SYN_SENT
from .timewait import Key, Remains, TimeWait

#: Answers that belong to no connection, waiting to be sent.
MAX_REPLIES = 256

#: Entries of the heap of timers, beyond four for each connection, before it is made anew.
_SPARE_TIMERS = 64

#: Segments of one connection before others have their turn.
_TURN = 8

#: Answers of one connection in TIME-WAIT are so far apart, in seconds.
_ANSWER_INTERVAL = 0.1

#: Types and codes of the ICMP errors that say why a SYN is refused (RFC 792, RFC 1812).
_REFUSALS = {"unreachable": (3, 1), "prohibited": (3, 13)}

#: No path has less (RFC 791); no sane one has less than this.
_MIN_MTU = 552


class TCPTable:
    """
    The TCP of one guest (RFC 9293). Whoever owns it carries segments and the time in, segments
    and events out; addresses are unsigned 32-bit numbers.

    Nothing here raises for what the guest sends; what is thrown away is counted by reason.

    @ivar connections: How many connections are open now. Those in TIME-WAIT are not counted:
        nobody outside knows of them any more.
    """

    def __init__(
        self,
        config: StackConfig,
        *,
        secret: bytes,
        now: float,
        emitEvent: Callable[[Event], None],
        sendICMP: Callable[[int, int, bytes, int], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param secret: Random bytes that nobody outside knows; initial sequence numbers and the
            choice of ports are made from them (RFC 6528, RFC 6056). At most 64 are used.
        @param emitEvent: Called with every event, while something else is going on: it must only
            put it aside.
        @param sendICMP: Called with the type, the code and the IPv4 packet of the guest that an
            ICMP error is about. It may limit their rate. Such an error should leave before the
            segments that are asked for afterwards.
        @param drop: Called with the reason for every segment that is thrown away.
        """
        self.connections = 0
        self.emit = emitEvent
        self.drop = drop
        self._config = config
        self._sendICMP = sendICMP
        self._sequences = SequenceSource(secret)
        self._offer = offeredMSS(config.tcp, config.mtu)
        self._byKey: dict[Key, Connection] = {}
        self._byNumber: dict[int, Connection] = {}
        self._halfOpen = 0
        most = config.maxConnections
        self._mostHalfOpen = min(most, max(64, most // 2))
        self._timeWait = TimeWait(config.tcp.timeWait, most)
        self._ready: deque[Connection] = deque()
        self._replies: deque[Outgoing] = deque()
        self._timers: list[tuple[float, int, Connection]] = []
        self._numbers = 0

    # The outside.

    def newConnection(self) -> int:
        """
        A number for C{ConnectTCP}, which no other connection of this stack has.
        """
        self._numbers += 1
        return self._numbers

    def sendRoom(self, connection: int) -> int:
        """
        Bytes that may be offered with C{SendTCP}; 0 or less when the outside should wait for
        C{TCPWriteReady}, and 0 for a connection that is over.
        """
        found = self._byNumber.get(connection)
        return 0 if found is None else found.room()

    def heldBytes(self, connection: int) -> int:
        """
        Bytes that a connection holds for both sides; they are never more than
        C{sendBuffer} with what was offered beyond it, and C{receiveBuffer}.
        """
        found = self._byNumber.get(connection)
        return 0 if found is None else found.heldBytes()

    def stateOf(self, connection: int) -> str:
        """
        The state of a connection, one of L{aero.stack.tcp.states}; CLOSED for one that the
        outside knows no more.
        """
        found = self._byNumber.get(connection)
        return CLOSED if found is None else found.state

    def apply(self, command: Command, now: float) -> None:
        """
        Do what the outside says. What is not about a connection that is there is ignored.
        """
        if isinstance(command, ConnectTCP):
            self._connect(command, now)
            return
        connection = self._byNumber.get(getattr(command, "connection", -1))
        if connection is None:
            return
        if isinstance(command, SendTCP):
            if command.data:
                connection.write(command.data)
        elif isinstance(command, ConsumeTCP):
            connection.consume(command.size)
        elif isinstance(command, AcceptTCP):
            connection.accept(now)
        elif isinstance(command, LimitTCP):
            limitBuffers(connection, command.receiveBuffer, command.sendBuffer)
        elif isinstance(command, CloseTCP):
            connection.close()
        elif isinstance(command, RejectTCP):
            told = command.kind, command.code
            refusal = told if command.kind else _REFUSALS.get(command.reason)
            if refusal is not None and connection.held:
                self._sendICMP(*refusal, connection.syn, command.teller)
            connection.reset("rejected", now)
        else:
            connection.reset("aborted", now)

    def _connect(self, command: ConnectTCP, now: float) -> None:
        number = command.connection
        if number in self._byNumber:
            return
        port = command.sourcePort or self._freePort(command)
        key = (command.destination, command.destinationPort, command.source, port)
        if not port or key in self._byKey or self.connections >= self._config.maxConnections:
            self.emit(TCPClosed(number, "unreachable"))
            return
        self._open(number, key, now).openActively(now)

    def _freePort(self, command: ConnectTCP) -> int:
        """
        A port that is free for this destination; 0 if none of those tried is.
        """
        first = self._sequences.firstPort(
            command.source, command.destination, command.destinationPort
        )
        # So that the ports do not come in an order that starts over with every connection.
        first += self._numbers
        for attempt in range(min(DYNAMIC_PORTS, self._config.maxConnections + 1)):
            port = FIRST_DYNAMIC_PORT + (first + attempt) % DYNAMIC_PORTS
            key = (command.destination, command.destinationPort, command.source, port)
            if key not in self._byKey and self._timeWait.get(key) is None:
                return port
        return 0

    def _open(self, number: int, key: Key, now: float, sequence: int = -1) -> Connection:
        guest, guestPort, address, port = key
        begin = self._sequences.begin(address, port, guest, guestPort, now)
        if sequence >= 0:
            begin = sequence, begin[1]
        connection = Connection(
            self,
            self._config.tcp,
            Agreement(self._config.tcp, self._offer),
            number,
            key,
            pseudoHeader(address, guest, TCP, 0),
            begin,
            now,
        )
        self._byKey[key] = connection
        self._byNumber[number] = connection
        self.connections += 1
        return connection

    # What arrives.

    def segmentReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        A segment came from the guest.

        @param packet: A verified IPv4 packet from its first byte on.
        @param offset: Where the TCP header begins.
        @param end: Where the payload ends.
        """
        if end - offset < HEADER:
            self.drop("tcp short")
            return
        (
            sourcePort,
            destinationPort,
            sequence,
            acknowledgment,
            bits,
            window,
            _,
            _,
        ) = HEADER_STRUCT.unpack_from(packet, offset)
        key = (source, sourcePort, destination, destinationPort)
        connection = self._byKey.get(key)
        pseudoSum = (
            pseudoHeader(source, destination, TCP, 0)
            if connection is None
            else connection.pseudoSum
        )
        wrong = verify(packet, offset, end, pseudoSum)
        if wrong:
            self.drop("tcp " + wrong)
            return
        data = offset + (bits >> 12) * 4
        if connection is not None:
            segmentReceived(
                connection,
                packet,
                offset,
                data,
                end,
                sequence,
                acknowledgment,
                bits & 0x3F,
                window,
                now,
            )
            if not (bits & SYN and connection.state == CLOSED):
                return
        self._strangerReceived(
            key, packet, offset, data, end, sequence, acknowledgment, bits & 0x3F, now
        )

    def _strangerReceived(
        self,
        key: Key,
        packet: bytes,
        offset: int,
        data: int,
        end: int,
        sequence: int,
        acknowledgment: int,
        flags: int,
        now: float,
    ) -> None:
        """
        A segment came that belongs to no connection.
        """
        remains = self._timeWait.get(key)
        begin = -1
        opens = flags & (SYN | ACK | RST | FIN) == SYN
        if remains is not None:
            stamp = parseOptions(packet, offset + HEADER, data).timestamp
            reused = remains.isReusedBy(sequence, stamp[0] if stamp else None)
            if not (opens and reused):
                self._lateReceived(key, remains, flags, end - data, now)
                return
            self._timeWait.remove(key)
            # Beyond everything the old connection may have sent (RFC 9293 section 3.10.7.4).
            begin = (remains.sequence + 0x10001) & MASK
            if begin == MASK:
                begin = 0  # as in SequenceSource.begin
        if flags & RST:
            return
        if not opens:
            length = end - data + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
            self._refuse(key, sequence + length, acknowledgment, flags)
            return
        if self.connections >= self._config.maxConnections:
            self.drop("tcp connections")
            self._refuse(key, sequence + 1, acknowledgment, flags)
            return
        if self._halfOpen >= self._mostHalfOpen:
            self.drop("tcp half open")
            self._refuse(key, sequence + 1, acknowledgment, flags)
            return
        number = self.newConnection()
        connection = self._open(number, key, now, begin)
        self._halfOpen += 1
        options = parseOptions(packet, offset + HEADER, data)
        connection.openPassively(sequence, options, packet[:end], now)
        self.emit(TCPConnectRequested(number, key[2], key[3], key[0], key[1]))

    def _lateReceived(
        self, key: Key, remains: Remains, flags: int, length: int, now: float
    ) -> None:
        """
        A segment came for a connection in TIME-WAIT (RFC 9293 section 3.10.7.4, RFC 1337).
        """
        if flags & RST or not (flags & (SYN | FIN) or length):
            return
        if flags & FIN:
            self._timeWait.restart(key, now)
        if now - remains.answeredAt < _ANSWER_INTERVAL:
            self.drop("tcp challenge limit")
            return
        remains.answeredAt = now
        guest, guestPort, address, port = key
        options = b""
        if remains.timestamps:
            stamp = (int(now * 1000) + remains.offset) & MASK
            options = TIMESTAMP_STRUCT.pack(TIMESTAMP_PREFIX, stamp, remains.stamp)
        self.reply(
            address,
            guest,
            build(
                port,
                guestPort,
                remains.sequence,
                remains.acknowledgment,
                ACK,
                remains.window,
                pseudoHeader(address, guest, TCP, 0),
                options,
            ),
        )

    def _refuse(self, key: Key, following: int, acknowledgment: int, flags: int) -> None:
        """
        Reset what is no connection (RFC 9293 section 3.10.7.1).

        @param following: The sequence number behind the segment.
        """
        guest, guestPort, address, port = key
        numbers = (acknowledgment, 0, RST) if flags & ACK else (0, following & MASK, RST | ACK)
        pseudoSum = pseudoHeader(address, guest, TCP, 0)
        self.reply(address, guest, build(port, guestPort, *numbers, 0, pseudoSum))

    def icmpReceived(
        self,
        kind: int,
        code: int,
        source: int,
        sourcePort: int,
        destination: int,
        destinationPort: int,
        sequence: int,
        nextMTU: int,
        now: float,
    ) -> None:
        """
        The guest sent an ICMP error about a segment of ours. It is believed only if the segment
        is one that is on its way, and it never ends an established connection (RFC 5927).

        @param kind: The type of the ICMP message.
        @param source: Where the quoted segment came from: not the guest.
        @param destination: The guest.
        @param sequence: The sequence number in the quoted header.
        @param nextMTU: From a message of type 3 and code 4, else 0.
        """
        connection = self._byKey.get((destination, destinationPort, source, sourcePort))
        if connection is None:
            return
        sender = connection.sender
        if connection.state == SYN_SENT:
            if kind == 3 and sequence == connection.iss:
                # Hard errors end an attempt at once (RFC 1122 section 4.2.3.9).
                connection.unreachable = True
                if code in (2, 3):
                    connection.over("unreachable")
            return
        if (sequence - sender.flight.una) & MASK >= sender.flight.nxt - sender.flight.una:
            self.drop("tcp icmp sequence")
            return
        if kind == 3 and code == 4:
            mss = max(nextMTU, _MIN_MTU) - 40
            if connection.agreement.timestamps:
                mss -= 12
            if mss < sender.mss:
                sender.pathNarrowed(mss)
                connection.wake()

    # What leaves.

    def hasSegments(self) -> bool:
        """
        Whether it is worth calling L{segmentsToSend}. Constant time.
        """
        return bool(self._ready or self._replies)

    def segmentsToSend(self, now: float, limit: int) -> list[tuple[int, int, bytes]]:
        """
        Make the segments that may leave now; connections take turns.

        @param limit: At most so many; that also bounds the work of a call.
        @return: Source address, destination address and the segment with its checksum, in the
            order to send them.
        """
        out: list[Outgoing] = []
        replies = self._replies
        while replies and len(out) < limit:
            out.append(replies.popleft())
        ready = self._ready
        while ready and len(out) < limit:
            connection = ready.popleft()
            connection.queued = False
            if connection.state == CLOSED:
                continue
            stop = len(out) + _TURN
            if output(connection, now, out, stop if stop < limit else limit):
                connection.wake()
        return out

    # What is due.

    def timerCount(self) -> int:
        """
        Entries in the heap of timers. They are bounded by the number of connections.
        """
        return len(self._timers)

    def nextTimeout(self) -> float | None:
        """
        When to call L{handleTimeout}, which may be earlier than something is due; C{None} if
        nothing will be.
        """
        timers = self._timers
        while timers:
            at, _, connection = timers[0]
            if connection.scheduled == at and connection.state != CLOSED:
                break
            heappop(timers)
        else:
            return self._timeWait.nextTimeout()
        rest = self._timeWait.nextTimeout()
        return at if rest is None or at < rest else rest

    def handleTimeout(self, now: float) -> None:
        """
        Do what is due. Work is bounded by the number of timers that are.
        """
        timers = self._timers
        due: list[Connection] = []
        while timers and timers[0][0] <= now:
            at, _, connection = heappop(timers)
            if connection.scheduled == at and connection.state != CLOSED:
                connection.scheduled = NEVER
                due.append(connection)
        for connection in due:
            connection.handleTimeout(now)
        self._timeWait.handleTimeout(now)

    # What connections ask for.

    def enqueue(self, connection: Connection) -> None:
        """
        It has something to send, and is not queued yet.
        """
        self._ready.append(connection)

    def arm(self, connection: Connection, at: float) -> None:
        """
        Call C{handleTimeout} then.
        """
        connection.scheduled = at
        timers = self._timers
        heappush(timers, (at, connection.number, connection))
        if len(timers) > 4 * self.connections + _SPARE_TIMERS:
            timers[:] = [
                (other.scheduled, number, other)
                for number, other in self._byNumber.items()
                if other.scheduled != NEVER
            ]
            heapify(timers)

    def reply(self, source: int, destination: int, segment: bytes) -> None:
        """
        Send a segment before those of the connections.
        """
        if len(self._replies) >= MAX_REPLIES:
            self.drop("tcp replies")
            return
        self._replies.append((source, destination, segment))

    def resets(self, connection: Connection) -> None:
        """
        Send a reset for a connection.
        """
        self.reply(*reset(connection))

    def rest(self, connection: Connection, now: float) -> None:
        """
        A connection came to TIME-WAIT: acknowledge, and keep no more of it than that needs.
        """
        self._replies.append(acknowledgment(connection, now))
        self._timeWait.add(connection.key, remains(connection, now))
        connection.over("done")

    def handshakeOver(self) -> None:
        """
        A connection of the guest is not half open any more.
        """
        self._halfOpen -= 1

    def connectionOver(self, connection: Connection, reason: str) -> None:
        """
        Forget a connection.
        """
        del self._byKey[connection.key]
        del self._byNumber[connection.number]
        self.connections -= 1
        self.emit(TCPClosed(connection.number, reason))
