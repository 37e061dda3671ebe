"""
Tests for L{aero.stack.tcp.states}: every transition of the table, reached with segments.
"""

from __future__ import annotations

from typing import Callable

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import AbortTCP, AcceptTCP, CloseTCP, ConnectTCP
from aero.stack.events import TCPClosed, TCPEstablished, TCPReadClosed
from aero.stack.tcp import states

from .guest import GUEST, GUEST_PORT, SERVER, SERVER_PORT, ScriptedGuest, mss


class TableTests(SynchronousTestCase):
    """
    The table itself.
    """

    def test_everyStateIsReached(self) -> None:
        """
        Every state is led to and led away from.
        """
        reached = {to for moves in states.TRANSITIONS.values() for to in moves.values()}
        self.assertEqual(reached, set(states.TRANSITIONS))

    def test_everyStateCanEnd(self) -> None:
        """
        From every state there is a way to be over.
        """
        for state in states.TRANSITIONS:
            seen = {state}
            while states.CLOSED not in seen:
                more = {to for at in seen for to in states.TRANSITIONS[at].values()}
                self.assertFalse(more <= seen, state)
                seen |= more

    def test_illegal(self) -> None:
        """
        A move that the table does not have is a mistake of the program.
        """
        with self.assertRaises(KeyError):
            states.after(states.TIME_WAIT, "FIN sent")


