"""
The relay as a black box: servers with the settings that tests need, a C{/udp} client, and UDP
servers for it to talk to.
"""

from __future__ import annotations

import base64
import hmac
import json
import socket
import struct
import threading
import time
from hashlib import sha256
from typing import Any, Callable
from urllib.parse import quote

from .server import Aero, edgeOptions
from .websocket import BINARY, CLOSE, PING, PONG, TEXT, WebSocket

JWT_SECRET = "test-jwt-secret"
API_KEY = "test-api-key"

#: What the reference's end-to-end tests set (relay.md section 20.0): most of it to nothing.
COMMON = dict.fromkeys(
    [
        "HARD_CLOSE_AFTER_VIOLATIONS",
        "MAX_UDP_PPS_PER_SESSION",
        "MAX_UDP_BPS_PER_SESSION",
        "MAX_UDP_PPS_PER_DEST",
        "MAX_UNIQUE_DESTINATIONS_PER_SESSION",
        "MAX_DC_BPS_PER_SESSION",
        "MAX_UDP_DEST_BUCKETS_PER_SESSION",
        "MAX_DATAGRAM_PAYLOAD_BYTES",
        "MAX_SESSIONS",
        "UDP_BINDING_IDLE_TIMEOUT",
        "UDP_INBOUND_FILTER_MODE",
        "UDP_REMOTE_ALLOWLIST_IDLE_TIMEOUT",
        "MAX_ALLOWED_REMOTES_PER_BINDING",
        "UDP_READ_BUFFER_BYTES",
        "DATACHANNEL_SEND_QUEUE_BYTES",
        "UDP_WS_IDLE_TIMEOUT",
        "UDP_WS_PING_INTERVAL",
        "SIGNALING_AUTH_TIMEOUT",
        "SIGNALING_WS_IDLE_TIMEOUT",
        "SIGNALING_WS_PING_INTERVAL",
        "MAX_SIGNALING_MESSAGE_BYTES",
        "MAX_SIGNALING_MESSAGES_PER_SECOND",
        "SESSION_PREALLOC_TTL",
        "VIOLATION_WINDOW_SECONDS",
        "WEBRTC_UDP_PORT_MIN",
        "WEBRTC_UDP_PORT_MAX",
        "WEBRTC_UDP_LISTEN_IP",
        "WEBRTC_NAT_1TO1_IPS",
        "WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE",
        "WEBRTC_SESSION_CONNECT_TIMEOUT",
        "L2_BACKEND_WS_URL",
        "L2_BACKEND_ORIGIN",
        "L2_BACKEND_TOKEN",
        "ALLOW_UDP_CIDRS",
        "DENY_UDP_CIDRS",
        "ALLOW_UDP_PORTS",
        "DENY_UDP_PORTS",
        "TURN_REST_SHARED_SECRET",
    ],
    "",
) | {
    "AERO_ICE_SERVERS_JSON": "[]",
    "AERO_UPGRADES_PER_MINUTE_PER_IP": "0",
    "ALLOWED_ORIGINS": "*",
    "ALLOW_PRIVATE_NETWORKS": "true",
    "AUTH_MODE": "none",
    "DESTINATION_POLICY_PRESET": "dev",
    "PREFER_V2": "true",
}

_running: dict[tuple[str, tuple[tuple[str, str], ...]], Aero] = {}


def relayServer(kind: str = "relay", **variables: str) -> Aero:
    """
    A relay that tests with the same settings share; it is stopped when the test run ends.

    @param kind: C{"relay"} for the relay alone, C{"edge"} for everything behind TLS.
    @param variables: Beside L{COMMON}.
    """
    key = (kind, tuple(sorted(variables.items())))
    if key not in _running or _running[key].process.poll() is not None:
        _running[key] = startRelay(kind, **variables)
    return _running[key]


def startRelay(kind: str = "relay", **variables: str) -> Aero:
    """
    A relay of a test's own.
    """
    environ: dict[str, Any] = COMMON | variables
    if kind == "edge":
        return Aero(*edgeOptions(), **environ)
    environ.setdefault("AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR", "127.0.0.1:0")
    return Aero("--services", "relay", **environ)


def token(sid: str = "sid", *, secret: str = JWT_SECRET, ttl: int = 300, **claims: Any) -> str:
    """
    A relay token, signed here and not by the code under test.
    """
    now = int(time.time())
    payload = {"iat": now, "exp": now + ttl, "sid": sid} | claims
    parts = [{"alg": "HS256", "typ": "JWT"}, payload]
    text = ".".join(_encode(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_encode(hmac.digest(secret.encode(), text.encode(), sha256))}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def v1(guestPort: int, host: str, port: int, payload: bytes) -> bytes:
    """
    A version 1 message, written here and not by the code under test.
    """
    return struct.pack("!H4sH", guestPort, socket.inet_aton(host), port) + payload


def v2(guestPort: int, host: str, port: int, payload: bytes) -> bytes:
    """
    A version 2 message.
    """
    family = 6 if ":" in host else 4
    packed = socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, host)
    head = bytes((0xA2, 2, family, 0)) + guestPort.to_bytes(2, "big")
    return head + packed + port.to_bytes(2, "big") + payload


