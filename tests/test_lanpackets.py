"""
Which packets of guests are taken, through the tunnel: sums that are wrong are dropped and counted,
IP options and the padding of Ethernet are not in the way. The frames are scapy's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption_NOP,
    IPOption_Router_Alert,
    IPOption_RR,
    IPOption_Timestamp,
)
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.testing.packets import ACK, SYN

from .support.l2 import OPEN, l2Options
from .support.lancase import PLACE, LANCase
from .support.metrics import counted
from .support.server import Aero
from .support.station import Station, UDPEcho
from .support.targets import Target, echo

GUEST, GATEWAY = "10.0.2.15", "10.0.2.2"
ISN = 7_000


@cache
def echoing() -> Aero:
    """
    A server that leads C{PLACE} to echoes: TCP at port 80, UDP at port 7.
    """
    variables = OPEN | {
        "AERO_L2_TCP_FORWARD": f"{PLACE}:80=127.0.0.1:{Target(echo).port}",
        "AERO_L2_UDP_FORWARD": f"{PLACE}:7=127.0.0.1:{UDPEcho().port}",
    }
    return Aero(*l2Options(), state=None, runDir=None, **variables)


def packet(layers: Any, destination: str = PLACE, **fields: Any) -> Any:
    """
    A frame of the guest with all its sums, which scapy works out.

    @param fields: Fields of the IP header.
    """
    made = IP(src=GUEST, dst=destination, **fields) / layers
    return Ether(src="02:aa:bb:cc:dd:ee", dst="02:00:00:00:00:01") / IP(bytes(made))


def spoilt(frame: Any, layer: Any) -> bytes:
    """
    The same with a wrong sum.
    """
    frame[layer].chksum ^= 0x0100
    return bytes(frame)


def ping(sequence: int, data: bytes = b"data", **fields: Any) -> Any:
    """
    A frame that asks the gateway for an echo.
    """
    return packet(ICMP(id=0x1234, seq=sequence) / Raw(data), GATEWAY, **fields)


def datagram(data: bytes, **fields: Any) -> Any:
    """
    A frame with a datagram to the echo.
    """
    return packet(UDP(sport=5_000, dport=7) / Raw(data), **fields)


def segment(port: int, flags: str, sequence: int = ISN, ack: int = 0, data: bytes = b"") -> Any:
    """
    A segment to the echo.
    """
    layer = TCP(sport=port, dport=80, flags=flags, seq=sequence, ack=ack, window=65_535)
    return layer / Raw(data) if data else layer


def drops(*reasons: str) -> dict[str, float]:
    """
    What was dropped so far, by reason.
    """
    name = "aero_lan_stack_drops_total"
    return {reason: counted(echoing(), name, reason=reason) for reason in reasons}


class PacketTests(LANCase, SynchronousTestCase):
    """
    A guest with frames of its own making.
    """

    def setUp(self) -> None:
        """
        A guest with an address, which resets nobody.
        """
        self.sender = self.station(echoing())
        self.sender.resetsStrangers = False

    def answer(self, guest: Station, port: int) -> Any:
        """
        The SYN+ACK to a port of the guest.
        """
        guest.until(lambda: guest.segments, "answered")
        (found,) = guest.segments
        self.assertEqual(found.flags & (SYN | ACK), SYN | ACK)
        self.assertEqual((found.destination[1], found.acknowledgment), (port, ISN + 1))
        guest.segments.clear()
        return found

    def test_wrongSums(self) -> None:
        """
        What has a wrong sum might as well not have been sent, in each protocol; the twin behind
        it, whose sum is right, is answered.
        """
        guest = self.sender
        wrong = {"ipChecksum": 3, "icmpChecksum": 1, "udpChecksum": 1, "tcp checksum": 2}
        before = drops(*wrong)
        guest.send(
            spoilt(ping(1), IP),
            spoilt(ping(2), ICMP),
            bytes(ping(3)),
        )
        guest.until(lambda: guest.echoes, "answered")
        self.assertEqual(guest.echoes, [(GATEWAY, 3, b"data")])
        guest.send(
            spoilt(datagram(b"head"), IP),
            spoilt(datagram(b"sum"), UDP),
            bytes(datagram(b"right")),
        )
        guest.until(lambda: guest.datagrams, "answered")
        self.assertEqual([found.data for found in guest.datagrams], [b"right"])
        guest.send(
            spoilt(packet(segment(1_001, "S")), IP),
            spoilt(packet(segment(1_002, "S")), TCP),
            bytes(packet(segment(1_003, "S"))),
        )
        first = self.answer(guest, 1_003).sequence + 1
        guest.send(
            bytes(packet(segment(1_003, "A", ISN + 1, first))),
            spoilt(packet(segment(1_003, "PA", ISN + 1, first, b"wrong")), TCP),
            bytes(packet(segment(1_003, "PA", ISN + 1, first, b"right"))),
        )
        guest.until(lambda: any(found.data for found in guest.segments), "echoed")
        self.assertEqual([found.data for found in guest.segments if found.data], [b"right"])
        self.assertEqual({found.destination[1] for found in guest.segments}, {1_003})
        self.assertEqual({found.acknowledgment for found in guest.segments}, {ISN + 6})
        # And nothing came late.
        guest.send(bytes(ping(4)))
        guest.until(lambda: len(guest.echoes) == 2, "answered")
        self.assertEqual((len(guest.datagrams), guest.errors), (1, []))
        expected = {reason: before[reason] + count for reason, count in wrong.items()}
        self.assertEqual(drops(*wrong), expected)

    def test_noSum(self) -> None:
        """
        A datagram of IPv4 may come without a sum.
        """
        frame = datagram(b"bare")
        frame[UDP].chksum = 0
        self.sender.send(bytes(frame))
        self.sender.until(lambda: self.sender.datagrams, "answered")
        self.assertEqual(self.sender.datagrams[0].data, b"bare")

    def test_options(self) -> None:
        """
        Options of IP are passed over, be it one or as many as there is room for.
        """
        guest = self.sender
        for number, options in enumerate(
            (
                [IPOption_NOP()],
                [IPOption_Router_Alert()],
                [IPOption_RR(routers=["0.0.0.0"] * 9)],
                [IPOption_Timestamp()],
                [IPOption_NOP() for _ in range(40)],
            ),
            2_000,
        ):
            data = b"options %d" % number
            guest.send(
                bytes(ping(number, data, options=options)),
                bytes(datagram(data, options=options)),
                bytes(packet(segment(number, "S"), options=options)),
            )
            self.answer(guest, number)
            guest.until(lambda: guest.echoes and guest.datagrams, "answered")
            self.assertEqual(guest.echoes, [(GATEWAY, number, data)])
            self.assertEqual([found.data for found in guest.datagrams], [data])
            guest.echoes.clear()
            guest.datagrams.clear()

    def test_padding(self) -> None:
        """
        What follows a packet in its frame belongs to nobody: zeros up to the shortest frame of
        Ethernet, or anything else.
        """
        guest = self.sender
        for port, padding in ((3_001, b"\0"), (3_002, b"\xff" * 100)):
            padded = [
                bytes(frame / Padding(padding * max(1, 60 - len(frame))))
                for frame in (
                    ping(port, b"x"),
                    datagram(b"x"),
                    packet(segment(port, "S")),
                )
            ]
            self.assertGreaterEqual(min(map(len, padded)), 60)
            guest.send(*padded)
            first = self.answer(guest, port).sequence + 1
            guest.until(lambda: guest.echoes and guest.datagrams, "answered")
            self.assertEqual(guest.echoes.pop(), (GATEWAY, port, b"x"))
            self.assertEqual(guest.datagrams.pop().data, b"x")
            # An ACK without data is not made to carry any, one with a byte carries one.
            for flags, data in (("A", b""), ("PA", b"x")):
                frame = packet(segment(port, flags, ISN + 1, first, data))
                guest.send(bytes(frame / Padding(padding * max(1, 60 - len(frame)))))
            guest.until(lambda: any(found.data for found in guest.segments), "echoed")
            self.assertEqual([found.data for found in guest.segments if found.data], [b"x"])
            self.assertEqual({found.acknowledgment for found in guest.segments}, {ISN + 2})
            guest.segments.clear()
