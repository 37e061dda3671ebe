"""
Tests for L{aero.lan.buffers}, and for the sockets of guests.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.lan.buffers import Buffers
from aero.metrics import lan as rows
from aero.metrics import shares as shareRows
from aero.policy.budget import Budget
from aero.testing.guest import GuestTCP
from aero.testing.lan import LANRig

TARGET = "93.184.215.14"
MIB = 1_048_576


class SizeTests(SynchronousTestCase):
    """
    What a connection gets.
    """

    def test_noLimit(self) -> None:
        """
        Without a limit everybody has the size of the settings.
        """
        buffers = Buffers(Budget(0), "a", 262_144)
        self.assertTrue(buffers.reserve())
        self.assertEqual((buffers.send, buffers.receive), (262_144, 262_144))

    def test_smallerAndRefused(self) -> None:
        """
        The more a client uses, the smaller; then nothing. The budget is never exceeded, and
        another client begins as the first did.
        """
        budget = Budget(64 * MIB, 16 * MIB)
        sizes = []
        while True:
            buffers = Buffers(budget, "a", 262_144)
            if not buffers.reserve():
                break
            sizes.append(buffers.send)
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertEqual(set(sizes), {65_536, 16_384, 4_096})
        self.assertGreater(len(sizes), 300)
        self.assertLessEqual(budget.usedBy("a"), 16 * MIB)
        other = Buffers(budget, "b", 262_144)
        self.assertTrue(other.reserve())
        self.assertEqual(other.send, 65_536)

    def test_process(self) -> None:
        """
        The limit of the process holds for all clients together.
        """
        budget = Budget(8 * MIB, 4 * MIB)
        made = 0
        for client in range(100):
            while Buffers(budget, str(client), 262_144).reserve():
                made += 1
        self.assertLessEqual(budget.used, 8 * MIB)
        self.assertGreater(made, 100)

    def test_grow(self) -> None:
        """
        Buffers that are used grow to the size of the settings, and give back everything.
        """
        budget = Budget(64 * MIB, 16 * MIB)
        buffers = Buffers(budget, "a", 262_144)
        buffers.reserve()
        told: list[tuple[int, int]] = []
        buffers.apply(lambda send, receive: told.append((send, receive)))
        self.assertTrue(buffers.full())
        self.assertTrue(buffers.full())
        self.assertFalse(buffers.full())
        for _ in range(1_000):
            buffers.taken(1_000)
        self.assertEqual(told[0], (65_536, 65_536))
        self.assertEqual(told[-1], (262_144, 262_144))
        self.assertEqual(budget.used, 4 * 262_144)
        buffers.close()
        self.assertEqual(budget.used, 0)

    def test_growNotForOthers(self) -> None:
        """
        What a client needs for more connections is not used up by a few.
        """
        budget = Budget(64 * MIB, 2 * MIB)
        all_ = [Buffers(budget, "a", 262_144) for _ in range(4)]
        for buffers in all_:
            self.assertTrue(buffers.reserve())
            while buffers.full():
                pass
        self.assertLessEqual(budget.usedBy("a"), MIB + 4 * 65_536)


class GuestTests(SynchronousTestCase):
    """
    What a guest sees.
    """

    def open(self, rig: LANRig, window: int = 65_535) -> tuple[GuestTCP, Any]:
        guest = rig.guest.connect(TARGET, 80, window=window)
        rig.settle()
        target = rig.acceptTarget()
        rig.settle()
        return guest, target

    def test_spewing(self) -> None:
        """
        A guest that acknowledges nothing holds what it reserved and no more: the targets are
        not read, and connections beyond the memory are reset.
        """
        rig = LANRig(shares={"maxWaitingBytesPerIP": MIB, "maxWaitingBytes": 8 * MIB})
        opened = []
        refused = None
        for _ in range(100):
            guest = rig.guest.connect(TARGET, 80, window=0)
            rig.settle(2)
            if guest.wasReset:
                refused = guest
                break
            opened.append(rig.acceptTarget())
            rig.settle(2)
        self.assertIsNotNone(refused)
        self.assertGreater(len(opened), 20)
        held = 0
        for target in opened:
            while not target.isPaused and held < 100 * MIB:
                target.send(b"x" * 4_096)
                held += 4_096
        self.assertLessEqual(held, MIB)
        self.assertEqual(rig.metrics.value(rows.REFUSALS, "tcp", "memory"), 1)
        self.assertEqual(rig.metrics.value(shareRows.WAITING_REFUSED, "client"), 1)
        self.assertLessEqual(rig.metrics.value(shareRows.WAITING_BYTES), MIB)
        rig.lan.stop()
        rig.reactor.advance(120)
        self.assertEqual(rig.commons.waiting.used, 0)
        for target in opened:
            target.lose()
        self.assertEqual(rig.commons.sockets.used, 0)

    def test_upload(self) -> None:
        """
        A target that takes nothing: the guest's window closes before the memory is used up, and
        everything that was acknowledged arrives.
        """
        rig = LANRig(shares={"maxWaitingBytesPerIP": MIB, "maxWaitingBytes": 8 * MIB})
        guest, target = self.open(rig)
        target.block()
        payload = bytes(range(256)) * 4_096
        guest.write(payload)
        for _ in range(20):
            rig.settle(3)
        acknowledged = len(payload) - guest.unacknowledged
        self.assertLess(acknowledged, 4 * 65_536 * 2)
        target.unblock()
        received = b""
        for _ in range(200):
            rig.settle(2)
            received += target.take()
        self.assertEqual(received, payload)

    def test_download(self) -> None:
        """
        A guest that takes everything gets all of it, through buffers that grow.
        """
        rig = LANRig(shares={"maxWaitingBytesPerIP": 8 * MIB, "maxWaitingBytes": 8 * MIB})
        guest, target = self.open(rig)
        before = rig.commons.waiting.used
        sent = b""
        for number in range(256):
            piece = bytes([number]) * 4_096
            sent += piece
            target.send(piece)
        for _ in range(200):
            rig.settle(2)
        self.assertEqual(guest.received, sent)
        self.assertGreater(rig.commons.waiting.used, before)

    def test_firstWindow(self) -> None:
        """
        With little memory left the guest is told a small window from the start, and with more,
        or without a limit, the usual one.
        """
        windows = []
        for used in (0, 600_000, 850_000):
            rig = LANRig(shares={"maxWaitingBytesPerIP": MIB})
            rig.commons.waiting.add("198.51.100.7", used)
            guest, _ = self.open(rig)
            windows.append(guest.log[0].window)
        self.assertEqual(windows, [65_535, 16_384, 4_096])
        self.assertEqual(self.open(LANRig())[0].log[0].window, 65_535)

    def test_sockets(self) -> None:
        """
        A guest's sockets, TCP and UDP, are counted for its client; one too many is reset, and
        one that is over is given back.
        """
        rig = LANRig(shares={"maxSocketsPerIP": 3})
        rig.guest.sendDatagram(4_000, TARGET, 9, b"hello")
        first, target = self.open(rig)
        self.open(rig)
        self.assertEqual(rig.commons.sockets.used, 3)
        third = rig.guest.connect(TARGET, 80)
        rig.settle()
        self.assertTrue(third.wasReset)
        rig.guest.sendDatagram(4_001, TARGET, 9, b"hello")
        self.assertEqual(rig.metrics.value(rows.REFUSALS, "tcp", "sockets"), 1)
        self.assertEqual(rig.metrics.value(rows.REFUSALS, "udp", "sockets"), 1)
        first.abort()
        rig.settle()
        target.lose()
        self.assertEqual(rig.commons.sockets.used, 2)
        self.assertTrue(self.open(rig)[0].established)
        rig.lan.stop()
        self.assertEqual(rig.commons.sockets.used, 2)

    def test_refusedDial(self) -> None:
        """
        A dial that fails, and one that the guest gives up, hold no socket and no memory.
        """
        rig = LANRig(shares={"maxSocketsPerIP": 3, "maxWaitingBytesPerIP": MIB})
        for _ in range(10):
            guest = rig.guest.connect(TARGET, 80)
            rig.settle()
            guest.abort()
            rig.settle()
        self.assertEqual((rig.commons.sockets.used, rig.commons.waiting.used), (0, 0))
