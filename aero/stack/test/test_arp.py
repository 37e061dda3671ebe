"""
Tests for L{aero.stack.arp}.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.l2 import ARP, Ether
from twisted.trial.unittest import SynchronousTestCase

from .fixtures import BROADCAST_MAC, GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, Guest, number

#: From the transcript of the reference (l2.md section 16.3).
ASKED = "ffffffffffff02aabbccddee0806000108000604000102aabbccddee0a00020f0000000000000a000202"
ANSWERED = "02aabbccddee020000000001080600010800060400020200000000010a00020202aabbccddee0a00020f"

OTHER_MAC = "02:11:22:33:44:55"


class ARPTests(SynchronousTestCase):
    """
    L{aero.stack.arp.ARP} in its stack.
    """

    def setUp(self) -> None:
        """
        A guest.
        """
        self.guest = Guest(owned=(number("10.0.2.3"),))

    def _send(self, destination: str = BROADCAST_MAC, **fields: Any) -> None:
        fields = {"hwsrc": GUEST_MAC, "psrc": GUEST, "pdst": GATEWAY, **fields}
        self.guest.sendFrame(Ether(src=fields["hwsrc"], dst=destination) / ARP(**fields))

    def test_golden(self) -> None:
        """
        The gateway answers as the reference does, with padding behind the question as well.
        """
        for padding in (b"", bytes(18)):
            self.guest.sendFrame(bytes.fromhex(ASKED) + padding)
            answer = self.guest.stack.framesToSend(0.0)
            self.assertEqual(answer, [bytes.fromhex(ANSWERED)])

    def test_probe(self) -> None:
        """
        A guest without an address that probes the gateway's is told that it is taken.
        """
        self._send(psrc="0.0.0.0")
        answer = self.guest.frame()
        self.assertEqual((answer.op, answer.psrc, answer.pdst), (2, GATEWAY, "0.0.0.0"))
        self.assertEqual(answer.dst, GUEST_MAC)

    def test_owned(self) -> None:
        """
        Further addresses of the LAN are answered for.
        """
        self._send(pdst="10.0.2.3")
        self.assertEqual(self.guest.frame().psrc, "10.0.2.3")

    def test_silent(self) -> None:
        """
        Nobody answers for the address on offer, for any other, for the outside, or to an answer.
        """
        for target in (GUEST, "10.0.2.99", "8.8.8.8", "0.0.0.0", "255.255.255.255"):
            self._send(pdst=target, psrc="0.0.0.0")
            self._send(pdst=target)
        self._send(op=2)
        self._send(op=3)
        self.assertEqual(self.guest.frames(), [])

    def test_malformed(self) -> None:
        """
        What is cut short or not for IPv4 over Ethernet is dropped.
        """
        frame = bytes.fromhex(ASKED)
        for length in range(14, len(frame)):
            self.guest.sendFrame(frame[:length])
        self._send(hwtype=6)
        self._send(ptype=0x86DD)
        self.assertEqual(self.guest.drops(), {"arpMalformed": len(frame) - 14 + 2})
        self.assertEqual(self.guest.frames(), [])

    def test_badSender(self) -> None:
        """
        Nobody is at a group address or at the gateway's MAC address.
        """
        for sender in (BROADCAST_MAC, "01:00:5e:00:00:01", GATEWAY_MAC):
            packet = ARP(hwsrc=sender, psrc=GUEST, pdst=GATEWAY)
            self.guest.sendFrame(Ether(src=GUEST_MAC, dst=BROADCAST_MAC) / packet)
        self.assertEqual(self.guest.drops(), {"arpSender": 3})
        self.assertEqual(self.guest.frames(), [])

    def test_conflict(self) -> None:
        """
        Who claims the gateway's address is contradicted, every ten seconds at most.
        """
        for self.guest.now in (0.0, 1.0, 9.9):
            self._send(psrc=GATEWAY)
        announced = self.guest.frame()
        self.assertEqual(announced.dst, BROADCAST_MAC)
        self.assertEqual(
            (announced.op, announced.hwsrc, announced.psrc, announced.pdst),
            (1, GATEWAY_MAC, GATEWAY, GATEWAY),
        )
        self.guest.now = 10.0
        self._send(psrc=GATEWAY)
        self.assertEqual(len(self.guest.frames()), 1)
        self.assertEqual(self.guest.drops(), {"arpConflict": 4})

    def test_learns(self) -> None:
        """
        Requests, answers and announcements teach where the guest is; probes and addresses of
        other networks do not.
        """
        stations = self.guest.stack.stations
        self._send(op=2, destination=GATEWAY_MAC)
        self.assertEqual(stations, {number(GUEST): bytes.fromhex("02aabbccddee")})
        self._send(hwsrc=OTHER_MAC, pdst=GUEST)
        self.assertEqual(stations, {number(GUEST): bytes.fromhex("021122334455")})
        self._send(psrc="0.0.0.0")
        self._send(psrc="192.168.1.5")
        self.assertEqual(len(stations), 1)
