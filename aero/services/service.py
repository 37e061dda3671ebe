# -*- test-case-name: aero.test.test_app -*-
"""
What a service adds to the server.
"""

from __future__ import annotations

import dataclasses
from typing import Iterable, Mapping, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.web.resource import IResource

from aero.http.gates import Gate
from aero.ws.endpoint import WebSocketEndpoint

from .parts import Parts
from .role import Role


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """
    A resource that has everything below its path.

    @ivar gate: What decides about origins there instead of the site's gate.
    """

    resource: IResource
    gate: Gate


class Service:
    """
    One of the names of C{--services}. Every method may be left as it is.

    @cvar name: The name.
    @ivar parts: What it shares with the others.
    """

    name = ""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def resources(self) -> Mapping[str, IResource]:
        """
        Its HTTP resources by path.
        """
        return {}

    def trees(self) -> Mapping[str, Tree]:
        """
        What it has below whole paths.
        """
        return {}

    def endpoints(self) -> Sequence[WebSocketEndpoint]:
        """
        Its WebSocket endpoints; they drain by themselves.
        """
        return ()

    def role(self) -> Role | None:
        """
        What it is when it runs alone; C{None} for the same as beside others.
        """
        return None

    def tunnels(self) -> Iterable[tuple[str, str, str]]:
        """
        The tunnels that are open beside those of its WebSocket endpoints: the name of the
        session, empty for none, the client's address, and what it is.
        """
        return ()

    def notices(self) -> Iterable[str]:
        """
        Sentences for the operator about how it is set.
        """
        return ()

    def drain(self) -> Deferred[object]:
        """
        Take nothing new, and ask what is open to end; fires when nothing is left.
        """
        return succeed(None)

    def abort(self) -> None:
        """
        End at once what did not end by itself.
        """

    def stop(self) -> None:
        """
        Give everything back; called last of all.
        """
