"""
Tests for L{aero.stack.icmp}.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.packet import Raw
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import RefuseEcho, RefuseUDP, SendEchoReply
from aero.stack.events import EchoRequested, ICMPErrorReceived

from .fixtures import GATEWAY, GUEST, REMOTE, Guest, number

#: From the transcript of the reference (l2.md section 16.5).
ASKED = (
    "02000000000102aabbccddee08004500002000014000400122cc0a00020f0a000202080006fa1234000170696e67"
)
ANSWERED = (
    "02aabbccddee020000000001080045000020000a4000400122c30a0002020a00020f00000efa1234000170696e67"
)


class EchoTests(SynchronousTestCase):
    """
    Echo.
    """

    def setUp(self) -> None:
        """
        A guest.
        """
        self.guest = Guest(owned=(number("10.0.2.3"),))

    def test_golden(self) -> None:
        """
        The gateway answers as the reference does, but for the number of the packet.
        """
        self.guest.sendFrame(bytes.fromhex(ASKED))
        (frame,) = self.guest.stack.framesToSend(0.0)
        expected = bytes.fromhex(ANSWERED)
        self.assertEqual(
            frame[:18] + frame[20:24] + frame[26:], expected[:18] + expected[20:24] + expected[26:]
        )

    def test_owned(self) -> None:
        """
        Every address of the LAN answers, and nothing of it is news for the outside.
        """
        self.guest.send(ICMP(id=3, seq=65_535) / Raw(b"odd"), destination="10.0.2.3")
        frame = self.guest.frame()
        self.assertEqual((frame[IP].src, frame[IP].dst), ("10.0.2.3", GUEST))
        self.assertEqual((frame[ICMP].type, frame[ICMP].id, frame[ICMP].seq), (0, 3, 65_535))
        self.assertEqual(frame[Raw].load, b"odd")
        self.assertEqual(self.guest.events(), [])

    def test_large(self) -> None:
        """
        A ping larger than the MTU comes back in fragments.
        """
        request = IP(src=GUEST, dst=GATEWAY, id=5) / ICMP(id=1, seq=2) / Raw(bytes(4_000))
        for piece in request.fragment(1_480):
            self.guest.send(
                piece[IP].payload,
                destination=GATEWAY,
                id=5,
                proto=1,
                flags=piece.flags,
                frag=piece.frag,
            )
        frames = self.guest.frames()
        self.assertEqual([len(frame[IP]) for frame in frames], [1_500, 1_500, 1_068])

    def test_outside(self) -> None:
        """
        A ping for somebody else is for the outside to send, one hop further.
        """
        self.guest.send(ICMP(id=7, seq=8) / Raw(b"far"), ttl=9)
        self.assertEqual(
            self.guest.events(), [EchoRequested(number(GUEST), number(REMOTE), 7, 8, b"far", 8)]
        )
        self.assertEqual(self.guest.frames(), [])

    def test_reply(self) -> None:
        """
        The answer of the outside reaches the guest as from there.
        """
        self.guest.send(ICMP(id=7, seq=8) / Raw(b"far"))
        self.guest.apply(SendEchoReply(number(REMOTE), number(GUEST), 7, 8, b"far", 55))
        frame = self.guest.frame()
        self.assertEqual((frame[IP].src, frame[IP].ttl), (REMOTE, 55))
        self.assertEqual((frame[ICMP].type, frame[ICMP].id, frame[ICMP].seq), (0, 7, 8))
        self.assertEqual(frame[Raw].load, b"far")

    def test_malformed(self) -> None:
        """
        Messages that are damaged or cut short, of other types and codes, and requests for
        everybody get no answer.
        """
        self.guest.send(ICMP(chksum=1) / Raw(b"x"), destination=GATEWAY)
        self.assertEqual(self.guest.drops(), {"icmpChecksum": 1})
        self.guest.send(Raw(b"\x08\x00\xf7\xff\x00\x00\x00"), destination=GATEWAY, proto=1)
        self.assertEqual(self.guest.drops(), {"icmpShort": 1})
        for kind, code in ((0, 0), (8, 1), (13, 0), (17, 0), (5, 1), (4, 0), (255, 0)):
            self.guest.send(ICMP(type=kind, code=code), destination=GATEWAY)
        self.assertEqual(self.guest.drops(), {"icmpType": 7})
        self.guest.send(ICMP(), destination="10.0.2.255")
        self.guest.send(ICMP(), destination="255.255.255.255")
        self.assertEqual(self.guest.drops(), {"ipBroadcast": 2})
        self.assertEqual((self.guest.frames(), self.guest.events()), ([], []))


class ErrorsSentTests(SynchronousTestCase):
    """
    What the gateway tells the guest.
    """

    def setUp(self) -> None:
        """
        A guest that may be told ten things.
        """
        self.guest = Guest(icmpErrorsPerSecond=10.0)

    def test_quote(self) -> None:
        """
        An error repeats the packet, as much of it as fits in 576 bytes.
        """
        for size, quoted in ((0, 28), (30, 58), (520, 548), (1_000, 548)):
            self.guest.send(UDP(sport=5, dport=33_434) / Raw(bytes(size)), ttl=1)
            frame = self.guest.frame()
            self.assertEqual((frame[ICMP].type, frame[ICMP].code), (11, 0))
            self.assertEqual((frame[IP].src, frame[IP].dst), (GATEWAY, GUEST))
            self.assertEqual(frame[IP].len - 28, quoted)
            self.assertEqual((frame[UDPerror].sport, frame[UDPerror].dport), (5, 33_434))

    def test_fromTCP(self) -> None:
        """
        TCP may tell as well, at once and in front of its segments.
        """
        self.guest.send(TCP(sport=1_025, dport=80, flags="S"))
        ((packet, *_),) = self.guest.table.segments
        self.guest.table.sendICMP(3, 13, packet, 0)
        frame = self.guest.frame()
        self.assertEqual((frame[ICMP].type, frame[ICMP].code), (3, 13))
        self.assertEqual((frame[TCPerror].sport, frame[TCPerror].dport), (1_025, 80))

    def test_refuseEcho(self) -> None:
        """
        A ping that is refused comes back in an error of the gateway's, right to its checksum.
        """
        self.guest.send(UDP())
        self.guest.apply(RefuseEcho(number(GUEST), number(REMOTE), 7, 8, b"data" * 200, 13))
        frame = self.guest.frame()
        self.assertEqual((frame[IP].src, frame[IP].dst, frame[IP].len), (GATEWAY, GUEST, 576))
        self.assertEqual((frame[ICMP].type, frame[ICMP].code), (3, 13))
        quoted = frame[IPerror]
        self.assertEqual((quoted.src, quoted.dst, quoted.len), (GUEST, REMOTE, 828))
        asked = IP(src=GUEST, dst=REMOTE) / ICMP(id=7, seq=8) / Raw(b"data" * 200)
        self.assertEqual(bytes(frame)[62:], bytes(asked)[20:548])

    def test_never(self) -> None:
        """
        No error is about an error, a fragment other than the first, a packet for everybody or a
        group, or goes to somebody who cannot be one guest.
        """
        quoted = IP(src=REMOTE, dst=GUEST) / UDP(sport=1, dport=2)
        for kind in (3, 4, 5, 11, 12):
            self.guest.send(ICMP(type=kind) / quoted, ttl=1)
        self.assertEqual(self.guest.drops(), {"ipTTL": 5, "icmpForbidden": 5})
        self.guest.send(UDP(), ttl=1, frag=1)
        self.guest.send(UDP(), ttl=1, frag=256)
        self.assertEqual(self.guest.drops(), {"ipTTL": 2, "icmpForbidden": 2})
        for source, destination in (
            (GUEST, "10.0.2.255"),
            (GUEST, "255.255.255.255"),
            (GUEST, "224.0.0.251"),
            ("0.0.0.0", REMOTE),
            (GATEWAY, REMOTE),
            ("8.8.8.8", REMOTE),
        ):
            self.guest.apply(RefuseUDP(number(source), 1, number(destination), 2, 0, 3))
        self.assertEqual(self.guest.drops(), {"icmpForbidden": 6})
        self.assertEqual(self.guest.frames(), [])

    def test_firstFragment(self) -> None:
        """
        An error about the first fragment is fine, and so is one about a ping.
        """
        self.guest.send(UDP(), ttl=1, flags="MF")
        self.guest.send(ICMP(), ttl=1)
        self.assertEqual(len(self.guest.frames()), 2)

    def test_rate(self) -> None:
        """
        More than so many a second are not sent.
        """
        for _ in range(15):
            self.guest.send(UDP(), ttl=1)
        self.assertEqual(len(self.guest.frames()), 10)
        self.assertEqual(self.guest.drops(), {"ipTTL": 15, "icmpRate": 5})
        self.guest.now = 0.35
        for _ in range(15):
            self.guest.send(UDP(), ttl=1)
        self.assertEqual(len(self.guest.frames()), 3)
        self.guest.now = 1_000.0
        for _ in range(15):
            self.guest.send(UDP(), ttl=1)
        self.assertEqual(len(self.guest.frames()), 10)

    def test_off(self) -> None:
        """
        With a rate of zero there are none.
        """
        guest = Guest(icmpErrorsPerSecond=0.0)
        guest.send(UDP(), ttl=1)
        self.assertEqual(guest.frames(), [])

    def test_reassembly(self) -> None:
        """
        A packet that stays incomplete is reported (RFC 1122 section 3.3.2).
        """
        self.guest.send(UDP(sport=9, dport=10) / Raw(bytes(40)), flags="MF", id=77)
        self.guest.stack.handleTimeout(30.0)
        # In front of it is a question, as the guest has been silent for long.
        frame = self.guest.frames()[-1]
        self.assertEqual((frame[ICMP].type, frame[ICMP].code), (11, 1))
        self.assertEqual((frame[IPerror].id, frame[UDPerror].sport), (77, 9))
        self.assertEqual(self.guest.drops(), {"fragmentTimeout": 1})


class ErrorsReceivedTests(SynchronousTestCase):
    """
    What the guest tells about packets it was sent.
    """

    def setUp(self) -> None:
        """
        A guest.
        """
        self.guest = Guest()

    def _refuse(self, quoted: Any, kind: int = 3, code: int = 3, **fields: Any) -> None:
        self.guest.send(ICMP(type=kind, code=code, **fields) / quoted)

    def test_udp(self) -> None:
        """
        A datagram that the guest refuses is named by the ports of both ends.
        """
        self._refuse(IP(src=REMOTE, dst=GUEST) / UDP(sport=53, dport=4_000) / Raw(b"answer"))
        self.assertEqual(
            self.guest.events(), [ICMPErrorReceived(3, 3, 17, number(REMOTE), 53, 4_000)]
        )

    def test_tcp(self) -> None:
        """
        TCP decides for itself what it believes.
        """
        segment = TCP(sport=80, dport=4_000, seq=0xDEADBEEF)
        self._refuse(IP(src=REMOTE, dst=GUEST) / segment, code=13)
        self._refuse(IP(src=REMOTE, dst=GUEST) / segment, code=4, nexthopmtu=1_300)
        self._refuse(IP(src=REMOTE, dst=GUEST) / segment, kind=12, code=0)
        remote, guest = number(REMOTE), number(GUEST)
        self.assertEqual(
            self.guest.table.errors,
            [
                (kind, code, remote, 80, guest, 4_000, 0xDEADBEEF, mtu, 0.0)
                for kind, code, mtu in ((3, 13, 0), (3, 4, 1_300), (12, 0, 0))
            ],
        )

    def test_truncated(self) -> None:
        """
        The ports are enough; with less the message says nothing.
        """
        quoted = bytes(IP(src=REMOTE, dst=GUEST, len=99) / UDP(sport=53, dport=4_000))
        for length in range(len(quoted)):
            self._refuse(Raw(quoted[:length]))
        self.assertEqual(self.guest.drops(), {"icmpQuote": len(quoted)})
        self._refuse(Raw(quoted))
        self.assertEqual(len(self.guest.events()), 1)

    def test_options(self) -> None:
        """
        Options of the packet that is quoted are skipped.
        """
        quoted = IP(src=REMOTE, dst=GUEST, options=b"\x94\x04\x00\x00") / UDP(sport=53, dport=4_000)
        self._refuse(quoted)
        (event,) = self.guest.events()
        self.assertEqual(event[4:], (53, 4_000))

    def test_notOurs(self) -> None:
        """
        A packet that cannot have been sent to this guest, one that is no first fragment, and one
        of another protocol are not believed.
        """
        for quoted in (
            IP(src="8.8.8.8", dst=GUEST) / UDP(),
            IP(src=REMOTE, dst="10.0.2.16") / UDP(),
            IP(src=REMOTE, dst=GUEST, frag=1) / UDP(),
            IP(src=REMOTE, dst=GUEST) / ICMP(),
            Raw(b"\x65" + bytes(40)),
            Raw(b"\x44" + bytes(40)),
        ):
            self._refuse(quoted)
        self.assertEqual(self.guest.drops(), {"icmpQuote": 6})
        self.assertEqual((self.guest.events(), self.guest.table.errors), ([], []))
