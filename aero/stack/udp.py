# -*- test-case-name: aero.stack.test.test_udp -*-
"""
UDP of one LAN (RFC 768): every datagram is an event, and commands make datagrams.
"""

from __future__ import annotations

from typing import Callable

from aero.wire import icmpv4, ipv4, udp

from .commands import RefuseUDP
from .events import Event, UDPReceived
from .icmp import ICMP
from .ip import IPv4
from .ipoutput import IPv4Output


class UDP:
    """
    The receiver of protocol 17.
    """

    broadcasts = True

    def __init__(
        self,
        ip: IPv4,
        icmp: ICMP,
        output: IPv4Output,
        *,
        emit: Callable[[Event], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param ip: Knows which station a packet came from, and whether it was for all of them.
        @param emit: Called with what the outside is to know.
        @param drop: Called with the reason why a datagram was lost.
        """
        self._ip = ip
        self._icmp = icmp
        self._output = output
        self._emit = emit
        self._drop = drop

    def packetReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        A packet of the guest with a datagram at C{offset}.
        """
        fault = udp.verify(packet, offset, end, source, destination)
        if fault:
            self._drop("udpChecksum" if fault == "checksum" else "udpLength")
            return
        size = packet[offset + 4] << 8 | packet[offset + 5]
        self.datagramReceived(
            UDPReceived(
                source,
                packet[offset] << 8 | packet[offset + 1],
                destination,
                packet[offset + 2] << 8 | packet[offset + 3],
                packet[offset + udp.HEADER : offset + size],
                self._ip.station,
                self._ip.everybody,
                bool(packet[6] & 0x40),
                max(1, packet[8] - 1),
            )
        )

    def datagramReceived(self, datagram: UDPReceived) -> None:
        """
        A datagram of the guest, checked. Subclasses may keep it to themselves.
        """
        self._emit(datagram)

    def send(
        self,
        source: int,
        sourcePort: int,
        destination: int,
        destinationPort: int,
        data: bytes,
        now: float,
        hardwareAddress: bytes | None = None,
    ) -> None:
        """
        Send the guest a datagram, in fragments if it must be.
        """
        if len(data) > udp.MAX_PAYLOAD:
            self._drop("udpLength")
            return
        datagram = udp.build(source, sourcePort, destination, destinationPort, data)
        self._output.send(
            source, destination, ipv4.UDP, datagram, now, hardwareAddress=hardwareAddress
        )

    def refuse(self, refusal: RefuseUDP, now: float) -> None:
        """
        Tell the guest that its datagram was not delivered (RFC 1122 section 3.2.2.1). The
        datagram is made again from what is known of it, at least the fields that a guest finds
        its socket by. An ICMP message that says that a port is closed comes from the owner of the
        port; all others come from C{teller}, or from the gateway if there is none.
        """
        source, sourcePort, destination, destinationPort, size, code = refusal[:6]
        length = min(udp.HEADER + size, udp.HEADER + udp.MAX_PAYLOAD)
        if len(refusal.start) == size:
            # The checksum is the guest's own again, unless it sent none.
            datagram = udp.build(source, sourcePort, destination, destinationPort, refusal.start)
        else:
            numbers = (sourcePort, destinationPort, length, 0)
            datagram = b"".join(number.to_bytes(2, "big") for number in numbers) + refusal.start
        quoted = ipv4.buildHeader(source, destination, ipv4.UDP, length, 0) + datagram
        closed = refusal.kind == icmpv4.UNREACHABLE and code == icmpv4.PORT_UNREACHABLE
        teller = refusal.teller or (destination if closed else None)
        self._icmp.sendError(refusal.kind, code, quoted, now, teller, refusal.mtu)
