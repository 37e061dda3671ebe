"""
Setting up WebRTC, from outside: relay.md sections 20.4 to 20.6, with aiortc as the client.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import Connection, request
from .support.metrics import counted, metric
from .support.relay import API_KEY, JWT_SECRET, UDPClient, UDPTarget, relayServer, token
from .support.rtcpeer import Peer, Signal
from .support.server import Aero
from .support.websocket import BINARY, CLOSE, PING, WebSocket

EVENTS = "aero_webrtc_udp_relay_events_total"
LISTEN = {"WEBRTC_UDP_LISTEN_IP": "127.0.0.1"}
JWT = {"AUTH_MODE": "jwt", "JWT_SECRET": JWT_SECRET}
KEY = {"AUTH_MODE": "api_key", "API_KEY": API_KEY}

NO_SDP = {"type": "offer", "sdp": {"type": "offer", "sdp": "v=0"}}


def server(**variables: str) -> Aero:
    """
    A relay that offers loopback.
    """
    return relayServer(**LISTEN, **variables)


def event(where: Aero, name: str) -> int:
    """
    How often something happened.
    """
    return int(counted(where, EVENTS, event=name))


def sessions(where: Aero) -> int:
    """
    How many relay sessions there are.
    """
    return int(metric(where, "aero_relay_sessions"))


def eventually(ready: Any, timeout: float = 10.0) -> bool:
    """
    Wait until something holds.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class SignalTests(SynchronousTestCase):
    """
    C{/webrtc/signal}.
    """

    def test_trickle(self) -> None:
        """
        An offer without candidates, candidates one by one, and a channel that opens and echoes.
        """
        where = server()
        with Peer("udp") as peer, UDPTarget() as target, Signal(where) as signal:
            lines = peer.offer().split("\r\n")
            bare = [line for line in lines if not line.startswith(("a=candidate", "a=end-of"))]
            signal.offer("\r\n".join(bare))
            answer = signal.message()
            self.assertEqual(set(answer), {"type", "sdp"})
            self.assertEqual(set(answer["sdp"]), {"type", "sdp"})
            for line in lines:
                if line.startswith("a=candidate"):
                    told = {"candidate": line[2:], "sdpMid": "0", "sdpMLineIndex": 0}
                    signal.say({"type": "candidate", "candidate": told})
            signal.say({"type": "candidate", "candidate": {"candidate": ""}})
            peer.accept(answer["sdp"]["sdp"])
            channel = peer.channels["udp"].opened()
            channel.send(target.v2(7, b"echo"))
            self.assertEqual(channel.receive(), target.v2(7, b"echo"))

    def test_listensWhereItShould(self) -> None:
        """
        The one address that was named is offered, loopback included, and no other.
        """
        with Peer() as peer, peer.signal(server()):
            found = [line for line in peer.answer.split("\r\n") if line.startswith("a=candidate")]
            self.assertEqual([line.split()[4] for line in found], ["127.0.0.1"])
            peer.channels["udp"].opened()

    def test_authTimeout(self) -> None:
        """
        Without a credential in time: 1008 and nothing else, whatever pings the client sends.
        """
        where = server(**KEY, SIGNALING_AUTH_TIMEOUT="200ms")
        before = event(where, "auth_failure")
        with Signal(where) as signal:
            signal.socket.send(b"", PING)
            opcode, payload = signal.socket.receive()
            while opcode != CLOSE:
                opcode, payload = signal.socket.receive()
            self.assertEqual(payload, b"\x03\xf0authentication timeout")
        self.assertEqual(event(where, "auth_failure"), before + 1)

    def test_messageTooLong(self) -> None:
        """
        1009, without a reason and without a message.
        """
        with Signal(server(MAX_SIGNALING_MESSAGE_BYTES="32")) as signal:
            signal.auth(token="x" * 150)
            self.assertEqual(signal.closed(), (1009, ""))

    def test_beforeAuth(self) -> None:
        """
        Before a credential binary is no message, malformed text is malformed, and anything else
        than a credential is refused.
        """
        where = server(**KEY)
        for message, code, text, close, reason in (
            (b"\0", "bad_message", "expected text message", 1003, "expected text message"),
            (NO_SDP, "unauthorized", "authentication required", 1008, "authentication required"),
            ({"type": "auth", "apiKey": "wrong"}, "unauthorized", "unauthorized", 1008, None),
            ({"type": "hello"}, "bad_message", None, 1008, "bad message"),
            ("{", "bad_message", None, 1008, "bad message"),
            ({"type": "auth", "apiKey": "a", "token": "b"}, "bad_message", None, 1008, None),
        ):
            failures = event(where, "auth_failure")
            with Signal(where) as signal:
                if isinstance(message, bytes):
                    signal.socket.send(message, BINARY)
                else:
                    signal.say(message)
                found = signal.failure()
            self.assertEqual((found[0], found[2]), (code, close), message)
            self.assertEqual(found[1], text or found[1])
            self.assertEqual(found[3], reason or found[3])
            counted = event(where, "auth_failure") - failures
            self.assertEqual(counted, int(code == "unauthorized"), message)

    def test_wrongCredentialInTheRequest(self) -> None:
        """
        The upgrade succeeds, and then the error comes; a right first message does not help.
        """
        where = server(**KEY)
        for query, headers in (
            ("?apiKey=bad", ()),
            ("?token=bad", ()),
            ("", (("X-API-Key", "bad"),)),
            ("", (("Authorization", "Bearer bad"),)),
        ):
            with Signal(where, query, *headers) as signal:
                expected = ("unauthorized", "unauthorized", 1008, "unauthorized")
                self.assertEqual(signal.failure(), expected)

    def test_everyCredential(self) -> None:
        """
        Every way to show a credential leads to C{READY}: a candidate is then what comes too early.
        """
        value = token("everybody")
        early = {"type": "candidate", "candidate": {"candidate": "candidate:x"}}
        expected = ("unexpected_message", "candidate received before offer", 1008)
        for where, credential in ((server(**JWT), value), (server(**KEY), API_KEY)):
            for query, headers, first in (
                (f"?token={credential}", (), {}),
                (f"?apiKey={credential}", (), {}),
                ("", (("X-API-Key", credential),), {}),
                ("", (("Authorization", f"ApiKey {credential}"),), {}),
                ("", (("Authorization", f"bearer {credential}"),), {}),
                ("", (), {"token": credential}),
                ("", (), {"apiKey": f" {credential} "}),
                ("", (), {"apiKey": credential, "token": credential}),
            ):
                with Signal(where, query, *headers) as signal:
                    if first:
                        signal.auth(**first)
                    signal.say(early)
                    self.assertEqual(signal.failure()[:3], expected, (query, headers, first))

    def test_rate(self) -> None:
        """
        Every message counts, also those that are ignored.
        """
        where = server(MAX_SIGNALING_MESSAGES_PER_SECOND="1")
        with Signal(where) as signal:
            signal.auth(token="ignored")
            signal.auth(token="ignored")
            expected = ("rate_limited", "rate limit exceeded", 1008, "rate limit exceeded")
            self.assertEqual(signal.failure(), expected)
        self.assertGreater(event(where, "rate_limited"), 0)

    def test_foreignOrigin(self) -> None:
        """
        403 before the upgrade, in the relay's shape; and what is no upgrade is a 400.
        """
        where = server(ALLOWED_ORIGINS="https://app.example.com")
        refused = WebSocket(
            where, "/webrtc/signal", ("Origin", "https://evil.example"), cookie=None
        )
        with refused:
            self.assertEqual(refused.response.status, 403)
            self.assertEqual(refused.response.json(), {"code": "forbidden", "message": "forbidden"})
        plain = request(where, "GET", "/webrtc/signal")
        self.assertEqual((plain.status, plain.json()["code"]), (400, "bad_message"))

    def test_idle(self) -> None:
        """
        A client that does not pong is pinged and then closed with 1000; one that does stays.
        """
        where = server(SIGNALING_WS_IDLE_TIMEOUT="500ms", SIGNALING_WS_PING_INTERVAL="50ms")
        with Signal(where) as silent:
            opcode, payload = silent.socket.receive()
            self.assertEqual(opcode, PING)
            while opcode == PING:
                opcode, payload = silent.socket.receive()
            self.assertEqual((opcode, payload), (CLOSE, b"\x03\xe8idle timeout"))
        with Signal(where) as talking:
            until = time.monotonic() + 0.8
            talking.socket.connection.socket.settimeout(0.2)
            while time.monotonic() < until:
                opcode, payload = talking.socket.receive()
                self.assertEqual(opcode, PING)
                talking.socket.send(payload, 10)

    def test_wrongTurns(self) -> None:
        """
        What comes in the wrong state, and what only we say.
        """
        where = server()
        with Peer() as peer, peer.signal(where) as signal:
            signal.auth(token="x")
            expected = ("unexpected_message", "auth received after offer", 1008)
            self.assertEqual(signal.failure()[:3], expected)
        with Peer() as peer, peer.signal(where) as signal:
            signal.say(NO_SDP)
            expected = ("unexpected_message", "offer already received", 1008)
            self.assertEqual(signal.failure()[:3], expected)
        with Peer() as peer, peer.signal(where) as signal:
            signal.say({"type": "candidate", "candidate": {"candidate": "candidate:nonsense"}})
            self.assertEqual(signal.failure()[0::2], ("bad_message", 1008))
        for kind in ("answer", "error"):
            message: dict[str, Any] = {"type": kind}
            message |= (
                {"sdp": {"type": "answer", "sdp": "v=0"}}
                if kind == "answer"
                else {"code": "c", "message": "m"}
            )
            with Signal(where) as signal:
                signal.say(message)
                expected = ("bad_message", f'unexpected message type "{kind}"', 1008)
                self.assertEqual(signal.failure(), (*expected, "bad message"))
        with Peer() as peer, peer.signal(where) as signal:
            signal.say({"type": "close"})
            self.assertEqual(signal.closed(), (1000, "closed"))
        self.assertEqual(sessions(where), 0)

    def test_badSDP(self) -> None:
        """
        An offer that cannot be used is told, and closed with 1008; nothing is kept.
        """
        where = server()
        for text in ("v=0", "", "nonsense", "v=0\r\n" + "a=x\r\n" * 3_000):
            with Signal(where) as signal:
                signal.offer(text)
                code, message, close, reason = signal.failure()
                self.assertEqual((code, close, reason), ("bad_message", 1008, "bad_message"))
                self.assertTrue(message)
        self.assertEqual(sessions(where), 0)

    def test_connectTimeout(self) -> None:
        """
        An offer whose client never comes: the session ends, with a reason.
        """
        where = server(WEBRTC_SESSION_CONNECT_TIMEOUT="200ms", MAX_SESSIONS="1")
        before = event(where, "webrtc_session_connect_timeout")
        with Peer() as peer, Signal(where) as signal:
            signal.offer(peer.offer())
            self.assertEqual(signal.message()["type"], "answer")
            self.assertEqual(signal.closed(), (1000, "connect timeout"))
        self.assertEqual(event(where, "webrtc_session_connect_timeout"), before + 1)
        self.assertEqual(sessions(where), 0)

    def test_twoOffersForOnePlace(self) -> None:
        """
        C{MAX_SESSIONS=1}: the second offer is refused, and taken once the first is gone.
        """
        where = server(MAX_SESSIONS="1")
        with Peer() as peer, Signal(where) as first, Signal(where) as second:
            offer = peer.offer()
            first.offer(offer)
            self.assertEqual(first.message()["type"], "answer")
            second.offer(offer)
            self.assertEqual(
                second.failure(),
                ("too_many_sessions", "too many sessions", 1008, "too_many_sessions"),
            )
            first.say({"type": "close"})
            first.closed()
            with Signal(where) as third:
                third.offer(offer)
                self.assertEqual(third.message()["type"], "answer")
        self.assertGreater(event(where, "too_many_sessions"), 0)


