"""
Tests for L{aero.ws.udp}, without sockets (relay.md sections 12 and 20.9).
"""

from __future__ import annotations

import json
from typing import Any, Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.relaymodes import Admitted, KeyAuth, RelayAuth, TokenAuth
from aero.metrics import relay as rows
from aero.net.relaysessions import RelaySessions
from aero.net.udp.binding import BindingProtocol
from aero.net.udp.engine import UDPSession
from aero.net.udp.ports import DatagramPorts, Received
from aero.policy.destinations import DestinationPolicy
from aero.policy.origin import Origins
from aero.settings.signal import SignalSettings
from aero.settings.udp import UDPSettings
from aero.testing.udp import MemoryNetwork
from aero.testing.ws import WebSocketClient, WebSocketRig, clientFrame
from aero.wire.udprelay import encode
from aero.wire.websocket import BINARY, CLOSE, PING, PONG, TEXT
from aero.ws.relaygate import RelayGate
from aero.ws.udp import UDPEndpoint, UDPProtocol

V4 = b"\xc0\x00\x02\x01"
A = ("192.0.2.1", 53)


class BrokenAuth(RelayAuth):
    """
    A mode that cannot decide.
    """

    def admit(self, credential: str | None, now: float) -> Admitted | None:
        raise RuntimeError("no key")


class UDPTestCase(SynchronousTestCase):
    """
    An endpoint and its clients.
    """

    def make(
        self,
        auth: RelayAuth | None = None,
        *,
        signal: dict[str, Any] | None = None,
        protocol: type[UDPProtocol] = UDPProtocol,
        origins: tuple[str, ...] = (),
        **udp: Any,
    ) -> UDPEndpoint:
        """
        An endpoint with these settings.
        """
        self.rig = WebSocketRig()
        self.network = MemoryNetwork(self.rig.reactor)
        settings = UDPSettings(**udp)
        signalSettings = SignalSettings(**signal or {})
        self.sessions = RelaySessions(
            signalSettings, settings, clock=self.rig.reactor, metrics=self.rig.metrics
        )
        self.ports = DatagramPorts(
            self.rig.reactor, maxSockets=8, openSocket=self.network.openSocket
        )
        self.endpoint = UDPEndpoint(
            auth=auth or RelayAuth(),
            sessions=self.sessions,
            settings=settings,
            signal=signalSettings,
            policy=DestinationPolicy(preset="dev", allowPrivate=True, denyPorts=[(99, 99)]),
            ports=self.ports,
            now=lambda: self.rig.now,
            protocol=protocol,
            **self.rig.common
            | {
                "gate": RelayGate(
                    clock=self.rig.reactor, sessions=None, origins=Origins(list(origins))
                )
            },
        )
        return self.endpoint

    def connect(self, query: str = "", **headers: Any) -> WebSocketClient:
        """
        A client without a cookie.
        """
        target = f"/udp{query}".encode()
        return self.rig.connect(self.endpoint, target, **{"Cookie": None, **headers})

    def ready(self, client: WebSocketClient) -> str:
        """
        Read C{ready}, and give the id that it has.
        """
        ((opcode, payload),) = client.frames()
        message = json.loads(payload)
        self.assertEqual(
            (opcode, message["type"], set(message)), (TEXT, "ready", {"type", "sessionId"})
        )
        self.assertRegex(message["sessionId"], r"^[0-9a-f]{32}$")
        return str(message["sessionId"])

    def assertFailed(
        self, client: WebSocketClient, code: str | None, message: str, closeCode: int
    ) -> None:
        """
        The client was told of an error and then closed; C{None} for closed only.
        """
        frames = client.frames()
        if code is not None:
            opcode, payload = frames.pop(0)
            self.assertEqual(opcode, TEXT)
            self.assertEqual(
                json.loads(payload), {"type": "error", "code": code, "message": message}
            )
        self.assertEqual(frames, [(CLOSE, closeCode.to_bytes(2, "big") + message.encode())])
        self.assertEqual(len(self.sessions), 0)
        self.assertEqual(self.ports.open, 0)

    def event(self, name: str) -> int:
        """
        The count of an event.
        """
        return int(self.rig.metrics.value(rows.EVENTS, name))

    def token(self, sid: str = "sid", secret: str = "secret") -> str:
        """
        A token that is good now.
        """
        return mintRelayToken(secret, sid, now=self.rig.now, ttl=60)[0]


