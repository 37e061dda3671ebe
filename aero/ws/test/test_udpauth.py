"""
Tests for L{aero.ws.udp}: who is let in (relay.md sections 12 and 20.9).
"""

from __future__ import annotations

import json
from typing import Any

from aero.auth.relaymodes import KeyAuth, TokenAuth
from aero.policy.origin import Origins
from aero.testing.ws import WebSocketClient
from aero.wire.udprelay import encode
from aero.wire.websocket import BINARY, CLOSE, PING, PONG, TEXT
from aero.ws.relaygate import RelayGate

from .udpfixtures import V4, BrokenAuth, UDPTestCase


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

    def test_listedWithoutToken(self) -> None:
        """
        They also see who was admitted without one.
        """
        self.make()
        client = self.connect()
        self.assertEqual(list(self.endpoint.clients()), [("", "198.51.100.7")])
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
