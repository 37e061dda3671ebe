"""
The transcript of the reference's stack (C{l2-golden-frames.txt}), its frames without TCP: each
goes in, and what comes out is compared in what a guest can tell.

Where the two differ on purpose, the test says so. What needs more than the stack, connections
and what DHCP and DNS answer, C{tests.test_l2golden} plays through a tunnel.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import SendUDP
from aero.stack.events import EchoRequested, UDPReceived
from aero.testing.vectors import loadText
from aero.wire.ipv4 import addressText

from .fixtures import GATEWAY, GUEST, REMOTE, Guest, number


def transcript() -> dict[str, tuple[list[bytes], list[bytes]]]:
    """
    Frames in and out by the title of the situation.

    @raise SkipTest: The vectors are not here.
    """
    situations: dict[str, tuple[list[bytes], list[bytes]]] = {}
    received: list[bytes] = []
    sent: list[bytes] = []
    for line in loadText("l2-golden-frames.txt").splitlines():
        if line.startswith("## "):
            received, sent = situations.setdefault(line[3:], ([], []))
        elif line.startswith("in  ("):
            received.append(bytes.fromhex(line.split(": ")[1]))
        elif line.startswith("out (") and not line.endswith("..."):
            sent.append(bytes.fromhex(line.split(": ")[1]))
    return situations


def _comparable(frame: bytes) -> bytes:
    """
    A frame without the number of its packet, and the header checksum that goes with it.
    """
    if frame[12:14] != b"\x08\x00":
        return frame
    return frame[:18] + frame[20:24] + frame[26:]


class TranscriptTests(SynchronousTestCase):
    """
    The same frames in, the same out.
    """

    def setUp(self) -> None:
        """
        A guest, and the transcript.
        """
        self.guest = Guest()
        self.situations = transcript()

    def _feed(self, title: str) -> list[bytes]:
        """
        What comes out for the frames of a situation.
        """
        for frame in self.situations[title][0]:
            self.guest.sendFrame(frame)
        return self.guest.stack.framesToSend(0.0)

    def test_same(self) -> None:
        """
        ARP and the gateway's echo, and the silence about what is nobody's.
        """
        for title in (
            "ARP who-has 10.0.2.2",
            "ARP who-has 10.0.2.3",
            "ARP who-has 10.0.2.15 (probe)",
            "ARP probe for gw",
            "ICMP echo gw",
            "VLAN tagged",
            "IPv6",
        ):
            self.assertTrue(self.situations[title][0], title)
            self.assertEqual(
                [_comparable(frame) for frame in self._feed(title)],
                [_comparable(frame) for frame in self.situations[title][1]],
                title,
            )
        self.assertEqual(self.guest.events(), [])

    def test_datagrams(self) -> None:
        """
        Each datagram is handed on with who it is from and for; DHCP, DNS and all.
        """
        for title, source, sourcePort, destination, port, size in (
            ("DHCPDISCOVER", "0.0.0.0", 68, "255.255.255.255", 67, 244),
            ("DHCPREQUEST", "0.0.0.0", 68, "255.255.255.255", 67, 256),
            ("DNS A", GUEST, 53_000, GATEWAY, 53, 28),
            ("DNS EDNS", GUEST, 53_000, GATEWAY, 53, 30),
            ("UDP out", GUEST, 50_000, REMOTE, 9_999, 2),
            ("UDP to 10.0.2.2:123", GUEST, 50_000, GATEWAY, 123, 2),
            ("UDP broadcast", GUEST, 137, "10.0.2.255", 137, 2),
            ("UDP 53 to 8.8.8.8", GUEST, 53_000, "8.8.8.8", 53, 19),
        ):
            self.assertEqual(self._feed(title), [], title)
            (event,) = self.guest.events()
            assert isinstance(event, UDPReceived)
            self.assertEqual(
                (addressText(event.source), event.sourcePort), (source, sourcePort), title
            )
            self.assertEqual(
                (addressText(event.destination), event.destinationPort), (destination, port), title
            )
            self.assertEqual(len(event.data), size, title)
            self.assertEqual(event.hardwareAddress.hex(), "02aabbccddee")

    def test_datagramBack(self) -> None:
        """
        The answer is the frame of the reference.
        """
        self._feed("UDP out")
        self.guest.apply(SendUDP(number(REMOTE), 9_999, number(GUEST), 50_000, b"ok"))
        self.assertEqual(
            [_comparable(frame) for frame in self.guest.stack.framesToSend(0.0)],
            [_comparable(frame) for frame in self.situations["UDP in"][1]],
        )

    def test_beforeDHCP(self) -> None:
        """
        Different on purpose: the reference drops all but ARP, DHCP and DNS of a guest that did
        not ask DHCP. Here a guest with a static address works.
        """
        self._feed("UDP before DHCP")
        self.assertEqual(len(self.guest.events()), 1)
        self._feed("TCP SYN before DHCP")
        self.assertEqual(len(self.guest.table.segments), 1)
        self.assertEqual(len(self._feed("ICMP before DHCP")), 1)

    def test_pingOutside(self) -> None:
        """
        Different on purpose: a ping to the outside is not lost but asked of the outside.
        """
        self.assertEqual(self._feed("ICMP echo 8.8.8.8"), [])
        self.assertEqual(
            self.guest.events(),
            [EchoRequested(number(GUEST), number("8.8.8.8"), 0x1234, 1, b"ping", 63)],
        )

    def test_fragments(self) -> None:
        """
        Different on purpose: fragments are put together, and none of them is taken for a packet.
        """
        self._feed("UDP frag 1 (len>payload)")
        self.assertEqual(self.guest.events(), [])
        self._feed("UDP frag 2")
        (event,) = self.guest.events()
        assert isinstance(event, UDPReceived)
        self.assertEqual((event.destinationPort, event.data), (9_999, b"U" * 100))
        self._feed("non-first fragment parsed as header")
        self.assertEqual(self.guest.events(), [])

    def test_spoofed(self) -> None:
        """
        Different on purpose: a packet from an address that is not the guest's is dropped.
        """
        self._feed("spoofed src ip")
        self.assertEqual((self.guest.events(), self.guest.drops()), ([], {"ipSource": 1}))

    def test_accepted(self) -> None:
        """
        Every frame of the transcript is accepted, but for those that are not to be.
        """
        refused = {"VLAN tagged", "IPv6", "spoofed src ip"}
        for title, (received, _) in self.situations.items():
            for frame in received:
                self.guest.sendFrame(frame)
            drops = self.guest.drops()
            self.assertEqual(bool(drops), title in refused, f"{title}: {drops}")
