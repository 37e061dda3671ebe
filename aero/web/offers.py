# -*- test-case-name: aero.web.test.test_offers -*-
"""
C{POST /webrtc/offer} and C{POST /offer}: setting up a WebRTC connection with one request (relay.md
section 7). The answer waits for all candidates, though not for long; the connection then lives on
its own.
"""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import NOT_DONE_YET

from aero.auth.relaymodes import Admitted
from aero.errors import Refused
from aero.http.replies import isOver
from aero.http.request import AeroRequest
from aero.metrics import Events
from aero.tunnel.datagrams.peers import PeerFactory, PeerRequest, RelayPeer, clientOrigin
from aero.tunnel.datagrams.sessions import RelaySession, RelaySessions
from aero.wire import sdp, signaling

from .relayendpoint import RelayDoor, RelayEndpoint, replyRelayJSON

#: Bytes of a body (relay.md section 1.4). What is longer than a description may be is refused
#: as one, without being taken apart.
MAX_BODY_BYTES = 2_097_152


class OfferEndpoint(RelayEndpoint):
    """
    C{POST /webrtc/offer}.

    @cvar tooLarge: What is said of a body with too many bytes.
    """

    maxBodyBytes = MAX_BODY_BYTES
    tooLarge = f"expected an offer of at most {MAX_BODY_BYTES} bytes"

    def __init__(
        self,
        door: RelayDoor,
        sessions: RelaySessions,
        peers: PeerFactory,
        *,
        clock: IReactorTime,
        events: Events,
        gatheringTimeout: float,
    ) -> None:
        """
        @param gatheringTimeout: Seconds that the answer may wait for candidates.
        """
        super().__init__()
        self._door = door
        self._sessions = sessions
        self._peers = peers
        self._clock = clock
        self._events = events
        self._gatheringTimeout = gatheringTimeout

    # -- what differs between the two

    def read(self, body: bytes) -> str:
        """
        The description in a body.

        @raise signaling.SignalError: There is none.
        """
        return signaling.parseOfferBody(body)

    def unusable(self, error: sdp.DescriptionError) -> str:
        """
        What is said of a description that cannot be answered.
        """
        return str(error)

    def answer(self, session: RelaySession, text: str) -> dict[str, Any]:
        """
        The body of the answer.
        """
        return {"sessionId": session.id, "sdp": {"type": "answer", "sdp": text}}

    def bodyRefused(self, request: AeroRequest, refused: Refused) -> int:
        """
        Answer that a body of this size is no offer (relay.md sections 7.1 and 7.2).
        """
        return self.refused(request, Refused(400, "bad_message", self.tooLarge))

    # -- the work

    async def render_POST(self, request: AeroRequest) -> int:
        """
        Answer an offer. The body is looked at before the credential, as the reference does.
        """
        content = cast(BinaryIO, request.content)
        content.seek(0)
        try:
            text = self.read(content.read())
        except signaling.SignalError as error:
            raise Refused(400, "bad_message", str(error)) from None
        session, peer = await self._open(request, self._door.admit(request))
        try:
            peer.offerReceived(text)
        except sdp.DescriptionError as error:
            peer.close("bad offer")
            raise Refused(400, "bad_message", self.unusable(error)) from None
        except Exception:  # noqa: BLE001
            peer.close("internal error")
            self._log.failure("An offer could not be answered")
            raise Refused(500, "internal_error", "internal error") from None
        gone = request.notifyFinish()
        gone.addErrback(lambda reason: peer.close("client left"))
        await self._gather(peer)
        if isOver(request):
            return NOT_DONE_YET
        return replyRelayJSON(request, 200, self.answer(session, peer.answer()))

    async def _open(
        self, request: AeroRequest, admitted: Admitted
    ) -> tuple[RelaySession, RelayPeer]:
        """
        Take a session and make its peer.

        @raise Refused: There is none to be had.
        """
        lines = request.requestHeaders.getRawHeaders
        asked = PeerRequest(
            address=request.client.ip,
            origin=clientOrigin(lines(b"Origin", ()), lines(b"Host", ()), request.client.secure),
            credential=admitted.credential,
            cookies=tuple(lines(b"Cookie", ())),
        )
        made: list[RelayPeer] = []

        def ended(reason: str) -> None:
            for peer in made:
                peer.close(reason)

        session = self._sessions.take(
            admitted.key,
            ended,
            address=request.client.ip,
            reservation=self._reservation(request),
        )
        try:
            await session.confirmed()
        except CancelledError:
            session.release()  # the client has left
            raise
        try:
            peer = self._peers.makePeer(session, asked)
        except Refused:
            session.release()
            raise
        except Exception:  # noqa: BLE001
            session.release()
            self._log.failure("A WebRTC session could not be made")
            raise Refused(500, "internal_error", "failed to create session") from None
        made.append(peer)
        return session, peer

    def _reservation(self, request: AeroRequest) -> str | None:
        given = request.args.get(b"session")
        return given[0].decode("latin-1") if given else None

    async def _gather(self, peer: RelayPeer) -> None:
        gathered = peer.whenGathered()
        if gathered.called:
            return
        timer = self._clock.callLater(self._gatheringTimeout, gathered.cancel)
        try:
            await gathered
        except CancelledError:
            if timer.active():
                raise  # the client has left
            self._events.inc("ice_gathering_timeout")
        finally:
            if timer.active():
                timer.cancel()


class VersionedOfferEndpoint(OfferEndpoint):
    """
    C{POST /offer}, of clients older than the other.
    """

    tooLarge = "invalid offer"

    def read(self, body: bytes) -> str:
        """
        See L{OfferEndpoint.read}.
        """
        return signaling.parseVersionedOffer(body)

    def unusable(self, error: sdp.DescriptionError) -> str:
        """
        See L{OfferEndpoint.unusable}.
        """
        return "failed to set remote description"

    def answer(self, session: RelaySession, text: str) -> dict[str, Any]:
        """
        See L{OfferEndpoint.answer}.
        """
        return signaling.encodeVersionedAnswer(text)
