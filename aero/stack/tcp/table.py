# -*- test-case-name: aero.stack.tcp.test.test_table -*-
"""
All TCP connections of one guest.
"""

from __future__ import annotations

from typing import Callable

from ..commands import Command
from ..config import StackConfig
from ..events import Event


class TCPTable:
    """
    The TCP of one guest (RFC 9293). Whoever owns it carries segments and the time in, segments
    and events out; addresses are unsigned 32-bit numbers.

    Nothing here raises for what the guest sends; what is thrown away is counted by reason.

    @ivar connections: How many connections are open now. Those in TIME-WAIT are not counted:
        nobody outside knows of them any more.
    """

    connections: int

    def __init__(
        self,
        config: StackConfig,
        *,
        secret: bytes,
        now: float,
        emitEvent: Callable[[Event], None],
        sendICMP: Callable[[int, int, bytes], None],
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

    def newConnection(self) -> int:
        """
        A number for C{ConnectTCP}, which no other connection of this stack has.
        """
        raise NotImplementedError

    def sendRoom(self, connection: int) -> int:
        """
        Bytes that may be offered with C{SendTCP}; 0 or less when the outside should wait for
        C{TCPWriteReady}, and 0 for a connection that is over.
        """
        raise NotImplementedError

    def segmentReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        A segment came from the guest.

        @param packet: A verified IPv4 packet from its first byte on.
        @param offset: Where the TCP header begins.
        @param end: Where the payload ends.
        """
        raise NotImplementedError

    def apply(self, command: Command, now: float) -> None:
        """
        Do what the outside says. Commands for connections that are over, and those that are not
        about TCP, are ignored.
        """
        raise NotImplementedError

    def hasSegments(self) -> bool:
        """
        Whether it is worth calling L{segmentsToSend}. Constant time.
        """
        raise NotImplementedError

    def segmentsToSend(self, now: float, limit: int) -> list[tuple[int, int, bytes]]:
        """
        Make the segments that may leave now; connections take turns.

        @param limit: At most so many; that also bounds the work of a call.
        @return: Source address, destination address and the segment with its checksum, in the
            order to send them.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def nextTimeout(self) -> float | None:
        """
        When to call L{handleTimeout}, which may be earlier than something is due; C{None} if
        nothing will be.
        """
        raise NotImplementedError

    def handleTimeout(self, now: float) -> None:
        """
        Do what is due. Work is bounded by the number of timers that are.
        """
        raise NotImplementedError