class HandshakeTests(UDPTestCase):
    """
    Who gets a WebSocket at all.
    """

    def refused(self, client: WebSocketClient) -> tuple[int, Any]:
        """
        Status and body of a refusal.
        """
        self.assertEqual(client.header(b"Content-Type"), [b"application/json"])
        return client.status, json.loads(client.body)

    def test_noCookie(self) -> None:
        """
        No session of the gateway is needed.
        """
        self.make()
        client = self.connect()
        self.assertEqual(client.status, 101)
        self.assertIn(self.ready(client), self.sessions)
        self.assertEqual(self.event("udp_ws_connections"), 1)

    def test_origin(self) -> None:
        """
        A foreign or repeated origin is refused in the relay's words; the own host and one of
        the list are let in.
        """
        self.make()
        forbidden = (403, {"code": "forbidden", "message": "forbidden"})
        for origin in (b"https://evil.example", b"nonsense", [b"http://example.com"] * 2):
            self.assertEqual(self.refused(self.connect(Origin=origin)), forbidden)
        for origin in (b"http://example.com", b"https://example.com", b" "):
            self.assertEqual(self.connect(Origin=origin).status, 101)
        self.make(origins=("https://app.example",))
        self.assertEqual(self.connect(Origin=b"HTTPS://app.example:443").status, 101)
        self.assertEqual(self.refused(self.connect(Origin=b"http://example.com")), forbidden)

    def test_handshake(self) -> None:
        """
        A handshake that is none is a 400 that says why.
        """
        self.make()
        status, body = self.refused(self.connect(Sec_WebSocket_Version=b"12"))
        self.assertEqual((status, body["type"], body["code"]), (400, "error", "bad_message"))
        self.assertEqual(self.refused(self.connect(Sec_WebSocket_Key=None))[0], 400)

    def test_draining(self) -> None:
        """
        A process that stops takes no more.
        """
        self.make().gate.draining = True
        self.assertEqual(self.refused(self.connect())[0], 503)

    def test_rate(self) -> None:
        """
        One address cannot upgrade without end.
        """
        endpoint = self.make()
        endpoint.gate = RelayGate(
            clock=self.rig.reactor, sessions=None, origins=Origins([]), upgradesPerMinutePerIP=1
        )
        self.assertEqual(self.connect().status, 101)
        client = self.connect()
        self.assertEqual(self.refused(client)[0], 429)
        self.assertEqual(client.header(b"Retry-After"), [b"60"])

    def test_noSubprotocol(self) -> None:
        """
        No subprotocol and no extension is chosen.
        """
        self.make()
        client = self.connect(
            Sec_WebSocket_Protocol=b"anything", Sec_WebSocket_Extensions=b"permessage-deflate"
        )
        self.assertEqual(client.header(b"Sec-WebSocket-Protocol"), [])
        self.assertEqual(client.header(b"Sec-WebSocket-Extensions"), [])


