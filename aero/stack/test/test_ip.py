"""
Tests for L{aero.stack.ip}.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import SendUDP
from aero.stack.events import UDPReceived

from .fixtures import BROADCAST_MAC, GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, REMOTE, Guest, number

OTHER_MAC = "02:11:22:33:44:55"


class _Case(SynchronousTestCase):
    """
    A guest.
    """

    def setUp(self) -> None:
        """
        Nobody was heard of yet.
        """
        self.guest = Guest()

    def to(self, station: str, packet: Any, source: str = GUEST_MAC) -> None:
        """
        Send a packet in a frame for some station.
        """
        self.guest.sendFrame(Ether(src=source, dst=station) / packet)

    def assertSilent(self, **drops: int) -> None:
        """
        Nothing came of it but these drops.
        """
        self.assertEqual(self.guest.drops(), drops)
        self.assertEqual((self.guest.frames(), self.guest.events()), ([], []))
        self.assertEqual(self.guest.table.segments, [])


class HeaderTests(_Case):
    """
    Headers that are wrong.
    """

    def test_malformed(self) -> None:
        """
        Versions, lengths and checksums that are wrong are dropped, each counted by its name.
        """
        wrong: tuple[tuple[dict[str, Any], str], ...] = (
            ({"version": 6}, "ipVersion"),
            ({"ihl": 4}, "ipLength"),
            ({"ihl": 15}, "ipLength"),
            ({"len": 19}, "ipLength"),
            ({"len": 30}, "ipLength"),
            ({"chksum": 1}, "ipChecksum"),
        )
        for fields, reason in wrong:
            self.to(GATEWAY_MAC, IP(src=GUEST, dst=REMOTE, **fields) / UDP())
            self.assertSilent(**{reason: 1})
        self.to(GATEWAY_MAC, Raw(b""))
        whole = bytes(Ether(src=GUEST_MAC, dst=GATEWAY_MAC) / IP(src=GUEST, dst=REMOTE) / UDP())
        for length in range(14, 34):
            self.guest.sendFrame(whole[:length])
        self.assertSilent(frameType=1, ipShort=20)

    def test_padding(self) -> None:
        """
        Bytes that pad a frame to 60 are no part of the packet.
        """
        self.to(GATEWAY_MAC, IP(src=GUEST, dst=REMOTE) / TCP() / Raw(bytes(6)))
        frame = bytes(Ether(src=GUEST_MAC, dst=GATEWAY_MAC) / IP(src=GUEST, dst=REMOTE) / TCP())
        self.guest.sendFrame(frame + bytes(6))
        (_, offset, end, *_), (_, offsetToo, endToo, *_) = self.guest.table.segments
        self.assertEqual((offset, end, offsetToo, endToo), (20, 46, 20, 40))

    def test_options(self) -> None:
        """
        Options are skipped; routes that the sender chose are not taken.
        """
        self.guest.send(TCP(), options=b"\x94\x04\x00\x00")
        self.assertEqual(self.guest.table.segments.pop()[1], 24)
        self.guest.send(TCP(), options=b"\x83\x07\x04\x08\x08\x08\x08\x00")
        self.assertSilent(ipOptions=1)

    def test_protocols(self) -> None:
        """
        A protocol that nobody handles is refused, whoever it was for.
        """
        for destination in (GATEWAY, REMOTE):
            self.guest.send(Raw(b"gre?"), proto=47, destination=destination)
            error = self.guest.frame()
            self.assertEqual((error[ICMP].type, error[ICMP].code), (3, 2))
            self.assertEqual(error[IPerror].dst, destination)
        self.assertSilent(ipProtocol=2)


class SourceTests(_Case):
    """
    Who a packet says it is from.
    """

    def test_anyAddressOfTheNetwork(self) -> None:
        """
        A guest that never asked DHCP is served at whatever address it has, and is answered there.
        """
        for source in ("10.0.2.15", "10.0.2.77", "10.0.2.254", "10.0.2.1"):
            self.guest.send(UDP(sport=1, dport=9), source=source)
            (event,) = self.guest.events()
            assert isinstance(event, UDPReceived)
            self.assertEqual(event.source, number(source))
            self.guest.apply(SendUDP(number(REMOTE), 9, number(source), 1, b"x"))
            self.assertEqual(self.guest.frame()[IP].dst, source)

    def test_spoofed(self) -> None:
        """
        What is from elsewhere, from the gateway, from everybody or from a group is dropped.
        """
        sources = (
            "1.2.3.4",
            "10.0.3.15",
            GATEWAY,
            "10.0.2.0",
            "10.0.2.255",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
        )
        for source in sources:
            for payload in (TCP(), UDP(), ICMP()):
                self.guest.send(payload, source=source)
        self.assertSilent(ipSource=3 * len(sources))
        self.assertEqual(self.guest.stack.stations, {})

    def test_unspecified(self) -> None:
        """
        Without an address a guest can send datagrams to the LAN and nothing else.
        """
        for destination, payload in (
            (REMOTE, UDP()),
            ("10.0.2.99", UDP()),
            (GATEWAY, TCP()),
            (GATEWAY, ICMP()),
        ):
            self.guest.send(payload, source="0.0.0.0", destination=destination)
        self.assertSilent(ipSource=4)
        for destination in (GATEWAY, "255.255.255.255"):
            self.guest.send(UDP(), source="0.0.0.0", destination=destination)
            self.assertEqual(len(self.guest.events()), 1)

    def test_elsewhere(self) -> None:
        """
        A guest with an address of another network can ask everybody over UDP, so that DHCP can
        tell it better; nobody remembers it at that address.
        """
        self.guest.send(UDP(), source="192.168.1.5", destination="255.255.255.255")
        self.assertEqual(len(self.guest.events()), 1)
        for source, destination, payload in (
            ("192.168.1.5", "255.255.255.255", ICMP()),
            ("192.168.1.5", GATEWAY, UDP()),
            ("192.168.1.5", REMOTE, UDP()),
            ("127.0.0.1", "255.255.255.255", UDP()),
            ("224.0.0.1", "255.255.255.255", UDP()),
            ("255.255.255.255", "255.255.255.255", UDP()),
            (GATEWAY, "255.255.255.255", UDP()),
        ):
            self.guest.send(payload, source=source, destination=destination)
        self.assertSilent(ipSource=7)
        self.assertEqual(self.guest.stack.stations, {})

    def test_movesAtOnce(self) -> None:
        """
        A guest whose MAC address changed is answered there from its first packet on.
        """
        for station in (GUEST_MAC, OTHER_MAC, GUEST_MAC):
            packet = IP(src=GUEST, dst=GATEWAY) / ICMP(id=1, seq=1)
            self.to(GATEWAY_MAC, packet, source=station)
            self.assertEqual(self.guest.frame().dst, station)

    def test_spoofedTeachesNothing(self) -> None:
        """
        A packet that claims the gateway's address does not change where anybody is.
        """
        self.guest.send(UDP(), source=GATEWAY)
        self.guest.send(UDP(), chksum=1)
        self.assertEqual(self.guest.stack.stations, {})


class DestinationTests(_Case):
    """
    Who a packet is for.
    """

    def test_ttl(self) -> None:
        """
        The gateway is the first hop: what may not go further ends there, and says so.
        """
        for ttl in (0, 1):
            for payload in (TCP(sport=1, dport=2, flags="S"), UDP(sport=1, dport=2), ICMP()):
                self.guest.send(payload, ttl=ttl)
                error = self.guest.frame()
                self.assertEqual((error[ICMP].type, error[ICMP].code), (11, 0))
                self.assertEqual(error[IP].src, GATEWAY)
        self.assertSilent(ipTTL=6)
        self.guest.send(UDP(), ttl=2)
        self.assertEqual(len(self.guest.events()), 1)

    def test_ttlAtTheGateway(self) -> None:
        """
        A packet for the gateway itself has arrived, whatever is left (RFC 1122 section 3.2.1.7).
        """
        for ttl in (0, 1):
            self.guest.send(ICMP(), destination=GATEWAY, ttl=ttl)
            self.assertEqual(self.guest.frame()[ICMP].type, 0)
            self.guest.send(UDP(), destination=GATEWAY, ttl=ttl)
            self.assertEqual(len(self.guest.events()), 1)

    def test_groups(self) -> None:
        """
        Nobody is in any group.
        """
        for destination in ("224.0.0.1", "224.0.0.251", "239.255.255.250"):
            self.guest.send(UDP(), destination=destination)
            self.guest.send(TCP(), destination=destination, ttl=1)
        self.assertSilent(ipMulticast=6)

    def test_neighbours(self) -> None:
        """
        Somebody in the network who is not there cannot be reached; the guest itself can, but not
        here.
        """
        self.guest.send(UDP(), destination="10.0.2.99")
        error = self.guest.frame()
        self.assertEqual((error[ICMP].type, error[ICMP].code), (3, 1))
        self.assertEqual(error[IPerror].dst, "10.0.2.99")
        self.assertSilent(ipNeighbour=1)
        self.guest.send(UDP(), destination=GUEST)
        self.guest.send(UDP(), destination="10.0.2.0")
        self.assertSilent(ipNeighbour=2)

    def test_everybody(self) -> None:
        """
        Only datagrams are for everybody, by address or by MAC address.
        """
        for destination in ("10.0.2.255", "255.255.255.255"):
            for payload in (TCP(), ICMP()):
                self.guest.send(payload, destination=destination)
        self.assertSilent(ipBroadcast=4)
        for payload in (TCP(), ICMP()):
            self.to(BROADCAST_MAC, IP(src=GUEST, dst=REMOTE) / payload)
        self.to(BROADCAST_MAC, IP(src=GUEST, dst=REMOTE, proto=47) / Raw(b""))
        self.assertSilent(ipBroadcast=2, ipProtocol=1)
        self.to(BROADCAST_MAC, IP(src=GUEST, dst=REMOTE) / UDP())
        self.assertEqual(len(self.guest.events()), 1)
        self.to(BROADCAST_MAC, IP(src=GUEST, dst=REMOTE, ttl=1) / UDP())
        self.to(BROADCAST_MAC, IP(src=GUEST, dst="10.0.2.99") / UDP())
        self.assertSilent(ipTTL=1, ipNeighbour=1)

    def test_ownedLater(self) -> None:
        """
        An address that the LAN takes later is its own from then on.
        """
        later = "10.0.2.80"
        self.guest.send(ICMP(), destination=later)
        self.assertEqual(self.guest.frame()[ICMP].type, 3)
        self.guest.stack.addresses.owned.add(number(later))
        self.guest.send(ICMP(), destination=later)
        self.assertEqual(self.guest.frame()[ICMP].type, 0)


class StrayTests(_Case):
    """
    Frames for other stations.
    """

    def test_outside(self) -> None:
        """
        A guest that believes the gateway elsewhere, because it was restored from a snapshot, is
        served, and told where it is at most once a second.
        """
        for self.guest.now in (0.0, 0.5):
            self.to(OTHER_MAC, IP(src=GUEST, dst=REMOTE) / UDP())
            self.to(OTHER_MAC, IP(src=GUEST, dst=GATEWAY) / UDP())
            self.assertEqual(len(self.guest.events()), 2)
        announced = self.guest.frame()
        self.assertEqual(announced.dst, BROADCAST_MAC)
        self.assertEqual(
            (announced[ARP].hwsrc, announced[ARP].psrc, announced[ARP].pdst),
            (GATEWAY_MAC, GATEWAY, GATEWAY),
        )
        self.guest.now = 1.0
        self.to(OTHER_MAC, IP(src=GUEST, dst=REMOTE) / TCP())
        self.assertEqual(len(self.guest.table.segments), 1)
        self.assertEqual(len(self.guest.frames()), 1)

    def test_betweenStations(self) -> None:
        """
        What two stations behind the guest say to each other is none of the gateway's business.
        """
        for payload in (TCP(), UDP(), ICMP()):
            self.to(OTHER_MAC, IP(src=GUEST, dst="10.0.2.16") / payload)
        self.assertSilent(ipStation=3)
