"""
Which requests become a WebSocket, and what the others are told (gateway.md section 9;
section 18, A80 to A89).
"""

from __future__ import annotations

import base64
import hashlib

from twisted.trial.unittest import SynchronousTestCase

from .support.http import Connection, Response, sessionCookie
from .support.rigs import ORIGIN, SMALL, Rigged
from .support.targets import Target, echo
from .support.websocket import WebSocket, tcpTarget

_INVALID = (400, "Invalid WebSocket upgrade\n")
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class _UpgradeTests(Rigged):
    """
    The handshake.
    """

    def setUp(self) -> None:
        """
        A target that would accept, so that only the handshake decides.
        """
        target = Target(echo)
        self.addCleanup(target.__exit__)
        self.target = tcpTarget("127.0.0.1", target.port)

    def answer(
        self,
        *headers: tuple[str, str],
        target: str | None = None,
        cookie: str | None = "",
        method: str = "GET",
        settings: dict[str, str] | None = None,
    ) -> Response:
        """
        The answer to a handshake, in which these headers replace the usual ones.
        """
        with WebSocket(
            self.server(settings), target or self.target, *headers, cookie=cookie, method=method
        ) as socket:
            return socket.response

    def assertRefused(self, response: Response, status: int, text: str) -> None:
        """
        A refusal in its exact format (9.1, A87).
        """
        self.assertEqual((response.status, response.body.decode()), (status, text + "\n"))
        self.assertEqual(response.one("Content-Type"), "text/plain; charset=utf-8")
        self.assertEqual(response.one("Content-Length"), str(len(text) + 1))
        self.assertEqual(response.one("Cache-Control"), "no-store")
        self.assertEqual(response.one("Connection").lower(), "close")

    def test_accepted(self) -> None:
        """
        The accept key is that of RFC 6455, no extension is negotiated and no subprotocol is
        chosen (A82, A89).
        """
        response = self.answer(
            ("Sec-WebSocket-Key", _KEY),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
            ("Sec-WebSocket-Protocol", "chat, not a token"),
        )
        self.assertEqual((response.status, response.reason), (101, "Switching Protocols"))
        self.assertEqual(response.one("Upgrade"), "websocket")
        self.assertEqual(response.one("Connection"), "Upgrade")
        self.assertEqual(response.one("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(response.all("Sec-WebSocket-Extensions"), [])
        self.assertEqual(response.all("Sec-WebSocket-Protocol"), [])
        key = base64.b64encode(bytes(range(16))).decode()
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.assertEqual(
            self.answer(("Sec-WebSocket-Key", f"  {key}\t")).one("Sec-WebSocket-Accept"),
            base64.b64encode(digest).decode(),
        )

    def test_lists(self) -> None:
        """
        C{Upgrade} and C{Connection} may be lists in any case (A88).
        """
        for header in (
            ("Upgrade", "h2c, WebSocket"),
            ("Connection", "keep-alive, Upgrade"),
            ("Connection", "UPGRADE"),
            ("Sec-WebSocket-Version", " 13 "),
        ):
            self.assertEqual(self.answer(header).status, 101, header)

    def test_invalid(self) -> None:
        """
        A handshake that breaks a rule is a 400, before anybody asks for a session
        (A80, A88).
        """
        for headers in (
            [("Upgrade", "websocket2")],
            [("Upgrade", "websocket" + ", x" * 100)],
            [("Upgrade", "websocket"), ("Upgrade", "websocket")],
            [("Connection", "Upgrade, x"), ("Connection", "Upgrade")],
            [("Connection", "Upgrade" + ", x" * 100)],
            [("Sec-WebSocket-Version", "12")],
            [("Sec-WebSocket-Version", "013")],
            [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")],
            [("Sec-WebSocket-Version", "(none)")],
            [("Sec-WebSocket-Key", _KEY), ("Sec-WebSocket-Key", _KEY)],
            [("Sec-WebSocket-Key", "short")],
            [("Sec-WebSocket-Key", "k" * 300)],
            [("Sec-WebSocket-Version", "(none)"), ("Sec-WebSocket-Key", "(none)")],
        ):
            response = self.answer(*headers, cookie=None)
            self.assertEqual((response.status, response.body.decode()), _INVALID, headers)
            self.assertRefused(response, 400, "Invalid WebSocket upgrade")
        for value in ("(none)", "", "  "):
            response = self.answer(("Sec-WebSocket-Key", value), cookie=None)
            self.assertRefused(response, 400, "Missing required header: Sec-WebSocket-Key")
        response = self.answer(("Sec-WebSocket-Version", "8"))
        self.assertEqual(response.one("Sec-WebSocket-Version"), "13")

    def test_onlyGET(self) -> None:
        """
        Only C{GET} over HTTP/1.1 becomes a WebSocket (19.3).
        """
        for method in ("POST", "PUT", "HEAD"):
            with WebSocket(self.server(), self.target, method=method) as socket:
                self.assertEqual(socket.response.status, 400, method)
        server = self.server()
        with Connection.to(server) as connection:
            connection.send(
                (
                    f"GET {self.target} HTTP/1.0\r\nHost: localhost:{server.port}\r\n"
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    f"Sec-WebSocket-Key: {_KEY}\r\nCookie: {sessionCookie(server)}\r\n\r\n"
                ).encode()
            )
            self.assertIn(connection.response().status, (400, 404))

    def test_withoutSession(self) -> None:
        """
        Without a session there is no tunnel (A80, A82).
        """
        self.assertRefused(self.answer(cookie=None), 401, "Unauthorized")
        self.assertRefused(self.answer(cookie="aero_session=x.y"), 401, "Unauthorized")

    def test_order(self) -> None:
        """
        Of several things that are wrong, the first in the documented order is told (9.2).
        """
        evil = ("Origin", "https://evil.example")
        bad = ("Sec-WebSocket-Version", "12")
        long = "/tcp?" + "x" * 9_000
        self.assertEqual(self.answer(bad, evil, target=long, cookie=None).status, 414)
        self.assertEqual(self.answer(bad, evil, cookie=None).status, 400)
        self.assertEqual(self.answer(evil, cookie=None).status, 401)
        self.assertRefused(self.answer(evil, target="/tcp?v=2"), 403, "Origin not allowed")
        self.assertEqual(self.answer(("Origin", ORIGIN), target="/tcp?v=2").status, 400)
        self.assertEqual(self.answer(("Origin", "")).status, 101)

    def test_longTarget(self) -> None:
        """
        A target of more than 8192 characters is a 414 (A86).
        """
        response = self.answer(target="/tcp?" + "x" * 9_000)
        self.assertRefused(response, 414, "Request URL too long")
        fits = self.target + "&x=" + "y" * (8_192 - len(self.target) - 3)
        self.assertEqual(self.answer(target=fits).status, 101)

    def test_targets(self) -> None:
        """
        Absolute targets work, nonsense is a 400, and paths are compared as they were sent
        (A86, 9.2 rows 3 and 4).
        """
        host = f"localhost:{self.server().port}"
        self.assertEqual(self.answer(target=f"http://{host}{self.target}").status, 101)
        self.assertEqual(self.answer(target="/x/.." + self.target).status, 101)
        self.assertEqual(self.answer(target="http://[::1").status, 400)
        for path in ("/%74cp", "/tcp/", "/TCP", "/tcp2", "/"):
            response = self.answer(target=path + "?" + self.target.partition("?")[2])
            self.assertNotIn(response.status, (101, 500), path)

    def test_unknownPath(self) -> None:
        """
        An upgrade to a path of no endpoint never becomes a WebSocket; beside the page such a
        path may be the page's.
        """
        if self.kind == "gateway":
            self.assertRefused(self.answer(target="/none"), 404, "Not Found")
        for path in ("/api/none", "/healthz/none", "/session/none"):
            self.assertEqual(self.answer(target=path).status, 404, path)

    def test_otherUpgrades(self) -> None:
        """
        An offer to speak something else does not keep an ordinary request from its answer
        (19.3).
        """
        with Connection.to(self.server()) as connection:
            response = connection.request(
                "GET",
                "/healthz",
                ("Connection", "Upgrade, HTTP2-Settings"),
                ("Upgrade", "h2c"),
                ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            )
            self.assertEqual((response.status, response.json()), (200, {"ok": True}))

    def test_withoutUpgrade(self) -> None:
        """
        An ordinary request to C{/tcp} is a 404 (5.7).
        """
        with Connection.to(self.server()) as connection:
            self.assertEqual(connection.request("GET", self.target).status, 404)

    def test_basePath(self) -> None:
        """
        The endpoint and its refusals are there under the base path as well (A84).
        """
        base = "/base" + self.target
        self.assertEqual(self.answer(target=base, settings=SMALL).status, 101)
        self.assertRefused(
            self.answer(target=base, cookie=None, settings=SMALL), 401, "Unauthorized"
        )
        bad = ("Upgrade", "websocket2")
        response = self.answer(bad, target=base, settings=SMALL)
        self.assertRefused(response, 400, "Invalid WebSocket upgrade")

    def test_refusalEnds(self) -> None:
        """
        A refusal is all that comes, and then the connection ends, whatever the client sent
        after its handshake.
        """
        with WebSocket(self.server(), self.target, cookie=None) as socket:
            self.assertEqual(socket.response.status, 401)
            socket.connection.send(b"\x82\x80\0\0\0\0")
            self.assertTrue(socket.connection.atEnd())
        self.assertAlive(self.server())


class GatewayUpgradeTests(_UpgradeTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeUpgradeTests(_UpgradeTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"
