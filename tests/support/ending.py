"""
Clients whose end is what is tested: a target that pauses before it reads, a guest on a data channel,
and the ways in which a WebSocket ends.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Callable, Sequence

from aero.testing import guest as tiny

from .l2 import FRAME, message
from .rtcpeer import Peer
from .server import Aero
from .station import Station
from .targets import Recorder
from .websocket import CLOSE, TEXT, WebSocket


class Paused(Recorder):
    """
    A behaviour: reads nothing for a while, then to the end of the stream.

    @ivar seconds: How long.
    """

    def __init__(self, seconds: float = 1.5) -> None:
        super().__init__()
        self.seconds = seconds

    def __call__(self, connection: socket.socket) -> None:
        time.sleep(self.seconds)
        super().__call__(connection)


class ChannelStation(Station):
    """
    A guest whose frames travel through a data channel.

    @ivar peer: Its connection.
    """

    def __init__(self, server: Aero, **headers: str) -> None:
        """
        @param headers: More lines of the request that sets the connection up.
        """
        tiny.Guest.__init__(self)
        self.peer = Peer("l2")
        response = self.peer.post(server, **headers)
        if response.status != 200:
            raise AssertionError(f"no connection: {response}")
        self.channel = self.peer.channels["l2"].opened()
        self.attach(self._sendAll)

    def leave(self) -> None:
        """
        Close the connection.
        """
        self.peer.close()

    def _sendAll(self, frames: Sequence[bytes]) -> None:
        self.channel.send(*(message(FRAME, each) for each in frames))

    def _take(self, seconds: float) -> None:
        payload = self.channel.receive(seconds)
        if payload is not None and payload[2] == FRAME:
            self.sendFrames([payload[4:]])


def closing(code: int) -> Callable[[WebSocket], None]:
    """
    Close in order.
    """
    return lambda client: client.send(struct.pack("!H", code), CLOSE)


def vanish(client: WebSocket) -> None:
    """
    End the TCP connection without a close frame.
    """
    client.connection.close()


def reset(client: WebSocket) -> None:
    """
    Reset it.
    """
    client.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.connection.close()


def breakRules(client: WebSocket) -> None:
    """
    Send a frame that no client may send: a close frame with half a code.
    """
    client.send(b"\x03", CLOSE)


def sendText(client: WebSocket) -> None:
    """
    Send text where none is allowed.
    """
    client.send(b"text", TEXT)


#: The ways that every endpoint knows.
WAYS: dict[str, Callable[[Any], None]] = {
    "1000": closing(1000),
    "1001": closing(1001),
    "vanished": vanish,
    "reset": reset,
    "broken": breakRules,
}
