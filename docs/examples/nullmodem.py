"""
A null-modem cable between two emulated PCs: what one page sends to C{/nullmodem?cable=NAME}
arrives at the other page on that cable::

    PYTHONPATH=docs/examples twistd -n aero --app nullmodem.Server
"""

from __future__ import annotations

from typing import Any, Sequence
from urllib.parse import parse_qs

from aero.app import Aero
from aero.errors import Refused
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.handshake import Accepted
from aero.ws.protocol import AeroWebSocketProtocol, Closed


class CableEnd(AeroWebSocketProtocol):
    """
    One plugged-in end.
    """

    streaming = True  # a cable has no message boundaries: pass pieces on as they come

    endpoint: CableEndpoint
    cable: str

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[CableEnd] = []

    @property
    def other(self) -> CableEnd | None:
        """
        The other end, once somebody has plugged it in.
        """
        return next((end for end in self.ends if end is not self), None)

    def sessionOpened(self) -> None:
        ends = self.endpoint.cables.setdefault(self.cable, [])
        if len(ends) == 2:
            raise Refused(409, "conflict", "Both ends are taken")
        self.ends = ends
        ends.append(self)

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        if self.other is not None:
            self.other.sendMessage(payload, isBinary=True)

    def sendingPaused(self) -> None:
        if self.other is not None:
            self.other.pauseReading()

    def sendingResumed(self) -> None:
        if self.other is not None:
            self.other.resumeReading()

    def closeReceived(self, code: int, reason: str) -> None:
        self.unplug()

    def sessionClosed(self, reason: Closed) -> None:
        self.unplug()  # without a close frame

    def unplug(self) -> None:
        """
        Leave this end to somebody else.
        """
        self.sendingResumed()
        if self in self.ends:
            self.ends.remove(self)
            if not self.ends:
                del self.endpoint.cables[self.cable]
        self.ends = []


class CableEndpoint(WebSocketEndpoint):
    """
    Finds the cable of a request.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__("/nullmodem", CableEnd, maxMessageBytes=65_536, **parts)
        self.cables: dict[str, list[CableEnd]] = {}

    def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
        (name, *_) = parse_qs(accepted.query).get("cable", [""])
        if not 0 < len(name) <= 64:
            raise Refused(400, "bad_request", "Expected cable=NAME of at most 64 characters")
        if len(self.cables.get(name, ())) == 2:
            raise Refused(409, "conflict", "Both ends are taken")
        end = self.buildProtocol(accepted)
        assert isinstance(end, CableEnd)
        end.endpoint, end.cable = self, name
        return end


class Server(Aero):
    """
    aero with cables.
    """

    def makeEndpoints(self) -> Sequence[WebSocketEndpoint]:
        cables = CableEndpoint(gate=self.upgradeGate, clock=self.reactor, metrics=self.metrics)
        return [*super().makeEndpoints(), cables]
