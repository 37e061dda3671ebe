# -*- test-case-name: tests.test_fuzz -*-
"""
Segments of a guest that knows the numbers of its connections, into the table of TCP.

An input is a list of steps of twelve bytes: which of four ports and what to do, flags, how far
the numbers are from the right ones, window, length of the data, which options, how much time.
"""

from __future__ import annotations

import struct
from typing import Final

from aero.stack.commands import (
    AbortTCP,
    AcceptTCP,
    CloseTCP,
    Command,
    ConnectTCP,
    ConsumeTCP,
    RejectTCP,
    SendTCP,
)
from aero.stack.config import StackConfig
from aero.stack.events import Event, TCPClosed, TCPConnectRequested, TCPDataReceived
from aero.stack.tcp.config import TCPConfig
from aero.stack.tcp.table import TCPTable
from aero.testing.flights import checkBooks
from aero.wire import tcp
from aero.wire.checksum import pseudoHeader

from .explore import main

_GUEST: Final = 0x0A00020F
_SERVER: Final = 0xCB00710A
_PSEUDO: Final = pseudoHeader(_GUEST, _SERVER, 6, 0)

_STEP: Final = struct.Struct("!BBhhHBBH")
_MOST_STEPS: Final = 120
_LIMIT: Final = 16

_CONFIG: Final = StackConfig(
    maxConnections=6,
    tcp=TCPConfig(receiveBuffer=6_000, sendBuffer=6_000, maxEarly=2_000, keepaliveIdle=20.0),
)

#: Bytes offered at once.
_WRITE: Final = 3_000

_ERRORS: Final = (0, 1, 3, 4, 13)


# Nothing raises. What a connection holds stays within its limits, no more segments come out than
# were asked for, each is right and fits the MTU, and once the guest is silent all connections end
# and no timer is left.
def check(data: bytes) -> None:
    _Run().steps(data)


