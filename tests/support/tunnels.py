"""
Tunnels and targets that are closed when their test ends.
"""

from __future__ import annotations

from .rigs import Rigged
from .targets import Target
from .websocket import WebSocket


class Tunnelled(Rigged):
    """
    Tests that open tunnels through C{/tcp}.
    """

    def tunnel(
        self, target: str, settings: dict[str, str] | None = None, cookie: str = ""
    ) -> WebSocket:
        """
        An open tunnel, closed when the test ends.
        """
        tunnel = WebSocket(self.server(settings), target, cookie=cookie)
        self.addCleanup(tunnel.connection.close)
        self.assertTrue(tunnel.accepted, str(tunnel.response))
        return tunnel

    def target(self, behaviour: Target) -> Target:
        """
        Close a target when the test ends.
        """
        self.addCleanup(behaviour.__exit__)
        return behaviour
