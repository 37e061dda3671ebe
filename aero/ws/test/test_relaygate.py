"""
Tests for L{aero.ws.relaygate}.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.ws.relaygate import relayRejection


class RejectionTests(SynchronousTestCase):
    """
    L{relayRejection} writes whole responses; L{aero.ws.test.test_udp} has the checks.
    """

    def parse(self, response: bytes) -> tuple[list[bytes], object]:
        """
        The lines of the head, and the body.
        """
        head, _, body = response.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.assertIn(b"Content-Length: %d" % len(body), lines)
        return lines, json.loads(body)

    def test_shapes(self) -> None:
        """
        A refusal is code and message; where asked for it says that it is an error, but never
        of a foreign origin.
        """
        refused = Refused(400, "bad_message", "websocket upgrade required")
        value = {"code": "bad_message", "message": "websocket upgrade required"}
        lines, body = self.parse(relayRejection(refused, []))
        self.assertEqual((lines[0], body), (b"HTTP/1.1 400 Bad Request", value))
        self.assertEqual(
            self.parse(relayRejection(refused, [], typed=True))[1], {"type": "error", **value}
        )
        forbidden = Refused(403, "forbidden", "forbidden")
        self.assertEqual(
            self.parse(relayRejection(forbidden, [], typed=True))[1],
            {"code": "forbidden", "message": "forbidden"},
        )

    def test_headers(self) -> None:
        """
        It has the site's headers, says when to come back, and which version there is.
        """
        pairs = [(b"X-Content-Type-Options", b"nosniff"), (b"Connection", b"keep-alive")]
        refused = Refused(503, "unavailable", "Shutting down", reason="version", retryAfter=0.2)
        lines, _ = self.parse(relayRejection(refused, pairs))
        self.assertIn(b"X-Content-Type-Options: nosniff", lines)
        self.assertIn(b"Connection: close", lines)
        self.assertNotIn(b"Connection: keep-alive", lines)
        self.assertIn(b"Retry-After: 1", lines)
        self.assertIn(b"Sec-WebSocket-Version: 13", lines)
