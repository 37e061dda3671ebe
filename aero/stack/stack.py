# -*- test-case-name: aero.stack.test.test_stack -*-
"""
The stack of one guest: its six verbs, and how the parts are put together. No rule of any
protocol is here.

Frames and the time go in with C{frameReceived}, what the outside did with C{apply}; frames for
the guest come out of C{framesToSend}, what it wants out of C{nextEvent}; C{nextTimeout} and
C{handleTimeout} are for what takes time. Nothing a guest sends makes them raise: what is wrong
is dropped and counted by its reason. Work per call is bounded by the size of the frame or
command, and by what expires at once.

    frame -> Ethernet -> ARP
                      -> IPv4 -> ICMP, UDP, TCP -> events
    commands -> UDP, ICMP -> IPv4Output -> FrameQueue -> frames
             -> TCP, when frames are asked for -------> frames

Others may take part: C{stack.types[b"\\x08\\x00"]} and C{stack.protocols[17]} are the registries
of receivers by the type of the frame and the protocol of the packet.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Callable

from aero.wire import ethernet, icmpv4, ipv4

from .addresses import Addresses
from .arp import ARP
from .commands import Command, RefuseEcho, RefuseUDP, SendEchoReply, SendUDP
from .config import StackConfig
from .ethernet import Ethernet, FrameReceiver
from .events import Event
from .fragments import Reassembly
from .framequeue import FrameQueue
from .icmp import ICMP
from .ip import IPv4, PacketReceiver
from .ipoutput import IPv4Output
from .neighbours import Neighbours
from .tcp.table import TCPTable
from .udp import UDP


class _Segments:
    """
    TCP as a receiver of packets.
    """

    broadcasts = False

    def __init__(self, table: TCPTable) -> None:
        self.packetReceived = table.segmentReceived


class Stack:
    """
    A LAN with one guest, as the guest sees it.

    @cvar tcpTable: What makes L{tcp}; subclasses may have another.
    @ivar config: Its shape.
    @ivar addresses: The addresses it owns; more may be added at any time.
    @ivar drops: What was dropped, counted by its reason.
    @ivar types: The receivers of frames, by the two bytes of their type.
    @ivar protocols: The receivers of packets, by protocol number.
    @ivar stations: Where the guest was last seen: MAC addresses by IPv4 address; for reading.
    @ivar udp: The receiver of UDP.
    @ivar icmp: The receiver of ICMP.
    @ivar tcp: All TCP connections.
    """

    tcpTable: type[TCPTable] = TCPTable
    types: dict[bytes, FrameReceiver]
    protocols: dict[int, PacketReceiver]

    def __init__(
        self,
        config: StackConfig,
        *,
        secret: bytes,
        now: float,
        randomness: Callable[[int], bytes],
    ) -> None:
        """
        @param secret: Random bytes that nobody else knows (RFC 6528).
        @param randomness: Returns so many random bytes.
        """
        self.config = config
        self.addresses = addresses = Addresses(config)
        self.drops: Counter[str] = Counter()
        self._now = now
        self._events: deque[Event] = deque()
        self._queue = FrameQueue(config.maxQueuedBytes)
        self._turn = 0
        self._neighbours = Neighbours(
            config.maxNeighbours,
            config.maxQueuedBytes,
            ask=self._ask,
            send=self._sendWaiting,
            drop=self._drop,
        )
        self.stations = self._neighbours.stations
        self._output = IPv4Output(
            addresses,
            self._neighbours,
            config.mtu,
            int.from_bytes(randomness(2), "big"),
            send=self._send,
            drop=self._drop,
        )
        self._arp = ARP(addresses, learn=self._neighbours.learn, send=self._send, drop=self._drop)
        self.icmp = ICMP(
            addresses,
            self._output,
            config.icmpErrorsPerSecond,
            emit=self._events.append,
            drop=self._drop,
        )
        self._reassembly = Reassembly(
            config.maxReassemblies,
            config.maxReassemblyBytes,
            config.reassemblyTimeout,
            drop=self._drop,
            timedOut=self._reassemblyTimedOut,
        )
        ip = IPv4(
            addresses,
            self._neighbours,
            self._reassembly,
            sendError=self.icmp.sendError,
            gatewaySought=self._arp.gatewaySought,
            drop=self._drop,
        )
        self.udp = UDP(ip, self.icmp, self._output, emit=self._events.append, drop=self._drop)
        self.tcp = self.tcpTable(
            config,
            secret=secret,
            now=now,
            emitEvent=self._events.append,
            sendICMP=self._sendICMP,
            drop=self._drop,
        )
        self.icmp.tcpErrorReceived = self.tcp.icmpReceived
        link = Ethernet(config.hardwareAddress, self._drop)
        link.types[ethernet.ARP] = self._arp
        link.types[ethernet.IPV4] = ip
        ip.protocols[ipv4.ICMP] = self.icmp
        ip.protocols[ipv4.TCP] = _Segments(self.tcp)
        ip.protocols[ipv4.UDP] = self.udp
        self.types = link.types
        self.protocols = ip.protocols
        self._frameReceived = link.frameReceived

    @property
    def connections(self) -> int:
        """
        TCP connections that are open now.
        """
        return self.tcp.connections

    @property
    def queuedBytes(self) -> int:
        """
        Bytes of frames that wait for the guest; TCP makes its own only when asked.
        """
        return self._queue.size

    def frameReceived(self, frame: bytes, now: float) -> None:
        """
        The guest sent an Ethernet frame, without its check sequence.
        """
        self._now = now
        self._frameReceived(frame, now)

    def apply(self, command: Command, now: float) -> None:
        """
        The outside did something.
        """
        self._now = now
        if isinstance(command, SendUDP):
            self.udp.send(*command[:5], now, command.hardwareAddress)
        elif isinstance(command, SendEchoReply):
            self.icmp.sendEchoReply(*command, now)
        elif isinstance(command, RefuseUDP):
            self.udp.refuse(command, now)
        elif isinstance(command, RefuseEcho):
            self.icmp.refuseEcho(command, now)
        else:
            self.tcp.apply(command, now)

    def framesToSend(self, now: float, limit: int = 64) -> list[bytes]:
        """
        Take frames for the guest.

        What is queued and TCP get half of the room each, if both want it. Fewer than C{limit}
        frames do not mean that there are no more; none does.

        @param limit: The most frames returned; at least 1.
        """
        self._now = now
        if not self.tcp.hasSegments():
            return self._queue.take(limit) if self._queue else []
        self._turn ^= 1
        frames = self._queue.take((limit + self._turn) // 2) if self._queue else []
        wrap = self._output.segmentFrame
        room = limit - len(frames)
        if room:
            for source, destination, segment in self.tcp.segmentsToSend(now, room):
                frame = wrap(source, destination, segment, now)
                if frame is not None:
                    frames.append(frame)
        if self._queue and len(frames) < limit:
            frames += self._queue.take(limit - len(frames))
        return frames

    def nextEvent(self) -> Event | None:
        """
        The next thing that the stack wants of the outside.
        """
        return self._events.popleft() if self._events else None

    def nextTimeout(self) -> float | None:
        """
        When L{handleTimeout} wants to be called; C{None} for never.
        """
        earliest = self.tcp.nextTimeout()
        for when in (self._neighbours.nextTimeout(), self._reassembly.nextTimeout()):
            if when is not None and (earliest is None or when < earliest):
                earliest = when
        return earliest

    def handleTimeout(self, now: float) -> None:
        """
        Do what is due.
        """
        self._now = now
        self.tcp.handleTimeout(now)
        self._neighbours.handleTimeout(now)
        self._reassembly.handleTimeout(now)

    def newConnection(self) -> int:
        """
        A number for L{aero.stack.commands.ConnectTCP}.
        """
        return self.tcp.newConnection()

    def sendRoom(self, connection: int) -> int:
        """
        Bytes of a connection's send buffer that are free; 0 or less if none are.
        """
        return self.tcp.sendRoom(connection)

    def _drop(self, reason: str) -> None:
        self.drops[reason] += 1

    def _send(self, frame: bytes) -> None:
        if not self._queue.put(frame):
            self.drops["queueFull"] += 1

    def _ask(self, address: int) -> None:
        self._arp.ask(address)

    def _sendWaiting(self, station: bytes, packet: bytes) -> None:
        self._output.sendTo(station, packet)

    def _sendICMP(self, kind: int, code: int, packet: bytes, teller: int) -> None:
        self.icmp.sendError(kind, code, packet, self._now, teller or None)

    def _reassemblyTimedOut(self, first: bytes) -> None:
        kind, code = icmpv4.TIME_EXCEEDED, icmpv4.REASSEMBLY_EXCEEDED
        self.icmp.sendError(kind, code, first, self._now)
