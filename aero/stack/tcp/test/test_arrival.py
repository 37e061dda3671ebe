"""
Tests for L{aero.stack.tcp.arrival}: what is believed of a segment.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import AcceptTCP, CloseTCP, SendTCP
from aero.stack.events import (
    TCPClosed,
    TCPDataReceived,
    TCPEstablished,
    TCPReadClosed,
)
from aero.stack.tcp import states

from .guest import ISN, ScriptedGuest, mss, shift, stamps

MASK = 0xFFFFFFFF


class EarlyTests(SynchronousTestCase):
    """
    Data of a guest that does not wait for the answer to its SYN (l2.md 16.8, 20.5 L11).
    """

    def test_ackZero(self) -> None:
        """
        Data that acknowledges nothing is taken, and acknowledged by a segment of its own behind
        the answer; the handshake is not complete.
        """
        guest = ScriptedGuest(maxEarly=1024)
        guest.syn(mss(1460))
        guest.write(b"hello", acknowledgment=0)
        self.assertEqual(guest.read(), b"hello")
        answer, acknowledgment = guest.receive()
        self.assertEqual((answer.flags, answer.acknowledgment), ("SA", ISN + 1))
        self.assertEqual((acknowledgment.flags, acknowledgment.acknowledgment), ("A", ISN + 6))
        self.assertEqual(guest.table.stateOf(1), states.SYN_RECEIVED)

    def test_ackZeroAgain(self) -> None:
        """
        A stray acknowledgment of nothing draws no answer and changes nothing (L26).
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.apply(AcceptTCP(1))
        guest.receive()
        guest.send("A", acknowledgment=0)
        self.assertEqual((guest.receive(), guest.taken()), ([], []))
        self.assertEqual(guest.table.stateOf(1), states.SYN_RECEIVED)

    def test_nothingAllowed(self) -> None:
        """
        Where nothing may come early, the first byte ends the connection (L11).
        """
        guest = ScriptedGuest(maxEarly=0)
        guest.syn(mss(1460))
        guest.write(b"hello", acknowledgment=0)
        answer = guest.one()
        self.assertEqual((answer.flags, answer.acknowledgment), ("RA", ISN + 1))
        self.assertEqual(guest.taken(), [TCPClosed(1, "early")])

    def test_asMuchAsAllowed(self) -> None:
        """
        Exactly as much as may come is taken; a byte more ends the connection.
        """
        guest = ScriptedGuest(maxEarly=10)
        guest.syn(mss(1460))
        guest.write(b"0123456789", acknowledgment=0)
        self.assertEqual(guest.read(), b"0123456789")
        guest.receive()
        guest.write(b"x", acknowledgment=0)
        self.assertEqual(guest.one().acknowledgment, ISN + 11)
        self.assertEqual(guest.taken(), [TCPClosed(1, "early")])

    def test_outOfOrder(self) -> None:
        """
        What is not next in order does not come early.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.send("PA", guest.sequence + 1, 0, b"later")
        self.assertEqual((guest.receive(), guest.taken()), ([], []))

    def test_afterHandshake(self) -> None:
        """
        A guest that was answered on credit sees a window of what may come early, and may probe
        it when it is closed without being cut off.
        """
        guest = ScriptedGuest(maxEarly=10)
        guest.syn(mss(1460))
        [(_, answer)] = guest.advance(0.3)
        self.assertEqual(answer.window, 10)
        guest.acknowledgment = answer.sequence + 1
        guest.write(b"0123456789")
        [(_, full)] = guest.advance(0.1)
        self.assertEqual((full.acknowledgment, full.window), (guest.sequence, 0))
        guest.send("A", data=b"x")
        probe = guest.one()
        self.assertEqual((probe.acknowledgment, probe.window), (guest.sequence, 0))
        self.assertEqual(guest.read(), b"0123456789")
        guest.apply(AcceptTCP(1))
        opened = guest.one()
        self.assertGreater(opened.window, 60_000)

    def test_oldConnection(self) -> None:
        """
        An acknowledgment of another connection is reset; the handshake goes on (RFC 9293
        section 3.10.7.4).
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.apply(AcceptTCP(1))
        answer = guest.one()
        guest.send("A", acknowledgment=answer.sequence + 500, data=b"old")
        reset = guest.one()
        self.assertEqual((reset.flags, reset.sequence), ("R", answer.sequence + 500 & MASK))
        guest.send("A", acknowledgment=answer.sequence + 1)
        self.assertEqual(guest.taken(), [TCPEstablished(1)])