class LockTests(SynchronousTestCase):
    """
    One session for each C{sid}.
    """

    def test_acrossSurfaces(self) -> None:
        """
        While one is open every surface refuses the same C{sid}, before it looks at the offer;
        another C{sid} gets in.
        """
        where = server(**JWT)
        value = token("same")
        with Peer() as peer, peer.signal(where, f"?token={value}"):
            with Signal(where) as second:
                second.auth(apiKey=token("same", aud="x"))
                second.say(NO_SDP)
                self.assertEqual(
                    second.failure(),
                    (
                        "session_already_active",
                        "session already active",
                        1008,
                        "session_already_active",
                    ),
                )
            with UDPClient.withToken(where, value) as udp:
                self.assertEqual(udp.failure()[0::2], ("session_already_active", 1013))
            for target, body in (
                ("/offer", {"version": 1, "offer": {"type": "offer", "sdp": "v=0"}}),
                ("/webrtc/offer", {"type": "offer", "sdp": "v=0"}),
            ):
                response = request(
                    where,
                    "POST",
                    f"{target}?token={value}",
                    body=json.dumps(body).encode(),
                )
                self.assertEqual(
                    (response.status, response.json()["code"]), (409, "session_already_active")
                )
                self.assertTrue(response.one("Retry-After"))
            with Peer() as other, other.signal(where, f"?token={token('other')}"):
                pass
        with UDPClient.withToken(where, value) as udp:
            udp.ready()
            with Signal(where, f"?token={value}") as signal:
                signal.say(NO_SDP)
                self.assertEqual(signal.failure()[0], "session_already_active")

    def test_releasedWithTheSocket(self) -> None:
        """
        The lock is gone as soon as the close of the signalling is answered: the same offer and the
        same C{sid} are taken at once.
        """
        where = server(**JWT)
        value = token("again")
        with Peer() as peer:
            offer = peer.offer()
            for _ in range(5):
                with Signal(where, f"?token={value}") as signal:
                    signal.offer(offer)
                    self.assertEqual(signal.message()["type"], "answer")
                    signal.socket.send(b"\x03\xe8", CLOSE)
                    self.assertEqual(signal.next()[0], CLOSE)

    def test_releasedWithTheConnection(self) -> None:
        """
        So is that of a connection that was set up by HTTP, when the client closes it.
        """
        where = server(**JWT)
        value = token("offered")
        for _ in range(3):
            with Peer() as peer:
                response = peer.post(where, f"/webrtc/offer?token={value}")
                self.assertEqual(response.status, 200, response)
                peer.channels["udp"].opened()
            self.assertTrue(eventually(lambda: sessions(where) == 0, 2))


