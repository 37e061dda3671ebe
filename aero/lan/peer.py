# -*- test-case-name: aero.net.lan.test -*-
"""
Who is at the other end of a tunnel, and what carries its frames.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class GuestPeer(NamedTuple):
    """
    Whose LAN it is; for the audit log, never for decisions.

    @ivar tunnel: A name of the tunnel, unique in the process.
    @ivar address: The client's IP address as text.
    @ivar session: The C{sid} it authenticated with, if any.
    @ivar origin: The page it came from, if known.
    """

    tunnel: str
    address: str
    session: str | None = None
    origin: str | None = None


class FramePort(Protocol):
    """
    Where frames for the guest go.

    A port may also have C{pauseFrames()} and C{resumeFrames()}, which say that the LAN has
    more of the guest's frames than it can handle in one turn, and that it has none left.

    @ivar maxFrame: The most bytes of one Ethernet frame.
    """

    maxFrame: int

    def sendFrames(self, frames: list[bytes]) -> None:
        """
        Send frames to the guest, in order.
        """
        ...
