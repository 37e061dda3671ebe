"""
Tests for the parsers of the settings table.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Callable

from twisted.trial.unittest import SynchronousTestCase

from aero.settings import _parsers as parsers
from aero.settings._names import domainName, isInternalName


class ParserTests(SynchronousTestCase):
    """
    What each parser takes and refuses.
    """

    def check(
        self, parse: Callable[[str], Any], good: dict[str, Any], bad: tuple[str, ...]
    ) -> None:
        for text, value in good.items():
            self.assertEqual(parse(text), value, text)
        for text in bad:
            self.assertRaises(ValueError, parse, text)

    def test_integer(self) -> None:
        """
        Whole numbers in a range; hexadecimal, exponents and white space as the reference takes them.
        """
        self.check(
            parsers.integer(1, 65_535),
            {"1": 1, " 28191 ": 28191, "0x1F": 31, "1e3": 1000, "65535": 65535, "5.0": 5},
            (
                "0",
                "65536",
                "-1",
                "1.5",
                "abc",
                "",
                "0x",
                "1_000",
                "Infinity",
                "nan",
                "1e999",
                "\u0661",
            ),
        )

    def test_number(self) -> None:
        """
        Numbers may have fractions.
        """
        self.check(
            parsers.number(0), {"0.5": 0.5, "10": 10.0, ".5": 0.5}, ("-1", "x", "1e400", "inf")
        )

    def test_flag(self) -> None:
        """
        A flag is 0 or 1 and nothing else.
        """
        self.check(parsers.flag, {"0": False, "1": True, " 1 ": True}, ("true", "yes", "2", ""))

    def test_duration(self) -> None:
        """
        Durations are Go's.
        """
        self.check(
            parsers.duration,
            {"250ms": 0.25, "30s": 30.0, "1m30s": 90.0, "1.5h": 5400.0, "0": 0.0},
            ("30", "s", "-1s", "1s ago", ""),
        )

    def test_list(self) -> None:
        """
        Lists are trimmed, empty items dropped, their size bounded.
        """
        parse = parsers.listOf(parsers.port, "a port")
        self.check(
            parse,
            {"": (), " , ,": (), "80, 443": (80, 443)},
            ("80,x", ",".join(["1"] * 1025), "1" * 65_537),
        )

    def test_network(self) -> None:
        """
        A network is in CIDR form; an address is a network of one.
        """
        self.check(
            parsers.network,
            {
                "10.0.0.0/8": ipaddress.ip_network("10.0.0.0/8"),
                "10.1.2.3/8": ipaddress.ip_network("10.0.0.0/8"),
                "::1": ipaddress.ip_network("::1/128"),
            },
            ("10.0.0.0/33", "example.com", ""),
        )

    def test_url(self) -> None:
        """
        A URL is absolute, has a host and one of the schemes; one trailing slash goes.
        """
        self.check(
            parsers.httpURL("http", "https"),
            {
                "https://h/base/": "https://h/base",
                "http://localhost:8080": "http://localhost:8080",
            },
            (
                "not-a-url",
                "ftp://h",
                "https://",
                "//h",
                "https://h:99999",
                "https://a b",
                "https://h\nx",
            ),
        )


class DomainTests(SynchronousTestCase):
    """
    The name of the site.
    """

    def test_accepted(self) -> None:
        """
        Host names in lower case without the last dot, and addresses.
        """
        for text, name in {
            "Example.COM.": "example.com",
            "localhost": "localhost",
            "bücher.example": "xn--bcher-kva.example",
            "faß.de": "xn--fa-hia.de",
            "[::1]": "::1",
            "127.0.0.1": "127.0.0.1",
            "2001:DB8::1": "2001:db8::1",
        }.items():
            self.assertEqual(domainName(text), name)

    def test_refused(self) -> None:
        """
        A scheme, a port, a path or a list is not a host name.
        """
        for text in (
            "https://example.com",
            "example.com:443",
            "example.com/x",
            "a,b",
            "",
            "-a.b",
            "a..b",
            "a..",
            "local%68ost",
            "a b",
        ):
            self.assertRaises(ValueError, domainName, text)

    def test_internal(self) -> None:
        """
        Names that no public CA signs are internal (edge.md section 2.2).
        """
        for name in (
            "localhost",
            "a.localhost",
            "nas",
            "nas.local",
            "x.internal",
            "x.home.arpa",
            "10.0.0.1",
            "::1",
        ):
            self.assertTrue(isInternalName(name), name)
        for name in ("example.com", "local.example", "internal.org"):
            self.assertFalse(isInternalName(name), name)
