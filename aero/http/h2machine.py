# -*- test-case-name: aero.http.test.test_h2machine -*-
"""
The protocol machine of the C{h2} package, with a short way for the bodies of responses and
for headers that come again.

The machine's own way takes one frame at a time, checks for each what is the same for all, and
copies it five times; a large file is sixty thousand frames for each gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterable

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, StreamReset
from h2.exceptions import FlowControlError, ProtocolError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamInputs
from h2.utilities import SizeLimitDict
from hyperframe.frame import Frame, HeadersFrame, WindowUpdateFrame

from .h2fields import RememberingEncoder

_END_STREAM = 0x1

#: How far over the header limit a header list may be and still be answered with 431; what is
#: larger ends the connection before it is unpacked.
_HEADER_HEADROOM = 4

#: The streams of a connection of which the machine remembers how they ended.
_CLOSED_STREAMS = 1_024


def _ignore(headers: Iterable[object]) -> None:
    """
    Nothing is expected.
    """


class Machine(H2Connection):
    """
    L{H2Connection} that takes many DATA frames at once and copies them once.
    """

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.encoder = RememberingEncoder()
        self._bodies: list[bytes | memoryview] = []
        # Only to tell how each stream ended; those that ended longer ago ended the usual way.
        self._closed_streams = SizeLimitDict(size_limit=_CLOSED_STREAMS)

    @classmethod
    def forServer(cls, *, maxStreams: int, maxHeaderBytes: int, window: int) -> Machine:
        """
        Make the machine of a connection.

        @param window: Bytes that a client may send ahead of our reading them, for each stream.
        """
        machine = cls(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                # Heads are checked by L{readHead}, whose errors end a stream and not everything.
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        machine.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: maxStreams,
                SettingCodes.MAX_HEADER_LIST_SIZE: maxHeaderBytes,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
            },
        )
        machine.decoder.max_header_list_size = maxHeaderBytes * _HEADER_HEADROOM
        return machine

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        # A body that is not as long as it says is the error of its stream; the machine would end
        # the connection. L{Stream<aero.http.h2stream.Stream>} looks at that.
        stream._initialize_content_length = _ignore  # type: ignore[method-assign]
        return stream

    def _receive_headers_frame(self, frame: HeadersFrame) -> tuple[list[Frame], list[Event]]:
        isTrailer = frame.stream_id in self.streams
        try:
            return super()._receive_headers_frame(frame)
        except ProtocolError as error:
            if not isTrailer or type(error) is not ProtocolError:
                raise
            if not self.streams[frame.stream_id].open:
                raise
        # A second header block that does not end its stream: malformed (RFC 9113 section 8.1).
        self.reset_stream(frame.stream_id, ErrorCodes.PROTOCOL_ERROR)
        event = StreamReset(stream_id=frame.stream_id, remote_reset=False)
        return [], [event]

    def acknowledgeDropped(self, size: int) -> None:
        """
        Give the connection's window back for a part of a body that nobody wants, and leave the
        window of its stream closed.
        """
        increment = self._inbound_flow_control_window_manager.process_bytes(size)
        if increment:
            self._prepare_for_sending([WindowUpdateFrame(0, increment)])

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
