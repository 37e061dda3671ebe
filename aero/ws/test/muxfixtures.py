"""
What the tests of C{/tcp-mux} share.
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
from aero.wire.tcpmux import (
    CLOSE,
    DATA,
    ERROR,
    FIN,
    OPEN,
    SUBPROTOCOL,
    Error,
    FrameDecoder,
    Open,
    encodeFrame,
)
from aero.wire.websocket import BINARY
from aero.ws.mux import MuxEndpoint, MuxProtocol

HOST = "192.0.2.5"


def opened(streamId: int, host: str = HOST, port: int = 7) -> bytes:
    """
    An OPEN frame.
    """
    return encodeFrame(OPEN, streamId, Open(host, port).encode())


def data(streamId: int, payload: bytes) -> bytes:
    """
    A DATA frame.
    """
    return encodeFrame(DATA, streamId, payload)


def closed(streamId: int, flags: int = FIN) -> bytes:
    """
    A CLOSE frame.
    """
    return encodeFrame(CLOSE, streamId, bytes((flags,)))


class Names:
    """
    A resolver that answers when the test does.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known: dict[str, Deferred[list[str]]] = {}

    def resolve(self, name: str) -> Deferred[list[str]]:
        self.asked.append(name)
        return self.known.setdefault(name, Deferred())


class Case(SynchronousTestCase):
    """
    An endpoint, its client and its targets.
    """

    def setUp(self) -> None:
        self.rig = WebSocketRig()
        self.names: Any = Names()
        self.make()

    def make(
        self,
        protocol: type[MuxProtocol] = MuxProtocol,
        private: bool = True,
        policy: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        rules: dict[str, Any] = {
            "profile": "open",
            "allowPrivate": private,
            "allowedHosts": (),
            "blockedHosts": (),
            "requireName": False,
            "allowedPorts": (),
        }
        rules.update(policy or {})
        self.settings = TCPSettings(**settings)
        self.slots = TunnelSlots(self.settings, self.rig.metrics)
        self.endpoint = MuxEndpoint(
            "/tcp-mux",
            protocol,
            settings=self.settings,
            dialer=Dialer(self.rig.reactor, self.names, EgressPolicy(**rules), self.rig.metrics),
            slots=self.slots,
            deliveries=self.rig.deliveries,
            **self.rig.common,
        )

    def connect(self, **how: Any) -> WebSocketClient:
        how.setdefault("Sec_WebSocket_Protocol", SUBPROTOCOL.encode())
        client = self.rig.connect(self.endpoint, **how)
        self.decoder = FrameDecoder(1 << 24)
        return client

    def send(self, client: WebSocketClient, *frames: bytes) -> None:
        """
        Send frames in one message.
        """
        client.send(BINARY, b"".join(frames))

    def frames(self, client: WebSocketClient) -> list[tuple[int, int, Any]]:
        """
        What the client got since the last call: type, stream, and payload, which for an error
        is its code and message. Data of a stream in successive frames is put together.
        """
        found: list[tuple[int, int, Any]] = []
        for opcode, payload in client.frames():
            if opcode != BINARY:
                found.append((-opcode, int.from_bytes(payload[:2], "big"), payload[2:]))
                continue
            for frame in self.decoder.receive(payload):
                value: Any = frame.payload
                if frame.kind == ERROR:
                    decoded = Error.decode(value)
                    value = (decoded.code, decoded.message)
                elif found and frame.kind == DATA and found[-1][:2] == frame[:2]:
                    value = found.pop()[2] + value
                found.append((frame.kind, frame.streamId, value))
        return found

    def stream(self, client: WebSocketClient, streamId: int = 1) -> TargetEnd:
        """
        A stream that is connected.
        """
        self.send(client, opened(streamId))
        return self.rig.acceptTarget()

    def held(self) -> int:
        return sum(self.slots._bySession._held.values())

    def dialled(self) -> list[tuple[str, int]]:
        return [client[:2] for client in self.rig.reactor.tcpClients]

    def failed(self, streamId: int, code: int, message: str) -> list[tuple[int, int, Any]]:
        return [(ERROR, streamId, (code, message))]
