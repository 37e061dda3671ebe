"""
Tests for L{aero.stack.ipoutput}.
"""

from __future__ import annotations

from scapy.layers.inet import IP, UDP, defragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import SendUDP
from aero.testing.properties import given
from aero.testing.properties import strategies as st

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


def _datagram(
    data: bytes, destination: str = GUEST, hardwareAddress: bytes | None = None
) -> SendUDP:
    return SendUDP(number(REMOTE), 9, number(destination), 4_000, data, hardwareAddress)


class IPv4OutputTests(SynchronousTestCase):
    """
    L{aero.stack.ipoutput.IPv4Output} in its stack.
    """

    def setUp(self) -> None:
        """
        A guest that was heard of.
        """
        self.guest = Guest(mtu=600)
        self.guest.send(Raw(), destination=GATEWAY, proto=17)
        self.guest.drops()

    def test_whole(self) -> None:
        """
        What fits is sent whole and not to be fragmented, numbered one by one.
        """
        for count, size in enumerate((0, 1, 572)):
            self.guest.apply(_datagram(bytes(size)))
            frame = self.guest.frame()
            self.assertEqual((frame.src, frame.dst), (GATEWAY_MAC, GUEST_MAC))
            self.assertEqual((frame[IP].src, frame[IP].dst), (REMOTE, GUEST))
            self.assertEqual((str(frame[IP].flags), frame[IP].frag, frame[IP].ttl), ("DF", 0, 64))
            self.assertEqual(frame[IP].id, 0x0103 + count)
            self.assertEqual(len(frame[IP]), 28 + size)

    def test_numbersWrap(self) -> None:
        """
        The number has 16 bits, and a beginning that nobody knows.
        """
        for _ in range(0x10000 - 0x0103):
            self.guest.apply(_datagram(b""))
            self.guest.stack.framesToSend(0.0)
        self.guest.apply(_datagram(b""))
        self.assertEqual(self.guest.frame()[IP].id, 0)

    def test_fragments(self) -> None:
        """
        What does not fit is cut at multiples of eight bytes; every piece has the same number.
        """
        self.guest.apply(_datagram(bytes(range(250)) * 6))
        frames = self.guest.frames()
        self.assertEqual([len(frame[IP]) for frame in frames], [596, 596, 376])
        self.assertEqual([frame[IP].frag for frame in frames], [0, 72, 144])
        self.assertEqual([str(frame[IP].flags) for frame in frames], ["MF", "MF", ""])
        self.assertEqual(len({frame[IP].id for frame in frames}), 1)

    @given(st.integers(68, 1_500), st.binary(max_size=4_000))
    def test_scapyAgrees(self, mtu: int, data: bytes) -> None:
        """
        At any MTU, scapy puts the pieces together and finds what was sent, no piece too large.
        """
        guest = Guest(mtu=mtu)
        guest.send(Raw(), destination=GATEWAY, proto=17)
        guest.apply(_datagram(data))
        packets = [frame[IP] for frame in guest.frames(limit=1_000)]
        self.assertLessEqual(max(map(len, packets)), mtu)
        (whole,) = defragment(packets)
        whole = IP(bytes(whole))
        self.assertEqual(bytes(whole[UDP].payload), data)
        checksum = whole[UDP].chksum
        del whole[UDP].chksum
        self.assertEqual(IP(bytes(whole))[UDP].chksum, checksum)

    def test_largest(self) -> None:
        """
        The largest datagram that there is goes out; one that is larger is none.
        """
        self.guest.apply(_datagram(bytes(65_507)))
        self.assertEqual(sum(len(frame[IP].payload) for frame in self.guest.frames(200)), 65_515)
        self.guest.apply(_datagram(bytes(65_508)))
        self.assertEqual(self.guest.frames(), [])
        self.assertEqual(self.guest.drops(), {"udpLength": 1})

    def test_station(self) -> None:
        """
        A station that is named gets the packet, also one for everybody.
        """
        self.guest.apply(_datagram(b"x", "255.255.255.255", b"\x02other"))
        self.assertEqual(self.guest.frame().dst, "02:6f:74:68:65:72")
        self.guest.apply(_datagram(b"x", "10.0.2.77", b"\x02other"))
        self.assertEqual(self.guest.frame().dst, "02:6f:74:68:65:72")

    def test_broadcast(self) -> None:
        """
        Both addresses of everybody go to every station.
        """
        for destination in ("255.255.255.255", "10.0.2.255"):
            self.guest.apply(_datagram(b"x", destination))
            frame = self.guest.frame()
            self.assertEqual((frame.dst, frame[IP].dst), (BROADCAST_MAC, destination))

    def test_unknownStation(self) -> None:
        """
        An address of the network that was never heard of is asked for, and gets its packet when
        it answers.
        """
        self.guest.apply(_datagram(b"waits", "10.0.2.77"))
        asked = self.guest.frame()
        self.assertEqual((asked.dst, asked[ARP].op), (BROADCAST_MAC, 1))
        self.assertEqual(
            (asked[ARP].psrc, asked[ARP].hwsrc, asked[ARP].pdst),
            (GATEWAY, GATEWAY_MAC, "10.0.2.77"),
        )
        answer = ARP(op=2, hwsrc=GUEST_MAC, psrc="10.0.2.77", hwdst=GATEWAY_MAC, pdst=GATEWAY)
        self.guest.sendFrame(Ether(src=GUEST_MAC, dst=GATEWAY_MAC) / answer)
        frame = self.guest.frame()
        self.assertEqual((frame.dst, frame[IP].dst), (GUEST_MAC, "10.0.2.77"))
        self.assertEqual(frame[Raw].load, b"waits")

    def test_nobodyAnswers(self) -> None:
        """
        It is asked for three times, and then given up.
        """
        self.guest.apply(_datagram(b"waits", "10.0.2.77"))
        asked = len(self.guest.frames())
        while (when := self.guest.stack.nextTimeout()) is not None:
            self.guest.stack.handleTimeout(when)
            asked += len(self.guest.frames())
        self.assertEqual(asked, 3)
        self.assertEqual(self.guest.drops(), {"neighbourUnknown": 1})

    def test_silentGuest(self) -> None:
        """
        A guest that says nothing for longer than a second is asked whether it is still there,
        once a second, and gets its packets meanwhile; one that talks is not asked.
        """
        asked = []
        for tenths in range(45):
            self.guest.now = tenths / 10
            if tenths < 20:
                self.guest.send(Raw(), destination=GATEWAY, proto=17)
            self.guest.apply(_datagram(b"x"))
            frames = self.guest.frames()
            self.assertEqual(sum(UDP in frame for frame in frames), 1)
            asked += [(self.guest.now, frame[ARP].pdst) for frame in frames if ARP in frame]
        self.assertEqual(asked, [(3.0, GUEST), (4.1, GUEST)])

    def test_movedSilently(self) -> None:
        """
        The answer of a guest that has moved is taken for where it is.
        """
        self.guest.now = 5.0
        self.guest.apply(_datagram(b"lost"))
        other = "02:11:22:33:44:55"
        answer = ARP(op=2, hwsrc=other, psrc=GUEST, hwdst=GATEWAY_MAC, pdst=GATEWAY)
        self.guest.sendFrame(Ether(src=other, dst=GATEWAY_MAC) / answer)
        self.guest.frames()
        self.guest.apply(_datagram(b"found"))
        self.assertEqual(self.guest.frame().dst, other)

    def test_unroutable(self) -> None:
        """
        Nothing leaves for addresses that no guest has.
        """
        for destination in ("0.0.0.0", "8.8.8.8", GATEWAY, "10.0.2.0", "224.0.0.1"):
            self.guest.apply(_datagram(b"x", destination))
        self.assertEqual(self.guest.frames(), [])
        self.assertEqual(self.guest.drops(), {"ipUnroutable": 5})
