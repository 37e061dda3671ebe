# -*- test-case-name: aero.ws.test.test_relaygate -*-
"""
The opening handshake of the relay's WebSockets: its checks in its order, and its refusals
(relay.md sections 3.3, 6.1 and 12.1).

Credentials are none of them: a client with a wrong one is let in, told so in a message, and
closed, because a browser shows a page nothing of a refused handshake.
"""

from __future__ import annotations

import json
from typing import Any

from aero.errors import Refused

from .handshake import (
    Accepted,
    Pairs,
    UpgradeGate,
    checkHeaders,
    parseTarget,
    refusalResponse,
)


class RelayGate(UpgradeGate):
    """
    The checks that the relay's WebSocket endpoints share.
    """

    def admit(self, request: Any, *, needsSession: bool = False) -> Accepted:
        """
        Run the checks: the origin first, then the handshake.

        @raise Refused: One of them failed.
        """
        lines = request.requestHeaders.getRawHeaders
        decision = self._origins.allow(lines(b"Origin") or (), lines(b"Host") or ())
        if not decision.allowed:
            raise Refused(403, "forbidden", "forbidden", reason="origin")
        self._checkDraining()
        if len(request.uri) > self._maxTargetLength:
            raise Refused(414, "url_too_long", "Request URL too long", reason="url")
        try:
            path, query = parseTarget(request.uri)
            key = checkHeaders(request.method, request.clientproto, lambda name: lines(name) or ())
        except Refused as refused:
            raise Refused(400, "bad_message", refused.message, reason=refused.reason) from None
        client = request.client
        self.limitRate(client.ip)
        self.checkAddress(client.ip)
        return Accepted(
            key=key,
            path=path,
            query=query,
            session=None,
            client=client,
            origin=decision.origin,
            offered=tuple(lines(b"Sec-WebSocket-Protocol") or ()),
        )


def relayRejection(refused: Refused, pairs: Pairs, *, typed: bool = False) -> bytes:
    """
    The whole response to a handshake that the relay refuses.

    @param pairs: The header set of the site.
    @param typed: Whether the body says that it is an error, as C{/udp} does.
    """
    value = {"code": refused.code, "message": refused.message}
    if typed and refused.status != 403:
        value = {"type": "error", **value}
    body = json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
    return refusalResponse(refused, pairs, b"application/json", body)
