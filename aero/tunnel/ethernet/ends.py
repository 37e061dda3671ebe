# -*- test-case-name: aero.tunnel.ethernet.test.test_tunnel -*-
"""
The two ends of an Ethernet tunnel: the client with the carrier of its messages, and the LAN.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, Sequence


class TunnelPeer(NamedTuple):
    """
    The client of a tunnel.

    @ivar address: The client's IP address.
    @ivar session: The C{sid} that it authenticated with.
    @ivar origin: The page that it came from.
    """

    address: str
    session: str | None = None
    origin: str | None = None


class TunnelTransport(Protocol):
    """
    What carries the messages of a tunnel.
    """

    def sendMessages(self, messages: list[bytes]) -> None:
        """
        Send messages in order, with one write.
        """

    def closeTunnel(self, code: int, reason: str) -> None:
        """
        Close; what was sent before arrives first.

        @param code: A close code of RFC 6455.
        @param reason: One line.
        """

    def pauseReading(self) -> None:
        """
        Take no more from the guest for now. A carrier that cannot do that goes on, and the
        tunnel ends when too much has gathered.
        """

    def resumeReading(self) -> None:
        """
        Go on.
        """

    def unsentBytes(self) -> int:
        """
        How much of what was sent the carrier still holds.
        """


class LANPort(Protocol):
    """
    A LAN as its tunnel sees it.
    """

    def framesReceived(self, frames: Sequence[bytes]) -> None:
        """
        The guest sent frames.
        """

    def pauseProducing(self) -> None:
        """
        The guest takes no frames for now.
        """

    def resumeProducing(self) -> None:
        """
        It takes some again.
        """

    def stop(self, reason: str, deliver: bool = True) -> None:
        """
        The guest is gone: close everything it had.

        @param deliver: Whether targets get the bytes that the guest was told have arrived.
        """
