"""
The interfaces that users of aero implement, and nothing else.

Seams inside aero are C{typing.Protocol} classes beside whoever consumes them.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface


class IUpgradable(Interface):
    """
    Something that takes over an HTTP/1.1 connection that asks for C{Upgrade: websocket}.

    The router hands over the request untouched and before anything was written. From then
    on the implementor owns it: it refuses with an HTTP response, or switches protocols.
    """

    path = Attribute("The path it answers at, such as C{'/tcp'}.")

    def upgradeReceived(request: Any) -> None:
        """
        A client asked to switch protocols.

        @param request: The L{aero.http.request.AeroRequest}; its header lines are those the
            client sent, repeated ones not merged.
        """
