# -*- test-case-name: aero.stack.test.test_ipoutput -*-
"""
IPv4 packets out: headers, fragments, and the station they go to.
"""

from __future__ import annotations

from typing import Callable

from aero.wire import ipv4
from aero.wire.ethernet import BROADCAST, IPV4

from .addresses import Addresses
from .neighbours import Neighbours


class IPv4Output:
    """
    Wraps payloads in packets and frames for the guest.

    One counter with a random beginning numbers all packets. The link to the guest is the whole
    path and its MTU is known, so whole packets say "don't fragment" and are atomic; fragments
    have 65,535 packets between two equal numbers (RFC 6864 section 4).
    """

    def __init__(
        self,
        addresses: Addresses,
        neighbours: Neighbours,
        mtu: int,
        identification: int,
        *,
        send: Callable[[bytes], None],
        drop: Callable[[str], None],
    ) -> None:
        """
        @param mtu: The most bytes of a packet.
        @param identification: The number of the first packet.
        @param send: Called with a frame for the guest.
        @param drop: Called with the reason why a packet was lost.
        """
        self._addresses = addresses
        self._neighbours = neighbours
        self._stations = neighbours.stations
        self._mostPayload = mtu - ipv4.HEADER
        self._identification = identification & 0xFFFF
        self._frameTail = addresses.hardwareAddress + IPV4
        self._send = send
        self._drop = drop

    def send(
        self,
        source: int,
        destination: int,
        protocol: int,
        payload: bytes,
        now: float,
        *,
        ttl: int = 64,
        hardwareAddress: bytes | None = None,
    ) -> None:
        """
        Send a payload, in fragments where it is larger than the MTU allows.

        @param hardwareAddress: The station it goes to; C{None} for wherever the destination is.
        """
        identification = self._identification = (self._identification + 1) & 0xFFFF
        size = len(payload)
        most = self._mostPayload
        if size <= most:
            head = ipv4.buildHeader(
                source, destination, protocol, size, identification, ipv4.DONT_FRAGMENT, ttl
            )
            self._route(head + payload, destination, now, hardwareAddress)
            return
        most &= ~7
        for offset in range(0, size, most):
            piece = payload[offset : offset + most]
            flags = offset >> 3
            if offset + len(piece) < size:
                flags |= ipv4.MORE_FRAGMENTS
            head = ipv4.buildHeader(
                source, destination, protocol, len(piece), identification, flags, ttl
            )
            self._route(head + piece, destination, now, hardwareAddress)

    def segmentFrame(
        self, source: int, destination: int, segment: bytes, now: float
    ) -> bytes | None:
        """
        Wrap a segment of TCP, which fits.

        @return: The frame; C{None} where the segment waits for the guest to say where it is.
        """
        identification = self._identification = (self._identification + 1) & 0xFFFF
        head = ipv4.buildHeader(source, destination, ipv4.TCP, len(segment), identification)
        station = self._stations.get(destination)
        if station is None:
            self._route(head + segment, destination, now, None)
            return None
        if now > self._neighbours.doubtAt:
            self._neighbours.doubt(destination, now)
        return b"".join((station, self._frameTail, head, segment))

    def sendTo(self, station: bytes, packet: bytes) -> None:
        """
        Send a whole packet to a station.
        """
        self._send(b"".join((station, self._frameTail, packet)))

    def _route(self, packet: bytes, destination: int, now: float, station: bytes | None) -> None:
        if station is None:
            station = self._stations.get(destination)
            if station is not None and now > self._neighbours.doubtAt:
                self._neighbours.doubt(destination, now)
        if station is None:
            if self._addresses.isGuest(destination):
                self._neighbours.hold(destination, packet, now)
                return
            if not self._addresses.isBroadcast(destination):
                self._drop("ipUnroutable")
                return
            station = BROADCAST
        self._send(b"".join((station, self._frameTail, packet)))
