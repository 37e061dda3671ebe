"""
A stack with a scripted guest, whose packets scapy makes and reads.
"""

from __future__ import annotations

from typing import Any, Callable

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from aero.stack.commands import Command
from aero.stack.config import StackConfig
from aero.stack.events import Event
from aero.stack.stack import Stack
from aero.stack.tcp.table import TCPTable
from aero.wire.ipv4 import addressNumber

GATEWAY = "10.0.2.2"
GATEWAY_MAC = "02:00:00:00:00:01"
GUEST = "10.0.2.15"
GUEST_MAC = "02:aa:bb:cc:dd:ee"
#: Somebody outside.
REMOTE = "203.0.113.10"
BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"


class ScriptedTable(TCPTable):
    """
    Takes segments and does nothing with them.

    @ivar segments: What was received: packet, offset, end, source, destination, time.
    @ivar commands: What was applied.
    @ivar errors: The arguments of each ICMP error.
    @ivar toSend: What L{segmentsToSend} will return.
    @ivar timeout: What L{nextTimeout} returns.
    """

    def __init__(self, config: StackConfig, **others: Any) -> None:
        super().__init__(config, **others)
        self.connections = 0
        self.sendICMP: Callable[[int, int, bytes, int], None] = others["sendICMP"]
        self.emitEvent: Callable[[Event], None] = others["emitEvent"]
        self.segments: list[tuple[bytes, int, int, int, int, float]] = []
        self.commands: list[Command] = []
        self.errors: list[tuple[int, ...]] = []
        self.toSend: list[tuple[int, int, bytes]] = []
        self.timeout: float | None = None
        self.handled: list[float] = []

    def segmentReceived(
        self, packet: bytes, offset: int, end: int, source: int, destination: int, now: float
    ) -> None:
        """
        Keep it.
        """
        self.segments.append((packet, offset, end, source, destination, now))

    def apply(self, command: Command, now: float) -> None:
        """
        Keep it.
        """
        self.commands.append(command)

    def segmentsToSend(self, now: float, limit: int) -> list[tuple[int, int, bytes]]:
        """
        The next few of the script.
        """
        taken, self.toSend = self.toSend[:limit], self.toSend[limit:]
        return taken

    def hasSegments(self) -> bool:
        """
        Whether the script goes on.
        """
        return bool(self.toSend)

    def icmpReceived(self, *arguments: Any) -> None:
        """
        Keep it.
        """
        self.errors.append(arguments)

    def nextTimeout(self) -> float | None:
        """
        As the test wants it.
        """
        return self.timeout

    def handleTimeout(self, now: float) -> None:
        """
        Keep the time.
        """
        self.handled.append(now)

    def newConnection(self) -> int:
        """
        Always the same.
        """
        return 77

    def sendRoom(self, connection: int) -> int:
        """
        The number, for the test to recognise.
        """
        return connection


class ScriptedStack(Stack):
    """
    A stack whose TCP is a script.
    """

    tcpTable = ScriptedTable


class Guest:
    """
    The other end of the tunnel.

    @ivar stack: What it talks to.
    @ivar now: The time; tests move it.
    """

    def __init__(self, kind: type[Stack] = ScriptedStack, **config: Any) -> None:
        self.stack = kind(
            StackConfig(**config),
            secret=b"secret",
            now=0.0,
            randomness=lambda size: bytes(range(1, size + 1)),
        )
        self.now = 0.0

    @property
    def table(self) -> ScriptedTable:
        """
        The scripted TCP.
        """
        assert isinstance(self.stack.tcp, ScriptedTable)
        return self.stack.tcp

    def sendFrame(self, frame: Any) -> None:
        """
        Send a frame of scapy, or its bytes.
        """
        self.stack.frameReceived(bytes(frame), self.now)

    def send(
        self, payload: Any, *, destination: str = REMOTE, source: str = GUEST, **fields: Any
    ) -> None:
        """
        Send a payload of scapy to somebody, over the gateway.

        @param fields: Of the IPv4 header.
        """
        self.sendFrame(_link() / IP(src=source, dst=destination, **fields) / payload)

    def apply(self, command: Command) -> None:
        """
        The outside does something.
        """
        self.stack.apply(command, self.now)

    def frames(self, limit: int = 64) -> list[Any]:
        """
        What the guest gets, as scapy reads it, all checksums checked.
        """
        raw = self.stack.framesToSend(self.now, limit)
        parsed = [Ether(frame) for frame in raw]
        for frame, each in zip(raw, parsed, strict=True):
            assert bytes(_resummed(each)) == frame, f"{each!r} has a wrong checksum"
        return parsed

    def frame(self) -> Any:
        """
        The one frame that the guest gets.
        """
        frames = self.frames()
        assert len(frames) == 1, f"{len(frames)} frames: {frames!r}"
        return frames[0]

    def events(self) -> list[Event]:
        """
        What the stack wants of the outside.
        """
        events = []
        while (event := self.stack.nextEvent()) is not None:
            events.append(event)
        return events

    def drops(self) -> dict[str, int]:
        """
        What was dropped since the last call.
        """
        drops = dict(self.stack.drops)
        self.stack.drops.clear()
        return drops


def number(address: str) -> int:
    """
    An address as the stack has it.
    """
    return addressNumber(address)


def _link() -> Any:
    return Ether(src=GUEST_MAC, dst=GATEWAY_MAC)


def _resummed(frame: Any) -> Any:
    """
    The same frame with its lengths and checksums made by scapy. A fragment has no checksum of
    its own.
    """
    again = frame.copy()
    layer = again
    while layer:
        for name in ("chksum", "len"):
            if name in getattr(layer, "fields", {}) and not _quoted(layer):
                del layer.fields[name]
        layer = layer.payload
        if isinstance(layer.underlayer, IP) and (
            layer.underlayer.frag or layer.underlayer.flags.MF
        ):
            break
    again.clear_cache()
    return again


def _quoted(layer: Any) -> bool:
    return type(layer).__name__.endswith("error")
