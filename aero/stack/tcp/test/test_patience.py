"""
Tests for L{aero.stack.tcp}: how long a guest is waited for, and how often it is asked.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import AcceptTCP, CloseTCP, SendTCP
from aero.stack.events import TCPClosed
from aero.stack.tcp import states

from .guest import SACK_PERMITTED, ScriptedGuest, mss, sacks, stamps
from .test_sender import acknowledge, established


class PausedTests(SynchronousTestCase):
    """
    A tunnel that takes nothing is not a guest that answers nothing.
    """

    def pause(self, guest: ScriptedGuest, seconds: float) -> None:
        """
        Let timers go off while nothing can be sent.
        """
        end = guest.now + seconds
        while (at := guest.table.nextTimeout()) is not None and at <= end:
            guest.now = max(guest.now, at)
            guest.table.handleTimeout(guest.now)
        guest.now = end

    def test_retransmission(self) -> None:
        """
        When it takes something again, the guest has its whole time to answer.
        """
        guest = established(userTimeout=60.0)
        guest.apply(SendTCP(1, b"data"))
        guest.receive()
        self.pause(guest, 600.0)
        self.assertEqual([segment.data for segment in guest.receive()], [b"data"])
        guest.advance(30.0)
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)
        acknowledge(guest, 4)
        self.assertEqual(guest.taken(), [])

    def test_stillGivenUp(self) -> None:
        """
        It has no more than that.
        """
        guest = established(userTimeout=60.0)
        guest.apply(SendTCP(1, b"data"))
        guest.receive()
        self.pause(guest, 600.0)
        guest.advance(70.0)
        self.assertEqual(guest.taken(), [TCPClosed(1, "timeout")])

    def test_keepalive(self) -> None:
        """
        A probe that did not leave was not unanswered.
        """
        guest = established(keepaliveIdle=100.0, keepaliveInterval=10.0, keepaliveProbes=2)
        self.pause(guest, 3_600.0)
        self.assertEqual(guest.taken(), [])
        [probe] = guest.receive()
        self.assertEqual(probe.data, b"")
        acknowledge(guest, 0)
        guest.advance(90.0)
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)

    def test_window(self) -> None:
        """
        The same for the question whether a closed window has opened.
        """
        guest = established(userTimeout=60.0, keepaliveIdle=0.0)
        guest.apply(SendTCP(1, bytes(1000)))
        guest.receive()
        guest.window = 0
        acknowledge(guest, 1000)
        guest.apply(SendTCP(1, bytes(1000)))
        guest.receive()
        self.pause(guest, 600.0)
        self.assertEqual(len(guest.receive()), 1)
        guest.advance(30.0)
        self.assertEqual(guest.taken(), [])


class HalfClosedTests(SynchronousTestCase):
    """
    A guest that has our FIN may send for as long as it likes.
    """

    def begin(self) -> ScriptedGuest:
        """
        A connection that we have closed and the guest has not.
        """
        guest = ScriptedGuest(finWait2=20.0, keepaliveInterval=5.0, keepaliveProbes=2)
        guest.connect()
        guest.apply(CloseTCP(1))
        guest.one()
        guest.acknowledgment += 1
        guest.send("A")
        guest.taken()
        self.assertEqual(guest.table.stateOf(1), states.FIN_WAIT_2)
        return guest

    def test_silent(self) -> None:
        """
        It is asked soon, and if it answers what it sends an hour later arrives.
        """
        guest = self.begin()
        probes = 0
        for _ in range(1_200):
            for _, segment in guest.advance(3.0):
                probes += 1
                self.assertEqual((segment.flags, segment.data), ("A", b""))
                guest.send("A")
        self.assertGreater(probes, 100)
        guest.write(b"late")
        self.assertEqual(guest.read(), b"late")

    def test_gone(self) -> None:
        """
        One that does not answer is given up.
        """
        guest = self.begin()
        sent = guest.advance(31.0)
        self.assertEqual([segment.flags for _, segment in sent], ["A", "A", "RA"])
        self.assertEqual(guest.taken(), [TCPClosed(1, "timeout")])


class HandshakeTests(SynchronousTestCase):
    """
    What a lost answer to a SYN means.
    """

    def test_held(self) -> None:
        """
        The time for a handshake begins when its SYN is answered.
        """
        guest = ScriptedGuest(hold=30.0, handshakeTimeout=30.0)
        guest.syn(mss(1000))
        guest.advance(29.9)
        guest.apply(AcceptTCP(guest.connection))
        [(_, answer)] = guest.advance(0.0)
        guest.advance(0.5)
        guest.acknowledgment = answer.sequence + 1
        guest.send("A")
        self.assertEqual(guest.table.stateOf(guest.connection), states.ESTABLISHED)

    def test_lost(self) -> None:
        """
        After one that had to be repeated one segment is sent at first, and it has three seconds.
        """
        guest = ScriptedGuest()
        guest.syn(mss(1000))
        guest.apply(AcceptTCP(guest.connection))
        answer = guest.one()
        self.assertEqual([segment.flags for _, segment in guest.advance(1.1)], ["SA"])
        guest.acknowledgment = answer.sequence + 1
        guest.send("A")
        guest.apply(SendTCP(guest.connection, bytes(5_000)))
        self.assertEqual(len(guest.receive()), 1)
        self.assertEqual(guest.advance(2.9), [])
        self.assertEqual(len(guest.advance(0.2)), 1)


class BackoffTests(SynchronousTestCase):
    """
    How long a retransmission waits after one that was needed, and one that was not.
    """

    def copies(self, guest: ScriptedGuest, trip: float, stamped: bool) -> int:
        """
        How often a segment is sent to a guest that answers after so many seconds.
        """
        guest.apply(SendTCP(1, bytes(1000)))
        sent = [segment for _, segment in guest.advance(trip) if segment.data]
        options = b""
        if stamped:
            guest.stamp += 1
            options = stamps(guest.stamp, sent[0].stamps[0])
        acknowledge(guest, 1000, options)
        return len(sent)

    def test_slowerPath(self) -> None:
        """
        Where the round trip becomes a hundred times as long, retransmissions stop after a few,
        with timestamps and without (RFC 6298 section 5).
        """
        for stamped in (True, False):
            options = mss(1012) + stamps(1, 0) if stamped else mss(1000)
            guest = established(options, keepaliveIdle=0.0)
            for _ in range(10):
                self.copies(guest, 0.01, stamped)
            copies = [self.copies(guest, 1.0, stamped) for _ in range(6)]
            self.assertGreater(copies[0], 1)
            self.assertEqual(copies[-3:], [1, 1, 1], stamped)

    def test_needed(self) -> None:
        """
        A copy that is acknowledged as soon as the first should have been was needed, and the next
        loss is waited for no longer than this one.
        """
        guest = established(mss(1000), keepaliveIdle=0.0)
        for _ in range(10):
            self.copies(guest, 0.01, stamped=False)
        waits = []
        for _ in range(3):
            guest.apply(SendTCP(1, bytes(1000)))
            guest.receive()
            left = guest.now
            while not (again := guest.advance(0.005)):
                pass
            waits.append(round(guest.now - left, 1))
            guest.advance(0.005 + again[0][0])
            acknowledge(guest, 1000)
        self.assertEqual(waits, [0.2, 0.2, 0.2])


class LimitedTests(SynchronousTestCase):
    """
    What a sender may not learn from.
    """

    def test_trickle(self) -> None:
        """
        Time in which little was sent does not let the window jump afterwards (RFC 9438
        section 5.8).
        """
        growth = []
        for seconds in (0, 30):
            guest = established(
                mss(1000) + SACK_PERMITTED, keepaliveIdle=0.0, sendBuffer=400_000, lossTolerance=0.0
            )
            window = guest.table._byNumber[1].sender.cwnd
            guest.apply(SendTCP(1, bytes(120_000)))
            lost = False
            while sent := guest.advance(0.01):
                size = sum(len(segment.data) for _, segment in sent)
                if size >= 20_000 and not lost:
                    lost = True
                    end = guest.acknowledgment + size
                    guest.send("A", options=sacks((end - size + 1000, end)))
                    size += sum(len(segment.data) for _, segment in guest.advance(0.01))
                    size -= 1000
                acknowledge(guest, size)
            self.assertTrue(lost)
            for _ in range(10 * seconds):
                guest.apply(SendTCP(1, bytes(100)))
                guest.advance(0.01)
                acknowledge(guest, 100)
                guest.advance(0.09)
            before = window.window
            guest.apply(SendTCP(1, bytes(300_000)))
            for _ in range(6):
                sent = guest.advance(0.01)
                acknowledge(guest, sum(len(segment.data) for _, segment in sent))
            growth.append(window.window / before)
        self.assertLess(growth[0], 1.5)
        self.assertLess(growth[1], 1.1 * growth[0])

    def test_madeUpBlocks(self) -> None:
        """
        A guest that makes up gaps inside of segments costs no more memory than one with as many
        gaps as segments.
        """
        guest = established(mss(1000) + SACK_PERMITTED, keepaliveIdle=0.0)
        guest.apply(SendTCP(1, bytes(8_000)))
        guest.receive()
        flight = guest.table._byNumber[1].sender.flight
        for place in range(1_000, 7_900, 8):
            edges = [(guest.acknowledgment + place + 2 * k, 0) for k in range(4)]
            guest.send("A", options=sacks(*((left, left + 1) for left, _ in edges)))
        self.assertLessEqual(len(flight._ranges), 9)
        # What is true is still believed.
        end = guest.acknowledgment + 8_000
        guest.send("A", options=sacks((end - 1_000, end)))
        acknowledge(guest, 8_000)
        self.assertEqual(flight.pipe(), 0)

    def test_farTimestamp(self) -> None:
        """
        A segment from far outside the window changes nothing, its timestamp neither (RFC 7323
        section 5.3); one that came before may, for its acknowledgment was lost.
        """
        guest = ScriptedGuest()
        guest.stamp = 1_000
        guest.connect(mss(1460) + stamps(1_000, 0))
        guest.send(
            "A",
            sequence=guest.sequence - 1_000_000_000,
            data=b"x",
            options=stamps(0x7FFFFFF0, 0),
        )
        guest.receive()
        guest.write(b"hello", options=stamps(1_001, 0))
        self.assertEqual(guest.read(), b"hello")
        guest.advance(1.0)
        guest.send("A", sequence=guest.sequence - 5, data=b"hello", options=stamps(1_900, 0))
        [again] = guest.receive()
        self.assertEqual(again.stamps[1], 1_900)

    def test_reorderingForgotten(self) -> None:
        """
        That segments overtook each other is forgotten after sixteen losses without a sign of it
        (RFC 8985 section 6.2, step 4).
        """
        guest = established(mss(1000) + SACK_PERMITTED, keepaliveIdle=0.0)
        recovery = guest.table._byNumber[1].sender.recovery
        for _ in range(20):
            guest.apply(SendTCP(1, bytes(1000)))
            guest.receive()
            guest.now += 0.01
            acknowledge(guest, 1000, sacks((guest.acknowledgment, guest.acknowledgment + 1000)))
        self.assertGreater(recovery._steps, 10)
        for _ in range(16):
            guest.apply(SendTCP(1, bytes(8000)))
            guest.receive()
            guest.now += 0.01
            begin = guest.acknowledgment
            guest.send("A", options=sacks((begin + 1000, begin + 8000)))
            guest.advance(0.05)
            acknowledge(guest, 8000)
            guest.advance(0.05)
        self.assertEqual(recovery._steps, 1)
