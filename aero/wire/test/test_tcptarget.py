"""
Tests for L{aero.wire.tcptarget}.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import quote_plus

from twisted.trial.unittest import SynchronousTestCase

from aero.errors import Refused
from aero.testing.properties import given, strategies
from aero.wire.tcptarget import parseTarget


class ParseTargetTests(SynchronousTestCase):
    """
    Gateway.md section 12.1.
    """

    def test_accepted(self) -> None:
        """
        Both forms, with and without a version, brackets where they belong.
        """
        for query, expected in {
            "host=example.com&port=80": ("example.com", 80),
            "v=1&host=example.com&port=0080": ("example.com", 80),
            "v=&host=a&port=1": ("a", 1),
            "host=::1&port=65535": ("::1", 65_535),
            "host=[::1]&port=1": ("::1", 1),
            "host=%5B2001%3Adb8%3A%3A1%5D&port=1": ("2001:db8::1", 1),
            "target=example.com:443": ("example.com", 443),
            "target=%5B::1%5D%3A443": ("::1", 443),
            "target=a:1&host=b&port=2": ("a", 1),
            "host=b&port=2&target=a:1&target=c:3": ("a", 1),
            "host=a&host=b&port=1&port=2": ("a", 1),
            "host=a+b&port=1": ("a b", 1),
        }.items():
            self.assertEqual(parseTarget(query), expected, query)

    def test_refused(self) -> None:
        """
        Each mistake has its own message, and all are a 400.
        """
        version = "Unsupported TCP proxy protocol version"
        separator = "Invalid target: missing port separator"
        for query, message in {
            "v=2&host=a&port=1": version,
            "v=01&host=a&port=1": version,
            "v=1.0&target=": version,
            "": "Missing required query parameter: host",
            "port=1": "Missing required query parameter: host",
            "host=a": "Missing required query parameter: port",
            "host=&port=1": "Host must not be empty",
            "host=[a&port=1": "Invalid host: mismatched brackets",
            "host=a]&port=1": "Invalid host: mismatched brackets",
            "host=[]&port=1": "Invalid host: empty bracketed host",
            "host=" + "a" * 1_025 + "&port=1": "Invalid host: too long",
            "host=a&port=": "Invalid port",
            "host=a&port=0": "Invalid port",
            "host=a&port=65536": "Invalid port",
            "host=a&port=-1": "Invalid port",
            "host=a&port=%2B1": "Invalid port",
            "host=a&port=1x": "Invalid port",
            "host=a&port=" + "0" * 16 + "1": "Invalid port",
            "host=a&port=%D9%A1": "Invalid port",
            "target=": "Query parameter target must not be empty",
            "target=" + "a" * 1_057: "Invalid target: too long",
            "target=a": separator,
            "target=[::1]": separator,
            "target=[::1]x:1": separator,
            "target=[::1": "Invalid target: missing closing bracket for IPv6 literal",
            "target=[]:1": "Invalid target: empty IPv6 literal",
            "target=:1": "Invalid target: expected <host>:<port>",
            "target=a:": "Invalid target: expected <host>:<port>",
            "target=::1:443": (
                "Invalid target: IPv6 literals must use bracket form, e.g. [::1]:443"
            ),
            "target=a]:1": "Invalid target: unexpected bracket in host",
            "target=a:b": "Invalid port",
        }.items():
            refused = self.assertRaises(Refused, parseTarget, query)
            self.assertEqual((refused.status, refused.message), (400, message), query)

    @given(strategies.text(max_size=80))
    def test_anything(self, query: str) -> None:
        """
        Any query gives a host and a port in range, or a 400.
        """
        try:
            host, port = parseTarget(query)
        except Refused as refused:
            self.assertEqual(refused.status, 400)
        else:
            self.assertTrue(host)
            self.assertIn(port, range(1, 65_536))

    @given(strategies.ip_addresses(v=6), strategies.integers(1, 65_535))
    def test_ipv6(self, address: ipaddress.IPv6Address, port: int) -> None:
        """
        An IPv6 address in full needs its brackets in C{target}.
        """
        bare = address.exploded
        self.assertEqual(parseTarget(f"target={quote_plus(f'[{bare}]:{port}')}"), (bare, port))
        self.assertRaises(Refused, parseTarget, f"target={quote_plus(f'{bare}:{port}')}")
