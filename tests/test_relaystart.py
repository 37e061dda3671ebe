"""
How the relay alone starts, and what it says (relay.md sections 1.2, 15 and 20.12).
"""

from __future__ import annotations

import json
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request
from .support.relay import startRelay
from .support.server import Aero, run

#: Nothing to warn of.
SAFE = {
    "AERO_WEBRTC_UDP_RELAY_MODE": "prod",
    "ALLOWED_ORIGINS": "",
    "ALLOW_PRIVATE_NETWORKS": "",
    "API_KEY": "a key",
    "AUTH_MODE": "",
    "DESTINATION_POLICY_PRESET": "",
    "L2_BACKEND_AUTH_FORWARD_MODE": "subprotocol",
    "MAX_SESSIONS": "10",
}


class RefusedStartTests(SynchronousTestCase):
    """
    Starts that must fail.
    """

    def refused(self, *options: str, **variables: str) -> str:
        """
        What a start that fails with 2 says, in one line.
        """
        result = run("--services", "relay", *options, **variables)
        self.assertEqual(result.returncode, 2, result.stderr)
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def test_settings(self) -> None:
        """
        Bad settings are named, and the status is 2.
        """
        self.assertIn("API_KEY", self.refused())
        self.assertIn("UDP_READ_BUFFER_BYTES", self.refused(API_KEY="k", UDP_READ_BUFFER_BYTES="9"))
        self.assertIn(
            "--udp-ws-idle-timeout", self.refused("--udp-ws-idle-timeout", "x", API_KEY="k")
        )
        self.assertIn(
            "DESTINATION_POLICY", self.refused(API_KEY="k", DESTINATION_POLICY_PRESET="x")
        )

    def test_port(self) -> None:
        """
        A port that is taken is named, and the status is 1.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = run(
                "--services", "relay", "--relay-listen-addr", f"127.0.0.1:{port}", API_KEY="k"
            )
        self.assertEqual(result.returncode, 1)
        self.assertIn(str(port), result.stderr)

    def test_help(self) -> None:
        """
        Help is no failure.
        """
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR", result.stdout)


class LogTests(SynchronousTestCase):
    """
    What is logged.
    """

    def log(self, server: Aero) -> list[dict[str, Any]]:
        """
        The log of a server once it has stopped.
        """
        self.assertEqual(server.stop(), 0)
        return [json.loads(line) for line in server.log if line.startswith("{")]

    def start(self, **variables: str) -> Aero:
        """
        A relay of this test.
        """
        server = startRelay(**variables)
        self.addCleanup(server.kill)
        return server

    def test_safe(self) -> None:
        """
        The mode prod logs JSON; with safe settings it warns of nothing, and says how it
        starts and where it listens.
        """
        server = self.start(**SAFE)
        self.assertEqual(request(server, "GET", "/healthz").status, 200)
        port = server.port
        lines = self.log(server)
        self.assertEqual([line for line in lines if "warning_code" in line], [])
        (begun,) = [line for line in lines if line["message"] == "starting aero-webrtc-udp-relay"]
        self.assertEqual(begun["mode"], "prod")
        self.assertEqual(begun["max_datagram_payload_bytes"], 1_200)
        self.assertEqual(begun["max_sessions"], 10)
        serving = f"http server serving on 127.0.0.1:{port}"
        self.assertIn(serving, [line["message"] for line in lines])

    def test_warnings(self) -> None:
        """
        Settings that let strangers in are warned of, in order, with their code and fields.
        """
        server = self.start(
            **SAFE
            | {
                "ALLOWED_ORIGINS": "*",
                "AUTH_MODE": "none",
                "DESTINATION_POLICY_PRESET": "dev",
                "MAX_SESSIONS": "",
                "UDP_INBOUND_FILTER_MODE": "any",
            }
        )
        found = [line for line in self.log(server) if "warning_code" in line]
        self.assertEqual(
            [line["warning_code"] for line in found],
            [
                "udp_inbound_filter_mode_any",
                "auth_mode_none",
                "allowed_origins_wildcard",
                "destination_policy_preset_dev",
                "max_sessions_unlimited_in_prod",
            ],
        )
        for line in found:
            self.assertTrue(line["message"].startswith("startup security warning:"))
            self.assertEqual((line["level"], line["mode"]), ("warn", "prod"))
        self.assertEqual(found[1]["auth_mode"], "none")

    def test_secrets(self) -> None:
        """
        No credential gets into the log, whatever is asked for.
        """
        secret = "very-secret-value"
        server = self.start(**SAFE | {"API_KEY": secret, "LOG_LEVEL": "debug"})
        for path in (f"/udp?apiKey={secret}", f"/session?token={secret}", f"/x?apiKey={secret}"):
            request(server, "GET", path, ("X-API-Key", secret))
        self.assertEqual(server.stop(), 0)
        self.assertNotIn(secret, "\n".join(server.log))
