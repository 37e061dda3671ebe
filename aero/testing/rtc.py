# -*- test-case-name: aero.ws.test.test_signal -*-
"""
WebRTC without a network: peers that do what a test says, for tests of what sets them up.
"""

from __future__ import annotations

from typing import Callable

from twisted.internet.defer import Deferred, succeed

from aero.errors import Refused
from aero.tunnel.datagrams.peers import PeerRequest
from aero.tunnel.datagrams.sessions import RelaySession
from aero.wire import sdp, signaling

#: An offer that L{MemoryPeer} answers.
OFFER = "v=0\r\noffer\r\n"
ANSWER = "v=0\r\nanswer\r\n"


class MemoryPeer:
    """
    A peer. See L{aero.tunnel.datagrams.peers.RelayPeer}.

    @ivar session: Its relay session.
    @ivar request: Who asked for it.
    @ivar offers: What it was offered.
    @ivar candidates: The candidates it was told.
    @ivar closed: Why it was closed; C{None} while it is not.
    @ivar gathering: What L{whenGathered} gives.
    @ivar failure: What the next offer raises.
    """

    def __init__(self, session: RelaySession, request: PeerRequest) -> None:
        self.session = session
        self.request = request
        self.offers: list[str] = []
        self.candidates: list[str] = []
        self.closed: str | None = None
        self.gathering: Deferred[None] = succeed(None)
        self.failure: Exception | None = None
        self.candidateFound: Callable[[sdp.Candidate], None] | None = None
        self.ended: Callable[[str], None] | None = None
        self.section = ("0", 0)

    def offerReceived(self, text: str) -> str:
        """
        Answer L{OFFER}, and refuse any other.
        """
        self.offers.append(text)
        if self.failure is not None:
            raise self.failure
        if text != OFFER:
            raise sdp.DescriptionError("not the offer of the tests")
        return ANSWER

    def candidateReceived(self, candidate: signaling.Candidate) -> None:
        """
        Keep it, if it is one.
        """
        if candidate.candidate:
            sdp.parseCandidate(candidate.candidate)
            self.candidates.append(candidate.candidate)

    def whenGathered(self) -> Deferred[None]:
        """
        What the test said.
        """
        return self.gathering

    def answer(self) -> str:
        """
        The answer, in which something has changed since.
        """
        return ANSWER + "later\r\n"

    def close(self, reason: str) -> None:
        """
        End, as a real one would: the session first.
        """
        if self.closed is None:
            self.closed = reason
            self.session.release()
            if self.ended is not None:
                self.ended(reason)


class MemoryPeers:
    """
    Makes them. See L{aero.tunnel.datagrams.peers.PeerFactory}.

    @ivar made: The peers so far.
    @ivar isFull: Whether no more are made.
    @ivar prepare: Called with each new one.
    """

    def __init__(self) -> None:
        self.made: list[MemoryPeer] = []
        self.isFull = False
        self.prepare: Callable[[MemoryPeer], object] = lambda peer: None

    def makePeer(self, session: RelaySession, request: PeerRequest) -> MemoryPeer:
        """
        Make one.
        """
        if self.isFull:
            raise Refused(503, "too_many_sessions", "too many sessions", retryAfter=1.0)
        peer = MemoryPeer(session, request)
        self.prepare(peer)
        self.made.append(peer)
        return peer