class OfferTests(SynchronousTestCase):
    """
    C{POST /webrtc/offer} and C{POST /offer}.
    """

    def test_bothConnect(self) -> None:
        """
        Both lead to a channel that echoes; the answers have exactly the keys that clients take.
        """
        where = server()
        with UDPTarget() as target:
            for path, keys in (
                ("/webrtc/offer", {"sessionId", "sdp"}),
                ("/offer", {"version", "answer"}),
            ):
                with Peer() as peer:
                    response = peer.post(where, path)
                    self.assertEqual(set(response.json()), keys)
                    channel = peer.channels["udp"].opened()
                    channel.send(target.v1(9, b"echo"))
                    self.assertEqual(channel.receive(), target.v1(9, b"echo"))

    def test_credentials(self) -> None:
        """
        None 401, wrong 401, right 200, for both modes; and C{auth_failure} counts.
        """
        value = token("offers")
        for where, right in ((server(**KEY), API_KEY), (server(**JWT), value)):
            before = event(where, "auth_failure")
            with Peer() as peer:
                self.assertEqual(peer.post(where).status, 401)
                self.assertEqual(peer.post(where, X_API_Key="wrong").status, 401)
                self.assertEqual(event(where, "auth_failure"), before + 2)
                self.assertEqual(peer.post(where, Authorization=f"Bearer {right}").status, 200)
                peer.channels["udp"].opened()
            self.assertTrue(eventually(lambda where=where: sessions(where) == 0, 3))

    def test_bodies(self) -> None:
        """
        A body that is none is a 400 even without a credential; an offer that cannot be used is a
        400 with one.
        """
        where = server(**KEY)
        key = ("X-API-Key", API_KEY)

        def post(path: str, body: bytes, *headers: tuple[str, str]) -> tuple[int, Any]:
            response = request(where, "POST", path, *headers, body=body)
            found = response.json()
            return response.status, (found["code"], found["message"])

        for body in (
            b"",
            b"{",
            b"[]",
            b'{"version":1}',
            b'{"version":1,"offer":{"type":"answer"}}',
        ):
            status, (code, _) = post("/offer", body)
            self.assertEqual((status, code), (400, "bad_message"), body)
        self.assertEqual(
            post("/offer", b'{"version":2,"offer":{"type":"offer","sdp":"v=0"}}'),
            (400, ("bad_message", "unsupported protocol version")),
        )
        unusable = b'{"version":1,"offer":{"type":"offer","sdp":"v=0"}}'
        self.assertEqual(post("/offer", unusable), (401, ("unauthorized", "unauthorized")))
        self.assertEqual(
            post("/offer", unusable, key),
            (400, ("bad_message", "failed to set remote description")),
        )
        for body, text in (
            (b'{"type":"answer","sdp":"v=0"}', 'sdp.type must be "offer"'),
            (b'{"type":"pranswer","sdp":"v=0"}', 'unsupported sdp type "pranswer"'),
        ):
            self.assertEqual(post("/webrtc/offer", body), (400, ("bad_message", text)))
        self.assertEqual(post("/webrtc/offer", b'{"type":"offer","sdp":"v=0"}', key)[0], 400)
        self.assertEqual(sessions(where), 0)

    def test_gatheringTimeout(self) -> None:
        """
        A STUN server that does not answer holds up nobody.
        """
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        stun = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        where = server(
            AERO_ICE_SERVERS_JSON=json.dumps([{"urls": stun}]),
            AERO_WEBRTC_UDP_RELAY_ICE_GATHERING_TIMEOUT="1ms",
        )
        for path in ("/webrtc/offer", "/offer"):
            before = event(where, "ice_gathering_timeout")
            with Peer() as peer:
                self.assertEqual(peer.post(where, path).status, 200)
                peer.channels["udp"].opened()
            self.assertEqual(event(where, "ice_gathering_timeout"), before + 1)

    def test_clientLeaves(self) -> None:
        """
        A client that goes away while the answer waits gives its place back.
        """
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        stun = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        where = server(
            AERO_ICE_SERVERS_JSON=json.dumps([{"urls": stun}]),
            AERO_WEBRTC_UDP_RELAY_ICE_GATHERING_TIMEOUT="30s",
            MAX_SESSIONS="1",
        )
        with Peer() as peer:
            description = {"type": "offer", "sdp": peer.offer()}
            for path, body in (
                ("/webrtc/offer", {"sdp": description}),
                ("/offer", {"version": 1, "offer": description}),
            ):
                data = json.dumps(body).encode()
                with Connection.to(where) as connection:
                    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
                    connection.send(head.encode() + data)
                    self.assertTrue(eventually(lambda: sessions(where) == 1))
                    busy = request(where, "POST", path, body=data)
                    self.assertEqual((busy.status, busy.json()["code"]), (503, "too_many_sessions"))
                self.assertTrue(eventually(lambda: sessions(where) == 0, 2))
        self.assertEqual(event(where, "ice_gathering_timeout"), 0)


