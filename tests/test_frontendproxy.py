"""
The front end from a development server instead of from files (C{--frontend-proxy}).
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from .support.curl import curl
from .support.frontend import DevelopmentServer
from .support.headerset import problems
from .support.http import request
from .support.server import Aero, edgeOptions
from .support.websocket import CLOSE, TEXT, WebSocket


class ProxyTests(SynchronousTestCase):
    """
    The front end from a development server.
    """

    def test_requests(self) -> None:
        """
        Requests go there with their method, query and body, and come back with our header set
        instead of theirs; services stay here.
        """
        with DevelopmentServer() as development:
            server = Aero(*edgeOptions(), "--frontend-proxy", development.url)
            self.addCleanup(server.kill)
            response = request(
                server,
                "POST",
                "/src/main.ts?t=1%20&v=%2F",
                ("X-Forwarded-For", "192.0.2.7"),
                ("X-Custom", "kept"),
                body=b"hello",
            )
            self.assertEqual((response.status, problems(response)), (200, []))
            self.assertEqual(response.one("X-Development"), "yes")
            asked = response.json()
            self.assertEqual(
                (asked["method"], asked["target"], asked["body"]),
                ("POST", "/src/main.ts?t=1%20&v=%2F", "hello"),
            )
            headers = asked["headers"]
            self.assertIn(["host", development.url.removeprefix("http://")], headers)
            self.assertIn(["x-custom", "kept"], headers)
            self.assertIn(["x-forwarded-proto", "https"], headers)
            self.assertEqual(
                [value for name, value in headers if name == "x-forwarded-for"], ["127.0.0.1"]
            )
            missing = request(server, "GET", "/missing")
            self.assertEqual((missing.status, problems(missing)), (404, []))
            self.assertEqual(request(server, "HEAD", "/").status, 200)
            self.assertEqual(request(server, "GET", "/healthz").json(), {"ok": True})
            self.assertEqual(request(server, "GET", "/api/x").json()["error"], "not_found")
            over = curl(server, "/module.ts", "--data", "x=1")
            self.assertEqual((over.reason, problems(over)), ("2", []))
            self.assertEqual(json.loads(over.body)["body"], "x=1")
            with WebSocket(server, "/hmr?token=1", cookie=None) as socket:
                self.assertTrue(socket.accepted)
                self.assertEqual(problems(socket.response), [])
                socket.send(b"through and back", TEXT)
                self.assertEqual(socket.receive(), (TEXT, b"through and back"))
                socket.send(b"x" * 3_000)
                self.assertEqual(socket.receiveBytes(3_000), b"x" * 3_000)
                socket.send(b"\x03\xe8", CLOSE)
                self.assertEqual(socket.closeCode(), (1000, ""))
        down = request(server, "GET", "/")
        self.assertEqual((down.status, problems(down)), (502, []))
        with WebSocket(server, "/hmr", cookie=None) as socket:
            self.assertEqual((socket.response.status, problems(socket.response)), (502, []))
        self.assertEqual(server.stop(), 0)
