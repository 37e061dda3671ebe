# -*- test-case-name: aero.stack.test.test_ip -*-
"""
IPv4 packets in (RFC 791, RFC 1122 section 3.2.1, RFC 1812 section 5): what is wrong, spoofed or
for nobody is dropped and counted; what is left goes to the receiver of its protocol.

A guest needs no lease. Whatever address of the network it uses is its own, so that one with a
static address works like one that asked DHCP, and one that was restored from a snapshot goes on.
"""

from __future__ import annotations

import struct
from typing import Callable, Final, Protocol

from aero.wire import icmpv4, ipv4
from aero.wire.ethernet import HEADER

from .addresses import Addresses
from .fragments import Reassembly
from .neighbours import DOUBT, Neighbours

_ADDRESSES: Final = struct.Struct("!II")

#: The first bits of addresses of groups (RFC 1112 section 4).
_GROUP: Final = 14

#: The first byte of addresses that never leave a machine (RFC 1122 section 3.2.1.3).
_LOOPBACK: Final = 127


class PacketReceiver(Protocol):
    """
    What is registered for a protocol number.

    @cvar broadcasts: Whether it takes packets that were sent to every station, by their IPv4
        address or their MAC address.
    """

    @property
    def broadcasts(self) -> bool: ...

    def packetReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        @param packet: A whole packet, from its header on, which is verified.
        @param offset: Where the header ends.
        @param end: Where the packet ends; what follows is padding.
        @param source: Who sent it; 0 only for UDP, from a guest without an address.
        """


class IPv4:
    """
    The receiver of IPv4 frames.

    @ivar protocols: The receivers by protocol number; for everybody to change.
    @ivar station: The MAC address that sent the packet that is being handled.
    @ivar everybody: Whether that packet was sent to every station, by its IPv4 address or its
        MAC address; whoever gets it forwards it to nobody, and answers with no error
        (RFC 1812 section 5.3.4, RFC 1122 section 3.2.2).
    @ivar sendError: Called with type and code of an ICMP error, the packet it is about, and the
        time.
    @ivar gatewaySought: Called with the time when a frame for the outside is addressed to a
        station that is not the gateway.
    """

    def __init__(
        self,
        addresses: Addresses,
        neighbours: Neighbours,
        reassembly: Reassembly,
        *,
        sendError: Callable[[int, int, bytes, float], None],
        gatewaySought: Callable[[float], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param drop: Called with the reason why a packet was lost.
        """
        self.protocols: dict[int, PacketReceiver] = {}
        self.station = b""
        self.everybody = False
        self.sendError = sendError
        self.gatewaySought = gatewaySought
        self._addresses = addresses
        self._hardwareAddress = addresses.hardwareAddress
        self._owned = addresses.owned
        self._network = addresses.network
        self._mask = addresses.mask
        self._neighbours = neighbours
        self._stations = neighbours.stations
        self._reassembly = reassembly
        self._drop = drop

    def frameReceived(self, frame: bytes, now: float) -> None:
        """
        A frame of the guest with an IPv4 packet.
        """
        packet = frame[HEADER:]
        fault = ipv4.verify(packet, 0)
        if fault:
            self._drop(_FAULTS[fault])
            return
        source, destination = _ADDRESSES.unpack_from(packet, 12)
        station = frame[6:12]
        # What is in the table has been accepted before.
        if self._stations.get(source) != station:
            if not self._sourceAccepted(source, destination, packet):
                self._drop("ipSource")
                return
            if source & self._mask == self._network:
                self._neighbours.learn(source, station)
        if packet[0] != 0x45 and ipv4.routesItself(packet):
            self._drop("ipOptions")
            return
        self._neighbours.doubtAt = now + DOUBT
        receiver = self.protocols.get(packet[9])
        toAll = False
        if frame[:6] != self._hardwareAddress:
            toAll = bool(frame[0] & 1)
            if not toAll and not self._strayAccepted(destination, now):
                self._drop("ipStation")
                return
        if destination not in self._owned:
            if self._addresses.isBroadcast(destination):
                toAll = True
            elif destination & self._mask == self._network or destination >> 28 == _GROUP:
                self._nowhere(packet, destination, toAll, now)
                return
            elif packet[8] <= 1:
                self._drop("ipTTL")
                if not toAll:
                    self.sendError(icmpv4.TIME_EXCEEDED, icmpv4.TTL_EXCEEDED, packet, now)
                return
        if receiver is None:
            self._drop("ipProtocol")
            if not toAll:
                code = icmpv4.PROTOCOL_UNREACHABLE
                self.sendError(icmpv4.UNREACHABLE, code, packet, now)
            return
        if toAll and not receiver.broadcasts:
            self._drop("ipBroadcast")
            return
        self.station = station
        self.everybody = toAll
        if packet[6] & 0x3F or packet[7]:
            if toAll and not self._addresses.isBroadcast(destination):
                # What is missing would be told as an error.
                self._drop("ipBroadcast")
                return
            whole = self._reassembly.fragmentReceived(packet, now)
            if whole is None:
                return
            packet = whole
        offset = (packet[0] & 15) * 4
        end = packet[2] << 8 | packet[3]
        receiver.packetReceived(packet, offset, end, source, destination, now)

    def _sourceAccepted(self, source: int, destination: int, packet: bytes) -> bool:
        """
        Whether a packet can be from where it says: an address of the network that is not taken,
        or none yet, which only UDP to the LAN itself can do with (RFC 1122 section 3.2.1.3).

        A guest that was somewhere else before may have an address of there, until its DHCP
        client asks everybody (REBINDING, RFC 2131 section 4.3.2) and is told no.
        """
        if source & self._mask == self._network:
            return self._addresses.isGuest(source)
        if source:
            everybody = destination == ipv4.LIMITED_BROADCAST
            unicast = source >> 28 < _GROUP and source >> 24 != _LOOPBACK
            return everybody and unicast and packet[9] == ipv4.UDP
        return packet[9] == ipv4.UDP and (
            destination in self._owned or self._addresses.isBroadcast(destination)
        )

    def _strayAccepted(self, destination: int, now: float) -> bool:
        """
        Whether to take a frame that is for another station. Behind a bridge in the guest that
        may be a frame between two of its own; a packet for the outside can only be meant for
        the gateway, whose MAC address the guest has wrong.
        """
        if destination in self._owned or destination & self._mask != self._network:
            self.gatewaySought(now)
            return True
        return False

    def _nowhere(self, packet: bytes, destination: int, toAll: bool, now: float) -> None:
        """
        The destination is a group, which nobody joins here; or in the network and not ours, so
        that a router that asked for it would get no answer. The guest itself is there as well,
        but then it need not ask us.
        """
        if destination >> 28 == _GROUP:
            self._drop("ipMulticast")
            return
        self._drop("ipNeighbour")
        if toAll or destination in self._stations or not self._addresses.isGuest(destination):
            return
        self.sendError(icmpv4.UNREACHABLE, icmpv4.HOST_UNREACHABLE, packet, now)


_FAULTS: Final = {
    "short": "ipShort",
    "version": "ipVersion",
    "length": "ipLength",
    "checksum": "ipChecksum",
}
