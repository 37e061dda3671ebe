"""
What the tests of L{aero.tunnel.datagrams.engine} share: a session with sockets in memory.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from aero.metrics import ROWS, Metrics
from aero.metrics import relay as rows
from aero.net.udp.ports import DatagramPorts
from aero.policy.destinations import DestinationPolicy
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.testing.udp import MemoryNetwork
from aero.tunnel.datagrams.engine import UDPSession
from aero.tunnel.datagrams.sessions import RelaySession, RelaySessions

V4 = b"\xc0\x00\x02\x01"
A = ("192.0.2.1", 53)
V6 = bytes.fromhex("20010db8000000000000000000000001")
SIX = ("2001:db8::1", 53)
MAPPED = bytes(10) + b"\xff\xff" + V4


class Sink:
    """
    Keeps the messages.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.batches: list[int] = []
        self.pauseAfter = -1
        self.session: UDPSession | None = None

    def sendDatagrams(self, messages: Sequence[bytes]) -> None:
        self.messages.extend(messages)
        self.batches.append(len(messages))
        if len(self.batches) == self.pauseAfter and self.session is not None:
            self.session.pauseProducing()


class SessionTestCase(SynchronousTestCase):
    """
    A session with everything around it.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.network = MemoryNetwork(self.reactor)
        self.metrics = Metrics(ROWS)
        self.sink = Sink()
        self.ended: list[str] = []

    def start(
        self,
        policy: DestinationPolicy | None = None,
        *,
        prefix: str = "udp_ws",
        eagerV2: bool = False,
        maxSockets: int = 16,
        denied: bool = False,
        **settings: Any,
    ) -> UDPSession:
        """
        Begin a session.
        """
        udp = UDPSettings(**settings)
        sessions = RelaySessions(SignalSettings(), udp, clock=self.reactor, metrics=self.metrics)
        self.ports = DatagramPorts(
            self.reactor, maxSockets=maxSockets, openSocket=self.network.openSocket
        )
        self.relay: RelaySession = sessions.take(None, self.over)
        if policy is None and not denied:
            policy = DestinationPolicy(preset="dev", allowPrivate=True)
        self.session = UDPSession(
            self.sink,
            self.relay,
            settings=udp,
            policy=policy,
            ports=self.ports,
            clock=self.reactor,
            metrics=self.metrics,
            prefix=prefix,
            eagerV2=eagerV2,
        )
        self.sink.session = self.session
        self.addCleanup(self.session.close)
        return self.session

    def over(self, reason: str) -> None:
        """
        What an owner does.
        """
        self.ended.append(reason)
        self.session.close()

    def event(self, name: str) -> int:
        """
        The count of an event.
        """
        return int(self.metrics.value(rows.EVENTS, name))

    def drops(self) -> dict[str, int]:
        """
        What was dropped.
        """
        counts = self.metrics.events(rows.EVENTS).counts
        return {
            name.partition("dropped_")[2]: count
            for name, count in counts.items()
            if "_dropped_" in name and count
        }

    def sent(self, index: int = 0) -> list[tuple[bytes, tuple[str, int]]]:
        """
        What left from a socket.
        """
        return self.network.sockets[index].sent