class TransitionTests(SynchronousTestCase):
    """
    Each move, as RFC 9293 section 3.3.2 draws it.
    """

    def setUp(self) -> None:
        """
        A guest that does what it is told.
        """
        self.guest = ScriptedGuest()

    def state(self) -> str:
        """
        The state of the connection; CLOSED when it is over.
        """
        return self.guest.table.stateOf(self.guest.connection)

    def activeOpen(self) -> int:
        """
        Connect to the guest.

        @return: The sequence number of the SYN.
        """
        guest = self.guest
        guest.connection = guest.table.newConnection()
        guest.apply(ConnectTCP(guest.connection, SERVER, SERVER_PORT, GUEST, GUEST_PORT))
        syn = guest.one()
        self.assertEqual(syn.flags, "S")
        self.assertEqual(self.state(), states.SYN_SENT)
        return syn.sequence

    def test_passiveOpen(self) -> None:
        """
        CLOSED, SYN-RECEIVED, ESTABLISHED: the guest connects.
        """
        guest = self.guest
        guest.syn(mss(1460))
        self.assertEqual(self.state(), states.SYN_RECEIVED)
        guest.apply(AcceptTCP(guest.connection))
        answer = guest.one()
        self.assertEqual((answer.flags, answer.acknowledgment), ("SA", guest.sequence))
        self.assertEqual(self.state(), states.SYN_RECEIVED)
        guest.send("A", acknowledgment=answer.sequence + 1)
        self.assertEqual(self.state(), states.ESTABLISHED)
        self.assertEqual(guest.taken(), [TCPEstablished(guest.connection)])

    def test_activeOpen(self) -> None:
        """
        CLOSED, SYN-SENT, ESTABLISHED: we connect to the guest.
        """
        guest = self.guest
        sequence = self.activeOpen()
        guest.send("SA", acknowledgment=sequence + 1, options=mss(1460))
        self.assertEqual(self.state(), states.ESTABLISHED)
        self.assertEqual(guest.taken(), [TCPEstablished(guest.connection)])
        done = guest.one()
        self.assertEqual(
            (done.flags, done.sequence, done.acknowledgment),
            ("A", sequence + 1, guest.sequence + 1 & 0xFFFFFFFF),
        )

    def test_simultaneousOpen(self) -> None:
        """
        SYN-SENT, SYN-RECEIVED, ESTABLISHED: both connect at once (RFC 9293 figure 8).
        """
        guest = self.guest
        sequence = self.activeOpen()
        guest.send("S", acknowledgment=0, options=mss(1460))
        self.assertEqual(self.state(), states.SYN_RECEIVED)
        answer = guest.one()
        self.assertEqual((answer.flags, answer.sequence), ("SA", sequence))
        self.assertEqual(answer.acknowledgment, guest.sequence + 1)
        guest.send("SA", acknowledgment=sequence + 1, options=mss(1460))
        self.assertEqual(self.state(), states.ESTABLISHED)
        self.assertEqual(guest.taken(), [TCPEstablished(guest.connection)])

    def test_refused(self) -> None:
        """
        SYN-SENT to CLOSED: the guest refuses.
        """
        guest = self.guest
        sequence = self.activeOpen()
        guest.send("RA", sequence=0, acknowledgment=sequence + 1)
        self.assertEqual(self.state(), states.CLOSED)
        self.assertEqual(guest.taken(), [TCPClosed(guest.connection, "reset")])

    def test_handshakeReset(self) -> None:
        """
        SYN-RECEIVED to CLOSED: the guest gives up.
        """
        guest = self.guest
        guest.syn(mss(1460))
        guest.send("R")
        self.assertEqual(self.state(), states.CLOSED)
        self.assertEqual(guest.taken(), [TCPClosed(guest.connection, "reset")])

    def test_weCloseFirst(self) -> None:
        """
        ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT: we close, the guest acknowledges, then
        closes as well.
        """
        guest = self.guest
        guest.connect()
        guest.apply(CloseTCP(guest.connection))
        fin = guest.one()
        self.assertEqual(fin.flags, "FA")
        self.assertEqual(self.state(), states.FIN_WAIT_1)
        guest.acknowledgment += 1
        guest.send("A")
        self.assertEqual(self.state(), states.FIN_WAIT_2)
        guest.write(b"still sending")
        self.assertEqual(guest.read(), b"still sending")
        guest.receive()
        guest.send("FA")
        self.assertEqual(
            guest.taken(),
            [TCPReadClosed(guest.connection), TCPClosed(guest.connection, "done")],
        )
        last = guest.one()
        self.assertEqual((last.flags, last.acknowledgment), ("A", guest.sequence + 1))

    def test_bothCloseAtOnce(self) -> None:
        """
        FIN-WAIT-1, CLOSING, TIME-WAIT: the FINs cross.
        """
        guest = self.guest
        guest.connect()
        guest.apply(CloseTCP(guest.connection))
        self.assertEqual(guest.one().flags, "FA")
        guest.send("FA")
        self.assertEqual(self.state(), states.CLOSING)
        guest.receive()
        guest.sequence += 1
        guest.acknowledgment += 1
        guest.send("A")
        self.assertEqual(self.state(), states.CLOSED)
        self.assertIn(TCPClosed(guest.connection, "done"), guest.taken())

    def test_finAndAcknowledgmentTogether(self) -> None:
        """
        FIN-WAIT-1 to TIME-WAIT: the guest's FIN acknowledges ours.
        """
        guest = self.guest
        guest.connect()
        guest.apply(CloseTCP(guest.connection))
        guest.one()
        guest.acknowledgment += 1
        guest.send("FA")
        self.assertIn(TCPClosed(guest.connection, "done"), guest.taken())
        self.assertEqual(guest.one().flags, "A")

    def test_guestClosesFirst(self) -> None:
        """
        ESTABLISHED, CLOSE-WAIT, LAST-ACK, CLOSED: the guest closes, and we later.
        """
        guest = self.guest
        guest.connect()
        guest.send("FA")
        guest.sequence += 1
        self.assertEqual(self.state(), states.CLOSE_WAIT)
        self.assertEqual(guest.taken(), [TCPReadClosed(guest.connection)])
        self.assertEqual(guest.one().acknowledgment, guest.sequence)
        guest.apply(CloseTCP(guest.connection))
        self.assertEqual(guest.one().flags, "FA")
        self.assertEqual(self.state(), states.LAST_ACK)
        guest.acknowledgment += 1
        guest.send("A")
        self.assertEqual(self.state(), states.CLOSED)
        self.assertEqual(guest.taken(), [TCPClosed(guest.connection, "done")])
        self.assertEqual(guest.receive(), [])
        self.assertIsNone(guest.table.nextTimeout())

    def test_resetEverywhere(self) -> None:
        """
        A reset of the guest ends a connection in any state, and nothing is answered.
        """
        for prepare in self.ways():
            guest = self.guest = ScriptedGuest()
            prepare()
            guest.receive()
            guest.taken()
            guest.send("R")
            self.assertEqual(guest.taken(), [TCPClosed(guest.connection, "reset")], prepare)
            self.assertEqual(guest.receive(), [])
            self.assertIsNone(guest.table.nextTimeout())

    def test_abortEverywhere(self) -> None:
        """
        The outside can end a connection in any state, and the guest gets a reset that it
        believes.
        """
        for prepare in self.ways():
            guest = self.guest = ScriptedGuest()
            prepare()
            guest.receive()
            guest.taken()
            guest.apply(AbortTCP(guest.connection))
            self.assertEqual(guest.taken(), [TCPClosed(guest.connection, "aborted")], prepare)
            last = guest.one()
            self.assertEqual((last.flags, last.acknowledgment), ("RA", guest.sequence))
            self.assertIsNone(guest.table.nextTimeout())

    def ways(self) -> list[Callable[[], None]]:
        """
        Ways into the states in which both sides know of the connection.
        """

        def established() -> None:
            self.guest.connect()

        def closeWait() -> None:
            self.guest.connect()
            self.guest.send("FA")
            self.guest.sequence += 1

        def finWait1() -> None:
            self.guest.connect()
            self.guest.apply(CloseTCP(self.guest.connection))

        def finWait2() -> None:
            finWait1()
            self.guest.receive()
            self.guest.acknowledgment += 1
            self.guest.send("A")

        def closing() -> None:
            finWait1()
            self.guest.receive()
            self.guest.send("FA")
            self.guest.sequence += 1

        def lastAck() -> None:
            closeWait()
            self.guest.apply(CloseTCP(self.guest.connection))

        return [established, closeWait, finWait1, finWait2, closing, lastAck]
