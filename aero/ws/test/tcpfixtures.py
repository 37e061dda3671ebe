"""
An endpoint C{/tcp} with clients and targets in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from aero.net.dialer import Dialer
from aero.policy.egress import EgressPolicy
from aero.settings.tcp import TCPSettings
from aero.testing.ws import TargetEnd, WebSocketClient, WebSocketRig
from aero.tunnel.slots import TunnelSlots
from aero.wire.websocket import CLOSE
from aero.ws.tcp import TCPEndpoint, TCPTunnelProtocol

TARGET = b"/tcp?v=1&host=192.0.2.5&port=7"


class Names:
    """
    A resolver that answers when the test does.
    """

    def __init__(self) -> None:
        self.known: dict[str, Deferred[list[str]]] = {}

    def resolve(self, name: str) -> Deferred[list[str]]:
        return self.known.pop(name)


class Case(SynchronousTestCase):
    """
    An endpoint, its clients and its targets.
    """

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.names = Names()
        self.make()

    def make(
        self,
        protocol: type[TCPTunnelProtocol] = TCPTunnelProtocol,
        private: bool = True,
        **settings: Any,
    ) -> None:
        policy = EgressPolicy(
            profile="open",
            allowPrivate=private,
            allowedHosts=(),
            blockedHosts=(),
            requireName=False,
            allowedPorts=(),
        )
        self.settings = TCPSettings(**settings)
        self.slots = TunnelSlots(self.settings, self.rig.metrics)
        self.endpoint = TCPEndpoint(
            "/tcp",
            protocol,
            settings=self.settings,
            dialer=Dialer(self.rig.reactor, self.names, policy, self.rig.metrics),
            slots=self.slots,
            deliveries=self.rig.deliveries,
            **self.rig.common,
        )

    def connect(self, target: bytes = TARGET, **how: Any) -> WebSocketClient:
        return self.rig.connect(self.endpoint, target, **how)

    def tunnel(self) -> tuple[WebSocketClient, TargetEnd]:
        """
        A client and a connected target.
        """
        client = self.connect()
        self.assertEqual((client.status, client.body), (101, b""))
        return client, self.rig.acceptTarget()

    def assertEnded(self, target: TargetEnd) -> None:
        """
        The target is sent the end of the stream, and no reset.
        """
        self.assertTrue(target.transport.halfClosed)
        self.assertFalse(target.transport.disconnecting)

    def held(self) -> float:
        return sum(self.slots._bySession._held.values())

    def assertClose(self, client: WebSocketClient, code: int, reason: bytes = b"") -> None:
        """
        The client sees nothing but this close, and the end of the stream.
        """
        self.assertEqual(client.frames(), [(CLOSE, code.to_bytes(2, "big") + reason)])
        self.assertTrue(client.transport.halfClosed)
