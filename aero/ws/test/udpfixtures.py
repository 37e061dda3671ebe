"""
What the tests of L{aero.ws.udp} share: an endpoint and its clients, without sockets.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.relaymodes import Admitted, RelayAuth
from aero.metrics import relay as rows
from aero.net.udp.ports import DatagramPorts
from aero.policy.destinations import DestinationPolicy
from aero.policy.origin import Origins
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.testing.udp import MemoryNetwork
from aero.testing.ws import WebSocketClient, WebSocketRig
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.wire.websocket import CLOSE, TEXT
from aero.ws.relaygate import RelayGate
from aero.ws.udp import UDPEndpoint, UDPProtocol

V4 = b"\xc0\x00\x02\x01"
A = ("192.0.2.1", 53)


class BrokenAuth(RelayAuth):
    """
    A mode that cannot decide.
    """

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        raise RuntimeError("no key")


class UDPTestCase(SynchronousTestCase):
    """
    An endpoint and its clients.
    """

    def make(
        self,
        auth: RelayAuth | None = None,
        *,
        signal: dict[str, Any] | None = None,
        protocol: type[UDPProtocol] = UDPProtocol,
        origins: tuple[str, ...] = (),
        **udp: Any,
    ) -> UDPEndpoint:
        """
        An endpoint with these settings.
        """
        self.rig = WebSocketRig()
        self.network = MemoryNetwork(self.rig.reactor)
        settings = UDPSettings(**udp)
        signalSettings = SignalSettings(**signal or {})
        self.sessions = RelaySessions(
            signalSettings, settings, clock=self.rig.reactor, metrics=self.rig.metrics
        )
        self.ports = DatagramPorts(
            self.rig.reactor, maxSockets=8, openSocket=self.network.openSocket
        )
        self.endpoint = UDPEndpoint(
            auth=auth or RelayAuth(),
            sessions=self.sessions,
            settings=settings,
            signal=signalSettings,
            policy=DestinationPolicy(preset="dev", allowPrivate=True, denyPorts=[(99, 99)]),
            ports=self.ports,
            now=lambda: self.rig.now,
            protocol=protocol,
            **self.rig.common
            | {
                "gate": RelayGate(
                    clock=self.rig.reactor, sessions=None, origins=Origins(list(origins))
                )
            },
        )
        return self.endpoint

    def connect(self, query: str = "", **headers: Any) -> WebSocketClient:
        """
        A client without a cookie.
        """
        target = f"/udp{query}".encode()
        return self.rig.connect(self.endpoint, target, **{"Cookie": None, **headers})

    def ready(self, client: WebSocketClient) -> str:
        """
        Read C{ready}, and give the id that it has.
        """
        ((opcode, payload),) = client.frames()
        message = json.loads(payload)
        self.assertEqual(
            (opcode, message["type"], set(message)), (TEXT, "ready", {"type", "sessionId"})
        )
        self.assertRegex(message["sessionId"], r"^[0-9a-f]{32}$")
        return str(message["sessionId"])

    def assertFailed(
        self, client: WebSocketClient, code: str | None, message: str, closeCode: int
    ) -> None:
        """
        The client was told of an error and then closed; C{None} for closed only.
        """
        frames = client.frames()
        if code is not None:
            opcode, payload = frames.pop(0)
            self.assertEqual(opcode, TEXT)
            self.assertEqual(
                json.loads(payload), {"type": "error", "code": code, "message": message}
            )
        self.assertEqual(frames, [(CLOSE, closeCode.to_bytes(2, "big") + message.encode())])
        self.assertEqual(len(self.sessions), 0)
        self.assertEqual(self.ports.open, 0)

    def event(self, name: str) -> int:
        """
        The count of an event.
        """
        return int(self.rig.metrics.value(rows.EVENTS, name))

    def token(self, sid: str = "sid", secret: str = "secret") -> str:
        """
        A token that is good now.
        """
        return mintRelayToken(secret, sid, now=self.rig.now, ttl=60)[0]
