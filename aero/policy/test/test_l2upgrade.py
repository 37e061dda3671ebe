"""
Tests for L{aero.policy.l2upgrade}: l2.md sections 5, 7 and 8.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.policy.l2upgrade import (
    HostAllowlist,
    checkHandshake,
    checkOrigin,
    hostScheme,
    normalizeHost,
)
from aero.policy.origin import Origins
from aero.testing.vectors import load

GOOD = {
    b"Connection": [b"Upgrade"],
    b"Upgrade": [b"websocket"],
    b"Sec-WebSocket-Version": [b"13"],
    b"Sec-WebSocket-Key": [b"dGhlIHNhbXBsZSBub25jZQ=="],
}


class HandshakeTests(SynchronousTestCase):
    """
    Rows 1 to 6.
    """

    def refusal(
        self, method: bytes = b"GET", version: bytes = b"HTTP/1.1", **changes: list[bytes]
    ) -> tuple[int, str]:
        lines = dict(GOOD)
        for name, values in changes.items():
            lines[name.replace("_", "-").encode()] = values
        refused = self.assertRaises(
            Refused, checkHandshake, method, version, lambda name: lines.get(name, [])
        )
        return refused.status, refused.message

    def test_good(self) -> None:
        """
        A good handshake gives its key; words of headers may have any case.
        """
        for changes in (
            {},
            {b"Connection": [b"keep-alive, UPGRADE"]},
            {b"Connection": [b"keep-alive", b"upgrade"]},
            {b"Upgrade": [b"WebSocket"]},
        ):
            lines = GOOD | changes
            key = checkHandshake(b"GET", b"HTTP/1.1", lambda name, lines=lines: lines[name])  # type: ignore[misc]
            self.assertEqual(key, b"dGhlIHNhbXBsZSBub25jZQ==")

    def test_bodies(self) -> None:
        """
        Each row has its status and its words.
        """
        self.assertEqual(self.refusal(b"HEAD"), (405, "Request method must be `GET`"))
        self.assertEqual(
            self.refusal(Connection=[b"close"]),
            (400, "Connection header did not include 'upgrade'"),
        )
        for value in (b"h2c", b"websocket, h2c"):
            self.assertEqual(
                self.refusal(Upgrade=[value]),
                (400, "`Upgrade` header did not include 'websocket'"),
            )
        for values in ([], [b"8"], [b"13, 8"]):
            self.assertEqual(
                self.refusal(Sec_WebSocket_Version=values),
                (400, "`Sec-WebSocket-Version` header did not include '13'"),
            )
        self.assertEqual(
            self.refusal(Sec_WebSocket_Key=[]), (400, "`Sec-WebSocket-Key` header missing")
        )
        self.assertEqual(
            self.refusal(version=b"HTTP/1.0"),
            (426, "WebSocket request couldn't be upgraded since no upgrade state was present"),
        )

    def test_order(self) -> None:
        """
        The first row that fails is the answer.
        """
        self.assertEqual(self.refusal(b"POST", b"HTTP/1.0", Connection=[])[0], 405)
        self.assertIn("Connection", self.refusal(version=b"HTTP/1.0", Connection=[])[1])
        self.assertIn("Key", self.refusal(version=b"HTTP/1.0", Sec_WebSocket_Key=[])[1])


class OriginTests(SynchronousTestCase):
    """
    Section 7.
    """

    def refusal(
        self, allowed: list[str], lines: list[bytes], host: bytes = b"h"
    ) -> tuple[str, str]:
        refused = self.assertRaises(Refused, checkOrigin, Origins(allowed), lines, [host])
        self.assertEqual(refused.status, 403)
        return refused.message, refused.reason

    def test_bodies(self) -> None:
        """
        Each way to fail has its words, also where every origin is allowed.
        """
        for allowed in (["*"], ["https://a.test"], []):
            missing = ("missing Origin header", "origin_missing")
            self.assertEqual(self.refusal(allowed, []), missing)
            self.assertEqual(self.refusal(allowed, [b"  "]), missing)
            self.assertEqual(self.refusal(allowed, [b"https://caf\xe9.test"]), missing)
            self.assertEqual(
                self.refusal(allowed, [b"https://a.test", b"https://a.test"]),
                ("invalid Origin header: multiple values", "origin_invalid"),
            )
            self.assertEqual(
                self.refusal(allowed, [b" https://evil.test/path "]),
                ("invalid Origin header: https://evil.test/path", "origin_invalid"),
            )
        self.assertEqual(
            self.refusal(["https://a.test"], [b"HTTPS://B.test:443"]),
            ("Origin not allowed: https://b.test", "origin_not_allowed"),
        )

    def test_several(self) -> None:
        """
        A proxy may know another name of this host; either is the same host.
        """
        hosts = [b"internal:8090", b"public.test"]
        origin = checkOrigin(Origins([]), [b"https://public.test"], hosts)
        self.assertEqual(origin, "https://public.test")
        self.assertRaises(Refused, checkOrigin, Origins([]), [b"https://other.test"], hosts)
        self.assertRaises(Refused, checkOrigin, Origins([]), [b"https://other.test"], [])

    def test_vectors(self) -> None:
        """
        Every shared case of C{origin.json} has the result written down.
        """
        vectors = load("origin.json")
        count = 0
        for case in vectors["normalize"]:
            raw = case["rawOriginHeader"].encode("utf-8")
            expected = case.get("normalizedOrigin")
            count += 1
            if expected is None:
                self.assertRaises(Refused, checkOrigin, Origins(["*"]), [raw], [])
            else:
                self.assertEqual(checkOrigin(Origins(["*"]), [raw], []), expected, case["name"])
        for case in vectors["allow"]:
            count += 1
            allowed = case["allowedOrigins"]
            origins, host = Origins(allowed), case.get("requestHost", "").encode()
            raw = case["rawOriginHeader"].encode("utf-8")
            try:
                checkOrigin(origins, [raw], [host])
                result = True
            except Refused:
                result = False
            self.assertEqual(result, case["expectAllowed"], case["name"])
        self.assertGreaterEqual(count, 88)


class HostTests(SynchronousTestCase):
    """
    Section 8.
    """

    def test_normalize(self) -> None:
        """
        A host has one spelling; an address stays as it is written.
        """
        for text, scheme, expected in (
            ("Allowed.Test", "http", "allowed.test"),
            ("Allowed.Test.", "http", "allowed.test"),
            ("allowed.test.:80", "http", "allowed.test"),
            ("allowed%2etest", "http", None),
            ("allowed.test:80", "http", "allowed.test"),
            ("allowed.test:80", "https", "allowed.test:80"),
            ("allowed.test:443", "wss", "allowed.test"),
            (" allowed.test , other", "http", "allowed.test"),
            ('"allowed.test:8080"', "http", "allowed.test:8080"),
            ("[::1]:80", "ws", "[::1]"),
            ("[2001:DB8::1]:8443", "https", "[2001:db8::1]:8443"),
            ("allowed.test:080", "http", "allowed.test"),
            ("010.0.0.1", "http", "010.0.0.1"),
            ("", "http", None),
            (" , a", "http", None),
            ("allowed.test:abc", "http", None),
            ("allowed.test:", "http", None),
            ("allowed.test:65536", "http", None),
            ("a b", "http", None),
            ("a:b:1", "http", None),
            ("::1", "http", None),
            ("[::1", "http", None),
            ("[::1]x", "http", None),
            (":80", "http", None),
        ):
            self.assertEqual(normalizeHost(text, scheme), expected, text)

    def test_check(self) -> None:
        """
        Missing, malformed and foreign hosts are three refusals.
        """
        hosts = HostAllowlist(["allowed.test", "other.test:8443", "not a host"])
        hosts.check(b"allowed.test:80", "http")
        hosts.check(b"ALLOWED.test:443", "https")
        hosts.check(b"other.test:8443", "https")
        for host, scheme, body, reason in (
            (None, "http", "missing Host header", "host_missing"),
            (b"allowed.test:abc", "http", "malformed Host header", "host_invalid"),
            (b"", "http", "malformed Host header", "host_invalid"),
            (b"Blocked.test", "http", "Host not allowed: blocked.test", "host_not_allowed"),
            (b"allowed.test:443", "http", "Host not allowed: allowed.test:443", "host_not_allowed"),
            (b"not a host", "http", "malformed Host header", "host_invalid"),
        ):
            refused = self.assertRaises(Refused, hosts.check, host, scheme)
            self.assertEqual((refused.status, refused.message, refused.reason), (403, body, reason))

    def test_off(self) -> None:
        """
        Without entries nothing is checked.
        """
        self.assertFalse(HostAllowlist([]))
        self.assertTrue(HostAllowlist(["a"]))

    def test_scheme(self) -> None:
        """
        A proxy that is believed tells the scheme, else the origin, else the connection.
        """
        for proto, origins, secure, expected in (
            (b"HTTPS", [b"http://a"], False, "https"),
            (b"wss", [], False, "wss"),
            (b"gopher", [b"https://a"], False, "https"),
            (None, [b"http://a"], True, "http"),
            (None, [b"null"], True, "https"),
            (None, [], False, "http"),
        ):
            self.assertEqual(hostScheme(proto, origins, secure), expected)
