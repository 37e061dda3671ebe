# -*- test-case-name: aero.stack.test.test_icmp -*-
"""
ICMP of the gateway (RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3): echo, the errors it
sends, and those of the guest about what it was sent.
"""

from __future__ import annotations

from typing import Callable, Final

from aero.wire import icmpv4, ipv4

from .addresses import Addresses
from .commands import RefuseEcho
from .events import EchoRequested, Event, ICMPErrorReceived
from .ipoutput import IPv4Output

#: Called with type, code, whose packet was refused (address and port), who refused it (the
#: same), the TCP sequence number, the next hop's MTU, and the time.
TCPErrorReceiver = Callable[[int, int, int, int, int, int, int, int, float], None]

#: Errors that say something of use about one packet (RFC 1122 section 3.2.2).
_REPORTED: Final = frozenset({icmpv4.UNREACHABLE, icmpv4.TIME_EXCEEDED, icmpv4.PARAMETER_PROBLEM})


class ICMP:
    """
    The receiver of protocol 1.

    @ivar tcpErrorReceived: Called with the guest's errors about segments; C{None} ignores them.
    """

    broadcasts = False

    def __init__(
        self,
        addresses: Addresses,
        output: IPv4Output,
        errorsPerSecond: float,
        *,
        emit: Callable[[Event], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param errorsPerSecond: Errors sent at most, and as many at once, but at least one.
        @param emit: Called with what the outside is to know.
        @param drop: Called with the reason why a message was ignored or not sent.
        """
        self.tcpErrorReceived: TCPErrorReceiver | None = None
        self._addresses = addresses
        self._output = output
        self._rate = errorsPerSecond
        self._burst = max(1.0, errorsPerSecond)
        self._tokens = self._burst
        self._filled = float("-inf")
        self._emit = emit
        self._drop = drop

    def packetReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        A packet of the guest with a message at C{offset}.
        """
        fault = icmpv4.verify(packet, offset, end)
        if fault:
            self._drop("icmpChecksum" if fault == "checksum" else "icmpShort")
            return
        kind = packet[offset]
        if kind == icmpv4.ECHO_REQUEST and not packet[offset + 1]:
            self._echoRequested(packet, offset, end, source, destination, now)
        elif kind in _REPORTED:
            self._errorReceived(packet, offset, end, source, destination, now)
        else:
            self._drop("icmpType")

    def sendEchoReply(
        self,
        source: int,
        destination: int,
        identifier: int,
        sequence: int,
        data: bytes,
        ttl: int,
        now: float,
    ) -> None:
        """
        Answer an echo request, for whoever it was sent to.
        """
        message = icmpv4.build(icmpv4.ECHO_REPLY, 0, identifier << 16 | sequence, data)
        self._output.send(source, destination, ipv4.ICMP, message, now, ttl=ttl)

    def refuseEcho(self, refusal: RefuseEcho, now: float) -> None:
        """
        Tell the guest that its ping did not get there. The packet is made again from what is
        known of it, by which a guest finds the program that pings.
        """
        source, destination, identifier, sequence, data, code = refusal[:6]
        message = icmpv4.build(icmpv4.ECHO_REQUEST, 0, identifier << 16 | sequence, data)
        header = ipv4.buildHeader(source, destination, ipv4.ICMP, len(message), 0)
        self.sendError(
            refusal.kind, code, header + message, now, refusal.teller or None, refusal.mtu
        )

    def sendError(
        self,
        kind: int,
        code: int,
        packet: bytes,
        now: float,
        source: int | None = None,
        rest: int = 0,
    ) -> None:
        """
        Tell the guest that its packet went nowhere, unless that is forbidden
        (RFC 1122 section 3.2.2) or was told too often.

        @param packet: The packet, or the part of it that is known; its header is whole.
        @param source: Who tells; the gateway if not given.
        @param rest: The second four bytes of the message: the next hop's MTU, or 0.
        """
        guest = int.from_bytes(packet[12:16], "big")
        about = int.from_bytes(packet[16:20], "big")
        headerLength = (packet[0] & 15) * 4
        if (
            not self._addresses.isGuest(guest)
            or self._addresses.isBroadcast(about)
            or about >> 28 == 14
            # Another fragment than the first, which alone says what it is about.
            or packet[6] & 0x1F
            or packet[7]
            or (packet[9] == ipv4.ICMP and self._isError(packet, headerLength))
        ):
            self._drop("icmpForbidden")
            return
        if not self._mayTell(now):
            self._drop("icmpRate")
            return
        end = min(len(packet), packet[2] << 8 | packet[3])
        message = icmpv4.build(kind, code, rest, icmpv4.quote(packet, 0, end))
        if source is None:
            source = self._addresses.gateway
        self._output.send(source, guest, ipv4.ICMP, message, now)

    def _isError(self, packet: bytes, offset: int) -> bool:
        return len(packet) <= offset or packet[offset] in icmpv4.ERRORS

    def _mayTell(self, now: float) -> bool:
        if self._rate <= 0:
            return False
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _echoRequested(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        identifier = packet[offset + 4] << 8 | packet[offset + 5]
        sequence = packet[offset + 6] << 8 | packet[offset + 7]
        data = packet[offset + icmpv4.HEADER : end]
        if destination in self._addresses.owned:
            self.sendEchoReply(destination, source, identifier, sequence, data, 64, now)
        else:
            ttl = packet[8] - 1
            self._emit(EchoRequested(source, destination, identifier, sequence, data, ttl))

    def _errorReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        The guest refuses a packet, whose beginning follows the header of the message. Only what
        the stack can have sent to this very guest is believed.
        """
        quoted = packet[offset + icmpv4.HEADER : end]
        if len(quoted) < ipv4.HEADER or quoted[0] >> 4 != 4:
            self._drop("icmpQuote")
            return
        begin = (quoted[0] & 15) * 4
        if (
            begin < ipv4.HEADER
            or len(quoted) < begin + 8
            or quoted[6] & 0x1F
            or quoted[7]
            or int.from_bytes(quoted[12:16], "big") != destination
            or int.from_bytes(quoted[16:20], "big") != source
        ):
            self._drop("icmpQuote")
            return
        kind, code, protocol = packet[offset], packet[offset + 1], quoted[9]
        ourPort = quoted[begin] << 8 | quoted[begin + 1]
        guestPort = quoted[begin + 2] << 8 | quoted[begin + 3]
        if protocol == ipv4.TCP and self.tcpErrorReceived is not None:
            sequence = int.from_bytes(quoted[begin + 4 : begin + 8], "big")
            mtu = 0
            if kind == icmpv4.UNREACHABLE and code == icmpv4.FRAGMENTATION_NEEDED:
                mtu = packet[offset + 6] << 8 | packet[offset + 7]
            self.tcpErrorReceived(
                kind, code, destination, ourPort, source, guestPort, sequence, mtu, now
            )
        elif protocol == ipv4.UDP:
            self._emit(ICMPErrorReceived(kind, code, protocol, destination, ourPort, guestPort))
        else:
            self._drop("icmpQuote")