class BlindTests(SynchronousTestCase):
    """
    Segments that somebody guesses (RFC 5961).
    """

    def setUp(self) -> None:
        """
        A connection on which something was sent and acknowledged.
        """
        self.guest = ScriptedGuest()
        self.guest.connect()

    def challenged(self) -> None:
        """
        The guest is told what we expect, and nothing else happens.
        """
        answer = self.guest.one()
        self.assertEqual(
            (answer.flags, answer.sequence, answer.acknowledgment),
            ("A", self.guest.acknowledgment, self.guest.sequence),
        )
        self.assertEqual(self.guest.taken(), [])
        self.assertEqual(self.guest.table.stateOf(1), states.ESTABLISHED)

    def test_resetInWindow(self) -> None:
        """
        A reset that is in the window but not next in order is challenged.
        """
        self.guest.send("R", self.guest.sequence + 1)
        self.challenged()

    def test_resetOutside(self) -> None:
        """
        A reset outside the window is ignored.
        """
        for offset in (-1, 70_000, 2**31):
            self.guest.send("R", self.guest.sequence + offset)
        self.assertEqual((self.guest.receive(), self.guest.taken()), ([], []))

    def test_syn(self) -> None:
        """
        A SYN is challenged, wherever it is; a guest that really began again answers that with a
        reset, and its next SYN opens a connection.
        """
        for sequence in (self.guest.sequence, self.guest.sequence + 2**31, ISN):
            self.guest.send("S", sequence, 0)
            self.challenged()
        self.guest.send("R")
        self.assertEqual(self.guest.taken(), [TCPClosed(1, "reset")])
        self.guest.send("S", 99, 0)
        self.assertEqual(len(self.guest.taken()), 1)

    def test_data(self) -> None:
        """
        Data with an acknowledgment of what was never sent, or of what was long ago, is not
        taken.
        """
        for acknowledgment in (1, 2**31, -100_000):
            self.guest.send(
                "A", acknowledgment=self.guest.acknowledgment + acknowledgment, data=b"evil"
            )
            self.challenged()
        self.assertEqual(self.guest.drops["tcp acknowledgment"], 3)

    def test_oldAcknowledgment(self) -> None:
        """
        An acknowledgment that is only a little old does not keep its data out.
        """
        self.guest.send("A", acknowledgment=self.guest.acknowledgment - 1, data=b"fine")
        self.assertEqual(self.guest.read(), b"fine")

    def test_rate(self) -> None:
        """
        There are at most ten challenges in a second.
        """
        answers = 0
        for _ in range(30):
            self.guest.send("S", ISN, 0)
            answers += len(self.guest.receive())
        self.assertEqual(answers, 10)
        self.assertEqual(self.guest.drops["tcp challenge limit"], 20)
        self.guest.advance(1.0)
        self.guest.send("S", ISN, 0)
        self.challenged()

    def test_flags(self) -> None:
        """
        A segment without an acknowledgment is not taken.
        """
        self.guest.send("P", data=b"data")
        self.guest.send("F")
        self.assertEqual((self.guest.receive(), self.guest.taken()), ([], []))


