# -*- test-case-name: aero.stack.tcp.test.test_departure -*-
"""
The segments that a connection sends, made when they are asked for (RFC 9293 section 3.8).

What is sent follows from what is due then: a SYN, data, a probe, acknowledgments. Several
segments that came since the last turn are acknowledged together.
"""

from __future__ import annotations

from aero.wire.seqnum import MASK
from aero.wire.tcp import (
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

from .connection import Connection, Outgoing
from .rtt import INITIAL_TIMEOUT
from .sender import NEVER
from .states import CLOSE_WAIT, ESTABLISHED, SYN_RECEIVED, TRANSMITTING
from .timewait import Remains


def output(connection: Connection, now: float, out: list[Outgoing], stop: int) -> bool:
    """
    Make segments until nothing may leave, or C{out} has C{stop}.

    @return: Whether there may be more.
    """
    if connection.synDue:
        _sendSYN(connection, now, out)
    sender = connection.sender
    if connection.state in TRANSMITTING:
        _sendData(connection, now, out, stop)
        if sender.persistProbe and len(out) < stop:
            out.append(_windowProbe(connection, now))
    if connection.keepProbe and len(out) < stop:
        connection.keepProbe = False
        data = _repeated(connection.keepProbes)
        out.append(_bare(connection, now, sender.flight.nxt - 1, data=data))
    while connection.ackDue and len(out) < stop:
        connection.ackDue -= 1
        out.append(acknowledgment(connection, now))
    connection.schedule()
    return len(out) >= stop


def _sendData(connection: Connection, now: float, out: list[Outgoing], stop: int) -> None:
    sender = connection.sender
    stamp = connection.stampNow(now)
    segment = sender.next(now, stamp) if len(out) < stop else None
    if segment is None:
        return
    guest, guestPort, address, port = connection.key
    options = b""
    if connection.agreement.timestamps:
        options = TIMESTAMP_STRUCT.pack(TIMESTAMP_PREFIX, stamp, connection.stamp)
    window = _tellWindow(connection)
    acknowledged = connection.lastAck & MASK
    pseudoSum = connection.pseudoSum
    if not connection.receiver.blocks and connection.receiver.duplicate is None:
        connection.ackDue = 0
    while segment is not None:
        flags = ACK
        if segment.push:
            flags = ACK | PSH
        if segment.fin:
            flags |= FIN
            if connection.state == ESTABLISHED or connection.state == CLOSE_WAIT:
                connection.move("FIN sent")
        out.append(
            (
                address,
                guest,
                build(
                    port,
                    guestPort,
                    segment.start & MASK,
                    acknowledged,
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


def _tellWindow(connection: Connection) -> int:
    """
    The window field of a segment that acknowledges everything.
    """
    receiver = connection.receiver
    connection.lastAck = receiver.next
    connection.unacked = 0
    connection.ackAt = NEVER
    return receiver.window() >> connection.agreement.receiveShift


def acknowledgment(connection: Connection, now: float) -> Outgoing:
    """
    An acknowledgment alone, with what was received out of order.
    """
    ranges: list[tuple[int, int]] = []
    receiver = connection.receiver
    agreement = connection.agreement
    if agreement.sack and (receiver.blocks or receiver.duplicate is not None):
        most = 3 if agreement.timestamps else 4
        ranges = [(left & MASK, right & MASK) for left, right in receiver.ranges(most)]
    return _bare(connection, now, connection.sender.flight.nxt, tuple(ranges))


def _windowProbe(connection: Connection, now: float) -> Outgoing:
    """
    A segment that a guest whose window is closed has to answer.
    """
    sender = connection.sender
    data = sender.persistProbeSent(now)
    if data:
        return _bare(connection, now, sender.flight.nxt, data=data)
    data = _repeated(sender.windowProbe.asked)
    return _bare(connection, now, sender.flight.nxt - 1, data=data)


def _repeated(asked: int) -> bytes:
    """
    What the place of the last byte is sent with, to get an answer from a guest that has it: nothing
    first, and from the second time on a byte that is not looked at, because there are guests that
    only answer data (RFC 1122 section 4.2.3.6).

    @param asked: How often the guest was asked, this time included.
    """
    return b"\0" if asked > 1 else b""


def _bare(
    connection: Connection,
    now: float,
    position: int,
    ranges: tuple[tuple[int, int], ...] = (),
    data: bytes = b"",
) -> Outgoing:
    """
    A segment that does not count as sent.
    """
    guest, guestPort, address, port = connection.key
    options = b""
    if connection.agreement.timestamps:
        options = TIMESTAMP_STRUCT.pack(
            TIMESTAMP_PREFIX, connection.stampNow(now), connection.stamp
        )
    if ranges:
        options += buildOptions(Options(sack=ranges))
    window = _tellWindow(connection)
    segment = build(
        port,
        guestPort,
        position & MASK,
        connection.lastAck & MASK,
        ACK,
        window,
        connection.pseudoSum,
        options,
        data,
    )
    return address, guest, segment


def _sendSYN(connection: Connection, now: float, out: list[Outgoing]) -> None:
    """
    Send a SYN, or the answer to one.
    """
    config = connection.config
    connection.synDue = False
    guest, guestPort, address, port = connection.key
    flags = SYN
    acknowledged = 0
    window = min(0xFFFF, config.receiveBuffer)
    if connection.state == SYN_RECEIVED:
        flags = SYN | ACK
        # Data that came early is acknowledged after it: not every guest expects more here.
        acknowledged = (connection.irs + 1) & MASK
        window = min(0xFFFF, connection.receiver.window())
        if connection.lastAck < 0:
            connection.lastAck = connection.irs + 1
    if connection.syns == 0:
        connection.synSentAt = now
    connection.syns += 1
    backedOff = INITIAL_TIMEOUT * (1 << min(connection.syns - 1, 16))
    connection.synAt = now + min(backedOff, config.maxRTO)
    options = connection.agreement.options((connection.stampNow(now), connection.stamp))
    segment = build(
        port,
        guestPort,
        connection.iss & MASK,
        acknowledged,
        flags,
        window,
        connection.pseudoSum,
        options,
    )
    out.append((address, guest, segment))


def reset(connection: Connection) -> Outgoing:
    """
    A reset that the guest believes, whatever it has received (RFC 9293 section 3.5.2).
    """
    guest, guestPort, address, port = connection.key
    sequence = 0
    if connection.state != SYN_RECEIVED or connection.syns:
        sequence = connection.sender.flight.nxt & MASK
    segment = build(
        port,
        guestPort,
        sequence,
        connection.receiver.next & MASK,
        RST | ACK,
        0,
        connection.pseudoSum,
    )
    return address, guest, segment


def remains(connection: Connection, now: float) -> Remains:
    """
    What TIME-WAIT needs of a connection.
    """
    return Remains(
        connection.sender.flight.nxt & MASK,
        connection.receiver.next & MASK,
        _tellWindow(connection),
        connection.agreement.timestamps,
        connection.stamp,
        connection.offset,
        now + connection.config.timeWait,
    )
