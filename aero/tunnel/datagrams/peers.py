# -*- test-case-name: aero.rtc.test.test_peer -*-
"""
What the parts that set up WebRTC know of each other. L{aero.ws} and L{aero.web} do the signalling,
L{aero.rtc} has the peers, L{aero.services} brings them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Protocol, Sequence

from twisted.internet.defer import Deferred

from aero.policy.origin import normalizeOrigin
from aero.wire import sdp, signaling

from .sessions import RelaySession


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRequest:
    """
    Who asks for a WebRTC connection, from the request that its signalling began with.

    @ivar address: The client's IP address as text.
    @ivar origin: The page's origin, or of this server where the request names none
        (relay.md section 13.3).
    @ivar credential: What admitted it; C{None} where nothing had to.
    @ivar cookies: Every C{Cookie} header line.
    """

    address: str
    origin: str = ""
    credential: str | None = None
    cookies: Sequence[bytes] = ()


def clientOrigin(origins: Sequence[bytes], hosts: Sequence[bytes], secure: bool) -> str:
    """
    The origin that a backend is told of (relay.md section 13.3): the page's, or this server's
    own where the client sent none.

    @param origins: The lines of C{Origin}.
    @param hosts: The lines of C{Host}.
    @param secure: Whether the client came over TLS.
    @return: Empty where it cannot be said.
    """
    if len(origins) > 1:
        return ""
    if origins and origins[0].strip():
        text = origins[0].decode("latin-1").strip()
        return normalizeOrigin(text) or text
    if len(hosts) != 1:
        return ""
    host = hosts[0].decode("latin-1").strip().lower()
    return normalizeOrigin(f"{'https' if secure else 'http'}://{host}") or ""


class RelayPeer(Protocol):
    """
    One WebRTC connection. It gives its relay session back the moment that it ends.

    @ivar candidateFound: Called with each local candidate that the answer did not have.
    @ivar ended: Called once with the reason when the connection is over, whoever ended it.
    """

    candidateFound: Callable[[sdp.Candidate], None] | None
    ended: Callable[[str], None] | None

    @property
    def section(self) -> tuple[str, int]:
        """
        The section that candidates belong to: its identification and its number.
        """

    def offerReceived(self, text: str) -> str:
        """
        Apply the client's offer.

        @return: The answer, with the candidates known at once.
        @raise sdp.DescriptionError: It cannot be answered.
        """

    def candidateReceived(self, candidate: signaling.Candidate) -> None:
        """
        The client has found one of its candidates.

        @raise sdp.DescriptionError: It is none.
        """

    def whenGathered(self) -> Deferred[None]:
        """
        Fires when no more local candidates will be found.
        """

    def answer(self) -> str:
        """
        The answer, with the candidates known by now.
        """

    def close(self, reason: str) -> None:
        """
        End the connection.
        """


class PeerFactory(Protocol):
    """
    Makes peers.
    """

    def makePeer(self, session: RelaySession, request: PeerRequest) -> RelayPeer:
        """
        Make a peer for a session, and start its time to connect.

        @raise Refused: There are too many that are not connected yet.
        """


class TunnelCarrier(Protocol):
    """
    The data channel C{l2}, for what its messages lead to.
    """

    def sendMessages(self, messages: list[bytes]) -> None:
        """
        Send messages to the client, in order. None is lost.
        """

    def closeTunnel(self, code: int, reason: str) -> None:
        """
        Close the channel once everything was sent.

        @param code: A WebSocket close code, for the log: data channels have none.
        """

    def pauseReading(self) -> None:
        """
        Take no more messages from the client.
        """

    def resumeReading(self) -> None:
        """
        Go on.
        """

    def unsentBytes(self) -> int:
        """
        How much of what was sent still waits.
        """


class Tunnel(Protocol):
    """
    Where a data channel C{l2} leads: a LAN of this process, or a backend.
    """

    def messagesReceived(self, messages: Sequence[bytes]) -> Any:
        """
        The client sent these.
        """

    def pauseProducing(self) -> Any:
        """
        The channel is full.
        """

    def resumeProducing(self) -> Any:
        """
        The channel has room.
        """

    def connectionLost(self, reason: str) -> Any:
        """
        The channel is gone.
        """


class TunnelOpener(Protocol):
    """
    Decides whether a client gets Ethernet, and opens the way.
    """

    def openTunnel(
        self, session: RelaySession, request: PeerRequest, carrier: TunnelCarrier
    ) -> Tunnel | None:
        """
        Open what the channel leads to.

        @return: C{None} where the client may not have it; the channel is closed then.
        """
