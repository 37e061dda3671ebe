"""
What the tests of C{/tcp-mux} share.
"""

from __future__ import annotations

import os
from typing import Any

from .mux import (
    MUX_PONG,
    Frame,
    Mux,
    dataFrame,
    pingFrame,
)
from .rigs import USUAL, Rigged
from .targets import Target

#: As many streams as a test may want.
MANY = USUAL | {"TCP_PROXY_MAX_CONNECTIONS": "400"}

#: Limits that are easily reached: frames of 16 bytes hold an OPEN of C{127.0.0.1}.
LIMITED = USUAL | {
    "TCP_PROXY_MAX_CONNECTIONS": "5",
    "TCP_MUX_MAX_STREAMS": "2",
    "TCP_MUX_MAX_FRAME_PAYLOAD_BYTES": "16",
    "TCP_PROXY_MAX_MESSAGE_BYTES": "3000",
}

#: Short timeouts, small queues.
TIMED = USUAL | {
    "TCP_MUX_MAX_STREAM_BUFFER_BYTES": "200000",
    "TCP_PROXY_CONNECT_TIMEOUT_MS": "300",
    "TCP_PROXY_IDLE_TIMEOUT_MS": "1500",
}

#: What one WebSocket may cost, over what the process has when idle.
MEMORY = 40 << 20

LOCAL = "127.0.0.1"


class MuxRigged(Rigged):
    """
    Tests with WebSockets and targets. A mix-in, as L{Rigged} is.
    """

    def mux(self, settings: dict[str, str] | None = None, cookie: str = "") -> Mux:
        """
        An open WebSocket, closed when the test ends.
        """
        mux = Mux(self.server(MANY if settings is None else settings), cookie=cookie)
        self.addCleanup(mux.connection.close)
        self.assertTrue(mux.accepted, str(mux.response))
        return mux

    def target(self, behaviour: Any, host: str = LOCAL) -> int:
        """
        The port of a target that is closed when the test ends.
        """
        target = Target(behaviour, host)
        self.addCleanup(target.__exit__)
        return target.port

    def assertError(self, mux: Mux, stream: int, code: int, message: str) -> None:
        """
        The next frame of a stream is this ERROR.
        """
        self.assertEqual(mux.of(stream).error(), (code, message))

    def assertQuiet(self, mux: Mux) -> None:
        """
        The WebSocket is alive, and nothing more was on its way.
        """
        mark = os.urandom(8)
        mux.send(pingFrame(mark, 77))
        self.assertEqual(mux.next(), Frame(MUX_PONG, 77, mark))

    def assertEcho(self, mux: Mux, stream: int, data: bytes = b"still here") -> None:
        """
        A stream that goes to an echo works.
        """
        mux.send(dataFrame(stream, data))
        self.assertEqual(mux.data(stream, len(data)), data)
