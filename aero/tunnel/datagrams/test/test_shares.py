"""
Tests for what sessions of L{aero.tunnel.datagrams.engine} have of what all clients share.
"""

from __future__ import annotations

from typing import Any

from aero.metrics import shares as rows
from aero.net.commons import Commons
from aero.net.udp.ports import DatagramPorts
from aero.policy.destinations import DestinationPolicy
from aero.settings.shares import ShareSettings
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.tunnel.datagrams.engine import UDPSession
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.wire.udprelay import encode

from .enginefixtures import V4, A, SessionTestCase, Sink


class ShareTests(SessionTestCase):
    """
    Several sessions of two clients.
    """

    def make(self, **shares: Any) -> None:
        self.commons = Commons(self.reactor, self.metrics, ShareSettings(**shares))
        self.ports = DatagramPorts(
            self.reactor,
            maxSockets=100,
            openSocket=self.network.openSocket,
            commons=self.commons,
        )
        self.sessions = RelaySessions(
            SignalSettings(), UDPSettings(), clock=self.reactor, metrics=self.metrics
        )

    def begin(self, address: str) -> UDPSession:
        session = UDPSession(
            Sink(),
            self.sessions.take(None, lambda reason: None, address=address),
            settings=UDPSettings(),
            policy=DestinationPolicy(preset="dev", allowPrivate=True),
            ports=self.ports,
            clock=self.reactor,
            metrics=self.metrics,
            prefix="udp_ws",
        )
        self.addCleanup(session.close)
        return session

    def test_sockets(self) -> None:
        """
        The sockets of all sessions of a client are counted together, and those of another
        client apart; they are given back.
        """
        self.make(maxSocketsPerIP=3)
        first, second = self.begin("192.0.2.9"), self.begin("192.0.2.9")
        for session in (first, second):
            for port in (1_000, 1_001):
                session.messageReceived(encode(1, port, V4, 53, b"x"))
        self.assertEqual((len(first.bindings), len(second.bindings)), (2, 1))
        self.assertEqual(self.metrics.value(rows.SOCKETS_REFUSED, "client"), 1)
        other = self.begin("192.0.2.10")
        other.messageReceived(encode(1, 1_000, V4, 53, b"x"))
        self.assertEqual(len(other.bindings), 1)
        first.close()
        self.assertEqual(self.commons.sockets.used, 2)
        second.messageReceived(encode(1, 1_001, V4, 53, b"x"))
        self.assertEqual(len(second.bindings), 2)

    def test_queues(self) -> None:
        """
        What waits for slow clients is counted for the client, over its sessions: the oldest
        datagrams make room. Everything is given back.
        """
        self.make(maxWaitingBytesPerIP=10_000)
        sessions = [self.begin("192.0.2.9") for _ in range(4)]
        for session in sessions:
            session.messageReceived(encode(1, 1_000, V4, 53, b"x"))
            session.pauseProducing()
            for number in range(20):
                session.datagramsReceived(session._bindings[1_000], [(bytes([number]) * 992, A)])
        self.assertEqual(sum(session.queuedBytes for session in sessions), 10_000)
        self.assertEqual(self.commons.waiting.used, 10_000)
        self.assertEqual(sessions[0].queuedBytes, 10_000)
        sessions[0].resumeProducing()
        self.assertEqual(self.commons.waiting.used, 0)
        sessions[1].datagramsReceived(sessions[1]._bindings[1_000], [(b"y" * 992, A)])
        self.assertEqual(self.commons.waiting.used, 1_000)
        for session in sessions:
            session.close()
        self.assertEqual((self.commons.waiting.used, self.commons.sockets.used), (0, 0))
