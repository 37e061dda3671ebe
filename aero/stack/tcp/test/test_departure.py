"""
Tests for L{aero.stack.tcp.departure} and L{aero.stack.tcp.connection}: when something is
acknowledged, what windows are told, and what the timers of a connection do.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import TCP
from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import AcceptTCP, CloseTCP, ConsumeTCP, SendTCP
from aero.stack.events import TCPClosed, TCPDataReceived, TCPWriteReady
from aero.stack.tcp import states

from .guest import SACK_PERMITTED, ScriptedGuest, mss, shift, stamps


class AcknowledgmentTests(SynchronousTestCase):
    """
    When data is acknowledged (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2).
    """

    def settled(self, options: bytes = mss(1460), **settings: Any) -> ScriptedGuest:
        """
        A connection on which the first segments, which are acknowledged at once, have passed.
        """
        guest = ScriptedGuest(**settings)
        guest.connect(options)
        for _ in range(4):
            guest.write(b"first")
            assert guest.one().flags == "A"
        guest.taken()
        return guest

    def test_second(self) -> None:
        """
        Every second segment is acknowledged at once.
        """
        guest = self.settled()
        guest.write(b"one")
        self.assertEqual(guest.receive(), [])
        guest.write(b"two")
        self.assertEqual(guest.one().acknowledgment, guest.sequence)

    def test_alone(self) -> None:
        """
        A single one is acknowledged after a moment.
        """
        guest = self.settled(delayedAck=0.05)
        guest.write(b"one")
        [(at, segment)] = guest.advance(1.0)
        self.assertAlmostEqual(at, 0.05)
        self.assertEqual((segment.flags, segment.acknowledgment), ("A", guest.sequence))

    def test_batch(self) -> None:
        """
        Whatever came in one read is acknowledged together.
        """
        guest = self.settled()
        for _ in range(20):
            guest.write(bytes(1000))
        self.assertEqual(guest.one().acknowledgment, guest.sequence)

    def test_withData(self) -> None:
        """
        Data that leaves takes the acknowledgment along.
        """
        guest = self.settled()
        guest.write(b"one")
        guest.apply(SendTCP(1, b"answer"))
        segment = guest.one()
        self.assertEqual((segment.data, segment.acknowledgment), (b"answer", guest.sequence))
        self.assertEqual(
            [segment.data for _, segment in guest.advance(0.15) if not segment.data], []
        )

    def test_selective(self) -> None:
        """
        What waits behind gaps is told, what came last first (RFC 2018 section 4), and once what
        came twice (RFC 2883).
        """
        guest = self.settled(mss(1460) + SACK_PERMITTED)
        base = guest.sequence
        for start in (100, 300, 500, 700, 900):
            guest.send("A", base + start, data=bytes(100))
        edges = [(base + start, base + start + 100) for start in (900, 700, 500, 300)]
        self.assertEqual(guest.one().sack, edges)
        guest.send("A", base + 200, data=bytes(100))
        self.assertEqual(guest.one().sack[0], (base + 100, base + 400))
        guest.send("A", base + 120, data=bytes(50))
        self.assertEqual(guest.one().sack[:2], [(base + 120, base + 170), (base + 100, base + 400)])
        guest.write(bytes(100))
        segment = guest.one()
        self.assertEqual(segment.acknowledgment, base + 400)
        self.assertEqual(segment.sack[0], (base + 900, base + 1000))

    def test_selectiveWithStamps(self) -> None:
        """
        Beside a timestamp there is room for three.
        """
        guest = ScriptedGuest()
        guest.stamp = 1
        guest.connect(mss(1460) + SACK_PERMITTED + stamps(1, 0))
        for start in (10, 30, 50, 70):
            guest.send("A", guest.sequence + start, data=bytes(5), options=stamps(2, 0))
        segment = guest.one()
        self.assertEqual(len(segment.sack), 3)
        self.assertIn(8, segment.options)

    def test_duplicates(self) -> None:
        """
        A guest that counts duplicates gets three of them, and does not get more than four.
        """
        guest = self.settled()
        for count in range(10):
            guest.send("A", guest.sequence + 10 * count + 10, data=bytes(10))
        self.assertEqual(len(guest.receive()), 4)

    def test_scapyAgrees(self) -> None:
        """
        Another implementation reads the options as they were meant.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1400) + SACK_PERMITTED + stamps(77, 0) + shift(7))
        guest.apply(AcceptTCP(1))
        [(_, _, answer)] = guest.table.segmentsToSend(guest.now, 1)
        options = dict(TCP(answer).options)
        self.assertEqual(options["MSS"], 1460)
        self.assertEqual(options["SAckOK"], b"")
        self.assertEqual(options["WScale"], 3)
        self.assertEqual(options["Timestamp"][1], 77)


