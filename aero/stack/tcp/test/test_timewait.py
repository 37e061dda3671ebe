"""
Tests for connections in TIME-WAIT, as the guest sees them (RFC 9293 section 3.10.7.4,
RFC 1337, RFC 6191).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import CloseTCP
from aero.stack.events import TCPClosed, TCPConnectRequested

from .guest import ScriptedGuest, mss, stamps


class TimeWaitTests(SynchronousTestCase):
    """
    Late segments and new connections.
    """

    def setUp(self) -> None:
        """
        A connection that we closed first.
        """
        self.guest = guest = ScriptedGuest(timeWait=2.0)
        guest.stamp = 100
        guest.connect(mss(1460) + stamps(100, 0))
        guest.apply(CloseTCP(1))
        fin = guest.one()
        guest.acknowledgment += 1
        guest.send("FA", options=stamps(100, fin.stamps[0]))
        guest.sequence += 1
        self.last = guest.one()
        self.assertEqual(guest.taken()[-1], TCPClosed(1, "done"))

    def test_finAgain(self) -> None:
        """
        A FIN that comes again, because our last acknowledgment was lost, is acknowledged again,
        and the wait begins anew.
        """
        guest = self.guest
        guest.advance(1.5)
        guest.send("FA", guest.sequence - 1, options=stamps(101, 0))
        again = guest.one()
        self.assertEqual(
            (again.flags, again.sequence, again.acknowledgment),
            ("A", self.last.sequence, self.last.acknowledgment),
        )
        guest.advance(1.5)
        guest.send("FA", guest.sequence - 1, options=stamps(102, 0))
        self.assertEqual(guest.one().flags, "A")

    def test_over(self) -> None:
        """
        After the wait nothing is left, and late segments are those of strangers.
        """
        self.guest.advance(2.1)
        self.assertIsNone(self.guest.table.nextTimeout())
        self.guest.send("FA", self.guest.sequence - 1)
        self.assertEqual(self.guest.one().flags, "R")

    def test_reset(self) -> None:
        """
        A reset does not end the wait (RFC 1337), and neither it nor an acknowledgment is
        answered.
        """
        guest = self.guest
        guest.send("R")
        guest.send("A")
        self.assertEqual(guest.receive(), [])
        guest.send("FA", guest.sequence - 1)
        self.assertEqual(guest.one().flags, "A")

    def test_newer(self) -> None:
        """
        A SYN with a newer timestamp opens a connection at once, whatever its number, and its
        answer is beyond all that the old one sent.
        """
        guest = self.guest
        guest.sequence -= 5000
        guest.stamp = 101
        answer = guest.connect(mss(1460) + stamps(101, 0))
        self.assertLess((answer.sequence - self.last.sequence) % 2**32, 2**31)
        self.assertGreater((answer.sequence - self.last.sequence) % 2**32, 0xFFFF)

    def test_neverAllOnes(self) -> None:
        """
        Nor does that begin at the one number which is acknowledged with 0.
        """
        guest = self.guest
        [remains] = guest.table._timeWait._remains.values()
        remains.sequence = 0xFFFEFFFE
        guest.stamp = 101
        self.assertEqual(guest.connect(mss(1460) + stamps(101, 0)).sequence, 0)

    def test_older(self) -> None:
        """
        A SYN of the past is answered like any late segment, and not more often than ten times
        in a second.
        """
        guest = self.guest
        answers = 0
        for _ in range(20):
            guest.send("S", acknowledgment=0, options=mss(1460) + stamps(99, 0))
            answers += len(guest.receive())
        self.assertEqual(answers, 1)
        self.assertEqual(guest.taken(TCPConnectRequested), [])
        guest.advance(0.2)
        guest.send("S", acknowledgment=0, options=mss(1460) + stamps(99, 0))
        self.assertEqual(guest.one().flags, "A")