class OldTests(SynchronousTestCase):
    """
    Segments of the past (RFC 7323 section 5).
    """

    def setUp(self) -> None:
        """
        A connection with timestamps.
        """
        self.guest = ScriptedGuest()
        self.guest.stamp = 0xFFFFFFF8
        self.guest.connect(mss(1460) + stamps(0xFFFFFFF0, 0))

    def test_older(self) -> None:
        """
        A segment with a timestamp older than the last is answered and thrown away.
        """
        self.guest.send("A", data=b"old", options=stamps(0xFFFFFFF7, 0))
        self.assertEqual(self.guest.one().acknowledgment, self.guest.sequence)
        self.assertEqual(self.guest.taken(), [])
        self.assertEqual(self.guest.drops["tcp timestamp"], 1)

    def test_wrapped(self) -> None:
        """
        Timestamps wrap.
        """
        self.guest.write(b"new", options=stamps(4, 0))
        self.assertEqual(self.guest.read(), b"new")
        self.assertEqual(self.guest.one().stamps[1], 4)

    def test_resetWithOldStamp(self) -> None:
        """
        A reset is judged by its sequence number alone.
        """
        self.guest.send("R", options=stamps(0, 0))
        self.assertEqual(self.guest.taken(), [TCPClosed(1, "reset")])

    def test_without(self) -> None:
        """
        A segment without the timestamp is taken.
        """
        self.guest.write(b"bare")
        self.assertEqual(self.guest.read(), b"bare")

    def test_echo(self) -> None:
        """
        The echo is that of the first segment that is acknowledged, not of the last (RFC 7323
        section 4.3).
        """
        for count in range(4):
            self.guest.write(b"x", options=stamps(10 + count, 0))
            self.guest.receive()
        self.guest.write(b"a", options=stamps(20, 0))
        self.guest.write(b"b", options=stamps(21, 0))
        self.assertEqual(self.guest.one().stamps[1], 20)

    def test_notAgreed(self) -> None:
        """
        Timestamps that were not agreed on mean nothing.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.write(b"one", options=stamps(100, 0))
        guest.write(b"two", options=stamps(50, 0))
        self.assertEqual(guest.read(), b"onetwo")
        self.assertNotIn(8, guest.one().options)


class DataTests(SynchronousTestCase):
    """
    Data and FINs.
    """

    def setUp(self) -> None:
        """
        A connection.
        """
        self.guest = ScriptedGuest()
        self.guest.connect()

    def test_repeated(self) -> None:
        """
        What came already is acknowledged at once and does not come out again; only what is new
        of an overlap does.
        """
        guest = self.guest
        guest.write(b"hello")
        guest.receive()
        guest.send("A", guest.sequence - 5, data=b"hello")
        self.assertEqual(guest.one().acknowledgment, guest.sequence)
        guest.send("A", guest.sequence - 3, data=b"llo world")
        guest.sequence += 6
        self.assertEqual(guest.one().acknowledgment, guest.sequence)
        self.assertEqual(guest.read(), b"hello world")

    def test_gap(self) -> None:
        """
        What is beyond a gap waits, and each such segment gets an acknowledgment of its own when
        the guest has no other way to know.
        """
        guest = self.guest
        guest.send("A", guest.sequence + 5, data=b"world")
        guest.send("A", guest.sequence + 10, data=b"!")
        self.assertEqual(
            [segment.acknowledgment for segment in guest.receive()], [guest.sequence] * 2
        )
        self.assertEqual(guest.taken(), [])
        guest.write(b"hello")
        self.assertEqual(guest.taken(), [TCPDataReceived(1, b"helloworld!")])
        self.assertEqual(guest.one().acknowledgment, guest.sequence + 6 & MASK)

    def test_synWithData(self) -> None:
        """
        Data with a SYN is left for the guest to send again (l2.md W18).
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460), data=b"early")
        guest.apply(AcceptTCP(1))
        answer = guest.one()
        self.assertEqual(answer.acknowledgment, ISN + 1)
        guest.acknowledgment = answer.sequence + 1
        guest.write(b"early")
        self.assertEqual(guest.read(), b"early")

    def test_urgent(self) -> None:
        """
        Urgent data is data (RFC 6093).
        """
        self.guest.write(b"ab!", "UA", urgent=2)
        self.assertEqual(self.guest.read(), b"ab!")

    def test_finWithData(self) -> None:
        """
        A FIN counts behind the data it comes with.
        """
        guest = self.guest
        guest.write(b"last", "FPA")
        self.assertEqual(guest.taken(), [TCPDataReceived(1, b"last"), TCPReadClosed(1)])
        self.assertEqual(guest.one().acknowledgment, guest.sequence + 1)

    def test_finBeyondGap(self) -> None:
        """
        A FIN waits for what is missing before it (l2.md W9).
        """
        guest = self.guest
        guest.send("FA", guest.sequence + 5, data=b"world")
        self.assertEqual(guest.one().acknowledgment, guest.sequence)
        self.assertEqual(guest.taken(), [])
        guest.write(b"hello")
        self.assertEqual(guest.taken(), [TCPDataReceived(1, b"helloworld"), TCPReadClosed(1)])
        self.assertEqual(guest.one().acknowledgment, guest.sequence + 6)

    def test_finAgain(self) -> None:
        """
        A FIN that comes again is acknowledged again, and so is data behind it, which is not
        taken.
        """
        guest = self.guest
        guest.send("FA")
        guest.receive()
        guest.taken()
        for more in (b"", b"x"):
            guest.send("FA", guest.sequence + len(more), data=more)
            self.assertEqual(guest.one().acknowledgment, guest.sequence + 1)
        self.assertEqual(guest.taken(), [])

    def test_halfClosed(self) -> None:
        """
        A guest that has closed still gets everything (l2.md W7), and so does an outside that
        has.
        """
        guest = self.guest
        guest.write(b"request", "FPA")
        guest.sequence += 1
        guest.receive()
        guest.apply(SendTCP(1, b"response"))
        self.assertEqual(guest.one().data, b"response")
        other = ScriptedGuest()
        other.connect()
        other.apply(CloseTCP(1))
        self.assertEqual(other.one().flags, "FA")
        other.acknowledgment += 1
        for _ in range(3):
            other.write(b"upload")
        self.assertEqual(other.read(), b"upload" * 3)

    def test_window(self) -> None:
        """
        The window is scaled as agreed, but never that of a SYN.
        """
        guest = ScriptedGuest()
        guest.window = 300
        guest.connect(mss(1460) + shift(2), window=3)
        guest.apply(SendTCP(1, bytes(5000)))
        self.assertEqual(sum(len(segment.data) for segment in guest.receive()), 1200)

    def test_keepaliveOfGuest(self) -> None:
        """
        A probe of the guest, one below the window, is answered.
        """
        guest = self.guest
        for data in (b"", b"\0"):
            guest.send("A", guest.sequence - 1, data=data)
            self.assertEqual(guest.one().acknowledgment, guest.sequence)
        self.assertEqual(guest.taken(), [])
