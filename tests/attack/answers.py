"""
How the server answers a flood: each reader takes the bytes of one connection and counts what
they say.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Callable, Protocol

import hpack

from tests.support.http2 import GOAWAY, HEADERS, RST_STREAM, WINDOW
from tests.support.websocket import BINARY, CLOSE, TEXT

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


class Answers(Protocol):
    """
    The reader of one connection.
    """

    def feed(self, data: bytes) -> None:
        """
        Bytes came.
        """


class HTTP1Answers:
    """
    Counts status lines.
    """

    def __init__(self, tally: Counter[str]) -> None:
        self._tally = tally

    def feed(self, data: bytes) -> None:
        """
        See L{Answers}.
        """
        for status in _STATUS.findall(data):
            self._tally[f"status {status.decode()}"] += 1


class HTTP2Answers:
    """
    Counts GOAWAY, RST_STREAM and the status of responses.

    @ivar window: Bytes of DATA that the server still takes on the connection.
    """

    def __init__(self, tally: Counter[str]) -> None:
        self.window = 65_535
        self._tally = tally
        self._decoder = hpack.Decoder()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """
        See L{Answers}.
        """
        data = self._rest + data
        place = 0
        while place + 9 <= len(data):
            end = place + 9 + int.from_bytes(data[place : place + 3], "big")
            if end > len(data):
                break
            stream = int.from_bytes(data[place + 5 : place + 9], "big")
            self._frameReceived(data[place + 3], stream, data[place + 9 : end])
            place = end
        self._rest = data[place:]

    def _frameReceived(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == GOAWAY:
            self._tally[f"GOAWAY {int.from_bytes(payload[4:8], 'big')}"] += 1
        elif kind == RST_STREAM:
            self._tally[f"RST_STREAM {int.from_bytes(payload, 'big')}"] += 1
        elif kind == HEADERS:
            fields = {str(name): str(value) for name, value in self._decoder.decode(payload)}
            self._tally[f"status {fields.get(':status', '?')}"] += 1
        elif kind == WINDOW and not stream:
            self.window += int.from_bytes(payload, "big")


class WebSocketAnswers:
    """
    Counts messages and close codes.

    @ivar messageReceived: Called with each message.
    @ivar reply: Sends bytes on the same connection.
    """

    def __init__(self, tally: Counter[str]) -> None:
        self.reply: Callable[[bytes], object] = lambda data: None
        self.messageReceived: Callable[[bytes], object] = lambda payload: None
        self._tally = tally
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """
        See L{Answers}.
        """
        data = self._rest + data
        place = 0
        while (bounds := self._frame(data, place)) is not None:
            begin, end = bounds
            self._frameReceived(data[place] & 15, data[begin:end])
            place = end
        self._rest = data[place:]

    @staticmethod
    def _frame(data: bytes, place: int) -> tuple[int, int] | None:
        """
        Where the payload of the frame at a place begins and ends, when all of it is there.
        """
        if len(data) < place + 2:
            return None
        size, begin = data[place + 1], place + 2
        if size > 125:
            begin += 2 if size == 126 else 8
            size = int.from_bytes(data[place + 2 : begin], "big")
        return (begin, begin + size) if begin + size <= len(data) else None

    def _frameReceived(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._tally[f"close {int.from_bytes(payload[:2], 'big')}"] += 1
        elif opcode in (BINARY, TEXT):
            self._tally["messages"] += 1
            self.messageReceived(payload)
