# -*- test-case-name: aero.stack.test.test_arp -*-
"""
ARP in one LAN (RFC 826): answers for what the LAN owns and for nothing else, so that a guest
that probes the address it was offered (RFC 5227) finds it free.
"""

from __future__ import annotations

from typing import Callable, Final

from aero.wire import arp
from aero.wire.ethernet import ARP as ETHERTYPE
from aero.wire.ethernet import BROADCAST, HEADER, header, isGroup

from .addresses import Addresses

#: Seconds between two defences of an address that somebody else claims (RFC 5227 section 2.4).
DEFEND_INTERVAL: Final = 10.0

#: Seconds between two announcements for guests that look for the gateway elsewhere.
ANNOUNCE_INTERVAL: Final = 1.0


class ARP:
    """
    The gateway's side of ARP.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        learn: Callable[[int, bytes], None],
        send: Callable[[bytes], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param learn: Called with an address of the guest and the MAC address it is at.
        @param send: Called with a frame for the guest.
        @param drop: Called with the reason why a frame was ignored.
        """
        self._addresses = addresses
        self._learn = learn
        self._send = send
        self._drop = drop
        self._defended = float("-inf")
        self._announced = float("-inf")

    def frameReceived(self, frame: bytes, now: float) -> None:
        """
        A frame of the guest with an ARP packet.
        """
        packet = arp.parse(frame, HEADER)
        if packet is None:
            self._drop("arpMalformed")
            return
        addresses = self._addresses
        station = packet.senderHardware
        if isGroup(station) or station == addresses.hardwareAddress:
            self._drop("arpSender")
            return
        if packet.sender in addresses.owned:
            self._drop("arpConflict")
            if now - self._defended >= DEFEND_INTERVAL:
                self._defended = now
                self._announce(packet.sender)
            return
        if addresses.isGuest(packet.sender):
            self._learn(packet.sender, station)
        if packet.opcode == arp.REQUEST and packet.target in addresses.owned:
            reply = arp.ARPPacket(
                arp.REPLY, addresses.hardwareAddress, packet.target, station, packet.sender
            )
            self._put(station, reply)

    def ask(self, address: int) -> None:
        """
        Ask who has an address of the network.
        """
        own = self._addresses
        self._put(
            BROADCAST,
            arp.ARPPacket(arp.REQUEST, own.hardwareAddress, own.gateway, bytes(6), address),
        )

    def gatewaySought(self, now: float) -> None:
        """
        The guest sent something for the world to a station that is not the gateway: tell it
        where the gateway is, now and then.
        """
        if now - self._announced >= ANNOUNCE_INTERVAL:
            self._announced = now
            self._announce(self._addresses.gateway)

    def _announce(self, address: int) -> None:
        """
        Tell everybody where an address is (RFC 5227 section 2.3).
        """
        own = self._addresses.hardwareAddress
        self._put(BROADCAST, arp.ARPPacket(arp.REQUEST, own, address, bytes(6), address))

    def _put(self, station: bytes, packet: arp.ARPPacket) -> None:
        self._send(header(station, self._addresses.hardwareAddress, ETHERTYPE) + packet.encode())
