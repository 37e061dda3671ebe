"""
Tests for L{aero.ws.signal}, without sockets and without WebRTC (relay.md sections 6 and 20.5).
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.relaymodes import Admitted, KeyAuth, RelayAuth, TokenAuth
from aero.policy.origin import Origins
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.testing.rtc import ANSWER, OFFER, MemoryPeer, MemoryPeers
from aero.testing.ws import WebSocketClient, WebSocketRig
from aero.tunnel.datagrams.sessions import RelaySessions
from aero.wire.sdp import Candidate
from aero.wire.websocket import BINARY, CLOSE, PING, PONG, TEXT
from aero.ws.relaygate import RelayGate
from aero.ws.signal import SignalEndpoint

SECRET = "a secret"
OFFERING = {"type": "offer", "sdp": {"type": "offer", "sdp": OFFER}}
EARLY = {"type": "candidate", "candidate": {"candidate": "candidate:x"}}
GOOD = "candidate:1 1 udp 5 192.0.2.1 9 typ host"


class BrokenAuth(RelayAuth):
    """
    A mode that cannot decide.
    """

    needsCredential = True

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        raise RuntimeError("no key")


class SignalTestCase(SynchronousTestCase):
    """
    An endpoint and its clients.
    """

    def make(self, auth: RelayAuth | None = None, **settings: Any) -> None:
        """
        An endpoint with these settings.
        """
        self.rig = WebSocketRig()
        self.peers = MemoryPeers()
        signal = SignalSettings(**settings)
        self.sessions = RelaySessions(
            signal, UDPSettings(), clock=self.rig.reactor, metrics=self.rig.metrics
        )
        gate = RelayGate(clock=self.rig.reactor, sessions=None, origins=Origins([]))
        self.endpoint = SignalEndpoint(
            auth=auth or RelayAuth(),
            sessions=self.sessions,
            peers=self.peers,
            settings=signal,
            now=lambda: self.rig.now,
            **self.rig.common | {"gate": gate},
        )

    def connect(self, query: str = "", **headers: Any) -> WebSocketClient:
        """
        A client without a cookie.
        """
        target = f"/webrtc/signal{query}".encode()
        return self.rig.connect(self.endpoint, target, **{"Cookie": None, **headers})

    def say(self, client: WebSocketClient, *messages: object) -> None:
        """
        Send messages.
        """
        for message in messages:
            client.send(TEXT, json.dumps(message).encode())

    def assertFailed(
        self,
        client: WebSocketClient,
        code: str,
        message: str | None,
        closeCode: int,
        reason: str | None = None,
    ) -> None:
        """
        The client was told of an error, and closed.
        """
        (opcode, payload), (closing, frame) = client.frames()
        told = json.loads(payload)
        self.assertEqual((opcode, set(told)), (TEXT, {"type", "code", "message"}))
        self.assertEqual((told["type"], told["code"]), ("error", code))
        if message is not None:
            self.assertEqual(told["message"], message)
        self.assertEqual((closing, int.from_bytes(frame[:2], "big")), (CLOSE, closeCode))
        self.assertEqual(frame[2:].decode(), message if reason is None else reason)
        self.assertEqual(len(self.sessions), 0)

    def event(self, name: str) -> int:
        """
        How often something happened.
        """
        return self.sessions.events.counts[name]

    def offered(self, query: str = "", **headers: Any) -> tuple[WebSocketClient, MemoryPeer]:
        """
        A client whose offer was answered, and its peer.
        """
        client = self.connect(query, **headers)
        self.say(client, OFFERING)
        ((opcode, payload),) = client.frames()
        expected = {"type": "answer", "sdp": {"type": "answer", "sdp": ANSWER}}
        self.assertEqual((opcode, json.loads(payload)), (TEXT, expected))
        return client, self.peers.made[-1]


class CredentialTests(SignalTestCase):
    """
    Before there is an offer.
    """

    def test_firstMessage(self) -> None:
        """
        A good credential is answered with nothing; its white space does not count.
        """
        self.make(KeyAuth("key"))
        client = self.connect()
        self.say(client, {"type": "auth", "apiKey": " key\n"})
        self.assertEqual(client.frames(), [])
        self.say(client, EARLY)
        self.assertFailed(
            client,
            "unexpected_message",
            "candidate received before offer",
            1008,
            "unexpected message",
        )
        self.assertEqual(self.event("auth_failure"), 0)

    def test_inTheRequest(self) -> None:
        """
        One in the request is judged at once, and a first message does not make it good.
        """
        self.make(KeyAuth("key"))
        for query in ("?apiKey=bad", "?token=bad"):
            client = self.connect(query)
            self.say(client, {"type": "auth", "apiKey": "key"})
            self.assertFailed(client, "unauthorized", "unauthorized", 1008)
        self.assertEqual(self.event("auth_failure"), 2)
        client = self.connect("?apiKey=key")
        self.say(client, {"type": "auth", "apiKey": "whatever"})
        self.assertEqual(client.frames(), [])

    def test_wrong(self) -> None:
        """
        A wrong one, none, and what is no message.
        """
        self.make(KeyAuth("key"))
        for message, code, text, reason, counted in (
            ({"type": "auth", "token": "x"}, "unauthorized", "unauthorized", None, 1),
            (OFFERING, "unauthorized", "authentication required", None, 1),
            ({"type": "close"}, "unauthorized", "authentication required", None, 1),
            ({"type": "x"}, "bad_message", None, "bad message", 0),
            ({"type": "auth"}, "bad_message", None, "bad message", 0),
            ({"type": "auth", "token": "a", "apiKey": "b"}, "bad_message", None, "bad message", 0),
        ):
            before = self.event("auth_failure")
            client = self.connect()
            self.say(client, message)
            self.assertFailed(client, code, text, 1008, reason)
            self.assertEqual(self.event("auth_failure") - before, counted, message)

    def test_binary(self) -> None:
        """
        Binary is no message in any state.
        """
        self.make(KeyAuth("key"))
        for client in (self.connect(), self.connect("?apiKey=key")):
            client.send(BINARY, b"x")
            self.assertFailed(client, "bad_message", "expected text message", 1003)

    def test_timeout(self) -> None:
        """
        Nothing in time: a close without a message, which pings do not put off.
        """
        self.make(KeyAuth("key"))
        client = self.connect()
        self.rig.reactor.advance(1.5)
        client.send(PING)
        self.assertEqual(client.frames(), [(PONG, b"")])
        self.rig.reactor.advance(0.6)
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xf0authentication timeout")])
        self.assertEqual(self.event("auth_failure"), 1)

    def test_broken(self) -> None:
        """
        A mode that fails is an error of ours, and no failure of the client's.
        """
        self.make(BrokenAuth())
        client = self.connect()
        self.say(client, {"type": "auth", "token": "x"})
        self.assertFailed(client, "internal_error", "internal error", 1011)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.event("auth_failure"), 0)

    def test_limits(self) -> None:
        """
        Messages that are too long, and too many of them.
        """
        self.make(maxSignalBytes=32)
        client = self.connect()
        client.send(TEXT, b"x" * 33)
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xf1")])
        self.make(maxSignalRate=2)
        client = self.connect()
        for _ in range(3):
            self.say(client, {"type": "auth", "token": "ignored"})
        self.assertFailed(client, "rate_limited", "rate limit exceeded", 1008)
        self.assertEqual(self.event("rate_limited"), 1)

    def test_idle(self) -> None:
        """
        Silence is answered with pings and then a close; any frame puts it off.
        """
        self.make(signalIdle=10.0, signalPing=4.0)
        client = self.connect()
        self.rig.reactor.advance(4.0)
        self.assertEqual(client.frames(), [(PING, b"")])
        client.send(PONG)
        self.rig.reactor.pump([4.0, 4.0])
        self.assertEqual(client.frames(), [(PING, b""), (PING, b"")])
        self.rig.reactor.advance(2.0)
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xe8idle timeout")])


class OfferTests(SignalTestCase):
    """
    From the offer on.
    """

    def test_answer(self) -> None:
        """
        An offer is answered in the same turn; the peer knows who asked for it.
        """
        self.make(KeyAuth("key"))
        _, peer = self.offered(
            "?apiKey=key", Cookie=b"aero_session=x", Origin=b"https://example.com"
        )
        self.assertEqual(len(self.sessions), 1)
        self.assertEqual(peer.request.credential, "key")
        self.assertEqual(peer.request.origin, "https://example.com")
        self.assertEqual(peer.request.cookies, (b"aero_session=x",))
        self.assertTrue(peer.session.isLive)

    def test_originOfOurOwn(self) -> None:
        """
        A client without an origin is known by ours.
        """
        self.make()
        _, peer = self.offered(Origin=None, Host=b"Relay.Example:80")
        self.assertEqual(peer.request.origin, "http://relay.example")

    def test_candidates(self) -> None:
        """
        They go both ways; the end of them is nothing, nonsense is the end of the client.
        """
        self.make()
        client, peer = self.offered()
        self.say(
            client,
            {"type": "candidate", "candidate": {"candidate": GOOD, "sdpMid": "0"}},
            {"type": "candidate", "candidate": {"candidate": ""}},
        )
        self.assertEqual(peer.candidates, [GOOD])
        assert peer.candidateFound is not None
        peer.candidateFound(Candidate("7", 1, "udp", 5, "192.0.2.9", 99, "srflx", "10.0.0.1", 8))
        ((_, payload),) = client.frames()
        text = "candidate:7 1 udp 5 192.0.2.9 99 typ srflx raddr 10.0.0.1 rport 8"
        told = {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0}
        self.assertEqual(json.loads(payload), {"type": "candidate", "candidate": told})
        self.say(client, EARLY)
        self.assertFailed(client, "bad_message", None, 1008, "bad message")
        self.assertEqual(peer.closed, "bad message")

    def test_wrongTurns(self) -> None:
        """
        A second offer, a credential after it, and what only we say.
        """
        self.make()
        answer = {"type": "answer", "sdp": {"type": "answer", "sdp": "v=0"}}
        for message, code, text, reason in (
            (OFFERING, "unexpected_message", "offer already received", "unexpected message"),
            (
                {"type": "auth", "token": "x"},
                "unexpected_message",
                "auth received after offer",
                "unexpected message",
            ),
            (answer, "bad_message", 'unexpected message type "answer"', "bad message"),
            (
                {"type": "error", "code": "c", "message": "m"},
                "bad_message",
                'unexpected message type "error"',
                "bad message",
            ),
        ):
            client, peer = self.offered()
            self.say(client, message)
            self.assertFailed(client, code, text, 1008, reason)
            self.assertIsNotNone(peer.closed)

    def test_badOffer(self) -> None:
        """
        An offer that cannot be used is told, and its session given back.
        """
        self.make()
        client = self.connect()
        self.say(client, {"type": "offer", "sdp": {"type": "offer", "sdp": "v=0"}})
        self.assertFailed(client, "bad_message", "not the offer of the tests", 1008, "bad_message")
        self.assertEqual(self.peers.made[0].closed, "bad_message")

    def test_failingPeer(self) -> None:
        """
        Whatever else a peer raises is an error of ours.
        """
        self.make()
        self.peers.prepare = lambda peer: setattr(peer, "failure", RuntimeError("no"))
        client = self.connect()
        self.say(client, OFFERING)
        self.assertFailed(client, "internal_error", "internal error", 1011)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_full(self) -> None:
        """
        No session to be had, and none to be had that would connect.
        """
        self.make(maxRelaySessions=1)
        first, _ = self.offered()
        client = self.connect()
        self.say(client, OFFERING)
        self.assertEqual(
            json.loads(client.frames()[0][1]),
            {"type": "error", "code": "too_many_sessions", "message": "too many sessions"},
        )
        first.send(CLOSE, b"\x03\xe8")
        self.peers.isFull = True
        client = self.connect()
        self.say(client, OFFERING)
        self.assertFailed(
            client, "too_many_sessions", "too many sessions", 1008, "too_many_sessions"
        )

    def test_lock(self) -> None:
        """
        A C{sid} has one session; it is free as soon as the client has closed.
        """
        self.make(TokenAuth([SECRET]))
        token, _ = mintRelayToken(SECRET, "same", now=self.rig.now, ttl=60)
        first, _ = self.offered(f"?token={token}")
        second = self.connect(f"?apiKey={token}")
        self.say(second, OFFERING)
        self.assertEqual(second.frames()[1][1], b"\x03\xf0session_already_active")
        first.send(CLOSE, b"\x03\xe8")
        self.assertEqual(first.frames(), [(CLOSE, b"\x03\xe8")])
        self.offered(f"?token={token}")


class EndTests(SignalTestCase):
    """
    The connection and its peer end together.
    """

    def test_client(self) -> None:
        """
        A C{close} message, a close frame and a lost connection end the peer at once.
        """
        self.make()
        client, peer = self.offered()
        self.say(client, {"type": "close"})
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xe8closed")])
        self.assertEqual((peer.closed, len(self.sessions)), ("closed", 0))
        client, peer = self.offered()
        client.send(CLOSE, b"\x03\xe8")
        self.assertEqual((peer.closed, len(self.sessions)), ("signaling closed", 0))
        client, peer = self.offered()
        client.lose()
        self.assertEqual((peer.closed, len(self.sessions)), ("signaling closed", 0))

    def test_peer(self) -> None:
        """
        When the peer ends, the client is told why, in a close frame.
        """
        self.make()
        client, peer = self.offered()
        peer.close("sctp aborted by the peer")
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xe8sctp aborted by the peer")])

    def test_relaySession(self) -> None:
        """
        A session that is ended from elsewhere ends both with 1008.
        """
        self.make()
        client, peer = self.offered()
        peer.session.end("session closed")
        self.assertEqual(client.frames(), [(CLOSE, b"\x03\xf0session closed")])
        self.assertEqual(peer.closed, "session closed")

    def test_drain(self) -> None:
        """
        When the process stops, clients are told and peers end.
        """
        self.make()
        client, peer = self.offered()
        self.endpoint.drain()
        self.assertEqual(client.frames()[0][1][:2], b"\x03\xe9")
        self.assertIsNotNone(peer.closed)

    def test_nothingLeft(self) -> None:
        """
        No timer outlives its connection.
        """
        self.make(KeyAuth("key"))
        for query in ("", "?apiKey=key"):
            client = self.connect(query)
            client.lose()
        self.assertEqual(self.rig.reactor.getDelayedCalls(), [])