class _Run:
    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self.numbers: list[int] = []
        #: By port: the guest's next sequence number, and what it would acknowledge.
        self.guest = {port: [port << 30 & 0xFFFFFFFF, 0] for port in range(4)}
        self.table = TCPTable(
            _CONFIG,
            secret=b"fuzz",
            now=0.0,
            emitEvent=self.events.append,
            sendICMP=lambda kind, code, packet, teller: None,
            drop=lambda reason: None,
        )

    def steps(self, data: bytes) -> None:
        for place in range(0, min(len(data), _STEP.size * _MOST_STEPS) - 11, _STEP.size):
            fields = _STEP.unpack_from(data, place)
            if fields[0] & 0x80:
                self.command(fields[0], fields[2], fields[4])
            else:
                self.segment(*fields[:7])
            self.now += (fields[7] & 0xFFF) / 1000
            if fields[7] & 0xF000 == 0xF000:
                # The tunnel takes nothing, or little.
                self.table.handleTimeout(self.now)
                self.send(self.table.segmentsToSend(self.now, fields[7] & 1))
            else:
                self.turn()
        for _ in range(3_000):
            at = self.table.nextTimeout()
            if at is None and not self.table.hasSegments():
                break
            self.now = max(self.now, self.now if at is None else at)
            self.turn()
        else:
            raise AssertionError("it never comes to rest")
        if not self.numbers:
            assert self.table.connections == 0

    def segment(
        self, first: int, flags: int, ahead: int, beyond: int, window: int, size: int, kind: int
    ) -> None:
        port = first & 3
        numbers = self.guest[port]
        scale = 4_000 if first & 0x10 else 1
        sequence = (numbers[0] + ahead * scale) & 0xFFFFFFFF
        acknowledgment = (numbers[1] + beyond * scale) & 0xFFFFFFFF
        if first & 0x20:
            acknowledgment = 0
        payload = bytes(size * (8 if first & 0x40 else 1))
        options = b""
        if kind & 1:
            options += b"\x02\x04" + struct.pack("!H", window & 0x7FF)
        if kind & 2:
            options += b"\x01\x01\x04\x02"
        if kind & 4:
            stamp = int(self.now * 1000) & 0xFFFFFFFF
            echo = window if kind & 0x40 else 0
            options += tcp.TIMESTAMP_STRUCT.pack(tcp.TIMESTAMP_PREFIX, stamp, echo)
        if kind & 8:
            options += bytes((1, 3, 3, window & 0xF))
        if kind & 16:
            left = (numbers[1] + (kind >> 5) * 700) & 0xFFFFFFFF
            block = struct.pack("!II", left, (left + window) & 0xFFFFFFFF)
            options += b"\x01\x01\x05\x0a" + block
        segment = tcp.build(
            40_000 + port,
            80,
            sequence,
            acknowledgment,
            flags & 0x3F,
            window,
            _PSEUDO,
            options,
            payload,
        )
        packet = bytes(20) + segment
        self.table.segmentReceived(packet, 20, len(packet), _GUEST, _SERVER, self.now)
        if not ahead and flags & (tcp.SYN | tcp.FIN):
            numbers[0] = (numbers[0] + 1) & 0xFFFFFFFF
        if not ahead:
            numbers[0] = (numbers[0] + len(payload)) & 0xFFFFFFFF

    def command(self, first: int, choice: int, size: int) -> None:
        table = self.table
        port = 40_000 + (first & 3)
        if first & 0x7C == 0x08:
            number = table.newConnection()
            table.apply(ConnectTCP(number, _SERVER, 80, _GUEST, port), self.now)
            self.numbers.append(number)
            return
        if first & 0x7C == 0x0C:
            sequence = (self.guest[first & 3][1] + choice) & 0xFFFFFFFF
            table.icmpReceived(
                3, _ERRORS[size % 5], _SERVER, 80, _GUEST, port, sequence, size, self.now
            )
            return
        if not self.numbers:
            return
        number = self.numbers[choice % len(self.numbers)]
        commands: tuple[Command, ...] = (
            AcceptTCP(number),
            SendTCP(number, bytes(size % _WRITE)),
            ConsumeTCP(number, size % 2_000),
            CloseTCP(number),
            AbortTCP(number),
            RejectTCP(number, "unreachable"),
        )
        command = commands[(first >> 4 & 7) % len(commands)]
        if not isinstance(command, SendTCP) or table.sendRoom(number) > 0:
            table.apply(command, self.now)

    def turn(self) -> None:
        table = self.table
        table.handleTimeout(self.now)
        for _ in range(300):
            if not table.hasSegments():
                break
            out = table.segmentsToSend(self.now, _LIMIT)
            assert len(out) <= _LIMIT
            self.send(out)
        else:
            raise AssertionError("it sends without end")
        for event in self.events:
            if isinstance(event, TCPConnectRequested):
                self.numbers.append(event.connection)
            elif isinstance(event, TCPClosed):
                if event.connection in self.numbers:
                    self.numbers.remove(event.connection)
            elif isinstance(event, TCPDataReceived):
                assert event.data
        self.events.clear()
        settings = _CONFIG.tcp
        assert table.connections == len(self.numbers) <= _CONFIG.maxConnections
        for number in self.numbers:
            held = table.heldBytes(number)
            assert held <= settings.receiveBuffer + settings.sendBuffer + _WRITE
            checkBooks(table._byNumber[number].sender)

    def send(self, out: list[tuple[int, int, bytes]]) -> None:
        """
        Segments to the guest.
        """
        for source, destination, segment in out:
            assert (source, destination) == (_SERVER, _GUEST)
            assert len(segment) <= _CONFIG.mtu - 20
            assert not tcp.verify(segment, 0, len(segment), _PSEUDO)
            fields = tcp.HEADER_STRUCT.unpack_from(segment)
            size = len(segment) - (segment[12] >> 4) * 4
            flags = segment[13]
            size += (1 if flags & tcp.SYN else 0) + (1 if flags & tcp.FIN else 0)
            self.guest[fields[1] - 40_000][1] = (fields[2] + size) & 0xFFFFFFFF


if __name__ == "__main__":
    main(check)
