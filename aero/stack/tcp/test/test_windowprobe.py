"""
Tests for L{aero.stack.tcp.windowprobe}: a guest with a closed window is asked with data.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.stack.commands import CloseTCP, SendTCP
from aero.stack.tcp import states
from aero.stack.tcp.config import TCPConfig
from aero.stack.tcp.windowprobe import WindowProbe
from aero.testing.flights import checkBooks
from aero.testing.link import LossyLink

from .guest import ScriptedGuest, Segment
from .simulation import Simulation
from .test_sender import acknowledge, established
from .test_simulation import build


class WindowProbeTests(SynchronousTestCase):
    """
    RFC 9293 section 3.8.6.1.
    """

    def closed(self, data: bytes = b"waiting", **settings: Any) -> ScriptedGuest:
        """
        A guest that takes nothing, and something to send to it.
        """
        guest = established(keepaliveIdle=0.0, **settings)
        guest.window = 0
        guest.send("A")
        guest.apply(SendTCP(1, data))
        return guest

    def probe(self, guest: ScriptedGuest) -> Segment:
        """
        Wait for the next question.
        """
        for _ in range(100):
            found = guest.advance(0.1)
            if found:
                [(_, segment)] = found
                self.check(guest)
                return segment
        self.fail("the guest is not asked")

    def check(self, guest: ScriptedGuest) -> None:
        """
        The numbers of the flight are right.
        """
        sender = guest.table._byNumber[1].sender
        checkBooks(sender)
        self.assertEqual(sender.flight.pipe(), 0)

    def test_onlyData(self) -> None:
        """
        A guest that answers nothing but data keeps its window closed as long as it likes.
        """
        guest = self.closed(userTimeout=5.0, maxRTO=1.0)
        asked = 0
        for _ in range(600):
            for _, segment in guest.advance(1.0):
                self.assertEqual(segment.sequence, guest.acknowledgment)
                if segment.data:
                    asked += 1
                    guest.send("A")
        self.assertGreater(asked, 500)
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)
        guest.send("A", window=100)
        self.assertEqual(guest.one().data, b"waiting")

    def test_onlyDataAtTheEnd(self) -> None:
        """
        The same where only a FIN waits: after a question without data comes one with a byte that
        the guest has, which changes nothing but that it answers.
        """
        guest = established(keepaliveIdle=0.0, userTimeout=5.0, maxRTO=1.0)
        guest.window = 0
        guest.send("A")
        guest.apply(CloseTCP(1))
        seen = set()
        for _ in range(100):
            for _, segment in guest.advance(1.0):
                self.assertEqual(segment.sequence, guest.acknowledgment - 1)
                seen.add(segment.data)
                if segment.data:
                    guest.send("A")
        self.assertEqual(seen, {b"", b"\0"})
        self.check(guest)
        guest.send("A", window=1)
        self.assertEqual(guest.one().flags, "FA")

    def test_onlyDataWhileIdle(self) -> None:
        """
        The same where nothing happens at all, and the guest is asked whether it is there.
        """
        guest = established(keepaliveIdle=10.0, keepaliveInterval=1.0, keepaliveProbes=3)
        answered = 0
        for _ in range(100):
            for _, segment in guest.advance(1.0):
                self.assertEqual(segment.sequence, guest.acknowledgment - 1)
                if segment.data:
                    answered += 1
                    guest.send("A")
        self.assertGreater(answered, 5)
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)

    def test_notTaken(self) -> None:
        """
        The byte that the guest did not take is sent again with the others as soon as the window
        opens, and nothing is taken for lost.
        """
        guest = self.closed()
        for _ in range(3):
            self.assertEqual(self.probe(guest).data, b"w")
            guest.send("A")
            self.check(guest)
        sender = guest.table._byNumber[1].sender
        before = sender.cwnd.window
        guest.send("A", window=1000)
        sent = guest.one()
        self.assertEqual((sent.sequence, sent.data), (guest.acknowledgment, b"waiting"))
        acknowledge(guest, 7)
        self.check(guest)
        self.assertGreaterEqual(sender.cwnd.window, before)
        self.assertEqual(guest.advance(10.0), [])

    def test_taken(self) -> None:
        """
        A guest that takes the byte gets the next one, and soon: it is not slow.
        """
        guest = self.closed(b"abc")
        for expected in (b"a", b"b", b"c"):
            begun = guest.now
            segment = self.probe(guest)
            self.assertEqual((segment.sequence, segment.data), (guest.acknowledgment, expected))
            self.assertLess(guest.now - begun, 1.1)
            acknowledge(guest, 1)
            self.check(guest)
        self.assertEqual(guest.advance(10.0), [])
        guest.apply(SendTCP(1, b"more"))
        guest.send("A", window=1000)
        self.assertEqual(guest.one().data, b"more")

    def test_takenAndOpen(self) -> None:
        """
        A guest may take the byte and open its window at once.
        """
        guest = self.closed()
        self.probe(guest)
        guest.acknowledgment += 1
        guest.window = 1000
        guest.send("A", window=1000)
        sent = guest.one()
        self.assertEqual((sent.sequence, sent.data), (guest.acknowledgment, b"aiting"))
        acknowledge(guest, 6)
        self.check(guest)

    def test_takenLate(self) -> None:
        """
        Or say that it took the byte after everything was sent to its open window.
        """
        guest = self.closed()
        self.probe(guest)
        guest.send("A", window=1000)
        self.assertEqual(guest.one().data, b"waiting")
        acknowledge(guest, 1)
        sender = guest.table._byNumber[1].sender
        checkBooks(sender)
        self.assertEqual(sender.flight.pipe(), 6)
        acknowledge(guest, 6)
        self.check(guest)

    def test_takenThenEnd(self) -> None:
        """
        When the last byte was taken this way, the FIN follows once there is room for it.
        """
        guest = self.closed(b"x")
        guest.apply(CloseTCP(1))
        self.assertEqual(self.probe(guest).flags, "A")
        guest.acknowledgment += 1
        guest.send("A", window=10)
        self.assertEqual(guest.one().flags, "FA")
        self.assertEqual(guest.table.stateOf(1), states.FIN_WAIT_1)

    def test_notAsked(self) -> None:
        """
        An acknowledgment of a byte that was not sent is none; nor is one of two bytes.
        """
        guest = self.closed()
        acknowledge(guest, 1)
        self.assertEqual(guest.drops["tcp acknowledgment"], 1)
        guest.acknowledgment -= 1
        guest.receive()
        self.probe(guest)
        acknowledge(guest, 2)
        self.assertEqual(guest.drops["tcp acknowledgment"], 2)
        self.check(guest)

    def test_shrinks(self) -> None:
        """
        A guest that takes its window back while data is on its way is sent that data again for as
        long as it answers, and gets what follows when it opens the window.
        """
        guest = established(keepaliveIdle=0.0, userTimeout=5.0, maxRTO=1.0)
        guest.window = 2000
        guest.send("A")
        guest.apply(SendTCP(1, bytes(3000)))
        self.assertEqual([len(segment.data) for segment in guest.receive()], [1000, 1000])
        guest.window = 0
        guest.send("A", window=0)
        for _ in range(60):
            for _, segment in guest.advance(1.0):
                self.assertLess(len(segment.data), 1001)
                guest.send("A", window=0)
            checkBooks(guest.table._byNumber[1].sender)
        self.assertEqual(guest.table.stateOf(1), states.ESTABLISHED)
        received = bytearray()
        guest.window = 3000
        guest.send("A", window=3000)
        for _ in range(40):
            for _, segment in guest.advance(0.1):
                if segment.sequence == guest.acknowledgment:
                    received += segment.data
                    acknowledge(guest, len(segment.data))
        self.assertEqual(len(received), 3000)
        self.check(guest)

    def test_shrinksAfterAcknowledging(self) -> None:
        """
        So does one that takes all that was sent, and closes its window below what it had promised.
        """
        guest = established(keepaliveIdle=0.0)
        guest.window = 5000
        guest.send("A")
        guest.apply(SendTCP(1, bytes(1000)))
        guest.receive()
        guest.window = 0
        acknowledge(guest, 1000)
        guest.apply(SendTCP(1, b"more"))
        self.assertEqual(self.probe(guest).data, b"m")


class LossTests(SynchronousTestCase):
    """
    Two stacks, small windows, and a link that loses.
    """

    def read(self, simulation: Simulation, size: int) -> int:
        """
        Read everything in one second of three, and nothing in the others.
        """
        return 0 if int(simulation.now) % 3 else size

    def test_streams(self) -> None:
        """
        Windows that open are told in segments that are lost; the byte that asks is taken, or not,
        or said to be taken too late: both streams arrive whole, and the numbers of the flight are
        right after every turn.
        """
        counts: Counter[str] = Counter()
        taken, ask = WindowProbe.taken, WindowProbe.ask

        def countTaken(self: WindowProbe, *arguments: Any) -> Any:
            counts["taken"] += 1
            return taken(self, *arguments)

        def countAsked(self: WindowProbe, *arguments: Any) -> bytes:
            data = ask(self, *arguments)
            counts["asked"] += len(data)
            return data

        self.patch(WindowProbe, "taken", countTaken)
        self.patch(WindowProbe, "ask", countAsked)
        for seed in range(20):
            config = TCPConfig(
                receiveBuffer=2_000, maxEarly=2_000, userTimeout=600.0, sack=bool(seed & 1)
            )
            links = (LossyLink(seed, loss=0.2), LossyLink(seed + 1, loss=0.2, reorder=0.2))
            simulation = build(seed, sizes=(10_000, 10_000), configs=(config, config), links=links)
            simulation._read = partial(self.read, simulation)  # type: ignore[method-assign]
            simulation.run(3_600.0)
            left, right = simulation.left, simulation.right
            self.assertEqual(bytes(left.received), right.stream)
            self.assertEqual(bytes(right.received), left.stream)
        self.assertGreater(counts["taken"], 0)
        self.assertGreater(counts["asked"], counts["taken"])
