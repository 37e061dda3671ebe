# -*- test-case-name: aero.http.test.test_h2machine -*-
"""
The protocol machine of the C{h2} package, with a short way for the bodies of responses and
for headers that come again.

The machine's own way takes one frame at a time, checks for each what is the same for all, and
copies it five times; a large file is sixty thousand frames for each gigabyte.
"""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, H2Connection
from h2.exceptions import FlowControlError
from h2.stream import StreamInputs

from .h2fields import RememberingEncoder

_END_STREAM = 0x1


class Machine(H2Connection):
    """
    L{H2Connection} that takes many DATA frames at once and copies them once.
    """

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.encoder = RememberingEncoder()
        self._bodies: list[bytes | memoryview] = []

    def sendBody(self, streamId: int, data: bytes | memoryview, ended: bool) -> int:
        """
        Send a part of a body, in frames as large as the client takes.

        @param data: At least one byte. It must not change until L{data_to_send} was called.
        @param ended: Whether the body ends with it.
        @return: How many frames that was.
        @raise FlowControlError: That is more than the client takes now.
        @raise h2.exceptions.H2Error: The stream is not one that can be sent to.
        """
        size = len(data)
        if size > self.local_flow_control_window(streamId):
            raise FlowControlError("more than the window")
        stream = self.streams[streamId]
        self.state_machine.process_input(ConnectionInputs.SEND_DATA)
        stream.state_machine.process_input(StreamInputs.SEND_DATA)
        if ended:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        bodies = self._bodies
        bodies.append(super().data_to_send())
        step, view, frames = self.max_outbound_frame_size, memoryview(data), 0
        for at in range(0, size, step):
            part = view[at : at + step]
            flags = _END_STREAM if ended and at + step >= size else 0
            # Length, type DATA, flags, stream (RFC 9113 section 4.1).
            bodies.append(
                (len(part) << 16 | flags).to_bytes(5, "big") + streamId.to_bytes(4, "big")
            )
            bodies.append(part)
            frames += 1
        return frames

    def data_to_send(self, amount: int | None = None) -> bytes:
        """
        What is to be sent, in the order it was said.

        @param amount: For the machine's own output; where there are bodies all is given.
        """
        bodies = self._bodies
        if not bodies:
            return super().data_to_send(amount)
        bodies.append(super().data_to_send())
        data = b"".join(bodies)
        bodies.clear()
        return data
