"""
A guest at the other end of C{/l2}: the tunnel's messages, and as much Ethernet as its tests need.

Frames are put together with C{struct} alone, so that no code of the server is tested by itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .server import Aero
from .tools import freePort
from .websocket import BINARY, CLOSE, PING, PONG, TEXT, WebSocket

PROTOCOL = "aero-l2-tunnel-v1"
FRAME, L2_PING, L2_PONG, ERROR = 0x00, 0x01, 0x02, 0x7F

GUEST_MAC = bytes.fromhex("02aabbccddee")
STACK_MAC = bytes.fromhex("020000000001")
GUEST_IP, GATEWAY_IP = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
XID = 0x10203040

#: l2.md section 16.3, from the reference: the guest asks for the gateway.
ARP_REQUEST = bytes.fromhex(
    "ffffffffffff02aabbccddee0806000108000604000102aabbccddee0a00020f0000000000000a000202"
)
ARP_REPLY = bytes.fromhex(
    "02aabbccddee020000000001080600010800060400020200000000010a00020202aabbccddee0a00020f"
)


@dataclass
class Ended:
    """
    How a tunnel ended.

    @ivar error: Code and text of its ERROR, if there was one.
    @ivar code: The close code; C{None} where the connection just ended.
    @ivar reason: The text beside it.
    @ivar messages: The tunnel messages before, with their type.
    """

    error: tuple[int | None, str] | None
    code: int | None
    reason: str
    messages: list[tuple[int, bytes]]


class Guest(WebSocket):
    """
    One tunnel, open or refused.
    """

    def __init__(
        self,
        server: Aero,
        target: str = "/l2",
        *headers: tuple[str, str],
        protocols: str | None = PROTOCOL,
        origin: str | None = None,
        cookie: str | None = None,
    ) -> None:
        """
        @param headers: More lines of the handshake; those of the same name replace the usual.
        @param protocols: What is offered; C{None} offers nothing.
        @param origin: The C{Origin}.
        """
        extra = list(headers)
        if protocols is not None:
            extra.append(("Sec-WebSocket-Protocol", protocols))
        if origin is not None:
            extra.append(("Origin", origin))
        super().__init__(server, target, *extra, cookie=cookie)

    @property
    def body(self) -> str:
        """
        What a refusal says.
        """
        return self.response.body.decode()

    def sendMessage(self, kind: int, payload: bytes = b"") -> None:
        """
        Send one message of the tunnel.
        """
        self.send(message(kind, payload))

    def sendFrame(self, frame: bytes) -> None:
        """
        Send an Ethernet frame.
        """
        self.sendMessage(FRAME, frame)

    def receiveMessage(self) -> tuple[int, bytes]:
        """
        The next message of the tunnel: type and payload.
        """
        while True:
            opcode, payload = self.receive()
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == BINARY:
                if len(payload) < 4 or payload[:2] != b"\xa2\x03" or payload[3]:
                    raise AssertionError(f"not a message: {payload!r}")
                return payload[2], payload[4:]
            else:
                raise AssertionError(f"opcode {opcode} with {payload!r}")

    def receiveFrame(self) -> bytes:
        """
        The next Ethernet frame, passing over other messages.
        """
        while True:
            kind, payload = self.receiveMessage()
            if kind == FRAME:
                return payload

    def arp(self) -> bytes:
        """
        Ask for the gateway, and give the answer.
        """
        self.sendFrame(ARP_REQUEST)
        while True:
            frame = self.receiveFrame()
            if frame[12:14] == b"\x08\x06":
                return frame

    def untilEnd(self) -> Ended:
        """
        Read until the tunnel ends.
        """
        ended = Ended(None, None, "", [])
        while True:
            try:
                opcode, payload = self.receive()
            except (AssertionError, OSError):
                return ended
            if opcode == CLOSE:
                ended.code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                ended.reason = payload[2:].decode()
                return ended
            if opcode == BINARY:
                if payload[2] == ERROR:
                    ended.error = readError(payload[4:])
                else:
                    ended.messages.append((payload[2], payload[4:]))

    def close(self, code: int = 1000) -> Ended:
        """
        Close in order, and wait for the end.
        """
        self.send(struct.pack("!H", code), CLOSE)
        ended = self.untilEnd()
        self.connection.close()
        return ended

    def sendText(self, text: str) -> None:
        """
        Send a text message.
        """
        self.send(text.encode(), TEXT)


def message(kind: int, payload: bytes = b"") -> bytes:
    """
    One message of the tunnel.
    """
    return bytes((0xA2, 0x03, kind, 0)) + payload


def readError(payload: bytes) -> tuple[int | None, str]:
    """
    An ERROR: code and text, or C{None} and all of it.
    """
    if len(payload) >= 4:
        code, length = struct.unpack("!HH", payload[:4])
        if length == len(payload) - 4:
            return code, payload[4:].decode()
    return None, payload.decode("utf-8", "replace")


def checksum(data: bytes) -> int:
    """
    The sum of RFC 1071.
    """
    data += b"\0" * (len(data) & 1)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload: bytes, kind: int = 0x0800, target: bytes = STACK_MAC) -> bytes:
    """
    A frame of the guest.
    """
    return target + GUEST_MAC + struct.pack("!H", kind) + payload


def ipv4(protocol: int, payload: bytes, target: bytes, source: bytes = GUEST_IP) -> bytes:
    """
    A packet of the guest.
    """
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0)
    head += source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(
    target: bytes, port: int, payload: bytes, sourcePort: int = 40_000, source: bytes = GUEST_IP
) -> bytes:
    """
    A frame with a datagram of the guest.
    """
    size = 8 + len(payload)
    head = struct.pack("!HHHH", sourcePort, port, size, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 17, size)
    total = checksum(pseudo + head + payload) or 0xFFFF
    datagram = head[:6] + struct.pack("!H", total) + payload
    broadcast = target == b"\xff" * 4
    return ethernet(
        ipv4(17, datagram, target, source), target=b"\xff" * 6 if broadcast else STACK_MAC
    )


def echo(target: bytes, payload: bytes, sequence: int = 1) -> bytes:
    """
    A frame with an echo request of the guest.
    """
    head = struct.pack("!BBHHH", 8, 0, 0, 7, sequence)
    total = checksum(head + payload)
    return ethernet(ipv4(1, head[:2] + struct.pack("!H", total) + head[4:] + payload, target))


def dhcp(kind: int, options: bytes = b"") -> bytes:
    """
    A frame with a DHCP message of the guest; a DISCOVER has the 286 bytes of the reference's.
    """
    body = struct.pack("!BBBBIHH", 1, 1, 6, 0, XID, 0, 0x8000) + bytes(16)
    body += GUEST_MAC + bytes(10 + 64 + 128) + bytes.fromhex("63825363")
    body += bytes((53, 1, kind)) + options + b"\xff"
    return udp(b"\xff" * 4, 67, body, 68, bytes(4))


def l2Options(port: int | None = None) -> list[str]:
    """
    Options for the tunnel alone, on a free port of loopback.
    """
    return ["--services", "l2", "--l2-listen", f"127.0.0.1:{freePort() if port is None else port}"]


#: What the reference's suites run their server with (l2.md section 20).
OPEN = {"AERO_L2_AUTH_MODE": "none", "AERO_L2_OPEN": "1", "AERO_L2_MAX_CONNECTIONS": "0"}
