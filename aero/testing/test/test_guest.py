"""
Tests for L{aero.testing.guest} and L{aero.testing.packets}: scapy judges what the guest sends,
and makes what it must complain about.
"""

from __future__ import annotations

from typing import Any, Sequence

from scapy.layers.dhcp import DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.guest import Guest
from aero.testing.packets import internetSum

MAC = "02:aa:bb:cc:dd:ee"
GATEWAY = "02:00:00:00:00:01"


def fresh(packet: Any) -> bytes:
    """
    The bytes of a packet for the guest.
    """
    return bytes(Ether(dst=MAC, src=GATEWAY) / packet)


def rechecked(frame: bytes) -> bytes:
    """
    The same frame with every checksum made anew by scapy.
    """
    packet = Ether(frame)
    for layer in (IP, TCP, UDP, ICMP):
        if layer in packet:
            del packet[layer].chksum
    return bytes(packet)


class GuestTests(SynchronousTestCase):
    """
    The tiny guest.
    """

    def setUp(self) -> None:
        self.guest = Guest()
        self.sent: list[bytes] = []
        self.guest.attach(self.keep)

    def keep(self, frames: Sequence[bytes]) -> None:
        self.sent.extend(frames)

    def test_sends(self) -> None:
        """
        What it sends is what scapy would, to the last checksum.
        """
        self.guest.askWho("10.0.2.2")
        self.guest.sendDatagram(5_000, "192.0.2.1", 53, b"odd")
        self.guest.ping("192.0.2.1", 3)
        self.guest.sendDHCP(1, [(12, b"guest")])
        self.guest.connect("192.0.2.1", 80)
        for frame in self.sent:
            self.assertEqual(rechecked(frame), frame)
        arp, datagram, ping, dhcp, syn = map(Ether, self.sent)
        self.assertEqual((arp[ARP].op, arp[ARP].pdst), (1, "10.0.2.2"))
        self.assertEqual((datagram[UDP].dport, bytes(datagram[Raw])), (53, b"odd"))
        self.assertEqual((ping[ICMP].type, ping[ICMP].seq), (8, 3))
        self.assertIn(("message-type", 1), dhcp[DHCP].options)
        self.assertEqual((str(syn[TCP].flags), syn[TCP].options), ("S", [("MSS", 1_460)]))

    def test_takes(self) -> None:
        """
        What scapy makes is taken.
        """
        self.guest.sendFrames(
            [
                fresh(ARP(op=2, psrc="10.0.2.2", hwsrc=GATEWAY, pdst="10.0.2.15", hwdst=MAC)),
                fresh(IP(src="192.0.2.1", dst="10.0.2.15") / UDP(sport=53, dport=5_000) / b"hi"),
                fresh(
                    IP(src="192.0.2.1", dst="10.0.2.15") / ICMP(type=0, id=0x1234, seq=9) / b"data"
                ),
                fresh(IP(src="10.0.2.2", dst="10.0.2.15") / ICMP(type=3, code=13) / bytes(28)),
            ]
        )
        self.assertEqual(self.guest.arps, [("10.0.2.2", bytes.fromhex("020000000001"))])
        self.assertEqual(self.guest.datagrams[0].data, b"hi")
        self.assertEqual(self.guest.echoes, [("192.0.2.1", 9, b"data")])
        self.assertEqual(self.guest.errors[0][:2], (3, 13))
        self.guest.check()

    def test_complains(self) -> None:
        """
        A frame that is wrong anywhere raises, at once and later.
        """
        datagram = IP(src="192.0.2.1", dst="10.0.2.15") / UDP(sport=53, dport=5_000) / b"hi"
        good = fresh(datagram)
        for offset in (0, 24, 40, 43):
            wrong = bytearray(good)
            wrong[offset] ^= 1
            guest = Guest()
            self.assertRaises(AssertionError, guest.sendFrames, [bytes(wrong)])
            self.assertRaises(AssertionError, guest.check)
        self.assertRaises(AssertionError, self.guest.sendFrames, [good + bytes(2_048)])

    def test_fragments(self) -> None:
        """
        Fragments are put together.
        """
        whole = IP(src="192.0.2.1", dst="10.0.2.15") / UDP(sport=53, dport=5_000) / bytes(4_000)
        self.guest.sendFrames([fresh(part) for part in IP(bytes(whole)).fragment(1_000)])
        self.assertEqual(self.guest.datagrams[0].data, bytes(4_000))

    def test_connection(self) -> None:
        """
        A connection is made, takes data in order, and acknowledges the end.
        """
        connection = self.guest.connect("192.0.2.1", 80)

        def tcp(**fields: Any) -> bytes:
            data = fields.pop("data", b"")
            packet = IP(src="192.0.2.1", dst="10.0.2.15")
            packet = packet / TCP(sport=80, dport=connection.port, window=1_000, **fields)
            return fresh(packet / data if data else packet)

        connection.write(b"x" * 1_500)
        self.guest.sendFrames([tcp(flags="SA", seq=99, ack=5_001)])
        self.assertTrue(connection.established)
        sent = [Ether(frame)[TCP] for frame in self.sent]
        self.assertEqual([len(bytes(s.payload)) for s in sent], [0, 0, 1_000])
        self.guest.sendFrames([tcp(flags="A", seq=100, ack=6_001)])
        self.assertEqual(len(bytes(Ether(self.sent[-1])[TCP].payload)), 500)
        self.guest.sendFrames([tcp(flags="A", seq=103, ack=6_501, data=b"later")])
        self.guest.sendFrames([tcp(flags="FA", seq=100, ack=6_501, data=b"now")])
        self.assertEqual((connection.received, connection.ended), (b"now", True))
        self.assertEqual(Ether(self.sent[-1])[TCP].ack, 104)
        connection.close()
        self.guest.sendFrames([tcp(flags="A", seq=104, ack=6_502)])
        self.assertTrue(connection.finished)
        self.guest.sendFrames([tcp(flags="R", seq=104)])
        self.assertTrue(connection.wasReset)

    def test_strangers(self) -> None:
        """
        A segment that belongs to nothing is reset, and kept.
        """
        packet = IP(src="192.0.2.1", dst="10.0.2.15") / TCP(sport=80, dport=9, flags="A", ack=7)
        self.guest.sendFrames([fresh(packet)])
        reset = Ether(self.sent[0])[TCP]
        self.assertEqual((str(reset.flags), reset.seq), ("RA", 7))
        self.assertEqual(len(self.guest.segments), 1)

    def test_sum(self) -> None:
        """
        The example of RFC 1071 section 3.
        """
        self.assertEqual(internetSum(bytes.fromhex("0001f203f4f5f6f7")), 0xDDF2 ^ 0xFFFF)
