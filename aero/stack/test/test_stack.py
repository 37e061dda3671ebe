"""
Tests for L{aero.stack.stack}.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import AcceptTCP, SendTCP, SendUDP
from aero.stack.events import TCPEstablished
from aero.testing.properties import given
from aero.testing.properties import strategies as st

from .fixtures import GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, REMOTE, Guest, number


def _segments(count: int) -> list[tuple[int, int, bytes]]:
    """
    Segments as TCP makes them, here by scapy.
    """
    return [
        (
            number(REMOTE),
            number(GUEST),
            bytes(IP(src=REMOTE, dst=GUEST) / TCP(sport=80, dport=1_025, seq=seq))[20:],
        )
        for seq in range(count)
    ]


class TCPTests(SynchronousTestCase):
    """
    TCP between guest and table.
    """

    def setUp(self) -> None:
        """
        A guest that was heard of.
        """
        self.guest = Guest()
        self.guest.send(TCP(sport=1_025, dport=80, flags="S"))

    def test_received(self) -> None:
        """
        The table gets the packet from its first byte on, and where the segment is.
        """
        self.guest.now = 3.5
        self.guest.send(TCP(sport=1_025, dport=80, flags="A") / Raw(b"data"))
        packet, offset, end, source, destination, now = self.guest.table.segments[-1]
        self.assertEqual((offset, end, now), (20, 44, 3.5))
        self.assertEqual((source, destination), (number(GUEST), number(REMOTE)))
        self.assertEqual(bytes(IP(packet)[TCP].payload), b"data")

    def test_sent(self) -> None:
        """
        Segments go out in packets of their own, with a right header.
        """
        self.guest.table.toSend = _segments(1)
        frame = self.guest.frame()
        self.assertEqual((frame.src, frame.dst), (GATEWAY_MAC, GUEST_MAC))
        self.assertEqual((frame[IP].src, frame[IP].dst), (REMOTE, GUEST))
        self.assertEqual((str(frame[IP].flags), frame[IP].ttl), ("DF", 64))
        self.assertEqual((frame[TCP].sport, frame[TCP].seq), (80, 0))

    def test_unknownStation(self) -> None:
        """
        A segment for an address that was never heard of waits for the answer.
        """
        segment = bytes(IP(src=GATEWAY, dst="10.0.2.77") / TCP(flags="S"))[20:]
        self.guest.table.toSend = [(number(GATEWAY), number("10.0.2.77"), segment)]
        asked = self.guest.frame()
        self.assertEqual(asked[ARP].pdst, "10.0.2.77")
        self.guest.send(UDP(), source="10.0.2.77")
        self.assertEqual(self.guest.frame()[IP].dst, "10.0.2.77")

    def test_commands(self) -> None:
        """
        What the outside does with connections is told to the table, in order.
        """
        for command in (AcceptTCP(1), SendTCP(1, b"x")):
            self.guest.apply(command)
        self.assertEqual(self.guest.table.commands, [AcceptTCP(1), SendTCP(1, b"x")])
        self.assertEqual(self.guest.stack.newConnection(), 77)
        self.assertEqual(self.guest.stack.sendRoom(5), 5)
        self.assertEqual(self.guest.stack.connections, 0)

    def test_events(self) -> None:
        """
        Events come in the order they happened, whoever they are from.
        """
        self.guest.table.emitEvent(TCPEstablished(1))
        self.guest.send(UDP())
        self.guest.table.emitEvent(TCPEstablished(2))
        kinds = [type(event).__name__ for event in self.guest.events()]
        self.assertEqual(kinds, ["TCPEstablished", "UDPReceived", "TCPEstablished"])
        self.assertIsNone(self.guest.stack.nextEvent())


class FramesToSendTests(SynchronousTestCase):
    """
    C{framesToSend}.
    """

    def setUp(self) -> None:
        """
        A guest that was heard of.
        """
        self.guest = Guest(maxQueuedBytes=4_000)
        self.guest.send(UDP())

    def _datagrams(self, count: int, size: int = 10) -> None:
        for _ in range(count):
            self.guest.apply(SendUDP(number(REMOTE), 1, number(GUEST), 2, bytes(size)))

    def _kinds(self, limit: int) -> str:
        return "".join("T" if TCP in frame else "U" for frame in self.guest.frames(limit))

    def test_limit(self) -> None:
        """
        Never more than asked for, nothing lost, and nothing when there is nothing.
        """
        self._datagrams(10)
        self.guest.table.toSend = _segments(10)
        sizes = []
        while frames := self.guest.frames(7):
            sizes.append(len(frames))
        self.assertEqual(sum(sizes), 20)
        self.assertLessEqual(max(sizes), 7)

    def test_fair(self) -> None:
        """
        Neither datagrams nor TCP starve, at any limit.
        """
        for limit in (1, 2, 3, 8):
            self._datagrams(20)
            self.guest.table.toSend = _segments(20)
            kinds = "".join(self._kinds(limit) for _ in range(16 // limit))
            self.assertGreaterEqual(kinds.count("U"), 5, kinds)
            self.assertGreaterEqual(kinds.count("T"), 5, kinds)
            self.guest.table.toSend = []
            self.guest.frames(100)

    def test_fills(self) -> None:
        """
        Where one has little to send, the other gets the room.
        """
        self._datagrams(10)
        self.guest.table.toSend = _segments(2)
        self.assertEqual(sorted(self._kinds(10)), ["T"] * 2 + ["U"] * 8)
        self.guest.frames()
        self._datagrams(2)
        self.guest.table.toSend = _segments(10)
        self.assertEqual(sorted(self._kinds(10)), ["T"] * 8 + ["U"] * 2)

    def test_bounded(self) -> None:
        """
        Datagrams beyond the bound are dropped, the newest first; pings and answers count, too.
        """
        self._datagrams(10, 1_000)
        self.assertEqual(self.guest.stack.queuedBytes, 3 * 1_042)
        self.assertEqual(self.guest.drops(), {"queueFull": 7})
        self.guest.send(ICMP() / Raw(bytes(1_000)), destination=GATEWAY)
        self.assertEqual(self.guest.drops(), {"queueFull": 1})
        self.assertEqual(len(self.guest.frames()), 3)
        self.assertEqual(self.guest.stack.queuedBytes, 0)


class TimeoutTests(SynchronousTestCase):
    """
    C{nextTimeout} and C{handleTimeout}.
    """

    def test_earliest(self) -> None:
        """
        The earliest of all timers counts.
        """
        guest = Guest()
        self.assertIsNone(guest.stack.nextTimeout())
        guest.send(UDP(), flags="MF")
        self.assertEqual(guest.stack.nextTimeout(), 30.0)
        guest.apply(SendUDP(number(REMOTE), 1, number("10.0.2.9"), 2, b""))
        self.assertEqual(guest.stack.nextTimeout(), 1.0)
        guest.table.timeout = 0.25
        self.assertEqual(guest.stack.nextTimeout(), 0.25)
        guest.table.timeout = 2.0
        self.assertEqual(guest.stack.nextTimeout(), 1.0)
        guest.stack.handleTimeout(31.0)
        self.assertEqual(guest.table.handled, [31.0])
        self.assertEqual(guest.drops(), {"fragmentTimeout": 1})


class RegistryTests(SynchronousTestCase):
    """
    Others take part.
    """

    def test_protocol(self) -> None:
        """
        A receiver that is registered for a protocol gets its packets, and may replace another.
        """
        received: list[Any] = []

        class Receiver:
            broadcasts = True

            def packetReceived(self, packet: bytes, *rest: Any) -> None:
                received.append((packet, *rest))

        guest = Guest()
        guest.stack.protocols[47] = guest.stack.protocols[17] = Receiver()
        guest.send(Raw(b"gre"), proto=47)
        guest.send(UDP())
        self.assertEqual(
            [args[3:] for args in received], [(number(GUEST), number(REMOTE), 0.0)] * 2
        )
        self.assertEqual(guest.events(), [])

    def test_type(self) -> None:
        """
        So does one for a type of frames.
        """
        received: list[bytes] = []

        class Receiver:
            def frameReceived(self, frame: bytes, now: float) -> None:
                received.append(frame)

        guest = Guest()
        guest.stack.types[b"\x88\xb5"] = Receiver()
        frame = Ether(src=GUEST_MAC, dst=GATEWAY_MAC, type=0x88B5) / Raw(b"x")
        guest.sendFrame(frame)
        self.assertEqual(received, [bytes(frame)])


class GarbageTests(SynchronousTestCase):
    """
    Frames that mean nothing.
    """

    @given(st.lists(st.binary(max_size=100), max_size=10))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Nothing raises, and each frame is dropped for a reason.
        """
        guest = Guest()
        for frame in frames:
            guest.sendFrame(frame)
        self.assertEqual(sum(guest.drops().values()), len(frames))

    @given(st.integers(0, 255), st.binary(max_size=80), st.integers(0, 0x3FFF))
    def test_rightHeaders(self, protocol: int, payload: bytes, flags: int) -> None:
        """
        Nor does anything behind a right header.
        """
        guest = Guest()
        guest.sendFrame(
            Ether(src=GUEST_MAC, dst=GATEWAY_MAC)
            / IP(src=GUEST, dst=GATEWAY, proto=protocol, frag=flags & 0x1FFF, flags=flags >> 13)
            / Raw(payload)
        )
        guest.frames()
        guest.stack.handleTimeout(100.0)
        self.assertIsNone(guest.stack.nextTimeout())
