"""
Tests for L{aero.ws.handshake}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.testing.ws import ACCEPT, KEY, WebSocketRig
from aero.ws.endpoint import WebSocketEndpoint
from aero.ws.handshake import (
    acceptHash,
    canonicalAddress,
    parseTarget,
    rejection,
    switchingProtocols,
)
from aero.ws.protocol import AeroWebSocketProtocol

INVALID = (400, b"Invalid WebSocket upgrade\n")


class GateTests(SynchronousTestCase):
    """
    The checks of gateway.md section 9.2 over the real site.
    """

    def answer(self, rig: WebSocketRig | None = None, **changes: Any) -> tuple[int, bytes]:
        """
        What a handshake is told.
        """
        self.rig = rig or WebSocketRig()
        endpoint = WebSocketEndpoint("/ws", AeroWebSocketProtocol, **self.rig.common)
        self.client = self.rig.connect(endpoint, **changes)
        return self.client.status, self.client.body

    def test_good(self) -> None:
        """
        Tokens are found in lists and in any case, spaces around the key do not matter, and
        neither does an empty origin.
        """
        good: tuple[dict[str, Any], ...] = (
            {},
            {"Upgrade": b"h2c, WebSocket"},
            {"Connection": b"keep-alive, Upgrade"},
            {"Sec_WebSocket_Key": b"  " + KEY + b" "},
            {"Sec_WebSocket_Version": b" 13 "},
            {"Origin": b""},
            {"Origin": b"https://example.com"},
            {"Origin": b"HTTPS://EXAMPLE.COM:443"},
        )
        for changes in good:
            self.assertEqual(self.answer(**changes)[0], 101, changes)

    def test_badHeaders(self) -> None:
        """
        Repeated, overlong and wrong headers of the handshake are refused before anybody asks
        for a session.
        """
        for changes in (
            {"Upgrade": b"websocket2"},
            {"Upgrade": b"websocket," + b"x" * 300},
            {"Upgrade": [b"websocket", b"websocket"]},
            {"Connection": [b"Upgrade", b"keep-alive"]},
            {"Sec_WebSocket_Version": b"12"},
            {"Sec_WebSocket_Version": None},
            {"Sec_WebSocket_Version": [b"13", b"13"]},
            {"Sec_WebSocket_Version": b"13" + b" " * 10 + b"x" * 30},
            {"Sec_WebSocket_Key": [KEY, KEY]},
            {"Sec_WebSocket_Key": b"x" * 300},
            {"Sec_WebSocket_Key": b"dGhlIHNhbXBsZQ=="},
            {"Sec_WebSocket_Key": b"!" * 24},
        ):
            self.assertEqual(self.answer(Cookie=None, **changes), INVALID, changes)
        self.assertEqual(self.answer(Cookie=None, method=b"HEAD"), (400, b""))

    def test_noKey(self) -> None:
        """
        A missing or blank key has a message of its own.
        """
        for key in (None, b"", b"  "):
            self.assertEqual(
                self.answer(Sec_WebSocket_Key=key),
                (400, b"Missing required header: Sec-WebSocket-Key\n"),
            )

    def test_versionHint(self) -> None:
        """
        RFC 6455 section 4.4: who speaks another version is told which one is spoken here.
        """
        self.answer(Sec_WebSocket_Version=b"8")
        self.assertEqual(self.client.header(b"Sec-WebSocket-Version"), [b"13"])

    def test_session(self) -> None:
        """
        Without a valid session cookie there is no WebSocket; the first cookie decides.
        """
        rig = WebSocketRig()
        for cookie in (None, b"aero_session=", [b"aero_session=", rig.cookie], b"aero_session=x.y"):
            self.assertEqual(self.answer(rig, Cookie=cookie), (401, b"Unauthorized\n"))
        rig.now += 3_601
        self.assertEqual(self.answer(rig), (401, b"Unauthorized\n"))

    def test_blockedClients(self) -> None:
        """
        A blocked address gets no WebSocket however it is spelt, a neighbour does; the
        session is asked for first.
        """
        rig = WebSocketRig(blockedClients=["::ffff:192.0.2.9", "2001:DB8::0:1"])
        for peer in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1"):
            self.assertEqual(self.answer(rig, peer=peer), (403, b"Client IP blocked\n"))
            self.assertEqual(self.answer(rig, peer=peer, Cookie=None)[0], 401)
        self.assertEqual(self.answer(rig, peer="192.0.2.10")[0], 101)

    def test_origin(self) -> None:
        """
        A foreign origin, one that is none, and two of them are refused.
        """
        good = b"https://example.com"
        for origin in (b"https://evil.example", b"nonsense", good + b"/path", [good, good]):
            self.assertEqual(self.answer(Origin=origin), (403, b"Origin not allowed\n"))

    def test_rate(self) -> None:
        """
        More upgrades a minute than allowed get a 429 that says when to come back; another
        address, and the same one later, are served.
        """
        rig = WebSocketRig(upgradesPerMinutePerIP=2)
        self.assertEqual([self.answer(rig)[0] for _ in range(3)], [101, 101, 429])
        self.assertEqual(self.client.header(b"Retry-After"), [b"30"])
        self.assertEqual(self.answer(rig, peer="198.51.100.8")[0], 101)
        rig.reactor.advance(30)
        self.assertEqual(self.answer(rig)[0], 101)


class TargetTests(SynchronousTestCase):
    """
    Request targets in any form.
    """

    def test_forms(self) -> None:
        """
        Origin form, absolute form and C{//host}; dot segments are resolved, percent signs
        stay, and a fragment is dropped.
        """
        for target, expected in {
            b"/tcp?v=1": ("/tcp", "v=1"),
            b"http://localhost/tcp?v=1": ("/tcp", "v=1"),
            b"//host/tcp?a=//b": ("/tcp", "a=//b"),
            b"/x/../tcp": ("/tcp", ""),
            b"/./tcp/.": ("/tcp/", ""),
            b"/../../tcp": ("/tcp", ""),
            b"/%74cp": ("/%74cp", ""),
            b"/tcp?a=b#c": ("/tcp", "a=b"),
            b"http://host": ("/", ""),
        }.items():
            self.assertEqual(parseTarget(target), expected, target)

    def test_invalid(self) -> None:
        """
        What is no URL is a 400.
        """
        for target in (b"http://[::1", b"http://", b"http://host:port/", b"//", b"ftp://h/"):
            refused = self.assertRaises(Refused, parseTarget, target)
            self.assertEqual((refused.status, refused.message), (400, "Invalid request URL"))


class ResponseTests(SynchronousTestCase):
    """
    The bytes of both answers.
    """

    def test_acceptHash(self) -> None:
        """
        The example of RFC 6455 section 1.3.
        """
        self.assertEqual(acceptHash(KEY), ACCEPT)
        self.assertEqual(acceptHash(b" " + KEY + b" "), ACCEPT)

    def test_subprotocol(self) -> None:
        """
        A subprotocol is echoed if it is a token and left out if it is none.
        """
        self.assertIn(
            b"\r\nSec-WebSocket-Protocol: aero-tcp-mux-v1\r\n",
            switchingProtocols(KEY, "aero-tcp-mux-v1", ()),
        )
        for name in (None, "", "a b", "a\r\nX: y", "é"):
            self.assertNotIn(b"Protocol:", switchingProtocols(KEY, name, ()))

    def test_hostileMessage(self) -> None:
        """
        Line breaks in a message are spaces, its length is bounded, and one that cannot be
        shown, or is empty, is replaced by the status text. There is one blank line.
        """
        for message, body in {
            "a\r\nSet-Cookie: b\tc": b"a Set-Cookie: b c\n",
            "": b"Forbidden\n",
            "\x00\x1b": b"Forbidden\n",
            "é" * 600: "é".encode() * 256 + b"\n",
        }.items():
            response = rejection(Refused(403, "forbidden", message), ((b"X-Site", b"1"),))
            head, found = response.split(b"\r\n\r\n")
            self.assertEqual(found, body)
            self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), head)
            self.assertTrue(head.startswith(b"HTTP/1.1 403 Forbidden\r\n"))
            self.assertTrue(head.endswith(b"\r\nX-Site: 1"))

    def test_statusText(self) -> None:
        """
        A refusal with any status of HTTP has that status's words, and gateway.md 9.1's where
        that names some.
        """
        for status, text in {
            409: b"Conflict",
            402: b"Payment Required",
            414: b"URI Too Long",
            599: b"Error",
        }.items():
            first = rejection(Refused(status, "some", "words"), ()).partition(b"\r\n")[0]
            self.assertEqual(first, b"HTTP/1.1 %d %s" % (status, text))

    def test_addresses(self) -> None:
        """
        Addresses are compared in one spelling; what is none stays comparable.
        """
        for text, expected in {
            "::ffff:192.0.2.1": "192.0.2.1",
            "[2001:DB8::1]": "2001:db8::1",
            "fe80::1%eth0": "fe80::1",
            " 192.0.2.1 ": "192.0.2.1",
            "Unix": "unix",
        }.items():
            self.assertEqual(canonicalAddress(text), expected)