class AuthTests(UDPTestCase):
    """
    Who gets a relay session.
    """

    def test_requestCarriers(self) -> None:
        """
        A credential in the request makes the session ready at once.
        """
        self.make(KeyAuth("k"))
        for query, headers in (
            ("?apiKey=k", {}),
            ("?token=k", {}),
            ("", {"X_API_Key": b"k"}),
            ("", {"Authorization": b"Bearer k"}),
            ("", {"Authorization": b"ApiKey k"}),
        ):
            self.ready(self.connect(query, **headers))

    def test_firstMessage(self) -> None:
        """
        Without one the first message has it; datagrams flow from then on.
        """
        self.make(KeyAuth("k"))
        for key in ("apiKey", "token"):
            client = self.connect()
            self.assertEqual(client.frames(), [])
            client.send(TEXT, json.dumps({"type": "auth", key: "k"}).encode())
            self.ready(client)
            client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.assertEqual(len(self.network.sockets), 2)

    def test_wrong(self) -> None:
        """
        A wrong credential is refused wherever it is, and no first message makes up for it.
        """
        self.make(KeyAuth("k"))
        client = self.connect("?apiKey=x")
        self.assertFailed(client, "unauthorized", "invalid credentials", 1008)
        client.send(TEXT, b'{"type":"auth","apiKey":"k"}')
        self.assertEqual(client.frames(), [])
        client = self.connect()
        client.send(TEXT, b'{"type":"auth","apiKey":"x"}')
        self.assertFailed(client, "unauthorized", "invalid credentials", 1008)
        self.assertEqual(self.event("auth_failure"), 2)

    def test_badFirstMessages(self) -> None:
        """
        Anything else than an auth message is refused, each in its own way, and counted.
        """
        self.make(KeyAuth("k"))
        rows_: list[tuple[int, bytes, str, str, int]] = [
            (BINARY, encode(1, 7, V4, 53, b"x"), "unauthorized", "authentication required", 1008),
            (TEXT, b"hello", "unauthorized", "authentication required", 1008),
            (TEXT, b'{"type":"auth"}', "unauthorized", "missing credentials", 1008),
            (TEXT, b'{"type":"auth","token":1}', "bad_message", "invalid auth message", 1003),
            (
                TEXT,
                b'{"type":"auth","token":"a","apiKey":"k"}',
                "bad_message",
                "invalid auth message",
                1008,
            ),
        ]
        for count, (opcode, payload, code, message, closeCode) in enumerate(rows_, 1):
            client = self.connect()
            client.send(opcode, payload)
            self.assertFailed(client, code, message, closeCode)
            self.assertEqual(self.event("auth_failure"), count)

    def test_timeout(self) -> None:
        """
        Who shows nothing in time is closed; pings do not extend it.
        """
        self.make(KeyAuth("k"))
        client = self.connect()
        self.rig.reactor.advance(1.9)
        client.send(PING, b"p")
        self.assertEqual(client.frames(), [(PONG, b"p")])
        self.rig.reactor.advance(0.2)
        self.assertFailed(client, "unauthorized", "authentication timeout", 1008)
        self.assertEqual(self.event("auth_failure"), 1)

    def test_longMessage(self) -> None:
        """
        A first message over the limit closes with 1009 and without a word, and is no failure
        of authentication.
        """
        self.make(KeyAuth("k"), signal={"maxSignalBytes": 2_000})
        for size in (2_001, 100_000):
            client = self.connect()
            client.send(TEXT, b" " * size)
            self.assertFailed(client, None, "", 1009)
        self.assertEqual(self.event("auth_failure"), 0)

    def test_shortLimit(self) -> None:
        """
        The limit may be smaller than a datagram.
        """
        self.make(KeyAuth("k"), signal={"maxSignalBytes": 32})
        client = self.connect()
        client.send(TEXT, b'{"type":"auth","token":"%b"}' % (b"x" * 100))
        self.assertFailed(client, None, "", 1009)

    def test_broken(self) -> None:
        """
        A mode that fails is an error of the server, and no failure of the client.
        """
        self.make(BrokenAuth())
        self.assertFailed(self.connect(), "internal_error", "invalid auth configuration", 1011)
        self.assertEqual(self.event("auth_failure"), 0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_lock(self) -> None:
        """
        One C{sid} has one session; it is free again as soon as a close frame is read, whoever
        closed.
        """
        self.make(TokenAuth(["secret"]))
        first = self.connect(f"?token={self.token()}")
        self.ready(first)
        second = self.connect(X_API_Key=self.token().encode())
        code = "session_already_active"
        frames = second.frames()
        self.assertEqual(json.loads(frames[0][1])["code"], code)
        self.assertEqual(frames[1], (CLOSE, b"\x03\xf5session already active"))
        self.ready(self.connect(f"?token={self.token('other')}"))
        first.send(CLOSE, b"\x03\xe8")
        third = self.connect(f"?token={self.token()}")
        self.ready(third)
        third.send(TEXT, b"nonsense")
        self.assertEqual(third.frames()[-1][1][:2], b"\x03\xeb")
        fourth = self.connect(f"?token={self.token()}")
        self.ready(fourth)
        fourth.lose()
        self.ready(self.connect(f"?token={self.token()}"))

    def test_full(self) -> None:
        """
        Beyond the limit of sessions a client is told to come back later.
        """
        self.make(signal={"maxRelaySessions": 1})
        self.ready(self.connect())
        frames = self.connect().frames()
        self.assertEqual(
            json.loads(frames[0][1]),
            {"type": "error", "code": "too_many_sessions", "message": "too many sessions"},
        )
        self.assertEqual(frames[1], (CLOSE, b"\x03\xf5too many sessions"))

    def test_reservation(self) -> None:
        """
        A reservation that is named is what the session becomes.
        """
        self.make(TokenAuth(["secret"]), signal={"maxRelaySessions": 1})
        ident = self.sessions.reserve("sid")
        query = f"?token={self.token()}&session={ident}"
        self.assertEqual(self.ready(self.connect(query)), ident)

    def test_noRandomness(self) -> None:
        """
        A session that cannot be made is an error of the server.
        """
        self.make()
        self.sessions._randomness = bytes
        self.ready(self.connect())
        frames = self.connect().frames()
        self.assertEqual(json.loads(frames[0][1])["message"], "failed to allocate session")
        self.assertEqual(frames[1][1][:2], b"\x03\xf3")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_listed(self) -> None:
        """
        Operators see who is there by a token.
        """
        self.make(TokenAuth(["secret"]))
        client = self.connect(f"?token={self.token()}")
        self.connect()
        self.assertEqual(list(self.endpoint.clients()), [("sid", "198.51.100.7")])
        client.lose()
        self.assertEqual(list(self.endpoint.clients()), [])

    def test_revoked(self) -> None:
        """
        The end of a gateway session is the end of its relay session.
        """
        self.make(TokenAuth(["secret"]))
        client = self.connect(f"?token={self.token()}")
        self.ready(client)
        self.endpoint.endSession("other")
        self.endpoint.endSession("sid")
        self.assertFailed(client, None, "session ended", 1008)


class ReadyTests(UDPTestCase):
    """
    A client that is let in.
    """

    def start(self, **settings: Any) -> WebSocketClient:
        """
        A client that is ready.
        """
        self.make(**settings)
        client = self.connect()
        self.ready(client)
        return client

    def test_echo(self) -> None:
        """
        Datagrams go there and back, those of one read with one write.
        """
        client = self.start()
        client.sendBytes(
            b"".join(clientFrame(BINARY, encode(1, 7, V4, 53, b"%d" % n)) for n in range(3))
        )
        self.assertEqual(self.network.sockets[0].sent, [(b"%d" % n, A) for n in range(3)])
        self.network.deliver(0, (b"a", A), (b"b", A))
        self.assertEqual(
            client.frames(),
            [(BINARY, encode(1, 7, V4, 53, b"a")), (BINARY, encode(1, 7, V4, 53, b"b"))],
        )
        self.assertEqual(self.event("udp_ws_datagrams_in"), 3)
        self.assertEqual(self.event("udp_ws_datagrams_out"), 2)

    def test_ownProtocols(self) -> None:
        """
        A subclass may put a protocol of its own on the sockets.
        """
        seen: list[Received] = []

        class Watching(BindingProtocol):
            def datagramsReceived(self, datagrams: Sequence[Received]) -> None:
                seen.extend(datagrams)
                super().datagramsReceived(datagrams)

        class WatchedSession(UDPSession):
            bindingProtocol = Watching

        class WatchedProtocol(UDPProtocol):
            udpSession = WatchedSession

        client = self.start(protocol=WatchedProtocol)
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.network.deliver(0, (b"a", A), (b"stranger", ("192.0.2.9", 9)))
        self.assertEqual(seen, [(b"a", A), (b"stranger", ("192.0.2.9", 9))])
        self.assertEqual(client.frames(), [(BINARY, encode(1, 7, V4, 53, b"a"))])
        (protocol,) = self.endpoint.factory.open
        assert isinstance(protocol, WatchedProtocol) and protocol.udp is not None
        self.assertEqual(protocol.udp.bindings, (7,))

    def test_early(self) -> None:
        """
        Datagrams that come with the handshake are relayed where no credential is needed.
        """
        self.make()
        early = clientFrame(BINARY, encode(1, 7, V4, 53, b"early"))
        self.rig.connect(self.endpoint, b"/udp", Cookie=None, early=early)
        self.assertEqual(self.network.sockets[0].sent, [(b"early", A)])

    def test_repeatedAuth(self) -> None:
        """
        A repeated auth message is ignored, however long; datagrams go on.
        """
        client = self.start()
        client.send(TEXT, b'{"type":"auth","token":"%b"}' % (b"x" * 3_000))
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.assertEqual((client.frames(), len(self.network.sockets)), ([], 1))

    def test_manyTexts(self) -> None:
        """
        Too many of them a second are one too many.
        """
        client = self.start(signal={"maxSignalRate": 2})
        text = clientFrame(TEXT, b'{"type":"auth","token":"x"}')
        client.sendBytes(text * 3)
        self.assertFailed(client, "rate_limited", "rate limit exceeded", 1008)
        self.assertEqual(self.event("rate_limited"), 1)

    def test_otherText(self) -> None:
        """
        Other text closes with 1003.
        """
        self.assertFails(b"hello", "bad_message", "expected binary message", 1003)

    def assertFails(self, text: bytes, code: str, message: str, closeCode: int) -> None:
        """
        A text that ends a session.
        """
        client = self.start()
        client.send(TEXT, text)
        self.assertFailed(client, code, message, closeCode)

    def test_tooLong(self) -> None:
        """
        A message over payload cap and header closes with 1009 without a word, and is counted;
        what came before it in the same read is relayed.
        """
        for size in (29, 100_000):
            client = self.start(maxPayload=4)
            frames = [encode(1, 7, V4, 53, b"x"), bytes(size)]
            client.sendBytes(b"".join(clientFrame(BINARY, frame) for frame in frames))
            self.assertEqual(len(self.network.sockets[0].sent), 1)
            self.assertFailed(client, None, "", 1009)
            self.assertEqual(self.event("udp_ws_dropped_oversized"), 1)
            self.assertEqual(self.event("udp_ws_dropped"), 1)

    def test_dropped(self) -> None:
        """
        What is malformed, oversized or denied is dropped, and the connection stays.
        """
        client = self.start(maxPayload=4)
        for message in (b"x", encode(1, 7, V4, 53, b"12345"), encode(1, 7, V4, 99, b"x")):
            client.send(BINARY, message)
        client.send(BINARY, encode(1, 7, V4, 53, b"1234"))
        self.assertEqual(self.network.sockets[0].sent, [(b"1234", A)])
        self.assertEqual(client.frames(), [])
        for reason in ("malformed", "oversized", "denied_by_policy"):
            self.assertEqual(self.event(f"udp_ws_dropped_{reason}"), 1)

    def test_hardClose(self) -> None:
        """
        Too many violations close with 1008.
        """
        client = self.start(maxPPS=1, hardCloseAfter=2)
        frame = clientFrame(BINARY, encode(1, 7, V4, 53, b"x"))
        client.sendBytes(frame * 5)
        self.assertFailed(client, None, "session closed", 1008)

    def test_slowClient(self) -> None:
        """
        A client that takes nothing gets the newest datagrams later.
        """
        client = self.start(sendQueue=20)
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        client.block()
        self.network.deliver(0, (b"1", A), (b"2", A), (b"3", A))
        self.assertEqual(client.frames(), [])
        client.unblock()
        self.assertEqual(
            client.frames(), [(BINARY, encode(1, 7, V4, 53, payload)) for payload in (b"2", b"3")]
        )
        self.assertEqual(self.event("udp_ws_dropped_backpressure"), 1)

    def test_idle(self) -> None:
        """
        A silent client is pinged, and closed with 1000 where it stays silent.
        """
        client = self.start(udpIdle=0.5, udpPing=0.2)
        self.rig.reactor.advance(0.2)
        self.assertEqual(client.frames(), [(PING, b"")])
        self.rig.reactor.pump([0.1] * 2)
        self.assertEqual(client.frames(), [(PING, b"")])
        self.rig.reactor.advance(0.1)
        self.assertFailed(client, None, "idle timeout", 1000)

    def test_pongs(self) -> None:
        """
        One that answers stays.
        """
        client = self.start(udpIdle=0.5, udpPing=0.2)
        for _ in range(6):
            self.rig.reactor.advance(0.2)
            self.assertEqual(client.frames(), [(PING, b"")])
            client.send(PONG)

    def test_drain(self) -> None:
        """
        A process that stops says so with 1001 and frees everything at once.
        """
        client = self.start()
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        self.endpoint.drain()
        self.assertFailed(client, None, "server is shutting down", 1001)

    def test_timersEnd(self) -> None:
        """
        A lost connection leaves nothing behind.
        """
        client = self.start()
        client.send(BINARY, encode(1, 7, V4, 53, b"x"))
        client.lose()
        self.assertEqual((len(self.sessions), self.ports.open), (0, 0))
        left = [call for call in self.rig.reactor.getDelayedCalls() if call.getTime() > 1]
        self.assertEqual(left, [])
