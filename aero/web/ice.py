# -*- test-case-name: aero.web.test.test_ice -*-
"""
C{GET /webrtc/ice}: the STUN and TURN servers for a browser's C{RTCPeerConnection}, with
credentials of its own where there is a secret (relay.md section 2.3). Nothing of it may be kept
by a cache, errors included.
"""

from __future__ import annotations

from typing import Callable, Sequence

from aero.auth.turnrest import TurnSecret
from aero.errors import Refused
from aero.http.replies import Header
from aero.http.request import AeroRequest
from aero.policy.iceservers import IceServer

from .relayendpoint import RelayDoor, RelayEndpoint, replyRelayJSON

PATH = "/webrtc/ice"

#: What every answer of this path carries.
UNCACHED: Sequence[Header] = (
    (b"Cache-Control", b"no-store"),
    (b"Pragma", b"no-cache"),
    (b"Expires", b"0"),
)


class IceGate:
    """
    Puts the headers on every response of the path, also where another gate or a failure answers.
    To be the first of the gates.
    """

    def admits(self, request: AeroRequest) -> bool:
        """
        See L{aero.http.gates.Gate.admits}.
        """
        if request.method in (b"GET", b"HEAD") and request.route.endswith(PATH):
            _mark(request)
        return True


class IceEndpoint(RelayEndpoint):
    """
    The resource.
    """

    def __init__(
        self,
        door: RelayDoor,
        servers: Sequence[IceServer],
        *,
        problem: str = "",
        secret: TurnSecret | None = None,
        now: Callable[[], float],
    ) -> None:
        """
        @param problem: Why the list of servers cannot be used; empty where it can.
        @param secret: Makes credentials for TURN servers; C{None} where they have their own.
        @param now: Gives the seconds since 1970.
        """
        super().__init__()
        self._door = door
        self._servers = servers
        self._problem = problem
        self._secret = secret
        self._now = now

    def render_GET(self, request: AeroRequest) -> int:
        """
        Answer with the list.
        """
        self._door.admit(request)
        if self._problem:
            return replyRelayJSON(request, 503, {"error": self._problem}, headers=UNCACHED)
        username = password = ""
        if self._secret is not None:
            try:
                username, password = self._secret.issue(self._now())
            except ValueError:
                self._log.failure("TURN credentials could not be made")
                raise Refused(500, "internal_error", "internal error") from None
        told = [
            server.told(username, password) if server.isRelay else server.told()
            for server in self._servers
        ]
        return replyRelayJSON(request, 200, {"iceServers": told}, headers=UNCACHED)

    def refused(self, request: AeroRequest, refused: Refused) -> int:
        """
        Errors are not kept either.
        """
        _mark(request)
        return super().refused(request, refused)


def _mark(request: AeroRequest) -> None:
    for name, value in UNCACHED:
        request.responseHeaders.setRawHeaders(name, [value])
