# -*- test-case-name: aero.test.test_app -*-
"""
The end of the WebSockets when the process stops.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.internet.defer import DeferredList

from aero.web.frontendproxy import FrontendProxy
from aero.ws.endpoint import WebSocketEndpoint


class EndpointsDrain:
    """
    Closes the WebSockets of all endpoints, and refuses new ones.
    """

    def __init__(self, endpoints: Sequence[WebSocketEndpoint], frontEnd: object) -> None:
        self._endpoints = endpoints
        self._frontEnd = frontEnd

    def drain(self) -> Any:
        """
        See L{aero._process.Drainable}.
        """
        for endpoint in self._endpoints:
            endpoint.gate.draining = True
        waiting = [endpoint.drain() for endpoint in self._endpoints]
        if isinstance(self._frontEnd, FrontendProxy):
            waiting.append(self._frontEnd.close())
        return DeferredList(waiting, consumeErrors=True)

    def abort(self) -> None:
        """
        See L{aero._process.Drainable}.
        """
        for endpoint in self._endpoints:
            endpoint.abort()
