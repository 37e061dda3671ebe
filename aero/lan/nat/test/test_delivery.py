"""
Tests for L{aero.lan.nat.tcp} and L{aero.lan.lan}: what arrives at targets whose guest has gone.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import delivery
from aero.metrics import lan as rows
from aero.net.deliveries import LOOK_INTERVAL
from aero.testing.guest import GuestTCP
from aero.testing.lan import LANRig

TARGET = "93.184.215.14"
#: As in the report of the fault.
SENT = bytes(range(200)) * 200


class DeliveryTests(SynchronousTestCase):
    """
    The end of a guest.
    """

    def setUp(self) -> None:
        self.rig = LANRig()

    def value(self, row: Any, *labels: str) -> float:
        return self.rig.metrics.value(row, *labels)

    def open(self) -> tuple[GuestTCP, Any]:
        """
        A connection, both ends of it.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.rig.settle()
        target = self.rig.acceptTarget()
        self.rig.settle()
        return guest, target

    def send(self, guest: GuestTCP, data: bytes = SENT) -> int:
        """
        Send data from the guest.

        @return: Bytes of it that were acknowledged.
        """
        guest.write(data)
        for _ in range(10):
            self.rig.settle()
        return len(data) - guest.unacknowledged

    def test_acknowledged(self) -> None:
        """
        What was acknowledged to the guest reaches a target that pauses, although the guest is
        gone; then the end of the stream. The bytes are counted until the target has them.
        """
        guest, target = self.open()
        target.block()
        self.assertEqual(self.send(guest), len(SENT))
        self.rig.lan.stop("lost")
        self.assertEqual(target.take(), SENT)
        self.assertTrue(target.transport.halfClosed)
        self.assertFalse(target.transport.disconnecting)
        self.assertEqual(self.value(delivery.BYTES), len(SENT))
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        target.flush()
        self.rig.reactor.advance(LOOK_INTERVAL)
        self.assertEqual(self.value(delivery.BYTES), 0)
        self.assertEqual(self.value(delivery.CONNECTIONS), 1)
        target.end()
        target.lose()
        self.assertEqual(self.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.value(delivery.ENDED, "delivered"), 1)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_held(self) -> None:
        """
        So do the bytes that wait for the target to be less slow, and that only the guest's window
        bounds.
        """
        guest, target = self.open()
        target.block()
        acknowledged = self.send(guest, SENT * 20)
        self.assertGreater(acknowledged, 262_144)
        self.assertLess(acknowledged, 20 * len(SENT))
        self.rig.lan.stop()
        self.assertEqual(target.take(), (SENT * 20)[:acknowledged])
        self.assertTrue(target.transport.halfClosed)

    def test_early(self) -> None:
        """
        So do the bytes that were acknowledged on credit, before the target was connected.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.rig.reactor.advance(0.3)
        self.rig.settle()
        acknowledged = self.send(guest)
        self.assertGreater(acknowledged, 0)
        self.rig.lan.stop()
        self.assertFalse(self.rig.reactor.connectors[-1].stoppedConnecting)
        target = self.rig.acceptTarget()
        self.assertEqual(target.take(), SENT[:acknowledged])
        self.assertTrue(target.transport.halfClosed)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)

    def test_earlyFails(self) -> None:
        """
        A target that cannot be connected leaves nothing behind.
        """
        guest = self.rig.guest.connect(TARGET, 80)
        self.rig.reactor.advance(0.3)
        self.rig.settle()
        self.send(guest)
        self.rig.lan.stop()
        self.rig.failTarget(error.ConnectionRefusedError())
        self.assertEqual(self.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.value(delivery.ENDED, "lost"), 1)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_notDispatched(self) -> None:
        """
        So do bytes that the stack has taken and nobody was told of yet.
        """
        guest, target = self.open()
        stack: Any = self.rig.lan.driver.stack
        real = stack.nextEvent
        stack.nextEvent = lambda: None
        self.assertEqual(self.send(guest, b"taken"), 5)
        stack.nextEvent = real
        self.rig.lan.stop()
        self.assertEqual(target.take(), b"taken")

    def finished(self) -> Any:
        """
        A connection that is over for the guest and the stack, while a target that pauses has not
        got everything.
        """
        guest, target = self.open()
        target.block()
        acknowledged = self.send(guest, SENT * 5)
        self.assertEqual(acknowledged, len(SENT) * 5)
        target.end()
        guest.close()
        for _ in range(3):
            self.rig.settle()
        self.assertTrue(guest.finished and guest.ended)
        self.assertFalse(target.transport.halfClosed)
        return target

    def test_finished(self) -> None:
        """
        So do the bytes of a connection that had ended in order before the guest was gone.
        """
        target = self.finished()
        self.rig.lan.stop()
        self.assertEqual(target.take(), SENT * 5)
        self.assertTrue(target.transport.halfClosed)
        target.flush()
        target.lose()
        self.assertEqual(self.value(delivery.ENDED, "delivered"), 1)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])

    def test_finishedAndRevoked(self) -> None:
        """
        Not where the policy does not let the guest go on.
        """
        target = self.finished()
        self.rig.lan.stop("session", deliver=False)
        self.assertTrue(target.transport.disconnected)
        self.assertEqual(self.value(rows.L2_TCP_ACTIVE), 0)

    def test_revoked(self) -> None:
        """
        A guest that the policy does not let go on takes its connections with it.
        """
        guest, target = self.open()
        target.block()
        self.send(guest)
        self.rig.lan.stop("session", deliver=False)
        self.assertTrue(target.transport.disconnected)
        self.assertEqual(self.value(delivery.CONNECTIONS), 0)
        self.assertEqual(self.value(rows.TCP_ENDED, "session-ended"), 1)

    def test_guestSilent(self) -> None:
        """
        A guest that does not answer any more has not taken back what it sent.
        """
        self.rig = LANRig(keepalive=10.0)
        guest, target = self.open()
        target.block()
        self.send(guest)
        self.rig.guest.attach(lambda frames: None)
        for _ in range(20):
            self.rig.reactor.advance(10)
        self.assertEqual(target.take(), SENT)
        self.assertTrue(target.transport.halfClosed)
        self.assertEqual(self.value(rows.TCP_ENDED, "guest-timeout"), 1)

    def test_reset(self) -> None:
        """
        A guest that resets a connection has taken it back.
        """
        guest, target = self.open()
        target.block()
        self.send(guest)
        guest.abort()
        self.rig.settle()
        self.assertTrue(target.transport.disconnected)

    def test_limit(self) -> None:
        """
        Beyond the limits of a client a connection with bytes that wait is reset; one without is
        ended in order.
        """
        ends = [self.open() for _ in range(3)]
        self.rig.deliveries._number.mostPerKey = 1
        for guest, target in ends[:2]:
            target.block()
            self.send(guest, b"data")
        self.rig.lan.stop()
        first, second, third = (target.transport for _, target in ends)
        self.assertTrue(first.halfClosed)
        self.assertFalse(first.disconnecting)
        self.assertTrue(second.disconnected)
        self.assertFalse(third.disconnected)
        self.assertEqual(self.value(delivery.REFUSED, "connections", "client"), 2)

    def test_service(self) -> None:
        """
        A protocol in the LAN gets everything as well, paused or not, before it is told that the
        guest is gone.
        """
        told: list[Any] = []

        class Slow(Protocol):
            def dataReceived(self, data: bytes) -> None:
                told.append(data)
                self.transport.pauseProducing()  # type: ignore[union-attr]

            def connectionLost(self, reason: Any = None) -> None:
                told.append(reason.value.reason)

        self.rig.lan.listenTCP(8_000, Factory.forProtocol(Slow))
        guest = self.rig.guest.connect("10.0.2.2", 8_000)
        self.rig.settle()
        self.assertEqual(self.send(guest), len(SENT))
        self.rig.lan.stop()
        self.assertEqual((b"".join(told[:-1]), told[-1]), (SENT, "tunnel"))
