"""
A guest whose every segment is written down in the test. What it sends and reads is made and
parsed here, independently of L{aero.wire.tcp}.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any, NamedTuple

from aero.stack.commands import AcceptTCP, Command
from aero.stack.config import StackConfig
from aero.stack.events import Event, TCPConnectRequested, TCPDataReceived
from aero.stack.tcp.config import TCPConfig
from aero.stack.tcp.table import TCPTable

GUEST, SERVER = 0x0A00020F, 0xCB00710A
GUEST_PORT, SERVER_PORT = 40_001, 80

#: The first sequence number of the guest: the wrap comes after sixteen bytes.
ISN = 0xFFFFFFF0

_FLAGS = "FSRPAU"


class Segment(NamedTuple):
    """
    A segment that the guest got.
    """

    source: int
    sourcePort: int
    destination: int
    destinationPort: int
    sequence: int
    acknowledgment: int
    flags: str
    window: int
    data: bytes
    options: dict[int, bytes]

    @property
    def sack(self) -> list[tuple[int, int]]:
        """
        The edges in a selective acknowledgment.
        """
        edges = self.options.get(5, b"")
        return [struct.unpack_from("!II", edges, at) for at in range(0, len(edges), 8)]

    @property
    def stamps(self) -> tuple[int, int]:
        """
        Timestamp and echo.
        """
        value, echo = struct.unpack("!II", self.options[8])
        return value, echo


def sum16(data: bytes) -> int:
    """
    RFC 1071, word by word.
    """
    total = 0
    data += b"\0" * (len(data) % 2)
    for at in range(0, len(data), 2):
        total += data[at] << 8 | data[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total


def mss(size: int) -> bytes:
    """
    The option for the maximum segment size.
    """
    return struct.pack("!BBH", 2, 4, size)


def shift(count: int) -> bytes:
    """
    The option for the window scale, padded.
    """
    return bytes((1, 3, 3, count))


def stamps(value: int, echo: int) -> bytes:
    """
    The timestamp option, padded as everybody does.
    """
    return struct.pack("!BBBBII", 1, 1, 8, 10, value, echo)


def sacks(*edges: tuple[int, int]) -> bytes:
    """
    A selective acknowledgment, padded.
    """
    packed = b"".join(
        struct.pack("!II", left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in edges
    )
    return bytes((1, 1, 5, 2 + len(packed))) + packed


SACK_PERMITTED = b"\x01\x01\x04\x02"


class ScriptedGuest:
    """
    One guest and the table that serves it.

    @ivar sequence: The guest's next sequence number.
    @ivar acknowledgment: What it has acknowledged.
    @ivar icmp: Errors sent to it: type, code and the packet quoted.
    """

    def __init__(self, *, mtu: int = 1500, maxConnections: int = 1024, **settings: Any) -> None:
        """
        @param settings: As for C{TCPConfig}.
        """
        self.now = 1000.0
        self.config = TCPConfig(**settings)
        self.events: list[Event] = []
        self.drops: Counter[str] = Counter()
        self.icmp: list[tuple[int, int, bytes]] = []
        self.table = TCPTable(
            StackConfig(tcp=self.config, mtu=mtu, maxConnections=maxConnections),
            secret=b"a secret of tests",
            now=self.now,
            emitEvent=self.events.append,
            sendICMP=lambda kind, code, packet, teller: self.icmp.append((kind, code, packet)),
            drop=lambda reason: self.drops.update([reason]),
        )
        self.port = GUEST_PORT
        self.sequence = ISN
        self.acknowledgment = 0
        self.window = 0xFFFF
        self.stamp = 0
        self.connection = 0

    def packet(
        self,
        flags: str,
        sequence: int | None = None,
        acknowledgment: int | None = None,
        data: bytes = b"",
        *,
        window: int | None = None,
        options: bytes = b"",
        urgent: int = 0,
    ) -> bytes:
        """
        An IPv4 packet with a segment.

        @param flags: Letters of C{FSRPAU}.
        """
        bits = sum(1 << _FLAGS.index(letter) for letter in flags)
        segment = struct.pack(
            "!HHIIBBHHH",
            self.port,
            SERVER_PORT,
            (self.sequence if sequence is None else sequence) & 0xFFFFFFFF,
            (self.acknowledgment if acknowledgment is None else acknowledgment) & 0xFFFFFFFF,
            (20 + len(options)) // 4 << 4,
            bits,
            self.window if window is None else window,
            0,
            urgent,
        )
        segment += options + data
        pseudo = struct.pack("!IIHH", GUEST, SERVER, 6, len(segment))
        checksum = 0xFFFF - sum16(pseudo + segment)
        segment = segment[:16] + struct.pack("!H", checksum) + segment[18:]
        header = struct.pack(
            "!BBHHHBBHII", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, 6, 0, GUEST, SERVER
        )
        return header + segment

    def send(
        self,
        flags: str,
        sequence: int | None = None,
        acknowledgment: int | None = None,
        data: bytes = b"",
        **more: Any,
    ) -> None:
        """
        Give the table a segment; without numbers, the next.
        """
        packet = self.packet(flags, sequence, acknowledgment, data, **more)
        self.sendPacket(packet)

    def sendPacket(self, packet: bytes) -> None:
        """
        Give the table a packet.
        """
        self.table.segmentReceived(packet, 20, len(packet), GUEST, SERVER, self.now)

    def write(self, data: bytes, flags: str = "PA", **more: Any) -> None:
        """
        Send the next data.
        """
        self.send(flags, data=data, **more)
        self.sequence = self.sequence + len(data) & 0xFFFFFFFF

    def receive(self, limit: int = 64) -> list[Segment]:
        """
        What the table sends now.
        """
        return [
            parse(source, destination, segment)
            for source, destination, segment in self.table.segmentsToSend(self.now, limit)
        ]

    def one(self) -> Segment:
        """
        The only segment that the table sends now.
        """
        segments = self.receive()
        assert len(segments) == 1, segments
        return segments[0]

    def advance(self, seconds: float) -> list[tuple[float, Segment]]:
        """
        Let time pass.

        @return: What the table sends meanwhile, each with the seconds from now.
        """
        begin = self.now
        end = begin + seconds
        sent = [(0.0, segment) for segment in self.receive()]
        while True:
            at = self.table.nextTimeout()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            self.table.handleTimeout(self.now)
            sent += [(self.now - begin, segment) for segment in self.receive()]
        self.now = end
        return sent

    def apply(self, command: Command) -> None:
        """
        Be the outside.
        """
        self.table.apply(command, self.now)

    def taken(self, *kinds: type[Event]) -> list[Event]:
        """
        The events since the last call, of these kinds or of all.
        """
        events = [event for event in self.events if not kinds or isinstance(event, kinds)]
        self.events.clear()
        return events

    def read(self) -> bytes:
        """
        The data that came out since the last call.
        """
        return b"".join(event.data for event in self.taken() if isinstance(event, TCPDataReceived))

    def syn(self, options: bytes = b"", **more: Any) -> None:
        """
        Send a SYN, and see that the outside is asked.
        """
        self.send("S", acknowledgment=0, options=options, **more)
        self.sequence = self.sequence + 1 & 0xFFFFFFFF
        for event in self.taken():
            if isinstance(event, TCPConnectRequested):
                self.connection = event.connection

    def connect(self, options: bytes = mss(1460), **more: Any) -> Segment:
        """
        Complete a handshake that the outside accepts at once.

        @return: The answer to the SYN.
        """
        self.syn(options, **more)
        self.apply(AcceptTCP(self.connection))
        answer = self.one()
        assert answer.flags == "SA", answer
        self.acknowledgment = answer.sequence + 1 & 0xFFFFFFFF
        self.send("A", options=self.stamped(answer))
        self.taken()
        assert self.receive() == []
        return answer

    def stamped(self, segment: Segment) -> bytes:
        """
        Our timestamp option for an answer to a segment that had one.
        """
        if 8 not in segment.options:
            return b""
        return stamps(self.stamp, segment.stamps[0])


def parse(source: int, destination: int, segment: bytes) -> Segment:
    """
    Take a segment apart, and see that its checksum is right.
    """
    pseudo = struct.pack("!IIHH", source, destination, 6, len(segment))
    assert sum16(pseudo + segment) == 0xFFFF, "checksum"
    fields = struct.unpack_from("!HHIIBBHHH", segment)
    header = (fields[4] >> 4) * 4
    assert 20 <= header <= len(segment)
    options: dict[int, bytes] = {}
    at = 20
    while at < header:
        kind = segment[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        size = segment[at + 1]
        options[kind] = segment[at + 2 : at + size]
        at += size
    return Segment(
        source,
        fields[0],
        destination,
        fields[1],
        fields[2],
        fields[3],
        "".join(letter for bit, letter in enumerate(_FLAGS) if fields[5] & 1 << bit),
        fields[6],
        segment[header:],
        options,
    )
