"""
Messages, quotas and keepalive of C{/l2} (l2.md section 20.3).
"""

from __future__ import annotations

import contextlib
import struct
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.l2 import (
    ARP_REPLY,
    FRAME,
    GATEWAY_IP,
    L2_PING,
    L2_PONG,
    Ended,
    Guest,
    dhcp,
    echo,
    message,
)
from tests.support.l2case import L2Case
from tests.support.metrics import metric
from tests.support.websocket import frame


class FramingTests(L2Case, SynchronousTestCase):
    """
    What is no message, and what is too long.
    """

    def ends(self, guest: Guest, error: tuple[int, str] | None, reason: str) -> Ended:
        """
        The tunnel ends with 1008, and with an ERROR before that or without.
        """
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code, ended.reason), (error, 1008, reason))
        return ended

    def test_oneByte(self) -> None:
        """
        A message of one byte is an ERROR and the close, and no frame (F2).
        """
        server = self.serve()
        guest = self.guest(server)
        guest.send(b"x")
        text = "message too short: 1 < 4"
        self.ends(guest, (1, text), text)
        self.assertEqual(metric(server, "l2_frames_dropped_total"), 1)
        self.assertEqual(metric(server, "l2_frames_rx_total"), 0)

    def test_controlLimit(self) -> None:
        """
        The ERROR about a PING that is too long fits the limit itself (F3).
        """
        server = self.serve(AERO_L2_MAX_CONTROL_PAYLOAD="8")
        guest = self.guest(server)
        guest.sendMessage(L2_PING, bytes(16))
        self.ends(guest, (1, "payl"), "payload too large: 16 > 8")
        self.assertEqual(metric(server, "l2_frames_dropped_total"), 1)

    def test_transportLimit(self) -> None:
        """
        A message longer than any ends the connection, and nothing can be sent after it (F4).
        """
        server = self.serve(AERO_L2_MAX_FRAME_PAYLOAD="1", AERO_L2_MAX_CONTROL_PAYLOAD="1")
        guest = self.guest(server)
        guest.send(bytes(1028))
        self.assertEqual(guest.untilEnd().code, 1009)
        self.assertTrue(guest.connection.atEnd())
        self.eventually(lambda: metric(server, "l2_sessions_active") == 0, "still open")

    def test_frameLimit(self) -> None:
        """
        An answer that is longer than a frame may be is left out and counted (F12).
        """
        discover = dhcp(1)
        self.assertEqual(len(discover), 286)
        server = self.serve(AERO_L2_MAX_FRAME_PAYLOAD="286")
        guest = self.guest(server)
        guest.sendFrame(discover)
        self.eventually(
            lambda: metric(server, "l2_frames_dropped_total") > 0, "nothing was left out"
        )
        self.assertEqual(metric(server, "l2_frames_rx_total"), 1)
        guest.sendMessage(L2_PING, b"alive")
        self.assertEqual(guest.receiveMessage(), (L2_PONG, b"alive"))

    def test_everyCut(self) -> None:
        """
        Messages are the same however TCP cuts them.
        """
        server = self.serve()
        guest = self.guest(server)
        for size in (0, 1, 121, 122, 252):
            payload = bytes(range(256))[:size]
            for byte in frame(message(L2_PING, payload)):
                guest.connection.send(bytes([byte]))
            self.assertEqual(guest.receiveMessage(), (L2_PONG, payload))


class QuotaTests(L2Case, SynchronousTestCase):
    """
    What a tunnel may cost.
    """

    def closes(self, guest: Guest, code: int, text: str) -> None:
        """
        The tunnel ends with this ERROR and 1008.
        """
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code, ended.reason), ((code, text), 1008, text))

    def test_bytes(self) -> None:
        """
        Bytes from the client count (F5), and those to it (F6).
        """
        server = self.serve(AERO_L2_MAX_BYTES_PER_CONNECTION="100")
        guest = self.guest(server)
        for _ in range(10):
            guest.sendMessage(L2_PONG, bytes(60))
        self.closes(guest, 6, "byte quota exceeded")
        server.kill()
        server = self.serve(AERO_L2_MAX_BYTES_PER_CONNECTION="40")
        guest = self.guest(server)
        guest.sendMessage(L2_PING, bytes(20))
        self.closes(guest, 6, "byte quota exceeded")

    def test_ownPing(self) -> None:
        """
        The server's own first PING counts (F7).
        """
        server = self.serve(AERO_L2_MAX_BYTES_PER_CONNECTION="11", AERO_L2_PING_INTERVAL_MS="10")
        self.closes(self.guest(server), 6, "byte quota exceeded")

    def test_frames(self) -> None:
        """
        Frames count, and those before the one that was too much are handled (F8, F9).
        """
        server = self.serve(AERO_L2_MAX_BYTES_PER_CONNECTION="150")
        guest = self.guest(server)
        for _ in range(3):
            guest.sendFrame(bytes(64))
        self.closes(guest, 6, "byte quota exceeded")
        self.assertEqual(metric(server, "l2_sessions_total"), 1)
        self.assertGreaterEqual(metric(server, "l2_frames_rx_total"), 1)
        self.assertGreaterEqual(metric(server, "l2_bytes_rx_total"), 64)
        self.assertEqual(metric(server, "l2_sessions_closed_quota_bytes_total"), 1)
        guest = self.guest(server)
        guest.sendFrame(bytes(147))
        self.assertEqual(guest.untilEnd().reason, "byte quota exceeded")

    def test_rate(self) -> None:
        """
        Messages a second are counted, whatever they are, text too (F10).
        """
        server = self.serve(AERO_L2_MAX_FRAMES_PER_SECOND="2")
        guest = self.guest(server)
        guest.connection.send(frame(message(L2_PONG)) * 10)
        self.closes(guest, 7, "frame rate quota exceeded")
        guest = self.guest(server)
        guest.connection.send(frame(b"", 1) * 3)
        self.closes(guest, 7, "frame rate quota exceeded")
        guest = self.guest(server)
        guest.connection.send(frame(message(FRAME, bytes(60))) * 3)
        self.closes(guest, 7, "frame rate quota exceeded")
        self.assertEqual(metric(server, "l2_sessions_closed_quota_fps_total"), 3)


