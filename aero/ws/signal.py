# -*- test-case-name: aero.ws.test.test_signal -*-
"""
C{/webrtc/signal}: setting up a WebRTC connection over WebSocket (relay.md section 6).

A connection is I{waiting} for a credential, I{ready} for an offer, or I{offered}: then it has a
peer, and lives as long as that. It ends when the peer ends, and the peer ends with it. Everything
that a client does wrong is told in an C{error} message and in the close frame.

The relay session is taken with the offer, and given back by the peer: as soon as either side has
closed the WebSocket, not when the connection is gone.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure
from twisted.web.http import Request

from aero.auth.relaymodes import Admitted, RelayAuth
from aero.errors import Refused
from aero.metrics import Metrics
from aero.policy.datagramlimits import Bucket
from aero.settings.signal import SignalSettings
from aero.tunnel.datagrams.peers import PeerFactory, PeerRequest, RelayPeer, clientOrigin
from aero.tunnel.datagrams.sessions import RelaySession, RelaySessions
from aero.wire import sdp, signaling
from aero.wire.websocket import (
    INTERNAL_ERROR,
    NORMAL,
    POLICY_VIOLATION,
    TEXT,
    UNSUPPORTED_DATA,
)

from .endpoint import WebSocketEndpoint, refuseUpgrade
from .handshake import Accepted
from .protocol import AeroWebSocketProtocol
from .relaygate import relayRejection
from .relaysocket import RelaySocketProtocol
from .udp import reservationOf


class SignalProtocol(RelaySocketProtocol):
    """
    One C{/webrtc/signal} WebSocket.

    @ivar endpoint: The endpoint.
    @ivar credential: What the request showed; C{None} for nothing.
    @ivar reservation: The reservation that the request named.
    @ivar origin: The origin of the client, see L{clientOrigin}.
    @ivar cookies: The C{Cookie} lines of the request.
    @ivar peer: The peer, once there is one.
    """

    gone = "signaling closed"

    endpoint: SignalEndpoint
    credential: str | None = None
    reservation: str | None = None
    origin = ""
    cookies: tuple[bytes, ...] = ()

    peer: RelayPeer | None = None
    _admitted: Admitted | None = None
    _bucket: Bucket

    # -- the beginning

    def sessionStarted(self) -> None:
        """
        Ask for a credential, or go on with the one that is there.
        """
        endpoint = self.endpoint
        settings = endpoint.settings
        self._bucket = Bucket(settings.maxSignalRate, self.clock.seconds())
        if self.credential is not None or not endpoint.auth.needsCredential:
            self._admit(self.credential)
        else:
            self._waiting = self.clock.callLater(settings.authTimeout, self._authTimedOut)

    def _admit(self, credential: str | None) -> None:
        """
        Decide about a credential.
        """
        endpoint = self.endpoint
        try:
            admitted = endpoint.auth.admit(credential, endpoint.now())
        except Exception:  # noqa: BLE001 - a mode of the user's own may raise anything
            self._log.failure("A credential of the relay could not be checked")
            self._fail("internal_error", "internal error", INTERNAL_ERROR)
            return
        if admitted is None:
            self._unauthorized("unauthorized")
            return
        self._admitted = admitted
        self.credential = None
        self.watch(endpoint.settings.signalIdle, endpoint.settings.signalPing)

    # -- messages

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        """
        Take one message, in the order of checks of section 6.4.
        """
        if not self._bucket.take(1, self.clock.seconds()):
            self.endpoint.sessions.events.inc("rate_limited")
            self._fail("rate_limited", "rate limit exceeded", POLICY_VIOLATION)
            return
        if isBinary:
            self._fail("bad_message", "expected text message", UNSUPPORTED_DATA)
            return
        try:
            message = signaling.parse(payload.decode("utf-8"))
        except signaling.SignalError as error:
            self._fail("bad_message", str(error), POLICY_VIOLATION, "bad message")
            return
        if self._admitted is None:
            if message.type == "auth":
                self._admit(message.credential.strip())
            else:
                self._unauthorized("authentication required")
            return
        getattr(self, f"message_{message.type}")(message)

    def message_auth(self, message: signaling.SignalMessage) -> None:
        """
        A credential that nobody asked for, which browsers' clients send.
        """
        if self.peer is not None:
            self._unexpected("auth received after offer")

    def message_offer(self, message: signaling.SignalMessage) -> None:
        """
        An offer: take a session and answer.
        """
        if self.peer is not None:
            self._unexpected("offer already received")
            return
        peer = self._makePeer()
        if peer is None:
            return
        self.peer = peer
        peer.candidateFound = self._candidateFound
        peer.ended = self._peerEnded
        try:
            answer = peer.offerReceived(message.sdp)
        except sdp.DescriptionError as error:
            self._fail("bad_message", str(error), POLICY_VIOLATION, "bad_message")
        except Exception:  # noqa: BLE001
            self._log.failure("An offer could not be answered")
            self._fail("internal_error", "internal error", INTERNAL_ERROR)
        else:
            self._say(signaling.SignalMessage(type="answer", sdp=answer))

    def message_candidate(self, message: signaling.SignalMessage) -> None:
        """
        A candidate of the client.
        """
        if self.peer is None:
            self._unexpected("candidate received before offer")
            return
        assert message.candidate is not None
        try:
            self.peer.candidateReceived(message.candidate)
        except sdp.DescriptionError as error:
            self._fail("bad_message", str(error), POLICY_VIOLATION, "bad message")

    def message_close(self, message: signaling.SignalMessage) -> None:
        """
        The client is done.
        """
        self.failConnection(NORMAL, "closed")

    def message_answer(self, message: signaling.SignalMessage) -> None:
        """
        Something that only we say.
        """
        text = f'unexpected message type "{message.type}"'
        self._fail("bad_message", text, POLICY_VIOLATION, "bad message")

    message_error = message_answer

    # -- the peer

    def _makePeer(self) -> RelayPeer | None:
        admitted, endpoint = self._admitted, self.endpoint
        assert admitted is not None
        request = PeerRequest(
            address=self.client.ip,
            origin=self.origin,
            credential=admitted.credential,
            cookies=self.cookies,
        )
        session: RelaySession | None = None
        try:
            session = endpoint.sessions.take(
                admitted.key,
                self._relayEnded,
                address=self.client.ip,
                reservation=self.reservation,
            )
            if session.isShared:
                # Whoever has the key elsewhere answers sooner than a peer could connect.
                ensureDeferred(session.confirmed()).addErrback(self._unconfirmed)
            return endpoint.peers.makePeer(session, request)
        except Refused as refused:
            self._fail(refused.code, refused.message, POLICY_VIOLATION, refused.code)
        except Exception:  # noqa: BLE001
            self._log.failure("A WebRTC session could not be made")
            self._fail("internal_error", "internal error", INTERNAL_ERROR)
        if session is not None:
            session.release()
        return None

    def _unconfirmed(self, failure: Failure) -> None:
        refused = failure.value
        if isinstance(refused, Refused):
            self._fail(refused.code, refused.message, POLICY_VIOLATION, refused.code)
        else:
            self._fail("internal_error", "internal error", INTERNAL_ERROR)

    def _candidateFound(self, candidate: sdp.Candidate) -> None:
        """
        The peer has found one more candidate of ours.
        """
        assert self.peer is not None
        mid, index = self.peer.section
        found = signaling.Candidate(
            candidate=f"candidate:{candidate.encode()}", sdpMid=mid, sdpMLineIndex=index
        )
        self._say(signaling.SignalMessage(type="candidate", candidate=found))

    def _peerEnded(self, reason: str) -> None:
        """
        The connection is over, and this one with it.
        """
        self.failConnection(NORMAL, reason)

    def _authTimedOut(self) -> None:
        self._waiting = None
        self.endpoint.sessions.events.inc("auth_failure")
        self.failConnection(POLICY_VIOLATION, "authentication timeout")

    # -- the end

    def released(self, reason: str) -> None:
        """
        End the peer at once.
        """
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.ended = peer.candidateFound = None
            peer.close(reason)

    def _unauthorized(self, message: str) -> None:
        self.endpoint.sessions.events.inc("auth_failure")
        self._fail("unauthorized", message, POLICY_VIOLATION)

    def _unexpected(self, message: str) -> None:
        self._fail("unexpected_message", message, POLICY_VIOLATION, "unexpected message")

    def _fail(self, code: str, message: str, closeCode: int, reason: str | None = None) -> None:
        """
        Say what went wrong, and close.

        @param reason: The reason of the close; the message by default.
        """
        self._say(signaling.SignalMessage(type="error", code=code, message=message))
        self.failConnection(closeCode, message if reason is None else reason)

    def _say(self, message: signaling.SignalMessage) -> None:
        self.sendFrame(TEXT, message.encode().encode("utf-8"))


class SignalEndpoint(WebSocketEndpoint):
    """
    The path C{/webrtc/signal}.

    @ivar auth: Decides about credentials.
    @ivar sessions: Where relay sessions are taken.
    @ivar peers: Makes the peers.
    @ivar now: Gives the seconds since 1970.
    """

    needsSession = False

    def __init__(
        self,
        *,
        auth: RelayAuth,
        sessions: RelaySessions,
        peers: PeerFactory,
        settings: SignalSettings,
        now: Callable[[], float],
        metrics: Metrics,
        protocol: type[SignalProtocol] = SignalProtocol,
        path: str = "/webrtc/signal",
        **common: Any,
    ) -> None:
        """
        @param common: See L{WebSocketEndpoint}.
        """
        super().__init__(
            path,
            protocol,
            metrics=metrics,
            name="signal",
            maxMessageBytes=settings.maxSignalBytes,
            pingInterval=0,
            **common,
        )
        self.auth = auth
        self.sessions = sessions
        self.peers = peers
        self.settings = settings
        self.now = now

    def prepare(self, request: Request, accepted: Accepted) -> AeroWebSocketProtocol:
        """
        Note what the request shows, whatever it is worth.
        """
        lines = request.requestHeaders.getRawHeaders
        protocol = self.buildProtocol(accepted)
        assert isinstance(protocol, SignalProtocol)
        protocol.endpoint = self
        protocol.credential = self.auth.carried(lambda name: lines(name) or (), accepted.query)
        protocol.reservation = reservationOf(accepted.query)
        protocol.origin = clientOrigin(
            lines(b"Origin") or (), lines(b"Host") or (), accepted.client.secure
        )
        protocol.cookies = tuple(lines(b"Cookie") or ())
        return protocol

    def refuse(self, request: Any, refused: Refused) -> None:
        """
        Answer in the relay's words.
        """
        pairs = request.site.responseHeaders.pairs
        refuseUpgrade(request, relayRejection(refused, pairs), self.clock)
