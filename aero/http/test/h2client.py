"""
An HTTP/2 client in memory: the client side of the C{h2} package.
"""

from __future__ import annotations

from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection

from aero.http.test.door import Door, Response, Wire

Headers = list[tuple[str, str]]


def headers(path: str = "/plain", *more: tuple[str, str], method: str = "GET") -> Headers:
    """
    The head of a request.
    """
    start = [(":method", method), (":scheme", "https"), (":path", path)]
    return [*start, (":authority", "localhost"), *more]


class Client:
    """
    An HTTP/2 client on a connection in memory.
    """

    def __init__(self, door: Door | None = None, *, limit: int | None = None) -> None:
        self.door = door or Door()
        self.connection, self.wire = self.door.connect(Wire(limit=limit, negotiated=b"h2"))
        config = H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[Any] = []
        self.acknowledges = True
        self.exchange()

    def send(self, step: int = 1 << 20) -> None:
        """
        Give the server what there is to send.
        """
        data = self.h2.data_to_send()
        for start in range(0, len(data), step):
            self.connection.dataReceived(data[start : start + step])

    def exchange(self, step: int = 1 << 20) -> None:
        """
        Send and receive until both have nothing more to say.
        """
        for _ in range(200):
            self.send(step)
            self.door.clock.advance(0)
            data = self.wire.drained() if self.wire.limit else self._taken()
            if not data:
                break
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and self.acknowledges:
                    assert event.stream_id is not None
                    self.h2.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )

    def _taken(self) -> bytes:
        data: bytes = self.wire.value()
        self.wire.clear()
        return data

    def raw(self, *frames: Any) -> None:
        """
        Send frames as they are.
        """
        self.connection.dataReceived(b"".join(frame.serialize() for frame in frames))
        self.exchange()

    def get(self, *arguments: Any, **keywords: Any) -> int:
        """
        Send a request without a body.
        """
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers(*arguments, **keywords), end_stream=True)
        return stream

    def post(self, path: str, *more: tuple[str, str]) -> int:
        """
        Send the head of a request with a body.
        """
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers(path, *more, method="POST"))
        return stream

    def response(self, stream: int) -> Response:
        """
        The whole response on a stream.
        """
        assert self.ended(stream), self.events
        found = Response(0, [], b"")
        for event in self.of(stream):
            if isinstance(event, h2.events.ResponseReceived):
                fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
                found.status, found.headers = int(fields[0][1]), fields[1:]
            elif isinstance(event, h2.events.DataReceived):
                found.body += event.data or b""
        return found

    def of(self, stream: int) -> list[Any]:
        """
        What happened on a stream.
        """
        return [event for event in self.events if getattr(event, "stream_id", None) == stream]

    def ended(self, stream: int) -> bool:
        """
        Whether the response is complete.
        """
        return any(isinstance(event, h2.events.StreamEnded) for event in self.of(stream))

    def resets(self, stream: int) -> list[int]:
        """
        The codes a stream was reset with.
        """
        return [
            int(event.error_code or 0)
            for event in self.of(stream)
            if isinstance(event, h2.events.StreamReset)
        ]

    @property
    def goneAway(self) -> list[int]:
        """
        The codes the connection was ended with.
        """
        return [
            int(event.error_code or 0)
            for event in self.events
            if isinstance(event, h2.events.ConnectionTerminated)
        ]
