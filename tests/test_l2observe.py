"""
What operators see of C{/l2}: pages, metrics, captures, the end (l2.md section 20.4).
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.http import Connection, request
from tests.support.l2 import (
    ARP_REPLY,
    ARP_REQUEST,
    FRAME,
    GATEWAY_IP,
    PROTOCOL,
    echo,
    message,
)
from tests.support.l2case import KEY, L2Case
from tests.support.metrics import metric
from tests.support.tools import require
from tests.support.websocket import frame


class PageTests(L2Case, SynchronousTestCase):
    """
    Pages and counters.
    """

    def test_pages(self) -> None:
        """
        The pages are there before any tunnel, the counters with them, as whole numbers (O1).
        """
        server = self.serve()
        self.assertEqual(request(server, "GET", "/readyz").status, 200)
        self.assertEqual(request(server, "GET", "/healthz").body, b"")
        version = request(server, "GET", "/version").json()
        self.assertEqual(list(version), ["version", "gitSha", "builtAt"])
        self.assertTrue(all(isinstance(value, str) for value in version.values()))
        response = request(server, "GET", "/metrics")
        self.assertEqual(response.status, 200)
        lines = response.body.decode().splitlines()
        for name in (
            *("l2_frames_rx_total", "l2_bytes_rx_total", "l2_sessions_total"),
            *("l2_sessions_active", "l2_frames_tx_total", "l2_bytes_tx_total"),
            'l2_auth_reject_total{reason="invalid_jwt"}',
            'l2_ping_rtt_ms_bucket{le="250"}',
        ):
            self.assertIn(f"{name} 0", lines)
        for name in ("l2_frames_rx_total", "l2_sessions_active", "l2_ping_rtt_ms"):
            self.assertTrue(any(line.startswith(f"# HELP {name} ") for line in lines), name)

    def test_counters(self) -> None:
        """
        Tunnels and frames are counted, both ways (O2 to O4).
        """
        server = self.serve()
        self.assertEqual(metric(server, "l2_sessions_active"), 0)
        guest = self.guest(server)
        self.assertEqual(metric(server, "l2_sessions_active"), 1)
        guest.sendFrame(bytes(60))
        self.assertEqual(guest.arp(), ARP_REPLY)
        guest.close()
        self.eventually(lambda: metric(server, "l2_sessions_active") == 0, "still open")
        for name, value in (
            ("l2_sessions_total", 1),
            ("l2_frames_rx_total", 2),
            ("l2_bytes_rx_total", 60 + len(ARP_REQUEST)),
            ("l2_frames_tx_total", 1),
            ("l2_bytes_tx_total", len(ARP_REPLY)),
        ):
            self.assertEqual(metric(server, name), value, name)


class CaptureTests(L2Case, SynchronousTestCase):
    """
    Files of what went through.
    """

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory(prefix="aero-test-")
        self.addCleanup(holder.cleanup)
        self.directory = Path(holder.name) / "made" / "for captures"

    def file(self) -> Path | None:
        """
        The one file, once it is there.
        """
        found = list(self.directory.glob("*.pcapng"))
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def size(self) -> int:
        """
        Its size.
        """
        file = self.file()
        return file.stat().st_size if file is not None else 0

    def test_file(self) -> None:
        """
        A tunnel leaves a file that its owner alone can read, and that other programs can (O5).
        """
        server = self.serve(AERO_L2_CAPTURE_DIR=str(self.directory))
        guest = self.guest(server)
        self.assertEqual(guest.arp(), ARP_REPLY)
        guest.close()
        self.eventually(lambda: self.size() > 128, "the file is short")
        file = self.file()
        assert file is not None
        self.assertRegex(file.name, r"^\d{13}-session-1\.pcapng$")
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(metric(server, "l2_capture_frames_total"), 2)
        self.assertEqual(metric(server, "l2_capture_bytes_total"), self.size())

    def test_readable(self) -> None:
        """
        Another program reads the frames, their direction and the time.
        """
        server = self.serve(AERO_L2_CAPTURE_DIR=str(self.directory))
        guest = self.guest(server)
        begin = time.time()
        guest.arp()
        guest.close()
        self.eventually(lambda: metric(server, "l2_capture_frames_total") == 2, "not captured")
        self.eventually(lambda: self.size() > 200, "not written")
        wanted = ("arp.opcode", "eth.src", "frame.packet_flags_direction", "frame.time_epoch")
        shown = subprocess.run(
            [require("tshark"), "-r", str(self.file()), "-T", "fields"]
            + [part for name in wanted for part in ("-e", name)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        request, reply = (line.split("\t") for line in shown.stdout.splitlines())
        self.assertEqual(request[:2], ["1", "02:aa:bb:cc:dd:ee"])
        self.assertEqual(reply[:2], ["2", "02:00:00:00:00:01"])
        self.assertEqual([int(line[2], 0) for line in (request, reply)], [1, 2])
        self.assertTrue(begin - 1 <= float(request[3]) <= float(reply[3]) <= time.time() + 1)

    def test_flush(self) -> None:
        """
        What was captured is there within the interval while the tunnel is silent (O6).
        """
        server = self.serve(AERO_L2_CAPTURE_DIR=str(self.directory))
        self.guest(server).sendFrame(bytes(60))
        self.eventually(lambda: self.size() > 128, "nothing was flushed")

    def test_caps(self) -> None:
        """
        A file has a size; what has no room is counted (O7).
        """
        server = self.serve(
            AERO_L2_CAPTURE_DIR=str(self.directory),
            AERO_L2_CAPTURE_MAX_BYTES="250",
            AERO_L2_CAPTURE_FLUSH_INTERVAL_MS="0",
        )
        guest = self.guest(server)
        for _ in range(10):
            guest.sendFrame(bytes(60))
        guest.close()
        self.eventually(lambda: self.size() > 0, "no file")
        self.assertLessEqual(self.size(), 250)
        self.assertGreaterEqual(metric(server, "l2_capture_frames_dropped_total"), 1)


class LogTests(L2Case, SynchronousTestCase):
    """
    What is logged, and what never is (section 14).
    """

    def test_events(self) -> None:
        """
        Refusals are logged with their reason, tunnels when they open and close; clients by their
        network, and no credentials.
        """
        server = self.closed(
            AERO_L2_AUTH_MODE="token",
            AERO_L2_API_KEY=KEY,
            AERO_LOG_FORMAT="json",
            LOG_LEVEL="debug",
        )
        own = f"http://localhost:{server.port}"
        self.assertEqual(self.status(server, "/l2?token=guessed-secret"), 401)
        self.assertEqual(self.status(server, f"/l2?token={KEY}", origin="https://evil.test"), 403)
        guest = self.guest(server, protocols=f"{PROTOCOL}, aero-l2-token.{KEY}", origin=own)
        guest.send(b"x")
        guest.untilEnd()
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in server.log]
        rejected = [
            line for line in lines if line["message"].startswith("rejected l2 websocket upgrade")
        ]
        self.assertEqual(
            [line["reason"] for line in rejected], ["auth_invalid", "origin_not_allowed"]
        )
        self.assertEqual(
            (rejected[0]["auth_reject_reason"], rejected[0]["token_present"]),
            ("invalid_api_key", True),
        )
        self.assertEqual(rejected[1]["origin"], "https://evil.test")
        for line in rejected:
            self.assertEqual((line["level"], line["client_ip"]), ("warn", "127.0.0.0/24"))
        for event in ("session opened", "session closed", "dropping invalid l2 message"):
            (line,) = (line for line in lines if line["message"].startswith(event))
            self.assertEqual(line["tunnel_id"], 1)
        text = "\n".join(server.log)
        for secret in (KEY, "guessed-secret"):
            self.assertNotIn(secret, text)


class ShutdownTests(L2Case, SynchronousTestCase):
    """
    The end.
    """

    def test_drain(self) -> None:
        """
        First the server says that it is not ready and takes no tunnel, while it still answers;
        then open tunnels get 1001 (O8, O9).
        """
        server = self.serve(AERO_L2_SHUTDOWN_GRACE_MS="2000", AERO_DRAIN_DELAY_MS="4000")
        guest = self.guest(server)
        self.assertEqual(request(server, "GET", "/readyz").status, 200)
        server.sendSignal(signal.SIGTERM)
        self.eventually(
            lambda: request(server, "GET", "/readyz").status == 503, "it is still ready"
        )
        self.assertEqual(request(server, "GET", "/healthz").status, 200)
        self.assertEqual(self.status(server), 503)
        ended = guest.untilEnd()
        self.assertEqual((ended.error, ended.code, ended.reason), (None, 1001, "shutting down"))
        guest.connection.close()
        self.assertEqual(server.wait(), 0)

    def test_grace(self) -> None:
        """
        Nobody can keep the server from ending within its grace: not a client that leaves the
        close unanswered and its connection open, not one that reads nothing so that the close
        does not even get there, and no request that never ends (O9).
        """
        server = self.serve(AERO_L2_SHUTDOWN_GRACE_MS="2000")
        silent, deaf = self.guest(server), self.guest(server)
        deaf.connection.send(frame(message(FRAME, echo(GATEWAY_IP, bytes(1_400)))) * 8_000)
        self.eventually(lambda: metric(server, "aero_l2_pauses_total") > 0, "never paused")
        with Connection.to(server) as slow:
            slow.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
            server.sendSignal(signal.SIGTERM)
            ended = silent.untilEnd()
            self.assertEqual((ended.error, ended.code, ended.reason), (None, 1001, "shutting down"))
            try:
                status = server.process.wait(10)
            except subprocess.TimeoutExpired:
                self.fail("it is still there 10 s after it was told to end")
        self.assertEqual(status, 0)

    def test_slowReader(self) -> None:
        """
        A client that reads nothing for a while, less than the grace, still gets everything that was
        sent to it before, and then the close (W38).
        """
        server = self.serve(AERO_L2_SHUTDOWN_GRACE_MS="30000")
        guest = self.guest(server)
        guest.connection.send(frame(message(FRAME, echo(GATEWAY_IP, bytes(1_400)))) * 8_000)
        self.eventually(lambda: metric(server, "aero_l2_pauses_total") > 0, "never paused")
        sent = metric(server, "l2_frames_tx_total")
        server.sendSignal(signal.SIGTERM)
        time.sleep(4.0)
        ended = guest.untilEnd()
        self.assertEqual((ended.code, ended.reason), (1001, "shutting down"))
        self.assertGreaterEqual(len(ended.messages), sent)
        guest.connection.close()
        self.assertEqual(server.wait(), 0)

    def test_interrupt(self) -> None:
        """
        SIGINT is enough, without anything open (section 2).
        """
        server = self.serve()
        self.assertEqual(server.stop(signal.SIGINT), 0)
