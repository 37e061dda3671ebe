"""
An endpoint C{/l2} in memory.
"""

from __future__ import annotations

from typing import Any

from aero.auth.l2modes import L2Authenticator
from aero.policy.clientaddress import ClientAddresses
from aero.policy.origin import Origins, normalizeOrigin
from aero.settings.l2 import L2Settings
from aero.testing.l2 import MemoryLANs, makeTunnels
from aero.testing.ws import WebSocketClient, WebSocketRig
from aero.tunnel.ethernet.permits import TunnelPermits
from aero.ws.l2 import L2Endpoint
from aero.ws.l2gate import L2Gate

PROTOCOL = b"aero-l2-tunnel-v1"
KEY = "sekrit"


class L2Rig(WebSocketRig):
    """
    What tests of the tunnel over WebSocket need.

    @ivar lans: The LANs of its guests.
    """

    def __init__(
        self,
        mode: str = "none",
        origins: list[str] | None = None,
        trust: bool = False,
        gate: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """
        @param mode: The mode of authentication; its key is C{sekrit}.
        @param origins: The origins that are allowed; C{None} takes any and none.
        @param trust: Whether whoever connects is a proxy.
        @param gate: Options of the checks that all endpoints share.
        @param settings: Fields of L{L2Settings}.
        """
        super().__init__(**gate or {})
        self.lans = MemoryLANs()
        self.stopping = False
        self.tunnels = makeTunnels(
            self.lans, self.reactor, self.metrics, open=origins is None, **settings
        )
        chosen: L2Settings = self.tunnels.settings
        self.clientAddresses = ClientAddresses(trust=trust, networks=(), terminatesTLS=False)
        self.l2gate = L2Gate(
            chosen,
            shared=self.gate,
            authenticator=L2Authenticator(
                mode,
                normalizeOrigin=normalizeOrigin,
                sessions=self.sessions,
                apiKey=KEY,
                jwtSecret=KEY,
                isOpen=chosen.open,
            ),
            origins=Origins(origins or []),
            clients=self.clientAddresses,
            metrics=self.metrics,
            wallClock=lambda: self.now,
            stopping=lambda: self.stopping,
        )
        self.permits = TunnelPermits(chosen, self.metrics)
        self.endpoint = L2Endpoint(
            gate=self.l2gate,
            clock=self.reactor,
            metrics=self.metrics,
            tunnels=self.tunnels,
            permits=self.permits,
        )

    def guest(self, target: bytes = b"/l2", **changes: Any) -> WebSocketClient:
        """
        Ask for a tunnel; see L{WebSocketRig.connect}. There is no cookie unless one is given.
        """
        lines = {"Sec_WebSocket_Protocol": PROTOCOL, "Cookie": None} | changes
        return self.connect(self.endpoint, target, **lines)

    def refusal(self, **changes: Any) -> tuple[int, bytes]:
        """
        Ask for a tunnel that there is not: status and body.
        """
        client = self.guest(**changes)
        return client.status, client.body
