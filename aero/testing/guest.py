# -*- test-case-name: aero.testing.test.test_guest -*-
"""
A tiny guest for tests: one Ethernet station that speaks ARP, DHCP, UDP, ping and just enough
TCP, without any of aero's codecs.

It is a port (C{aero.lan.peer.FramePort}), so that a LAN can be built on it::

    guest = Guest()
    guest.attach(factory.buildLAN(peer, guest).framesReceived)
    guest.askForLease()
    connection = guest.connect("203.0.113.10", 80)

Whatever it is sent must be right to the last checksum, or it raises C{AssertionError}, at once
and again in L{Guest.check}. Over a real tunnel, C{attach} gets what sends frames into it, and
frames that come are given to L{Guest.sendFrames}.
"""

from __future__ import annotations

import struct
from typing import Callable, Iterable, Sequence

from .packets import (
    ACK,
    ARP,
    BROADCAST,
    FIN,
    ICMP,
    PSH,
    RST,
    SYN,
    TCP,
    UDP,
    Datagram,
    Packet,
    Segment,
    dotted,
    internetSum,
    ipFrame,
    packed,
    readDatagram,
    readPacket,
    readSegment,
    withChecksum,
)

#: DHCP's magic cookie.
_COOKIE = b"\x63\x82\x53\x63"
_XID = 0x10203040


