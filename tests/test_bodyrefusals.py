"""
Bodies that are too large: a page of another origin that may use the server reads why.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .support.http import request
from .support.relay import startRelay
from .support.server import Aero, edgeOptions

ORIGIN = "https://other.example"
MEGABYTES = b"x" * 3_000_000
#: For each endpoint: a body, the status, and the code of the refusal.
REFUSALS = (
    ("/webrtc/offer", MEGABYTES, 400, "bad_message"),
    ("/offer", MEGABYTES, 400, "bad_message"),
    ("/session", MEGABYTES, 413, "payload_too_large"),
    ("/udp-relay/token", MEGABYTES, 413, "payload_too_large"),
    ("/dns-query", MEGABYTES, 413, "payload_too_large"),
    ("/readyz", MEGABYTES, 413, "payload_too_large"),
)


class BodyRefusalTests(SynchronousTestCase):
    """
    Everything behind one edge, and the relay alone.
    """

    def check(self, server: Aero, path: str, body: bytes, status: int, code: str) -> None:
        """
        Send a body that is too large, with its length told.
        """
        headers = (("Origin", ORIGIN), ("Content-Type", "application/json"))
        response = request(server, "POST", path, *headers, body=body)
        self.assertEqual(response.status, status, path)
        self.assertEqual(response.one("Access-Control-Allow-Origin"), ORIGIN, path)
        self.assertEqual(response.one("Access-Control-Allow-Credentials"), "true", path)
        value = response.json()
        self.assertEqual(value.get("code") or value.get("error"), code, path)

    def test_edge(self) -> None:
        """
        The refusal comes with the CORS headers, in the shape of its endpoint. A page of an origin
        that may not use the server is told that alone.
        """
        settings: dict[str, Any] = {"ALLOWED_ORIGINS": ORIGIN}
        server = Aero(*edgeOptions(), **settings)
        self.addCleanup(server.stop)
        for refusal in REFUSALS:
            self.check(server, *refusal)
        foreign = ("Origin", "https://foreign.example")
        response = request(server, "POST", "/webrtc/offer", foreign, body=MEGABYTES)
        self.assertEqual(response.status, 403)
        self.assertEqual(response.all("Access-Control-Allow-Origin"), [])

    def test_relayAlone(self) -> None:
        """
        The relay alone does the same.
        """
        server = startRelay(ALLOWED_ORIGINS=ORIGIN)
        self.addCleanup(server.stop)
        for path in ("/webrtc/offer", "/offer"):
            self.check(server, path, MEGABYTES, 400, "bad_message")
        self.check(server, "/session", b"x" * 70_000, 413, "payload_too_large")
