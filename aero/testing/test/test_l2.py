"""
Tests for L{aero.testing.l2}: the fakes are what they stand for.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from aero.lan.peer import FramePort
from aero.testing.l2 import MemoryCarrier, MemoryLAN, MemoryLANs, makeTunnels, runNow
from aero.tunnel.ethernet.ends import LANPort, TunnelTransport
from aero.tunnel.ethernet.tunnels import LANs
from aero.wire.l2tunnel import FRAME, encode


class FakeTests(SynchronousTestCase):
    """
    A tunnel between the two fakes.
    """

    def test_shapes(self) -> None:
        """
        The fakes have the methods that tunnels call.
        """
        for protocol, fake in (
            (LANPort, MemoryLAN),
            (LANs, MemoryLANs),
            (TunnelTransport, MemoryCarrier),
        ):
            for name in vars(protocol):
                if not name.startswith("_"):
                    self.assertTrue(callable(getattr(fake, name)), name)

    def test_echo(self) -> None:
        """
        A LAN that echoes sends frames back; it keeps what it got, and in which batches.
        """
        lans, carrier = MemoryLANs(), MemoryCarrier()
        tunnel = carrier.open(makeTunnels(lans, Clock()), "192.0.2.1")
        port: FramePort = tunnel
        self.assertIs(lans.last.port, port)
        self.assertEqual(lans.last.peer.address, "192.0.2.1")
        lans.last.echo = True
        carrier.deliver(encode(FRAME, b"a"), encode(FRAME, b"b"))
        self.assertEqual(carrier.take(), [encode(FRAME, b"a"), encode(FRAME, b"b")])
        self.assertEqual(lans.last.batches, [[b"a", b"b"]])
        tunnel.connectionLost("client")
        self.assertEqual(lans.last.stopped, "client")

    def test_runNow(self) -> None:
        """
        What a thread would do is done at once, and its errors are failures.
        """
        self.assertEqual(self.successResultOf(runNow(lambda: 7)), 7)
        self.failureResultOf(runNow(lambda: 1 // 0), ZeroDivisionError)
