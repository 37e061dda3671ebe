"""
aiortc as the relay's client: a second implementation beside the browser, and one whose layers can
be told to break the rules.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from .http import Response, request
from .server import Aero
from .websocket import CLOSE, PING, PONG, TEXT, WebSocket

Result = TypeVar("Result")

#: What the two channels have to be.
UDP: dict[str, Any] = {"ordered": False, "maxRetransmits": 0}
L2: dict[str, Any] = {"ordered": True}
OPTIONS: dict[str, dict[str, Any]] = {"udp": UDP, "l2": L2}


@cache
def loop() -> asyncio.AbstractEventLoop:
    """
    An event loop in a thread of its own.
    """
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="peers", daemon=True).start()
    return made


def run(coroutine: Coroutine[Any, Any, Result], timeout: float = 30.0) -> Result:
    """
    Run something in that thread, and wait for it.
    """
    future: Future[Result] = asyncio.run_coroutine_threadsafe(coroutine, loop())
    return future.result(timeout)


class Channel:
    """
    A data channel, and what came over it.
    """

    def __init__(self, channel: RTCDataChannel) -> None:
        self.channel = channel
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        channel.on("message", self._messages.put_nowait)
        channel.on("open", self._opened.set)
        channel.on("close", self._closed.set)

    def opened(self, timeout: float = 15.0) -> Channel:
        """
        Wait until it is open.
        """
        run(asyncio.wait_for(self._opened.wait(), timeout))
        return self

    def closed(self, timeout: float = 5.0) -> None:
        """
        Wait until it is closed.
        """
        run(asyncio.wait_for(self._closed.wait(), timeout))

    def send(self, *messages: bytes | str) -> None:
        """
        Send messages.
        """

        async def send() -> None:
            for message in messages:
                self.channel.send(message)

        run(send())

    def receive(self, timeout: float = 10.0) -> Any:
        """
        The next message; C{None} where there is none in time.
        """
        try:
            return run(asyncio.wait_for(self._messages.get(), timeout))
        except TimeoutError:
            return None

    def close(self) -> None:
        """
        Close it.
        """

        async def close() -> None:
            self.channel.close()

        run(close())


class Peer:
    """
    One connection.

    @ivar connection: The C{RTCPeerConnection}.
    @ivar channels: Its channels by label.
    @ivar answer: The relay's answer.
    """

    def __init__(self, *labels: str, servers: list[RTCIceServer] | None = None) -> None:
        self.channels: dict[str, Channel] = {}
        self.answer = ""

        async def build() -> RTCPeerConnection:
            return RTCPeerConnection(RTCConfiguration(iceServers=servers or []))

        self.connection = run(build())
        for label in labels or ("udp",):
            self.channels[label] = self.add(label, **OPTIONS.get(label, {}))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def add(self, label: str, **options: Any) -> Channel:
        """
        A new channel.
        """

        async def add() -> Channel:
            return Channel(self.connection.createDataChannel(label, **options))

        return run(add())

    def offer(self) -> str:
        """
        The offer, with all candidates.
        """

        async def offer() -> str:
            await self.connection.setLocalDescription(await self.connection.createOffer())
            return str(self.connection.localDescription.sdp)

        return run(offer())

    def accept(self, answer: str) -> None:
        """
        Take the answer.
        """
        self.answer = answer
        description = RTCSessionDescription(sdp=answer, type="answer")
        run(self.connection.setRemoteDescription(description))

    def candidate(self, told: dict[str, Any]) -> None:
        """
        Take a candidate of the relay's.
        """
        parsed = candidate_from_sdp(told["candidate"].removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = told["sdpMid"], told["sdpMLineIndex"]
        run(self.connection.addIceCandidate(parsed))

    def post(self, server: Aero, target: str = "/webrtc/offer", **headers: str) -> Response:
        """
        Connect with one request.
        """
        description = {"type": "offer", "sdp": self.offer()}
        versioned = target.startswith("/offer")
        body: Any = {"version": 1, "offer": description} if versioned else {"sdp": description}
        response = request(
            server,
            "POST",
            target,
            *((name.replace("_", "-"), value) for name, value in headers.items()),
            body=json.dumps(body).encode(),
        )
        if response.status == 200:
            found = response.json()
            self.accept((found["answer"] if versioned else found["sdp"])["sdp"])
        return response

    def signal(self, server: Aero, query: str = "", *headers: tuple[str, str]) -> Signal:
        """
        Connect through the WebSocket.
        """
        signal = Signal(server, query, *headers)
        signal.offer(self.offer())
        answer = signal.message()
        if answer.get("type") != "answer":
            raise AssertionError(f"no answer: {answer}")
        self.accept(answer["sdp"]["sdp"])
        return signal

    def close(self) -> None:
        """
        Close it as a page would.
        """
        run(self.connection.close())

    def vanish(self) -> None:
        """
        Be gone without a word, as when a cable is pulled.
        """

        async def vanish() -> None:
            sctp = self.connection.sctp
            assert sctp is not None
            for protocol in sctp.transport.transport._connection._protocols:
                protocol.transport.close()

        run(vanish())


class Signal:
    """
    One C{/webrtc/signal} WebSocket.
    """

    def __init__(self, server: Aero, query: str = "", *headers: tuple[str, str]) -> None:
        self.socket = WebSocket(server, f"/webrtc/signal{query}", *headers, cookie=None)
        if not self.socket.accepted:
            raise AssertionError(f"no WebSocket: {self.socket.response}")

    def __enter__(self) -> Signal:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.socket.connection.close()

    def say(self, message: object) -> None:
        """
        Send a message.
        """
        text = message if isinstance(message, str) else json.dumps(message)
        self.socket.send(text.encode(), TEXT)

    def auth(self, **credentials: str) -> None:
        """
        Send a credential.
        """
        self.say({"type": "auth", **credentials})

    def offer(self, sdp: str) -> None:
        """
        Send an offer.
        """
        self.say({"type": "offer", "sdp": {"type": "offer", "sdp": sdp}})

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
        The next message.
        """
        opcode, payload = self.next()
        if opcode != TEXT:
            raise AssertionError(f"no text message: {opcode} {payload!r}")
        found: dict[str, Any] = json.loads(payload)
        return found

    def closed(self) -> tuple[int, str]:
        """
        The close frame: code and reason. It is answered.
        """
        opcode, payload = self.next()
        if opcode != CLOSE:
            raise AssertionError(f"no close frame: {opcode} {payload!r}")
        self.socket.send(payload[:2], CLOSE)
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def failure(self) -> tuple[str, str, int, str]:
        """
        The error message and the close frame: code, message, close code, reason.
        """
        message = self.message()
        if set(message) != {"type", "code", "message"} or message["type"] != "error":
            raise AssertionError(f"no error: {message}")
        return message["code"], message["message"], *self.closed()