class KeepaliveTests(L2Case, SynchronousTestCase):
    """
    Silence and round trips.
    """

    def test_idle(self) -> None:
        """
        A silent client is closed, once (F13).
        """
        server = self.serve(AERO_L2_IDLE_TIMEOUT_MS="50")
        ended = self.guest(server).untilEnd()
        self.assertEqual((ended.error, ended.code, ended.reason), (None, 1008, "idle timeout"))
        self.assertEqual(metric(server, "aero_l2_idle_timeouts_total"), 1)

    def test_notIdle(self) -> None:
        """
        A client that PINGs is not (F14).
        """
        server = self.serve(AERO_L2_IDLE_TIMEOUT_MS="1000")
        guest = self.guest(server)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            guest.sendMessage(L2_PING, b"1234")
            self.assertEqual(guest.receiveMessage(), (L2_PONG, b"1234"))
            time.sleep(0.05)
        self.assertEqual(guest.close().code, 1000)
        self.assertEqual(metric(server, "aero_l2_idle_timeouts_total"), 0)

    def test_roundTrip(self) -> None:
        """
        An answered PING is a round trip, even if the client leaves right after it (F15).
        """
        server = self.serve(AERO_L2_PING_INTERVAL_MS="10")
        guest = self.guest(server)
        kind, payload = guest.receiveMessage()
        self.assertEqual((kind, struct.unpack("!Q", payload)), (L2_PING, (1,)))
        guest.sendMessage(L2_PONG, payload)
        guest.close()
        self.assertGreaterEqual(metric(server, "l2_ping_rtt_ms_count"), 1)


class StallTests(L2Case, SynchronousTestCase):
    """
    Clients that do not read.
    """

    def test_flood(self) -> None:
        """
        A client that sends PINGs and reads nothing finds error 9 and 1008 when it does (F11).
        """
        server = self.serve(AERO_L2_WS_SEND_BUFFER="1", AERO_L2_MAX_CONTROL_PAYLOAD="16384")
        guest = self.guest(server)
        guest.sendFrame(bytes(64))
        flood = frame(message(L2_PING, bytes(16_384)))
        begin = time.monotonic()
        guest.connection.socket.settimeout(0.2)
        try:
            for _ in range(10_000):
                guest.connection.send(flood)
                if time.monotonic() > begin + 1.5:
                    break
        except TimeoutError:
            pass
        time.sleep(max(0.0, begin + 1.5 - time.monotonic()))
        guest.connection.socket.settimeout(30.0)
        ended = guest.untilEnd()
        text = "outbound websocket backpressure"
        self.assertEqual((ended.error, ended.code, ended.reason), ((9, text), 1008, text))
        self.assertEqual(metric(server, "l2_sessions_closed_backpressure_total"), 1)

    def test_slow(self) -> None:
        """
        A guest that reads nothing for a while is not closed because its LAN has frames for it
        (W39): they wait, or are lost as on any network, and what is asked then is answered.
        """
        server = self.serve()
        guest = self.guest(server)
        guest.connection.send(frame(message(FRAME, echo(GATEWAY_IP, bytes(1_400)))) * 8_000)
        self.eventually(lambda: metric(server, "aero_l2_pauses_total") > 0, "never paused")
        time.sleep(2.5)
        self.assertEqual(metric(server, "l2_sessions_active"), 1)
        guest.sendMessage(L2_PING, b"late")
        count = 0
        while (received := guest.receiveMessage())[0] == FRAME:
            self.assertEqual(len(received[1]), 14 + 20 + 8 + 1_400)
            count += 1
        self.assertEqual(received, (L2_PONG, b"late"))
        self.assertGreater(count, 100)
        self.assertEqual(guest.arp(), ARP_REPLY)

    def test_slowAnswers(self) -> None:
        """
        Nor is one that asks all the time and reads little: it is read more slowly (W39).
        """
        server = self.serve(AERO_L2_MAX_CONTROL_PAYLOAD="16384")
        guest = self.guest(server)
        guest.connection.socket.settimeout(0.05)
        connection: Any = guest.connection.socket
        flood = frame(message(L2_PING, bytes(16_384))) * 10
        received, rest = 0, flood
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                rest = rest[connection.send(rest) :] or flood
            with contextlib.suppress(TimeoutError):
                received += len(connection.recv(20_000))
            time.sleep(0.05)
        self.assertGreater(received, 300_000)
        self.assertGreater(metric(server, "aero_l2_pauses_total"), 0)
        self.assertEqual(metric(server, "l2_sessions_closed_backpressure_total"), 0)
        self.assertEqual(metric(server, "l2_sessions_active"), 1)

    def test_beside(self) -> None:
        """
        A flood from one client does not keep another from its answers.
        """
        server = self.serve()
        flooder, guest = self.guest(server), self.guest(server)
        flooder.connection.socket.settimeout(5.0)
        flood = frame(message(FRAME, bytes(60))) * 20_000
        flooder.connection.send(flood)
        for _ in range(20):
            guest.sendMessage(L2_PING, b"12345678")
            self.assertEqual(guest.receiveMessage(), (L2_PONG, b"12345678"))
        self.eventually(
            lambda: metric(server, "l2_frames_rx_total") == 20_000, "frames are missing"
        )
