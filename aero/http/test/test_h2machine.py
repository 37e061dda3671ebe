"""
Tests for L{aero.http.h2machine}.
"""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from h2.exceptions import FlowControlError, ProtocolError
from h2.settings import SettingCodes
from twisted.trial.unittest import SynchronousTestCase

from aero.http.h2machine import Machine
from aero.testing.properties import given, strategies

REQUEST = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "a.example")]
ANSWER = [(":status", "200")]


class SendBodyTests(SynchronousTestCase):
    """
    Bodies in many frames at once.
    """

    def setUp(self) -> None:
        self.connect()

    def connect(self, window: int = 65_535, frame: int = 16_384) -> None:
        """
        A client that has sent a request on stream 1, and has our headers.
        """
        self.client = H2Connection(H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.client.update_settings(
            {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_FRAME_SIZE: frame}
        )
        self.client.send_headers(1, REQUEST, end_stream=True)
        self.server = Machine(H2Configuration(client_side=False))
        self.server.initiate_connection()
        self.server.receive_data(self.client.data_to_send())
        self.client.receive_data(self.server.data_to_send())
        self.server.send_headers(1, ANSWER)

    def received(self) -> tuple[list[int], bytes, bool]:
        """
        Pass on what the server says.

        @return: Sizes of frames, what was in them, and whether that was the end.
        """
        events = self.client.receive_data(self.server.data_to_send())
        parts = [event.data or b"" for event in events if isinstance(event, DataReceived)]
        ended = any(isinstance(event, StreamEnded) for event in events)
        return [len(part) for part in parts], b"".join(parts), ended

    def test_frames(self) -> None:
        """
        A body goes out in frames as large as the client takes, and the last one ends it.
        """
        body = bytes(range(250)) * 160
        self.assertEqual(self.server.sendBody(1, memoryview(body), True), 3)
        self.assertEqual(self.received(), ([16_384, 16_384, 7_232], body, True))
        self.connect(frame=20_000)
        self.assertEqual(self.server.sendBody(1, body, True), 2)
        self.assertEqual(self.received(), ([20_000, 20_000], body, True))

    def test_notEnded(self) -> None:
        """
        A part of a body does not end it.
        """
        self.server.sendBody(1, b"part", False)
        self.assertEqual(self.received(), ([4], b"part", False))
        self.server.sendBody(1, b"rest", True)
        self.assertEqual(self.received(), ([4], b"rest", True))
        self.assertEqual(self.server.data_to_send(), b"")

    @given(strategies.lists(strategies.integers(1, 40_000), max_size=6))
    def test_sameBytes(self, sizes: list[int]) -> None:
        """
        Whatever else is said in between, the client is sent exactly the bytes that the machine
        itself would have sent, and both count the same windows.
        """
        self.connect(window=1_000_000)
        own = self.server
        self.connect(window=1_000_000)
        for number, machine in enumerate((own, self.server)):
            machine.receive_data(self.windowUpdate())
            for each in sizes:
                body = bytes([each % 251]) * each
                if number:
                    machine.sendBody(1, body, False)
                else:
                    for at in range(0, each, 16_384):
                        machine.send_data(1, body[at : at + 16_384])
                machine.ping(each.to_bytes(8, "big"))
            machine.end_stream(1)
        self.assertEqual(own.data_to_send(), self.server.data_to_send())
        self.assertEqual(own.outbound_flow_control_window, self.server.outbound_flow_control_window)

    def windowUpdate(self) -> bytes:
        """
        What a client sends to open the window of the connection.
        """
        self.client.increment_flow_control_window(1_000_000)
        return self.client.data_to_send()

    def test_window(self) -> None:
        """
        More than the window of the stream or of the connection is refused, and nothing of it is
        sent.
        """
        self.connect(window=10)
        self.assertRaises(FlowControlError, self.server.sendBody, 1, b"x" * 11, False)
        self.server.sendBody(1, b"x" * 10, False)
        self.assertRaises(FlowControlError, self.server.sendBody, 1, b"x", False)
        self.assertEqual(self.received(), ([10], b"x" * 10, False))
        self.connect(window=1_000_000)
        self.assertRaises(FlowControlError, self.server.sendBody, 1, b"x" * 65_536, False)
        self.assertEqual(self.received(), ([], b"", False))

    def test_ended(self) -> None:
        """
        Nothing is sent on a stream that has ended or was reset.
        """
        self.server.sendBody(1, b"all", True)
        self.assertRaises(ProtocolError, self.server.sendBody, 1, b"more", False)
        self.connect()
        self.client.reset_stream(1)
        self.server.receive_data(self.client.data_to_send())
        self.assertRaises(ProtocolError, self.server.sendBody, 1, b"more", False)
