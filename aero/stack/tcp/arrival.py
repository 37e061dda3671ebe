# -*- test-case-name: aero.stack.tcp.test.test_arrival -*-
"""
What a segment does to the connection it belongs to (RFC 9293 section 3.10.7, RFC 5961,
RFC 7323).

Nearly every segment is the next in order of an established connection, with at most a timestamp:
L{segmentReceived} sees that in a few comparisons and takes it without making an object. All
others go through the steps of the RFC in L{_examine}. Urgent data is data (RFC 6093), ECN and
reserved bits are ignored.

Two leniencies are wanted. A guest whose SYN was not answered yet may send data that
acknowledges nothing, with the acknowledgment number 0; it is taken if it is next in order, and
does not complete the handshake. And segments without the timestamp that was agreed on are
taken, as everybody does.
"""

from __future__ import annotations

from aero.wire.seqnum import MASK
from aero.wire.tcp import (
    ACK,
    FIN,
    HEADER,
    PSH,
    RST,
    SYN,
    TIMESTAMP_PREFIX,
    TIMESTAMP_STRUCT,
    Options,
    build,
    parseOptions,
)

from ..events import TCPDataReceived, TCPReadClosed
from .connection import Connection
from .states import (
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    LAST_ACK,
    RECEIVING,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from .windowprobe import probeTaken

_HALF = 0x80000000
_NOT_PSH = ~PSH & 0x3F
_NO_OPTIONS = Options()


def segmentReceived(
    connection: Connection,
    packet: bytes,
    offset: int,
    data: int,
    end: int,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    now: float,
) -> None:
    """
    A segment with a right checksum came.

    @param offset: Where its header begins in C{packet}.
    @param data: Where its payload begins.
    @param end: Where it ends.
    @param flags: The six of RFC 793.
    @param window: As it is in the header.
    """
    if connection.state is ESTABLISHED and flags & _NOT_PSH == ACK:
        receiver = connection.receiver
        following = receiver.next
        if sequence == following & MASK:
            length = end - data
            echo = -1
            expected = data - offset == HEADER
            if connection.agreement.timestamps:
                expected = data - offset == 32 and packet.startswith(TIMESTAMP_PREFIX, offset + 20)
                if expected:
                    _, value, echo = TIMESTAMP_STRUCT.unpack_from(packet, offset + 20)
                    if (value - connection.stamp) & MASK >= _HALF:
                        expected = False
                    elif connection.lastAck == following:
                        connection.stamp = value
            sender = connection.sender
            una = sender.flight.una
            acked = (acknowledgment - una) & MASK
            if (
                expected
                and not receiver.blocks
                and length <= receiver.edge - following
                and acked <= sender.flight.nxt - una
            ):
                connection.heardAt = now
                window <<= connection.agreement.sendShift
                if acked or not length or window != sender.window:
                    position = una + acked
                    connection.updatedBy = (following, position)
                    sender.ackReceived(
                        position,
                        window,
                        None,
                        echo,
                        connection.stampNow(now) if echo >= 0 else 0,
                        not length,
                        now,
                    )
                    if connection.wasFull:
                        connection.roomMade()
                    if not connection.queued:
                        connection.wake()
                if length:
                    receiver.next = following + length
                    receiver.held += length
                    connection.owner.emit(TCPDataReceived(connection.number, packet[data:end]))
                    connection.dataTaken(now)
                if not connection.queued:
                    connection.schedule()
                return
    _examine(connection, packet, offset, data, end, sequence, acknowledgment, flags, window, now)


def _examine(
    connection: Connection,
    packet: bytes,
    offset: int,
    data: int,
    end: int,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    now: float,
) -> None:
    options = _NO_OPTIONS
    if data - offset > HEADER:
        options = parseOptions(packet, offset + HEADER, data)
    if connection.state == SYN_SENT:
        _answerReceived(connection, sequence, acknowledgment, flags, window, options, now)
        connection.schedule()
        return
    receiver = connection.receiver
    start = receiver.next + ((sequence - receiver.next + _HALF) & MASK) - _HALF
    length = end - data
    stop = start + length
    if connection.state == SYN_RECEIVED and flags & (SYN | RST) == SYN:
        if not flags & ACK:
            if start == connection.irs:
                connection.synAgain()
            elif connection.halfOpen:
                # It begins again (RFC 9293 section 3.10.7.4: back to LISTEN).
                connection.over("reset")
            return
        # The answer to a simultaneous open (RFC 9293 section 3.5, figure 8): its SYN is not new.
        start += 1
        stop += 1
        flags &= ~SYN
    # First, the timestamp and the sequence number.
    fresh = True
    stamp = options.timestamp if connection.agreement.timestamps and not flags & RST else None
    if stamp is not None:
        fresh = (stamp[0] - connection.stamp) & MASK < _HALF
    occupied = stop + (1 if flags & FIN else 0)
    if not fresh or occupied < receiver.next or start > receiver.edge:
        connection.owner.drop("tcp window" if fresh else "tcp timestamp")
        if not flags & RST:
            if length and fresh and occupied < receiver.next:
                receiver.dataReceived(start, packet, data, end)
                if stamp is not None and start >= receiver.next - connection.config.receiveBuffer:
                    # Our acknowledgment was lost. Echoed, this tells how long this copy took, and
                    # not how long ago the first one left; from far away it would be a forgery.
                    connection.stamp = stamp[0]
            if not connection.held:
                connection.challenge(now)
            connection.heardAt = now
        return
    if stamp is not None and start <= connection.lastAck:
        connection.stamp = stamp[0]
    # Second, resets; third, SYNs.
    if flags & RST:
        if start == receiver.next:
            connection.over("reset")
        elif not connection.held:
            connection.challenge(now)
        return
    if flags & SYN:
        if not connection.held:
            connection.challenge(now)
        return
    if not flags & ACK:
        connection.owner.drop("tcp flags")
        return
    connection.heardAt = now
    # Then the acknowledgment.
    if connection.state == SYN_RECEIVED:
        if not _completed(connection, acknowledgment, window, start, length, now):
            _takeEarly(connection, packet, data, end, start, acknowledgment, now)
            connection.schedule()
            return
    elif not _acknowledged(
        connection, acknowledgment, window, start, occupied > start, options, now
    ):
        connection.schedule()
        return
    # Last, the data and the FIN.
    if connection.state in RECEIVING:
        if length:
            _take(connection, packet, data, end, start, now)
        if flags & FIN and connection.state in RECEIVING:
            _finReceived(connection, stop, length)
        if connection.finAt == receiver.next and connection.state in RECEIVING:
            _readClosed(connection, now)
    elif occupied > start:
        # It came again, or goes on behind the FIN.
        if length and stop <= receiver.next:
            receiver.dataReceived(start, packet, data, end)
        connection.acknowledge()
    connection.schedule()


def _answerReceived(
    connection: Connection,
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int,
    options: Options,
    now: float,
) -> None:
    """
    The guest answers our SYN (RFC 9293 section 3.10.7.3).
    """
    if flags & ACK and acknowledgment != connection.sender.flight.una & MASK:
        if not flags & RST:
            _refuse(connection, acknowledgment)
        return
    if flags & RST:
        if flags & ACK:
            connection.over("reset")
        return
    if not flags & SYN or flags & FIN:
        return
    connection.synReceived(sequence, options)
    connection.heardAt = now
    if flags & ACK:
        connection.move("SYN+ACK received")
        # The window of a SYN is never scaled.
        connection.updatedBy = (connection.receiver.next - 1, connection.sender.flight.una)
        connection.established(window, now)
        connection.acknowledge()
    else:
        connection.move("SYN received")
        connection.synAgain()


def _refuse(connection: Connection, acknowledgment: int) -> None:
    """
    Reset what the guest takes for a connection (RFC 9293 section 3.5.2).
    """
    guest, guestPort, address, port = connection.key
    connection.owner.reply(
        address, guest, build(port, guestPort, acknowledgment, 0, RST, 0, connection.pseudoSum)
    )


def _completed(
    connection: Connection, acknowledgment: int, window: int, start: int, length: int, now: float
) -> bool:
    """
    Whether a segment completes the handshake.
    """
    sender = connection.sender
    if acknowledgment != sender.flight.una & MASK or not connection.wasAnswered():
        if acknowledgment:
            # Of an older connection.
            _refuse(connection, acknowledgment)
        return False
    connection.move("SYN acknowledged")
    connection.updatedBy = (start, sender.flight.una)
    connection.established(window << connection.agreement.sendShift, now)
    return True


def _takeEarly(
    connection: Connection,
    packet: bytes,
    data: int,
    end: int,
    start: int,
    acknowledgment: int,
    now: float,
) -> None:
    """
    Take data that came before the handshake was complete, if it acknowledges nothing.
    """
    if acknowledgment or data == end or start > connection.receiver.next:
        return
    if connection.held:
        connection.answer(now)
    _take(connection, packet, data, end, start, now)


def _acknowledged(
    connection: Connection,
    acknowledgment: int,
    window: int,
    start: int,
    occupies: bool,
    options: Options,
    now: float,
) -> bool:
    """
    Take an acknowledgment.

    @param occupies: Whether it came with data or a FIN.
    @return: Whether the segment is to be taken as well.
    """
    sender = connection.sender
    una = sender.flight.una
    ack = una + ((acknowledgment - una + _HALF) & MASK) - _HALF
    unsent = ack > sender.flight.nxt and not probeTaken(sender, ack)
    if unsent or ack < una - max(sender.maxWindow, 0xFFFF):
        # Nothing we sent (RFC 5961 section 5.2).
        connection.owner.drop("tcp acknowledgment")
        connection.challenge(now)
        return False
    if ack < una:
        return True
    window <<= connection.agreement.sendShift
    if (start, ack) < connection.updatedBy and start < connection.updatedBy[0]:
        window = -1
    else:
        connection.updatedBy = (start, ack)
    blocks = None
    if options.sack and sender.sack:
        blocks = _positions(options.sack, una, sender.flight.nxt)
    echo = options.timestamp[1] if options.timestamp and connection.agreement.timestamps else -1
    sender.ackReceived(ack, window, blocks, echo, connection.stampNow(now), not occupies, now)
    if connection.wasFull:
        connection.roomMade()
    connection.wake()
    if sender.finEnd == ack:
        if connection.state == FIN_WAIT_1:
            connection.move("FIN acknowledged")
            connection.finWaits(now)
        elif connection.state == CLOSING:
            connection.move("FIN acknowledged")
            connection.owner.rest(connection, now)
            return False
        elif connection.state == LAST_ACK:
            connection.move("FIN acknowledged")
            connection.over("done")
            return False
    return True


def _positions(sack: tuple[tuple[int, int], ...], una: int, nxt: int) -> list[tuple[int, int]]:
    """
    Selective acknowledgments as positions, without those that cannot be.
    """
    blocks = []
    for left, right in sack:
        begin = una + ((left - una + _HALF) & MASK) - _HALF
        stop = begin + ((right - left) & MASK)
        if begin < stop <= nxt:
            blocks.append((begin, stop))
    return blocks


def _take(
    connection: Connection, packet: bytes, data: int, end: int, start: int, now: float
) -> None:
    """
    Take the payload of a segment.
    """
    receiver = connection.receiver
    stop = start + end - data
    if not connection.accepted:
        # A guest may probe a closed window with a byte.
        probe = 0 if connection.state == SYN_RECEIVED else 1
        if stop > receiver.edge + probe:
            connection.reset("early", now)
            return
    before = receiver.next
    gaps = bool(receiver.blocks)
    if start > before:
        receiver.dataReceived(start, packet, data, end)
        connection.duplicate()
        return
    ready = receiver.dataReceived(start, packet, data, end)
    if ready:
        connection.owner.emit(TCPDataReceived(connection.number, ready))
    if gaps or not ready or receiver.duplicate is not None or stop > receiver.edge:
        connection.acknowledge()
    else:
        connection.dataTaken(now)


def _finReceived(connection: Connection, position: int, length: int) -> None:
    """
    The guest said where its data ends.

    @param length: Bytes of data that it came with, which are dealt with already.
    """
    if connection.finAt < 0 and position <= connection.receiver.edge:
        connection.finAt = position
        if position > connection.receiver.next and not length:
            connection.duplicate()


def _readClosed(connection: Connection, now: float) -> None:
    """
    All data up to the FIN was taken.
    """
    connection.receiver.next += 1
    connection.receiver.edge = max(connection.receiver.edge, connection.receiver.next)
    connection.receiver.forget()
    connection.acknowledge()
    connection.owner.emit(TCPReadClosed(connection.number))
    connection.move("FIN received")
    if connection.state == TIME_WAIT:
        connection.owner.rest(connection, now)