class Guest:
    """
    One guest.

    @ivar mac: Its MAC address.
    @ivar address: Its address.
    @ivar gateway: The gateway's address.
    @ivar gatewayMAC: Where its packets go.
    @ivar frames: Every frame it was sent.
    @ivar datagrams: The datagrams among them, DHCP aside.
    @ivar offers: The DHCP messages: message type, the address in it, all options.
    @ivar bootReplies: Answers of BOOTP: the whole message and its options.
    @ivar errors: ICMP errors: type, code, what they quote.
    @ivar echoes: Answers to pings: who, sequence, data.
    @ivar arps: Answers to ARP: address, MAC address.
    @ivar segments: TCP segments that belong to no connection.
    @ivar resetsStrangers: Whether those are answered with a reset.
    """

    def __init__(
        self,
        *,
        mac: bytes = b"\x02\xaa\xbb\xcc\xdd\xee",
        address: str = "10.0.2.15",
        gateway: str = "10.0.2.2",
        maxFrame: int = 2_048,
        mss: int = 1_460,
    ) -> None:
        self.mac = mac
        self.address = address
        self.gateway = gateway
        self.gatewayMAC = b"\x02\0\0\0\0\x01"
        self.maxFrame = maxFrame
        self.mss = mss
        self.frames: list[bytes] = []
        self.datagrams: list[Datagram] = []
        self.offers: list[tuple[int, str, dict[int, bytes]]] = []
        self.bootReplies: list[tuple[bytes, dict[int, bytes]]] = []
        self.errors: list[tuple[int, int, bytes]] = []
        self.echoes: list[tuple[str, int, bytes]] = []
        self.arps: list[tuple[str, bytes]] = []
        self.segments: list[Segment] = []
        self.resetsStrangers = True
        self._connections: dict[tuple[int, str, int], GuestTCP] = {}
        self._listening: dict[int, Callable[[GuestTCP], None] | None] = {}
        self._transmit: Callable[[Sequence[bytes]], object] = lambda frames: None
        self._faults: list[BaseException] = []
        self._fragments: dict[bytes, list[Packet]] = {}
        self._nextPort = 40_000

    def attach(self, transmit: Callable[[Sequence[bytes]], object]) -> None:
        """
        Plug the guest in.

        @param transmit: Takes the frames that it sends.
        """
        self._transmit = transmit

    def check(self) -> None:
        """
        Raise what was wrong with anything that came.
        """
        if self._faults:
            raise self._faults[0]

    # -- frames

    def send(self, *frames: bytes) -> None:
        """
        Send frames.
        """
        self._transmit(frames)

    def sendPacket(
        self, destination: str, protocol: int, payload: bytes, *, ttl: int = 64, source: str = ""
    ) -> None:
        """
        Send an IPv4 packet to the gateway's MAC address.
        """
        fro = source or self.address
        self.send(ipFrame(self.gatewayMAC, self.mac, fro, destination, protocol, payload, ttl=ttl))

    def sendFrames(self, frames: Iterable[bytes]) -> None:
        """
        Frames came.
        """
        for frame in frames:
            try:
                self._frameReceived(frame)
            except AssertionError as fault:
                self._faults.append(fault)
                raise

    def _frameReceived(self, frame: bytes) -> None:
        assert 14 <= len(frame) <= self.maxFrame, f"a frame of {len(frame)} bytes"
        assert frame[:6] in (self.mac, BROADCAST), f"a frame for {frame[:6].hex()}"
        self.frames.append(frame)
        if frame[12:14] == struct.pack("!H", ARP):
            self._arpReceived(frame[14:42])
            return
        packet = readPacket(frame)
        if packet.fragment & 0x3FFF:
            whole = self._reassembled(frame, packet)
            if whole is None:
                return
            packet = whole
        if packet.protocol == UDP:
            self._datagramReceived(readDatagram(packet))
        elif packet.protocol == TCP:
            self._segmentReceived(readSegment(packet))
        elif packet.protocol == ICMP:
            self._icmpReceived(packet)

    def _reassembled(self, frame: bytes, packet: Packet) -> Packet | None:
        """
        Put fragments together, which come in order here.
        """
        parts = self._fragments.setdefault(frame[18:20], [])
        assert (packet.fragment & 0x1FFF) * 8 == sum(len(part.payload) for part in parts)
        parts.append(packet)
        if packet.fragment & 0x2000:
            return None
        del self._fragments[frame[18:20]]
        return parts[0]._replace(payload=b"".join(part.payload for part in parts), fragment=0)

    # -- ARP

    def askWho(self, address: str, source: str | None = None) -> None:
        """
        Ask who has an address.
        """
        fro = self.address if source is None else source
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.mac + packed(fro)
        body += bytes(6) + packed(address)
        self.send(BROADCAST + self.mac + struct.pack("!H", ARP) + body)

    def _arpReceived(self, body: bytes) -> None:
        assert body[:6] == struct.pack("!HHBB", 1, 0x0800, 6, 4), body.hex()
        operation = int.from_bytes(body[6:8], "big")
        sender, address, target = body[8:14], body[14:18], body[24:28]
        if operation == 2:
            self.arps.append((dotted(address), sender))
        elif target == packed(self.address):
            reply = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + self.mac + target
            reply += sender + address
            self.send(sender + self.mac + struct.pack("!H", ARP) + reply)

    # -- UDP, DHCP

    def sendDatagram(self, port: int, destination: str, to: int, data: bytes) -> None:
        """
        Send a datagram.
        """
        self.sendPacket(destination, UDP, self._datagram(self.address, port, destination, to, data))

    @staticmethod
    def _datagram(source: str, port: int, destination: str, to: int, data: bytes) -> bytes:
        bare = struct.pack("!HHHH", port, to, 8 + len(data), 0) + data
        return withChecksum(source, destination, UDP, bare, 6)

    def sendDHCP(
        self,
        kind: int,
        options: Iterable[tuple[int, bytes]] = (),
        *,
        ciaddr: str = "0.0.0.0",  # noqa: S104
        destination: str = "255.255.255.255",
        flags: int = 0x8000,
    ) -> None:
        """
        Send a DHCP message.

        @param options: Beside the message type.
        """
        fixed = struct.pack("!BBBBIHH4s", 1, 1, 6, 0, _XID, 0, flags, packed(ciaddr))
        fixed += bytes(12) + self.mac.ljust(16, b"\0") + bytes(192) + _COOKIE
        encoded = bytes((53, 1, kind))
        encoded += b"".join(bytes((code, len(value))) + value for code, value in options)
        payload = self._datagram(ciaddr, 68, destination, 67, fixed + encoded + b"\xff")
        to = self.gatewayMAC if destination == self.gateway else BROADCAST
        self.send(ipFrame(to, self.mac, ciaddr, destination, UDP, payload))

    def sendBOOTP(
        self,
        vendor: bytes = b"",
        *,
        ciaddr: str = "0.0.0.0",  # noqa: S104
        flags: int = 0,
        sname: bytes = b"",
        file: bytes = b"",
    ) -> None:
        """
        Send a BOOTP request of 300 bytes.

        @param vendor: The vendor area, with a magic cookie if it has one.
        """
        data = struct.pack("!BBBBIHH4s", 1, 1, 6, 0, _XID, 0, flags, packed(ciaddr))
        data += bytes(12) + self.mac.ljust(16, b"\0")
        data += sname.ljust(64, b"\0") + file.ljust(128, b"\0") + vendor.ljust(64, b"\0")
        payload = self._datagram(ciaddr, 68, "255.255.255.255", 67, data)
        self.send(ipFrame(BROADCAST, self.mac, ciaddr, "255.255.255.255", UDP, payload))

    def askForLease(self) -> None:
        """
        DISCOVER and REQUEST, as a client without an address does.
        """
        self.sendDHCP(1)
        offered = next(address for kind, address, _ in self.offers if kind == 2)
        self.sendDHCP(3, [(50, packed(offered)), (54, packed(self.gateway))])
        self.address = next(address for kind, address, _ in self.offers if kind == 5)

    def _datagramReceived(self, datagram: Datagram) -> None:
        if datagram.destination[1] == 68:
            self._dhcpReceived(datagram.data)
        else:
            assert datagram.destination[0] == self.address, datagram
            self.datagrams.append(datagram)

    def _dhcpReceived(self, data: bytes) -> None:
        assert len(data) >= 300 and data[0] == 2, data.hex()
        assert data[4:8] == _XID.to_bytes(4, "big") and data[28:34] == self.mac, data.hex()
        if data[236:240] != _COOKIE:
            self.bootReplies.append((data, {}))
            return
        found: dict[int, bytes] = {}
        offset = 240
        while data[offset] != 255:
            if data[offset]:
                code, length = data[offset], data[offset + 1]
                found[code] = found.get(code, b"") + data[offset + 2 : offset + 2 + length]
                offset += 1 + length
            offset += 1
        if 53 not in found:
            self.bootReplies.append((data, found))
            return
        self.offers.append((found[53][0], dotted(data[16:20]), found))

    # -- ICMP

    def ping(
        self, destination: str, sequence: int = 1, data: bytes = b"ping", *, ttl: int = 64
    ) -> None:
        """
        Send an echo request.
        """
        bare = struct.pack("!BBHHH", 8, 0, 0, 0x1234, sequence) + data
        message = bare[:2] + struct.pack("!H", internetSum(bare)) + bare[4:]
        self.sendPacket(destination, ICMP, message, ttl=ttl)

    def refuse(self, frame: bytes, code: int = 3) -> None:
        """
        Say that what a frame carries cannot be delivered.
        """
        bare = struct.pack("!BBHI", 3, code, 0, 0) + frame[14 : 14 + 28]
        message = bare[:2] + struct.pack("!H", internetSum(bare)) + bare[4:]
        self.sendPacket(readPacket(frame).source, ICMP, message)

    def _icmpReceived(self, packet: Packet) -> None:
        message = packet.payload
        assert len(message) >= 8 and internetSum(message) == 0, packet
        if message[0] == 0:
            sequence = int.from_bytes(message[6:8], "big")
            assert message[4:6] == b"\x12\x34", packet
            self.echoes.append((packet.source, sequence, message[8:]))
        elif message[0] != 8:
            self.errors.append((message[0], message[1], message[8:]))

    # -- TCP

    def connect(self, destination: str, port: int, **options: int) -> GuestTCP:
        """
        Open a connection; the SYN has left when this returns.
        """
        self._nextPort += 1
        made = GuestTCP(self, self._nextPort, destination, port, **options)
        self._connections[made.port, destination, port] = made
        made.open()
        return made

    def listen(self, port: int, received: Callable[[GuestTCP], None] | None = None) -> None:
        """
        Take connections to a port.

        @param received: Called with each one when it is there.
        """
        self._listening[port] = received

    def _segmentReceived(self, segment: Segment) -> None:
        assert segment.destination[0] == self.address, segment
        port = segment.destination[1]
        found = self._connections.get((port, *segment.source))
        if found is None and port in self._listening and segment.flags & (SYN | ACK) == SYN:
            found = GuestTCP(self, port, *segment.source)
            self._connections[port, segment.source[0], segment.source[1]] = found
            found.opened = self._listening[port]
        if found is not None:
            found.segmentReceived(segment)
            return
        self.segments.append(segment)
        if self.resetsStrangers and not segment.flags & RST:
            self.sendSegment(
                segment.destination[1],
                segment.source,
                segment.acknowledgment,
                segment.sequence + len(segment.data) + bool(segment.flags & (SYN | FIN)),
                RST | ACK,
                0,
            )

    def sendSegment(
        self,
        port: int,
        to: tuple[str, int],
        sequence: int,
        acknowledgment: int,
        flags: int,
        window: int,
        data: bytes = b"",
        options: bytes = b"",
    ) -> None:
        """
        Send a segment.
        """
        bare = struct.pack(
            "!HHIIBBHHH",
            port,
            to[1],
            sequence & 0xFFFFFFFF,
            acknowledgment & 0xFFFFFFFF,
            (20 + len(options)) // 4 << 4,
            flags,
            window,
            0,
            0,
        )
        payload = withChecksum(self.address, to[0], TCP, bare + options + data, 16)
        self.sendPacket(to[0], TCP, payload)