class UDPClient:
    """
    One C{/udp} WebSocket.

    @ivar socket: The WebSocket.
    """

    def __init__(self, server: Aero, query: str = "", *headers: tuple[str, str]) -> None:
        self.socket = WebSocket(server, f"/udp{query}", *headers, cookie=None)

    def __enter__(self) -> UDPClient:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.socket.connection.close()

    @classmethod
    def withToken(cls, server: Aero, value: str) -> UDPClient:
        """
        One whose credential is in the query string.
        """
        return cls(server, f"?token={quote(value)}")

    def authenticate(self, value: str, key: str = "token") -> None:
        """
        Send the credential in the first message.
        """
        self.say({"type": "auth", key: value})

    def say(self, message: object) -> None:
        """
        Send a text message.
        """
        self.socket.send(json.dumps(message).encode(), TEXT)

    def send(self, message: bytes) -> None:
        """
        Send a datagram.
        """
        self.socket.send(message, BINARY)

    def next(self) -> tuple[int, bytes]:
        """
        The next frame that is no ping; pings are answered.
        """
        while True:
            opcode, payload = self.socket.receive()
            if opcode != PING:
                return opcode, payload
            self.socket.send(payload, PONG)

    def message(self) -> dict[str, Any]:
        """
        The next frame, which is a text message.
        """
        opcode, payload = self.next()
        if opcode != TEXT:
            raise AssertionError(f"no text message: {opcode} {payload!r}")
        found: dict[str, Any] = json.loads(payload)
        return found

    def ready(self) -> str:
        """
        Wait until it is ready, and give the id of the session.
        """
        message = self.message()
        if message.get("type") != "ready" or set(message) != {"type", "sessionId"}:
            raise AssertionError(f"not ready: {message}")
        return str(message["sessionId"])

    def receive(self) -> bytes:
        """
        The next datagram.
        """
        opcode, payload = self.next()
        if opcode != BINARY:
            raise AssertionError(f"no datagram: {opcode} {payload!r}")
        return payload

    def failure(self) -> tuple[str, str, int, str]:
        """
        The error message and the close frame: code, message, close code, reason.
        """
        message = self.message()
        if set(message) != {"type", "code", "message"} or message["type"] != "error":
            raise AssertionError(f"no error: {message}")
        return message["code"], message["message"], *self.closed()

    def closed(self) -> tuple[int, str]:
        """
        The next frame, which is a close frame; answer it.
        """
        opcode, payload = self.next()
        if opcode != CLOSE:
            raise AssertionError(f"no close frame: {opcode} {payload!r}")
        self.socket.send(payload[:2], CLOSE)
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def close(self) -> None:
        """
        Send a close frame.
        """
        self.socket.send(b"\x03\xe8", CLOSE)

    def silence(self, message: bytes) -> None:
        """
        See that nothing came before the echo of a message.
        """
        self.send(message)
        found = self.receive()
        if found != message:
            raise AssertionError(f"not silent: {found!r}")


#: What a UDP server does with a datagram: its socket, the datagram, the source.
Answer = Callable[[socket.socket, bytes, Any], None]


class UDPTarget:
    """
    A UDP server on loopback, in a thread of its own.

    @ivar port: Its port.
    @ivar host: Its address.
    @ivar received: Payloads and sources.
    """

    def __init__(self, answer: Answer | None = None, host: str = "127.0.0.1") -> None:
        """
        @param answer: Sends back what comes, by default.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self.received: list[tuple[bytes, Any]] = []
        self._answer = answer or echo
        self._came = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> UDPTarget:
        return self

    def __exit__(self, *ignored: object) -> None:
        # A datagram of our own wakes the thread, which a close does not.
        self._answer = _stop
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", (self.host, self.port))

    def wait(self, count: int) -> list[bytes]:
        """
        Wait for so many datagrams, and give their payloads.
        """
        with self._came:
            if not self._came.wait_for(lambda: len(self.received) >= count, 30):
                raise AssertionError(f"only {self.received} came")
            return [payload for payload, _ in self.received]

    def v1(self, guestPort: int, payload: bytes) -> bytes:
        """
        A version 1 message to here, or from here.
        """
        return v1(guestPort, self.host, self.port, payload)

    def v2(self, guestPort: int, payload: bytes) -> bytes:
        """
        A version 2 message to here, or from here.
        """
        return v2(guestPort, self.host, self.port, payload)

    def _run(self) -> None:
        with self._socket:
            while True:
                payload, source = self._socket.recvfrom(65_536)
                if self._answer is _stop:
                    return
                with self._came:
                    self.received.append((payload, source))
                    self._came.notify_all()
                self._answer(self._socket, payload, source)


def echo(server: socket.socket, payload: bytes, source: Any) -> None:
    """
    Send it back.
    """
    server.sendto(payload, source)


def fromElsewhere(server: socket.socket, payload: bytes, source: Any) -> None:
    """
    Answer from another port; where the payload begins with a bang, from the own port.
    """
    if payload.startswith(b"!"):
        server.sendto(payload, source)
        return
    with socket.socket(server.family, socket.SOCK_DGRAM) as other:
        other.bind((server.getsockname()[0], 0))
        other.sendto(payload + b" from %d" % other.getsockname()[1], source)


def _stop(server: socket.socket, payload: bytes, source: Any) -> None:
    """
    The server is over.
    """
