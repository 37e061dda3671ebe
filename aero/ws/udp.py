# -*- test-case-name: aero.ws.test.test_udp -*-
"""
C{/udp}: datagrams over WebSocket (relay.md section 12).

A connection first shows a credential where one is needed: in its request, or in its first
message. Then it takes a relay session and is told C{ready}; from there on every binary message
is one datagram. Whatever goes wrong before that is said twice, in a text message and in the
close frame, because a page can only read the first and a proxy only shows the second.

The relay session is given back as soon as either side has closed, not when the connection is
gone: the same client may be back before that.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Iterator, Sequence

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from aero.auth.firstmessage import isAuthMessage, parseFirstMessage
from aero.auth.relaymodes import RelayAuth
from aero.errors import Refused
from aero.log import blurred
from aero.metrics import Metrics
from aero.net.udp.ports import DatagramPorts
from aero.policy.datagramlimits import Bucket
from aero.policy.destinations import DestinationPolicy
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.tunnel.datagrams.engine import UDPSession
from aero.tunnel.datagrams.sessions import RelaySession, RelaySessions
from aero.wire.udprelay import MAX_HEADER
from aero.wire.websocket import (
    INTERNAL_ERROR,
    MESSAGE_TOO_BIG,
    POLICY_VIOLATION,
    TEXT,
    TRY_AGAIN_LATER,
    UNSUPPORTED_DATA,
)

from .batches import BatchingProtocol
from .endpoint import WebSocketEndpoint, refuseUpgrade
from .handshake import Accepted
from .protocol import AeroWebSocketProtocol
from .relaygate import relayRejection
from .relaysocket import RelaySocketProtocol


class UDPProtocol(RelaySocketProtocol, BatchingProtocol):
    """
    One C{/udp} WebSocket. Extend it.

    @cvar udpSession: What relays the datagrams; extend that to see or change them.
    @ivar endpoint: The endpoint.
    @ivar credential: What the request showed; C{None} for nothing.
    @ivar reservation: The reservation that the request named.
    """

    udpSession: ClassVar[type[UDPSession]] = UDPSession

    endpoint: UDPEndpoint
    credential: str | None = None
    reservation: str | None = None

    _relay: RelaySession | None = None
    _udp: UDPSession | None = None
    _maxMessage = 0
    _texts: Bucket | None = None

    # -- what users call

    @property
    def udp(self) -> UDPSession | None:
        """
        The datagrams of this client; C{None} before it is ready and after the end.
        """
        return self._udp

    @property
    def key(self) -> str | None:
        """
        The C{sid} of the token that admitted it; C{None} without one.
        """
        return None if self._relay is None else self._relay.key

    @property
    def isAdmitted(self) -> bool:
        """
        Whether it has a relay session.
        """
        return self._relay is not None

    # -- the beginning

    def sessionStarted(self) -> None:
        """
        Ask for a credential, or go on with the one that is there.
        """
        endpoint = self.endpoint
        endpoint.sessions.events.inc("udp_ws_connections")
        if self.credential is not None or not endpoint.auth.needsCredential:
            self._admit(self.credential)
        else:
            self._waiting = self.clock.callLater(
                endpoint.signal.authTimeout, self._unauthorized, "authentication timeout"
            )

    def _admit(self, credential: str | None) -> None:
        """
        Decide about a credential; if it is good, begin.
        """
        endpoint = self.endpoint
        try:
            admitted = endpoint.auth.admit(credential, endpoint.now())
        except Exception:  # noqa: BLE001 - a mode of the user's own may raise anything
            self._log.failure("A credential of the relay could not be checked")
            self._fail("internal_error", "invalid auth configuration", INTERNAL_ERROR)
            return
        if admitted is None:
            self._unauthorized("invalid credentials")
            return
        try:
            self._relay = endpoint.sessions.take(
                admitted.key,
                self._relayEnded,
                address=self.client.ip,
                reservation=self.reservation,
            )
        except Refused as refused:
            self._fail(refused.code, refused.message, TRY_AGAIN_LATER)
            return
        except Exception:  # noqa: BLE001
            self._log.failure("A relay session could not be made")
            self._fail("internal_error", "failed to allocate session", INTERNAL_ERROR)
            return
        if not self._relay.isShared:
            self._begin(self._relay)
            return
        self._stopWaiting()
        confirmed = ensureDeferred(self._relay.confirmed())
        confirmed.addCallback(self._confirmed).addErrback(self._unconfirmed)

    def _confirmed(self, _: None) -> None:
        if self._relay is not None:  # the client may have left
            self._begin(self._relay)

    def _unconfirmed(self, failure: Failure) -> None:
        self._relay = None
        refused = failure.value
        if isinstance(refused, Refused):
            self._fail(refused.code, refused.message, TRY_AGAIN_LATER)
        else:
            self._fail("internal_error", "failed to allocate session", INTERNAL_ERROR)

    def _begin(self, relay: RelaySession) -> None:
        endpoint = self.endpoint
        self.credential = None  # there is nothing that it is needed for any more
        self._udp = self.udpSession(
            self,
            relay,
            settings=endpoint.settings,
            policy=endpoint.policy,
            ports=endpoint.ports,
            clock=self.clock,
            metrics=self.factory.metrics,
            prefix="udp_ws",
        )
        self._maxMessage = endpoint.settings.maxPayload + MAX_HEADER
        # Reading text costs more than relaying a datagram.
        self._texts = Bucket(endpoint.signal.maxSignalRate, self.clock.seconds())
        self.watch(endpoint.settings.udpIdle, endpoint.settings.udpPing)
        self._say(type="ready", sessionId=relay.id)
        self._log.info(
            "udp_ws_connected {session_id} {remote_addr}",
            session_id=relay.id,
            remote_addr=endpoint.shown(self.client.ip),
        )

    # -- messages

    def messagesReceived(self, payloads: list[bytes]) -> None:
        """
        Datagrams.
        """
        udp = self._udp
        if udp is None:
            if self._relay is None:
                self._unauthorized("authentication required")
            # Else other processes are being asked: too early, and lost as datagrams may be.
            return
        limit = self._maxMessage
        for index, payload in enumerate(payloads):
            if len(payload) > limit:
                udp.messagesReceived(payloads[:index])
                self.failConnection(MESSAGE_TOO_BIG)
                return
        udp.messagesReceived(payloads)

    def messageReceived(self, payload: bytes, isBinary: bool) -> None:
        """
        Text: the credential, or a repetition of it.
        """
        if self._udp is not None:
            if self._texts is not None and not self._texts.take(1, self.clock.seconds()):
                self.endpoint.sessions.events.inc("rate_limited")
                self._fail("rate_limited", "rate limit exceeded", POLICY_VIOLATION)
            elif not isAuthMessage(payload):
                self._fail("bad_message", "expected binary message", UNSUPPORTED_DATA)
            return
        if self._relay is not None:
            return  # other processes are being asked about the credential
        if len(payload) > self.endpoint.signal.maxSignalBytes:
            self.failConnection(MESSAGE_TOO_BIG)
            return
        first = parseFirstMessage(payload)
        if first.credential is None:
            self.endpoint.sessions.events.inc("auth_failure")
            self._fail(first.code, first.message, first.closeCode)
        else:
            self._admit(first.credential)

    def sendDatagrams(self, messages: Sequence[bytes]) -> None:
        """
        See L{aero.tunnel.datagrams.engine.DatagramSink}.
        """
        self.sendMessages(messages)
        if self._udp is not None and not self.sendingIsPaused:
            self._writeNow()  # a datagram is about now, and a turn of the reactor costs more

    def sendingPaused(self) -> None:
        """
        Datagrams wait in the session, and are dropped there if it takes too long.
        """
        if self._udp is not None:
            self._udp.pauseProducing()

    def sendingResumed(self) -> None:
        """
        Go on.
        """
        if self._udp is not None:
            self._udp.resumeProducing()

    # -- the end

    def failConnection(self, code: int, reason: str = "") -> None:
        """
        Close because of something that went wrong, and free the session at once.
        """
        if code == MESSAGE_TOO_BIG and self._udp is not None and self.isOpen:
            self.endpoint.sessions.events.inc("udp_ws_dropped")
            self.endpoint.sessions.events.inc("udp_ws_dropped_oversized")
        super().failConnection(code, reason)

    def released(self, reason: str) -> None:
        """
        Free the session at once.
        """
        udp, self._udp = self._udp, None
        if udp is not None:
            udp.close()
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.release()
            self._log.info(
                "udp_ws_disconnected {session_id} {remote_addr}",
                session_id=relay.id,
                remote_addr=self.endpoint.shown(self.client.ip),
            )

    def _unauthorized(self, message: str) -> None:
        self.endpoint.sessions.events.inc("auth_failure")
        self._fail("unauthorized", message, POLICY_VIOLATION)

    def _fail(self, code: str, message: str, closeCode: int) -> None:
        """
        Say what went wrong, and close.
        """
        self._say(type="error", code=code, message=message)
        self.failConnection(closeCode, message)

    def _say(self, **message: str) -> None:
        self.sendFrame(TEXT, json.dumps(message, separators=(",", ":")).encode("utf-8"))


class UDPEndpoint(WebSocketEndpoint):
    """
    The path C{/udp}.

    @ivar auth: Decides about credentials.
    @ivar sessions: Where relay sessions are taken.
    @ivar now: Gives the seconds since 1970.
    """

    needsSession = False

    def __init__(
        self,
        *,
        auth: RelayAuth,
        sessions: RelaySessions,
        settings: UDPSettings,
        signal: SignalSettings,
        policy: DestinationPolicy,
        ports: DatagramPorts,
        now: Any,
        metrics: Metrics,
        fullAddresses: bool = False,
        protocol: type[UDPProtocol] = UDPProtocol,
        path: str = "/udp",
        **common: Any,
    ) -> None:
        """
        @param policy: Decides about destinations.
        @param ports: Opens sockets.
        @param fullAddresses: Whether client addresses are logged whole.
        @param common: See L{WebSocketEndpoint}.
        """
        super().__init__(
            path,
            protocol,
            metrics=metrics,
            name="udp",
            maxMessageBytes=max(signal.maxSignalBytes, settings.maxPayload + MAX_HEADER),
            pingInterval=0,
            **common,
        )
        self.auth = auth
        self.sessions = sessions
        self.settings = settings
        self.signal = signal
        self.policy = policy
        self.ports = ports
        self.now = now
        self._fullAddresses = fullAddresses

    def prepare(self, request: Any, accepted: Accepted) -> AeroWebSocketProtocol:
        """
        Note the credential that the request shows, whatever it is worth.
        """
        lines = request.requestHeaders.getRawHeaders
        protocol = self.buildProtocol(accepted)
        assert isinstance(protocol, UDPProtocol)
        protocol.endpoint = self
        protocol.credential = self.auth.carried(lambda name: lines(name) or (), accepted.query)
        protocol.reservation = reservationOf(accepted.query)
        return protocol

    def refuse(self, request: Any, refused: Refused) -> None:
        """
        Answer in the relay's words.
        """
        pairs = request.site.responseHeaders.pairs
        refuseUpgrade(request, relayRejection(refused, pairs, typed=True), self.clock)

    def clients(self) -> Iterator[tuple[str, str]]:
        """
        Of each WebSocket that was admitted, the session that its token is of, if any, and the
        client's address.
        """
        for protocol in self.factory.open:
            if isinstance(protocol, UDPProtocol) and protocol.isAdmitted:
                yield protocol.key or "", protocol.client.ip

    def endSession(self, sid: str) -> None:
        """
        End the relay session of a gateway session that ended before its time.
        """
        self.sessions.endKey(sid, "session ended")

    def shown(self, address: str) -> str:
        """
        An address as it may be logged.
        """
        return address if self._fullAddresses else blurred(address)


def reservationOf(query: str) -> str | None:
    """
    The reservation that a query string names: C{session=}, as C{POST /session} gave it.
    """
    for part in query.split("&", 64)[:64]:
        name, _, value = part.partition("=")
        if name == "session":
            return value
    return None