class GuestTCP:
    """
    One connection, over a network that loses nothing.

    @ivar port: The guest's port.
    @ivar window: What it offers; 0 stops the other side.
    @ivar received: What came, in order.
    @ivar established: Whether the handshake is done.
    @ivar ended: Whether the other side has sent its FIN.
    @ivar finished: Whether the other side has acknowledged ours.
    @ivar wasReset: Whether it was reset.
    @ivar log: Every segment that came.
    """

    def __init__(
        self,
        guest: Guest,
        port: int,
        host: str,
        hostPort: int,
        *,
        window: int = 65_535,
        isn: int = 5_000,
    ) -> None:
        self.port = port
        self.window = window
        self.received = b""
        self.established = self.ended = self.finished = self.wasReset = False
        self.log: list[Segment] = []
        self.opened: Callable[[GuestTCP], None] | None = None
        self._guest = guest
        self._to = host, hostPort
        self._isn = isn
        self._next = isn + 1
        self._acknowledged = isn + 1
        self._expected = 0
        self._peerWindow = 0
        self._unsent = b""
        self._closing = self._finSent = False

    def open(self) -> None:
        """
        Send the SYN.
        """
        options = struct.pack("!BBH", 2, 4, self._guest.mss)
        self._guest.sendSegment(
            self.port, self._to, self._isn, 0, SYN, self.window, options=options
        )

    def write(self, data: bytes) -> None:
        """
        Send data, as far as the other side's window goes; the rest follows when it opens.
        """
        self._unsent += data
        self._push()

    def close(self) -> None:
        """
        Send a FIN after everything else.
        """
        self._closing = True
        self._push()

    def abort(self) -> None:
        """
        Send a RST.
        """
        self._segment(RST | ACK)

    def openWindow(self, window: int) -> None:
        """
        Offer another window.
        """
        self.window = window
        self._segment(ACK)

    @property
    def unacknowledged(self) -> int:
        """
        Bytes that the other side has not acknowledged or has not been sent.
        """
        return len(self._unsent) + (self._next - self._acknowledged & 0xFFFFFFFF)

    def segmentReceived(self, segment: Segment) -> None:
        """
        A segment came.
        """
        self.log.append(segment)
        if segment.flags & RST:
            self.wasReset = True
            return
        self._peerWindow = segment.window
        if segment.flags & SYN:
            self._expected = segment.sequence + 1 & 0xFFFFFFFF
            if segment.flags & ACK:
                assert segment.acknowledgment == self._isn + 1 & 0xFFFFFFFF, segment
                self._establish()
                self._segment(ACK)
                self._push()
            else:
                self._guest.sendSegment(
                    self.port, self._to, self._isn, self._expected, SYN | ACK, self.window
                )
            return
        if not self.established:
            self._establish()
        if segment.flags & ACK:
            if segment.acknowledgment - self._acknowledged & 0xFFFFFFFF < 1 << 31:
                self._acknowledged = segment.acknowledgment
            if self._finSent and segment.acknowledgment == self._next & 0xFFFFFFFF:
                self.finished = True
        skip = self._expected - segment.sequence & 0xFFFFFFFF
        fresh = segment.data[skip:] if skip < 1 << 31 else b""
        if fresh:
            assert len(fresh) <= max(self.window, 1), "more than the window"
            fresh = fresh[: self.window]  # a closed window may be asked for with a byte
            self.received += fresh
            self._expected = self._expected + len(fresh) & 0xFFFFFFFF
        if segment.flags & FIN and not self.ended:
            end = segment.sequence + len(segment.data) & 0xFFFFFFFF
            if end == self._expected:
                self.ended = True
                self._expected = self._expected + 1 & 0xFFFFFFFF
        if segment.data or segment.flags & FIN:
            self._segment(ACK)
        self._push()

    def _establish(self) -> None:
        if not self.established:
            self.established = True
            if self.opened is not None:
                self.opened(self)

    def _push(self) -> None:
        if not self.established or self._finSent:
            return
        while self._unsent:
            flying = self._next - self._acknowledged & 0xFFFFFFFF
            room = min(self._guest.mss, self._peerWindow - flying)
            if room <= 0:
                return
            part, self._unsent = self._unsent[:room], self._unsent[room:]
            at, self._next = self._next, self._next + len(part) & 0xFFFFFFFF
            self._segment(PSH | ACK, part, at)
        if self._closing:
            self._finSent = True
            at, self._next = self._next, self._next + 1 & 0xFFFFFFFF
            self._segment(FIN | ACK, b"", at)

    def _segment(self, flags: int, data: bytes = b"", at: int | None = None) -> None:
        self._guest.sendSegment(
            self.port,
            self._to,
            self._next if at is None else at,
            self._expected,
            flags,
            self.window,
            data,
        )