class WindowTests(SynchronousTestCase):
    """
    The window is what the outside can take.
    """

    def test_closesAndOpens(self) -> None:
        """
        What the outside did not take narrows the window; when it has, the guest is told, but
        not of every byte (RFC 9293 section 3.8.6.2.2).
        """
        guest = ScriptedGuest(receiveBuffer=8000)
        guest.connect()
        for _ in range(8):
            guest.write(bytes(1000))
        self.assertEqual(guest.one().window, 0)
        self.assertEqual(len(guest.taken(TCPDataReceived)), 8)
        guest.apply(ConsumeTCP(1, 500))
        self.assertEqual(guest.receive(), [])
        guest.apply(ConsumeTCP(1, 1500))
        self.assertEqual(guest.one().window, 2000)
        guest.apply(ConsumeTCP(1, 6000))
        self.assertEqual(guest.one().window, 8000)

    def test_neverShrinks(self) -> None:
        """
        The right edge of the window never moves back (RFC 9293 section 3.8.6).
        """
        guest = ScriptedGuest(receiveBuffer=8000)
        edge = guest.connect().window + guest.sequence
        for size in (1, 999, 37, 1460, 1000, 1):
            guest.write(bytes(size))
            for segment in guest.receive():
                told = segment.acknowledgment + segment.window
                self.assertGreaterEqual(told - edge & 0xFFFFFFFF, 0)
                self.assertLess(told - edge & 0xFFFFFFFF, 2**31)
                edge = told
            guest.apply(ConsumeTCP(1, size // 2))

    def test_beyond(self) -> None:
        """
        Data beyond the window is not taken, and not acknowledged.
        """
        guest = ScriptedGuest(receiveBuffer=1000)
        guest.connect()
        guest.send("A", data=bytes(1500))
        answer = guest.one()
        self.assertEqual(answer.acknowledgment, guest.sequence + 1000 & 0xFFFFFFFF)
        self.assertEqual(answer.window, 0)
        self.assertEqual(len(guest.read()), 1000)
        self.assertEqual(guest.table.heldBytes(1), 1000)

    def test_outOfOrderCounts(self) -> None:
        """
        What waits behind a gap lies in the window, so that it counts.
        """
        guest = ScriptedGuest(receiveBuffer=1000)
        guest.connect()
        for start in range(1, 3000, 100):
            guest.send("A", guest.sequence + start, data=bytes(100))
        self.assertEqual(guest.table.heldBytes(1), 999)

    def test_acceptOpens(self) -> None:
        """
        Before the outside is connected only so much may come; then the window opens.
        """
        guest = ScriptedGuest(maxEarly=2000, receiveBuffer=100_000)
        guest.syn(mss(1460) + shift(0))
        [(_, answer)] = guest.advance(0.3)
        self.assertEqual(answer.window, 2000)
        guest.acknowledgment = answer.sequence + 1
        guest.send("A")
        guest.apply(AcceptTCP(1))
        self.assertEqual(guest.one().window << 1, 100_000)

    def test_noUpdateAfterFIN(self) -> None:
        """
        A guest that sends nothing more needs no window.
        """
        guest = ScriptedGuest(receiveBuffer=8000)
        guest.connect()
        for _ in range(8):
            guest.write(bytes(1000))
        guest.send("FA")
        guest.receive()
        guest.apply(ConsumeTCP(1, 8000))
        self.assertEqual(guest.receive(), [])


class BufferTests(SynchronousTestCase):
    """
    What the outside may offer.
    """

    def test_ready(self) -> None:
        """
        Data is always taken; the outside sees how much room is left, and is told when half of
        it is free again.
        """
        guest = ScriptedGuest(sendBuffer=4000)
        guest.connect()
        self.assertEqual(guest.table.sendRoom(1), 4000)
        guest.apply(SendTCP(1, bytes(4500)))
        self.assertEqual(guest.table.sendRoom(1), -500)
        guest.receive()
        guest.acknowledgment += 2000
        guest.send("A")
        self.assertEqual((guest.taken(), guest.table.sendRoom(1)), ([], 1500))
        guest.acknowledgment += 500
        guest.send("A")
        self.assertEqual(guest.taken(), [TCPWriteReady(1)])
        guest.acknowledgment += 500
        guest.send("A")
        self.assertEqual(guest.taken(), [])

    def test_beforeHandshake(self) -> None:
        """
        An outside that speaks first is not lost (l2.md W3).
        """
        guest = ScriptedGuest()
        guest.syn(mss(1460))
        guest.apply(AcceptTCP(1))
        guest.apply(SendTCP(1, b"SSH-2.0-server\r\n"))
        guest.apply(CloseTCP(1))
        answer = guest.one()
        self.assertEqual(answer.flags, "SA")
        guest.send("A", acknowledgment=answer.sequence + 1)
        banner = guest.one()
        self.assertEqual((banner.flags, banner.data), ("FPA", b"SSH-2.0-server\r\n"))

    def test_afterClose(self) -> None:
        """
        What is offered after the end is not sent.
        """
        guest = ScriptedGuest()
        guest.connect()
        guest.apply(CloseTCP(1))
        guest.apply(CloseTCP(1))
        guest.apply(SendTCP(1, b"late"))
        self.assertEqual((guest.one().flags, guest.receive()), ("FA", []))


class TimerTests(SynchronousTestCase):
    """
    The timers of a connection.
    """

    def test_keepalive(self) -> None:
        """
        A silent guest is probed, one below what it expects, and given up when it does not
        answer (RFC 9293 section 3.8.4).
        """
        guest = ScriptedGuest(keepaliveIdle=100.0, keepaliveInterval=10.0, keepaliveProbes=2)
        guest.connect()
        sent = guest.advance(200.0)
        self.assertEqual(
            [(round(at), s.flags, s.sequence) for at, s in sent],
            [
                (100, "A", guest.acknowledgment - 1),
                (110, "A", guest.acknowledgment - 1),
                (120, "RA", guest.acknowledgment),
            ],
        )
        self.assertEqual(guest.taken(), [TCPClosed(1, "timeout")])

    def test_keepaliveAnswered(self) -> None:
        """
        A guest that answers is kept.
        """
        guest = ScriptedGuest(keepaliveIdle=100.0, keepaliveInterval=10.0, keepaliveProbes=1)
        guest.connect()
        for _ in range(20):
            for _ in guest.advance(50.0):
                guest.send("A")
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)

    def test_noKeepalive(self) -> None:
        """
        Without keepalive a silent connection has no timer at all.
        """
        guest = ScriptedGuest(keepaliveIdle=0.0)
        guest.connect()
        self.assertEqual(guest.advance(1000.0), [])
        self.assertIsNone(guest.table.nextTimeout())

    def test_fewEntries(self) -> None:
        """
        Timers that are set and not needed do not pile up.
        """
        guest = ScriptedGuest()
        guest.connect()
        most = 0
        for _ in range(2000):
            guest.write(b"x")
            guest.advance(0.05)
            most = max(most, guest.table.timerCount())
        self.assertLess(most, 100)
