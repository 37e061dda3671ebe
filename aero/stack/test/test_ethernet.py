"""
Tests for L{aero.stack.ethernet}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.ethernet import Ethernet

OWN, STATION, TYPE = b"\x02\0\0\0\0\x01", b"\x02guest", b"\x88\xb5"


class Receiver:
    """
    Keeps what it gets.
    """

    def __init__(self) -> None:
        self.received: list[tuple[bytes, float]] = []

    def frameReceived(self, frame: bytes, now: float) -> None:
        """
        Keep it.
        """
        self.received.append((frame, now))


class EthernetTests(SynchronousTestCase):
    """
    L{Ethernet}.
    """

    def setUp(self) -> None:
        """
        A link with one type.
        """
        self.drops: list[str] = []
        self.ethernet = Ethernet(OWN, self.drops.append)
        self.receiver = self.ethernet.types[TYPE] = Receiver()

    def test_handedOn(self) -> None:
        """
        A frame of a registered type is handed on whole, whomever it is for.
        """
        for destination in (OWN, b"\xff" * 6, b"\x02other"):
            frame = destination + STATION + TYPE + b"payload"
            self.ethernet.frameReceived(frame, 1.5)
            self.assertEqual(self.receiver.received.pop(), (frame, 1.5))
        self.ethernet.frameReceived(OWN + STATION + TYPE, 2.0)
        self.assertEqual(len(self.receiver.received), 1)

    def test_short(self) -> None:
        """
        Less than a header is no frame.
        """
        for length in range(14):
            self.ethernet.frameReceived((OWN + STATION + TYPE)[:length], 0.0)
        self.assertEqual(self.drops, ["frameShort"] * 14)

    def test_types(self) -> None:
        """
        Other types, tags of VLANs and the lengths of IEEE 802.3 are ignored.
        """
        for kind in (b"\x81\x00", b"\x86\xdd", b"\x00\x2e", b"\x00\x00"):
            self.ethernet.frameReceived(OWN + STATION + kind + bytes(46), 0.0)
        self.assertEqual(self.drops, ["frameType"] * 4)
        self.assertEqual(self.receiver.received, [])

    def test_sources(self) -> None:
        """
        Nobody sends from a group address, and the guest is not the gateway.
        """
        for source in (OWN, b"\xff" * 6, b"\x01\0\x5e\0\0\x01"):
            self.ethernet.frameReceived(OWN + source + TYPE, 0.0)
        self.assertEqual(self.drops, ["frameSource"] * 3)
        self.assertEqual(self.receiver.received, [])
