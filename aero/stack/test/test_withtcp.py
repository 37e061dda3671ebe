"""
Tests for L{aero.stack.stack} with its own TCP: a guest that scapy speaks for.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, TCPerror
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import (
    AcceptTCP,
    CloseTCP,
    ConnectTCP,
    ConsumeTCP,
    RejectTCP,
    SendTCP,
)
from aero.stack.events import (
    TCPClosed,
    TCPConnectRequested,
    TCPDataReceived,
    TCPEstablished,
    TCPReadClosed,
)
from aero.stack.stack import Stack

from .fixtures import GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, REMOTE, Guest, number

OTHER_MAC = "02:11:22:33:44:55"


class WithTCPTests(SynchronousTestCase):
    """
    The whole stack.
    """

    def setUp(self) -> None:
        """
        A guest that begins at a sequence number near the end.
        """
        self.guest = Guest(Stack)
        self.sequence = 0xFFFFFFF0
        self.acknowledged = 0

    def _segment(self, flags: str, data: bytes = b"", **fields: Any) -> None:
        """
        Send a segment from port 1025 to port 80 outside.
        """
        segment = TCP(
            sport=1_025,
            dport=80,
            flags=flags,
            seq=self.sequence,
            ack=self.acknowledged,
            window=65_535,
            **fields,
        )
        self.guest.send(segment / Raw(data) if data else segment)
        self.sequence = (self.sequence + len(data) + ("S" in flags) + ("F" in flags)) % (1 << 32)

    def _received(self) -> list[Any]:
        """
        The segments that the guest gets, with their sequence numbers taken note of.
        """
        segments = []
        for frame in self.guest.frames():
            self.assertEqual((frame.src, frame[IP].src), (GATEWAY_MAC, REMOTE))
            self.assertEqual(frame[IP].dst, GUEST)
            segment = frame[TCP]
            size = frame[IP].len - 20 - segment.dataofs * 4
            flags = str(segment.flags)
            self.acknowledged = (segment.seq + size + ("S" in flags) + ("F" in flags)) % (1 << 32)
            segments.append(segment)
        return segments

    def _open(self) -> int:
        """
        Connect.

        @return: The number of the connection.
        """
        self._segment("S", options=[("MSS", 1_460)])
        (event,) = self.guest.events()
        assert isinstance(event, TCPConnectRequested)
        self.assertEqual(
            event[1:],
            (number(REMOTE), 80, number(GUEST), 1_025),
            "destination, its port, the guest, its port",
        )
        self.guest.apply(AcceptTCP(event.connection))
        (answer,) = self._received()
        self.assertEqual((str(answer.flags), answer.ack), ("SA", 0xFFFFFFF1))
        self._segment("A")
        self.assertEqual(self.guest.events(), [TCPEstablished(event.connection)])
        self.assertEqual(self.guest.stack.connections, 1)
        return event.connection

    def test_conversation(self) -> None:
        """
        A connection is opened, carries data both ways over the wrap of the sequence numbers, is
        closed half by half, and nothing is left.
        """
        connection = self._open()
        self._segment("PA", b"request " * 4)
        (event,) = self.guest.events()
        self.assertEqual(event, TCPDataReceived(connection, b"request " * 4))
        self.guest.apply(ConsumeTCP(connection, 32))
        self._segment("FA")
        self.assertEqual(self.guest.events(), [TCPReadClosed(connection)])
        answer = bytes(range(256)) * 20
        self.guest.apply(SendTCP(connection, answer))
        self.guest.apply(CloseTCP(connection))
        got = b""
        for _ in range(20):
            segments = self._received()
            got += b"".join(bytes(each[Raw].load) for each in segments if Raw in each)
            if segments:
                self._segment("A")
            self.guest.now += 0.05
            self.guest.stack.handleTimeout(self.guest.now)
        self.assertEqual(got, answer)
        self.assertEqual(self.guest.events(), [TCPClosed(connection, "done")])
        self.assertEqual(self.guest.stack.connections, 0)
        self.assertEqual(self.guest.drops(), {})

    def test_refused(self) -> None:
        """
        What policy forbids is said in front of the handshake's end.
        """
        self._segment("S")
        (event,) = self.guest.events()
        assert isinstance(event, TCPConnectRequested)
        self.guest.apply(RejectTCP(event.connection, "prohibited"))
        frames = self.guest.frames()
        self.assertTrue(frames)
        for frame in frames:
            if ICMP in frame:
                self.assertEqual((frame[ICMP].type, frame[ICMP].code), (3, 13))
                self.assertEqual(frame[TCPerror].sport, 1_025)
            else:
                self.assertIn("R", str(frame[TCP].flags))

    def test_stranger(self) -> None:
        """
        A guest that was restored with connections of another time gets a reset at once.
        """
        self.acknowledged = 12_345
        self._segment("PA", b"as I was saying")
        (frame,) = self.guest.frames()
        self.assertEqual((frame[IP].src, str(frame[TCP].flags)), (REMOTE, "R"))
        self.assertEqual(frame[TCP].seq, 12_345)

    def test_moves(self) -> None:
        """
        A guest whose MAC address changes in the middle of a connection gets the rest of it.
        """
        connection = self._open()
        moved = IP(src=GUEST, dst=REMOTE) / TCP(
            sport=1_025, dport=80, flags="A", seq=self.sequence, ack=self.acknowledged
        )
        self.guest.sendFrame(Ether(src=OTHER_MAC, dst=GATEWAY_MAC) / moved)
        self.guest.apply(SendTCP(connection, b"found you"))
        (frame,) = self.guest.frames()
        self.assertEqual((frame.dst, bytes(frame[Raw].load)), (OTHER_MAC, b"found you"))

    def test_intoTheGuest(self) -> None:
        """
        A connection into the guest asks where that is first.
        """
        connection = self.guest.stack.newConnection()
        command = ConnectTCP(connection, number(GATEWAY), 0, number(GUEST), 22)
        self.guest.apply(command)
        asked = self.guest.frame()
        self.assertEqual(asked[ARP].pdst, GUEST)
        answer = ARP(op=2, hwsrc=GUEST_MAC, psrc=GUEST, hwdst=GATEWAY_MAC, pdst=GATEWAY)
        self.guest.sendFrame(Ether(src=GUEST_MAC, dst=GATEWAY_MAC) / answer)
        frame = self.guest.frame()
        self.assertEqual((frame.dst, frame[IP].src, frame[TCP].dport), (GUEST_MAC, GATEWAY, 22))
        self.assertEqual(str(frame[TCP].flags), "S")
        reply = TCP(sport=22, dport=frame[TCP].sport, flags="SA", seq=7, ack=frame[TCP].seq + 1)
        self.guest.send(reply, destination=GATEWAY)
        self.assertEqual(self.guest.events(), [TCPEstablished(connection)])
