"""
Two tables that talk to each other over a link, in simulated time.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Callable

from aero.stack.commands import (
    AcceptTCP,
    CloseTCP,
    ConnectTCP,
    ConsumeTCP,
    SendTCP,
)
from aero.stack.config import StackConfig
from aero.stack.events import (
    Event,
    TCPClosed,
    TCPConnectRequested,
    TCPDataReceived,
    TCPReadClosed,
)
from aero.stack.tcp.config import TCPConfig
from aero.stack.tcp.isn import SequenceSource
from aero.stack.tcp.table import TCPTable
from aero.testing.flights import checkBooks
from aero.testing.link import LossyLink
from aero.wire import ipv4

GUEST, SERVER = 0x0A00020F, 0xCB00710A
GUEST_PORT, SERVER_PORT = 50_000, 80


class Side:
    """
    One end: a table, the stream it sends, and what it received.

    @ivar shift: What is added to the simulated time, so that sequence numbers begin anywhere.
    @ivar most: The most bytes that the connection was seen to hold.
    @ivar mostReceived: Those of the other side among them.
    """

    def __init__(
        self, config: TCPConfig, mtu: int, secret: bytes, shift: float, stream: bytes
    ) -> None:
        self.shift = shift
        self.events: list[Event] = []
        self.drops: Counter[str] = Counter()
        self.config = config
        self.table = TCPTable(
            StackConfig(tcp=config, mtu=mtu),
            secret=secret,
            now=shift,
            emitEvent=self.events.append,
            sendICMP=lambda kind, code, packet, teller: None,
            drop=lambda reason: self.drops.update([reason]),
        )
        self.stream = stream
        self.offered = 0
        self.received = bytearray()
        self.finished = False
        self.ended = False
        self.closed = ""
        self.connection = 0
        self.most = 0
        self.mostReceived = 0
        self.toConsume = 0

    def packetReceived(self, packet: bytes, now: float) -> None:
        """
        Give a packet to the table.
        """
        source = int.from_bytes(packet[12:16], "big")
        destination = int.from_bytes(packet[16:20], "big")
        self.table.segmentReceived(packet, 20, len(packet), source, destination, now + self.shift)

    def packetsToSend(self, now: float, limit: int) -> list[bytes]:
        """
        What the table sends, in IPv4.
        """
        return [
            ipv4.buildHeader(source, destination, ipv4.TCP, len(segment), 0) + segment
            for source, destination, segment in self.table.segmentsToSend(now + self.shift, limit)
        ]

    def work(self, now: float, read: Callable[[int], int]) -> None:
        """
        Do what an application does: write while there is room, read, and close at the end.

        @param read: How much to take of so many bytes that are there.
        """
        table = self.table
        at = now + self.shift
        for event in self.events:
            if isinstance(event, TCPConnectRequested):
                self.connection = event.connection
                table.apply(AcceptTCP(event.connection), at)
            elif isinstance(event, TCPDataReceived):
                self.received += event.data
                self.toConsume += len(event.data)
            elif isinstance(event, TCPReadClosed):
                self.ended = True
            elif isinstance(event, TCPClosed):
                self.closed = event.reason
        self.events.clear()
        if not self.connection or self.closed:
            self.toConsume = 0
            return
        if self.toConsume:
            size = read(self.toConsume)
            self.toConsume -= size
            table.apply(ConsumeTCP(self.connection, size), at)
        while self.offered < len(self.stream):
            room = table.sendRoom(self.connection)
            if room <= 0:
                break
            data = self.stream[self.offered : self.offered + min(room, 16_384)]
            self.offered += len(data)
            table.apply(SendTCP(self.connection, data), at)
        if self.offered == len(self.stream) and not self.finished:
            self.finished = True
            table.apply(CloseTCP(self.connection), at)
        held = table.heldBytes(self.connection)
        sending = self.config.sendBuffer - table.sendRoom(self.connection)
        self.most = max(self.most, held)
        self.mostReceived = max(self.mostReceived, held - sending)


class Simulation:
    """
    A connection from the left to the right, the streams it carries, and the time it takes.
    """

    def __init__(
        self,
        left: Side,
        right: Side,
        toRight: LossyLink,
        toLeft: LossyLink,
        *,
        seed: int = 0,
        slow: bool = False,
        pauses: float = 0.0,
    ) -> None:
        """
        @param slow: Whether the applications read only some of what is there.
        @param pauses: The chance that the tunnel takes nothing for a moment when there is
            something to send.
        """
        self.left, self.right = left, right
        self.links = toRight, toLeft
        self.now = 0.0
        self.turns = 0
        self._random = Random(seed)
        self._slow = slow
        self._pauses = pauses
        self._paused = [0.0, 0.0]

    def run(self, most: float) -> None:
        """
        Go on until both ends are over and the links empty, or so much time has passed.
        """
        left = self.left
        left.connection = left.table.newConnection()
        left.table.apply(
            ConnectTCP(left.connection, GUEST, GUEST_PORT, SERVER, SERVER_PORT), left.shift
        )
        while self.now < most:
            self._turn()
            at = self._nextTimeout()
            if at is None:
                return
            self.now = max(self.now, at)

    def _turn(self) -> None:
        self.turns += 1
        for side, link in zip((self.right, self.left), self.links, strict=True):
            for packet in link.receive(self.now):
                side.packetReceived(packet, self.now)
        for index, side in enumerate((self.left, self.right)):
            link = self.links[index]
            side.table.handleTimeout(self.now + side.shift)
            side.work(self.now, self._read)
            while side.table.hasSegments() and self.now >= self._paused[index]:
                if self._random.random() < self._pauses:
                    self._paused[index] = self.now + 0.5 * self._random.random()
                    break
                packets = side.packetsToSend(self.now, 64)
                for packet in packets:
                    link.send(packet, self.now)
                if len(packets) < 64:
                    break
            side.work(self.now, self._read)
            for connection in side.table._byNumber.values():
                checkBooks(connection.sender)

    def _read(self, size: int) -> int:
        return self._random.randint(1, size) if self._slow else size

    def _nextTimeout(self) -> float | None:
        times = [link.nextTimeout() for link in self.links]
        for side in (self.left, self.right):
            at = side.table.nextTimeout()
            times.append(None if at is None else at - side.shift)
            if side.table.hasSegments():
                times += [until for until in self._paused if until > self.now]
            if side.toConsume:
                times.append(self.now + 0.003)
        return min((at for at in times if at is not None), default=None)


def shiftFor(secret: bytes, sequence: int, *, active: bool) -> float:
    """
    The time at which the connection of a simulation begins with a sequence number, or four at
    most behind it.
    """
    source = SequenceSource(secret)
    if active:
        numbers = source.begin(GUEST, GUEST_PORT, SERVER, SERVER_PORT, 0.0)
    else:
        numbers = source.begin(SERVER, SERVER_PORT, GUEST, GUEST_PORT, 0.0)
    return ((sequence - numbers[0]) % 2**32 + 0.5) / 250_000
