"""
Tests for L{aero.stack.udp}.
"""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import RefuseUDP, SendUDP
from aero.stack.events import UDPReceived

from .fixtures import (
    BROADCAST_MAC,
    GATEWAY,
    GATEWAY_MAC,
    GUEST,
    GUEST_MAC,
    REMOTE,
    Guest,
    number,
)

STATION = bytes.fromhex(GUEST_MAC.replace(":", ""))


class ReceivedTests(SynchronousTestCase):
    """
    Datagrams of the guest.
    """

    def setUp(self) -> None:
        """
        A guest.
        """
        self.guest = Guest()

    def test_everybody(self) -> None:
        """
        Whoever a datagram is for, it is an event, which says whether that is everybody: by its
        address or by the frame's.
        """
        for destination, everybody in (
            (REMOTE, False),
            (GATEWAY, False),
            ("10.0.2.255", True),
            ("255.255.255.255", True),
        ):
            packet = IP(src=GUEST, dst=destination) / UDP(sport=68, dport=67) / Raw(b"data")
            for station in (GATEWAY_MAC, BROADCAST_MAC, "01:00:5e:00:00:01"):
                self.guest.sendFrame(Ether(src=GUEST_MAC, dst=station) / packet)
                self.assertEqual(
                    self.guest.events(),
                    [
                        UDPReceived(
                            number(GUEST),
                            68,
                            number(destination),
                            67,
                            b"data",
                            STATION,
                            everybody or station != GATEWAY_MAC,
                        )
                    ],
                )

    def test_fragmentToEverybody(self) -> None:
        """
        A fragment in a frame to every station that is for one of them is dropped: there would be
        an error about the others that never come.
        """
        whole = IP(src=GUEST, dst=GATEWAY, id=5) / UDP(sport=1, dport=2) / Raw(bytes(1_000))
        for piece in whole.fragment(800):
            self.guest.sendFrame(Ether(src=GUEST_MAC, dst=BROADCAST_MAC) / piece)
        self.assertEqual((self.guest.events(), self.guest.drops()), ([], {"ipBroadcast": 2}))

    def test_withoutAddress(self) -> None:
        """
        A guest without an address may ask for one, and is known by its MAC address.
        """
        frame = Ether(src=GUEST_MAC, dst=BROADCAST_MAC)
        frame /= IP(src="0.0.0.0", dst="255.255.255.255")
        self.guest.sendFrame(frame / UDP(sport=68, dport=67) / Raw(b"discover"))
        self.assertEqual(
            self.guest.events(), [UDPReceived(0, 68, 0xFFFFFFFF, 67, b"discover", STATION, True)]
        )
        self.assertEqual(self.guest.stack.stations, {})

    def test_lengths(self) -> None:
        """
        What the length field leaves out is padding; a length that cannot be is dropped.
        """
        self.guest.send(UDP(sport=1, dport=2, len=10, chksum=0) / Raw(b"hi and more"))
        (event,) = self.guest.events()
        assert isinstance(event, UDPReceived)
        self.assertEqual(event.data, b"hi")
        for length in (0, 7, 12, 65_535):
            self.guest.send(UDP(sport=1, dport=2, len=length, chksum=0) / Raw(b"abc"))
        self.guest.send(Raw(b"short"), proto=17)
        self.assertEqual(self.guest.drops(), {"udpLength": 5})
        self.assertEqual(self.guest.events(), [])

    def test_checksum(self) -> None:
        """
        A checksum is optional, but not a wrong one.
        """
        self.guest.send(UDP(sport=1, dport=2, chksum=0) / Raw(b"abc"))
        self.assertEqual(len(self.guest.events()), 1)
        self.guest.send(UDP(sport=1, dport=2, chksum=7) / Raw(b"abc"))
        self.assertEqual(self.guest.drops(), {"udpChecksum": 1})
        self.assertEqual(self.guest.events(), [])

    def test_fragments(self) -> None:
        """
        A datagram in pieces is one event.
        """
        data = bytes(range(256)) * 20
        whole = IP(src=GUEST, dst=REMOTE, id=5) / UDP(sport=1, dport=2) / Raw(data)
        for piece in reversed(whole.fragment(800)):
            fields = {"id": 5, "proto": 17, "flags": piece.flags, "frag": piece.frag}
            self.guest.send(piece[IP].payload, **fields)
        (event,) = self.guest.events()
        assert isinstance(event, UDPReceived)
        self.assertEqual(event.data, data)
        self.assertEqual(event.hardwareAddress, STATION)

    def test_dontFragment(self) -> None:
        """
        An event says whether the guest forbids fragments.
        """
        for flags in ("DF", 0):
            self.guest.send(UDP(sport=1, dport=2), flags=flags)
            (event,) = self.guest.events()
            assert isinstance(event, UDPReceived)
            self.assertEqual(event.dontFragment, flags == "DF")


class SentTests(SynchronousTestCase):
    """
    Datagrams for the guest.
    """

    def setUp(self) -> None:
        """
        A guest that was heard of.
        """
        self.guest = Guest()
        self.guest.send(UDP(sport=1, dport=2))

    def test_send(self) -> None:
        """
        A datagram arrives from whoever is said to send it.
        """
        self.guest.apply(SendUDP(number(REMOTE), 53, number(GUEST), 4_000, b"answer"))
        frame = self.guest.frame()
        self.assertEqual((frame.dst, frame[IP].src, frame[IP].dst), (GUEST_MAC, REMOTE, GUEST))
        self.assertEqual((frame[UDP].sport, frame[UDP].dport, frame[UDP].len), (53, 4_000, 14))
        self.assertEqual(bytes(frame[UDP].payload), b"answer")

    def test_refuse(self) -> None:
        """
        A guest finds its socket by the headers that are repeated; the owner of the address says
        that a port is closed, the gateway says all else.
        """
        for code, teller in ((3, REMOTE), (1, GATEWAY), (13, GATEWAY)):
            self.guest.apply(RefuseUDP(number(GUEST), 4_000, number(REMOTE), 53, 100, code))
            frame = self.guest.frame()
            self.assertEqual((frame[IP].src, frame[IP].dst), (teller, GUEST))
            self.assertEqual((frame[ICMP].type, frame[ICMP].code), (3, code))
            quoted = frame[IPerror]
            self.assertEqual((quoted.src, quoted.dst, quoted.proto), (GUEST, REMOTE, 17))
            self.assertEqual(quoted.len, 128)
            error = frame[UDPerror]
            self.assertEqual((error.sport, error.dport, error.len), (4_000, 53, 108))

    def test_refuseLong(self) -> None:
        """
        That a datagram is too long is told with the longest packet (RFC 1191 section 4).
        """
        self.guest.apply(RefuseUDP(number(GUEST), 4_000, number(REMOTE), 53, 1_400, 4, 1_300))
        frame = self.guest.frame()
        self.assertEqual((frame[IP].src, frame[IP].dst), (GATEWAY, GUEST))
        self.assertEqual((frame[ICMP].type, frame[ICMP].code), (3, 4))
        self.assertEqual((frame[ICMP].nexthopmtu, frame[IPerror].len), (1_300, 1_428))
