# -*- test-case-name: aero.ws.test.test_tcp -*-
"""
What the endpoints have in common whose clients are connected to targets: C{/tcp} and
C{/tcp-mux}.
"""

from __future__ import annotations

from typing import ClassVar, NotRequired, TypedDict, Unpack

from twisted.internet.interfaces import IReactorTime

from aero.metrics import Metrics
from aero.net.commons import Commons
from aero.net.deliveries import Deliveries
from aero.net.dialer import Dialer
from aero.settings.tcp import TCPSettings
from aero.tunnel.slots import TunnelSlots

from .endpoint import WebSocketEndpoint
from .handshake import UpgradeGate
from .protocol import AeroWebSocketProtocol


class DiallingParts(TypedDict):
    """
    What such an endpoint is made of.

    @ivar gate: The checks shared with all endpoints.
    @ivar clock: The reactor, or a clock in tests.
    @ivar settings: The limits.
    @ivar dialer: The way to targets.
    @ivar slots: How many connections a session may have, over all such endpoints.
    @ivar deliveries: The connections whose client has gone.
    @ivar commons: What all clients share.
    """

    gate: UpgradeGate
    clock: IReactorTime
    metrics: Metrics
    settings: TCPSettings
    dialer: Dialer
    slots: TunnelSlots
    deliveries: Deliveries
    commons: NotRequired[Commons]


class DiallingEndpoint(WebSocketEndpoint):
    """
    An endpoint whose clients are connected to targets.

    @cvar label: Its name in metrics and logs, wherever it is.
    @ivar settings: The limits.
    @ivar dialer: The way to targets.
    @ivar slots: How many connections a session may have.
    @ivar deliveries: The connections whose client has gone.
    """

    label: ClassVar[str]

    def __init__(
        self, path: str, protocol: type[AeroWebSocketProtocol], **parts: Unpack[DiallingParts]
    ) -> None:
        """
        @param parts: See L{DiallingParts}.
        """
        self.settings = parts["settings"]
        self.dialer = parts["dialer"]
        self.slots = parts["slots"]
        self.deliveries = parts["deliveries"]
        super().__init__(
            path,
            protocol,
            gate=parts["gate"],
            clock=parts["clock"],
            metrics=parts["metrics"],
            name=self.label,
            maxMessageBytes=self.settings.maxMessageBytes,
            pingInterval=self.settings.pingInterval,
            pingTimeout=self.settings.pingTimeout,
            commons=parts.get("commons"),
        )