class NetworkTests(SynchronousTestCase):
    """
    Where ICE is done.
    """

    def candidates(self, **variables: str) -> list[list[str]]:
        """
        The fields of the candidates in an answer.
        """
        with Peer() as peer:
            self.assertEqual(peer.post(server(**variables)).status, 200)
            return [
                line.split(":", 1)[1].split(" ")
                for line in peer.answer.split("\r\n")
                if line.startswith("a=candidate")
            ]

    def test_portRange(self) -> None:
        """
        Ports are of the range that was named, and the connections use them.
        """
        variables = {"WEBRTC_UDP_PORT_MIN": "43210", "WEBRTC_UDP_PORT_MAX": "43309"}
        ports = {int(self.candidates(**variables)[0][5]) for _ in range(3)}
        self.assertTrue(all(43_210 <= port <= 43_309 for port in ports), ports)
        with Peer() as peer:
            peer.post(server(**variables))
            peer.channels["udp"].opened()

    def test_natAsHost(self) -> None:
        """
        The public address stands in the place of the local one.
        """
        (found,) = self.candidates(WEBRTC_NAT_1TO1_IPS="203.0.113.10")
        self.assertEqual((found[4], found[7]), ("203.0.113.10", "host"))

    def test_natBeside(self) -> None:
        """
        Or is offered beside it, on the same port, and connections come about as before.
        """
        variables = {
            "WEBRTC_NAT_1TO1_IPS": "203.0.113.10",
            "WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE": "srflx",
        }
        host, mapped = self.candidates(**variables)
        self.assertEqual((host[4], host[7]), ("127.0.0.1", "host"))
        self.assertEqual((mapped[4], mapped[5], mapped[7]), ("203.0.113.10", host[5], "srflx"))
        with Peer() as peer:
            peer.post(server(**variables))
            peer.channels["udp"].opened()

    def test_allAddresses(self) -> None:
        """
        Without a listen address all are offered but loopback and link-local.
        """
        with Peer() as peer:
            self.assertEqual(peer.post(relayServer()).status, 200)
            addresses = [
                line.split(" ")[4]
                for line in peer.answer.split("\r\n")
                if line.startswith("a=candidate")
            ]
        self.assertTrue(addresses)
        for address in addresses:
            self.assertFalse(address.startswith(("127.", "::1", "fe80", "169.254.")), addresses)
