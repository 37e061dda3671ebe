"""
Tests for L{aero.policy.hosts}.
"""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.hosts import HostPattern, HostPatterns, IPTarget, NameTarget, classifyHost
from aero.testing.properties import given, strategies

#: 253 characters.
_LONGEST = ".".join(["a" * 61] * 4) + ".bcdef"

_LABELS = strategies.from_regex(r"\A[a-z][a-z0-9]{0,8}\Z")
_NAMES = strategies.lists(_LABELS, min_size=1, max_size=4).map(".".join)
_HOSTS = strategies.one_of(
    strategies.text(max_size=30),
    strategies.text(alphabet="0123456789abcdefxX.:[]-*% ", max_size=30),
    _NAMES,
)


class ClassifyHostTests(SynchronousTestCase):
    """
    L{classifyHost} (gateway.md section 11.1).
    """

    def test_IPv4Spellings(self) -> None:
        """
        Every spelling of an IPv4 address that resolvers take is that address.
        """
        for text, expected in {
            "1.2.3.4": "1.2.3.4",
            " 1.2.3.4\t": "1.2.3.4",
            "[1.2.3.4]": "1.2.3.4",
            "127.1": "127.0.0.1",
            "0177.0.0.1": "127.0.0.1",
            "0x7f.0.0.1": "127.0.0.1",
            "0X7F000001": "127.0.0.1",
            "2130706433": "127.0.0.1",
            "017700000001": "127.0.0.1",
            "0": "0.0.0.0",
            "0x": "0.0.0.0",
            "1.256": "1.0.1.0",
            "010.0.0.1": "8.0.0.1",
            "08.0.0.1": "8.0.0.1",
            "010.08.0.1": "10.8.0.1",
            "010.0.0.1.": "10.0.0.1",
            "8.8.8.8.": "8.8.8.8",
            "8.8.8.8..": "8.8.8.8",
            "127.1.": "127.0.0.1",
            "0x7f.0.0.1.": "127.0.0.1",
            "\uff11.2.3.4": "1.2.3.4",
            "\u2460\u2461\u2466.1": "127.0.0.1",
            "127\u30020\u30020\u30021": "127.0.0.1",
        }.items():
            self.assertEqual(classifyHost(text), IPTarget(expected), ascii(text))

    def test_length(self) -> None:
        """
        A host has at most 1024 characters, also where all of them would make an address.
        """
        longest = "0x" + "0" * 1_020 + "7f"
        self.assertEqual(classifyHost(longest), IPTarget("0.0.0.127"))
        self.assertRaises(ValueError, classifyHost, "0x0" + longest[2:])

    def test_IPv6Spellings(self) -> None:
        """
        Every spelling of an IPv6 address gives the same eight groups.
        """
        full = "2001:0db8:0000:0000:0000:0000:0000:abcd"
        for text in ("2001:db8::abcd", "[2001:DB8:0:0:0:0:0:ABCD]", "2001:db8::0.0.171.205", full):
            self.assertEqual(classifyHost(text), IPTarget(full), text)

    def test_names(self) -> None:
        """
        A name is in lower-case ASCII and has no dot at its end.
        """
        for text, expected in {
            "Example.COM": "example.com",
            "example.com.": "example.com",
            "example.com...": "example.com",
            "B\xdcCHER.example": "xn--bcher-kva.example",
            "localhost": "localhost",
            "a-b": "a-b",
            "r3---sn-x.googlevideo.com": "r3---sn-x.googlevideo.com",
            "1e10": "1e10",
            "3com.com": "3com.com",
            "1.2.3.4.example": "1.2.3.4.example",
            "a" * 63: "a" * 63,
            _LONGEST: _LONGEST,
        }.items():
            self.assertEqual(classifyHost(text), NameTarget(expected), text)

    def test_refused(self) -> None:
        """
        What is neither an address nor a name that DNS can hold is refused.
        """
        for text in (
            "",
            " ",
            "[]",
            ".",
            "..",
            "[[::1]]",
            "[::1",
            "::1]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            ":::",
            "::ffff:01.2.3.4",
            "a_b.example",
            "-a.example",
            "a-.example",
            "a..example",
            ".example",
            "*.example",
            "a b",
            "a\x00b",
            "1.2.3.4\x00",
            "example.1",
            "example.0x1f",
            "1.2.3.4.5",
            "256.1",
            "1.2.3.256",
            "4294967296",
            "1.16777216",
            "0x08.0008.0.1",
            "08",
            "08.1",
            "\u0661.1.1.1",
            "example.\u0663",
            "xn--a",
            "a" * 64,
            _LONGEST + "a",
            "9" * 1_000,
            "a" * 1_025,
            "\xfc" * 1_000,
            "user@example.com",
            "example.com:80",
            "example.com/",
        ):
            self.assertRaises(ValueError, classifyHost, text)

    @given(_HOSTS)
    def test_final(self, text: str) -> None:
        """
        Any text is classified or refused, and the result is classified as itself.
        """
        try:
            target = classifyHost(text)
        except ValueError:
            return
        self.assertEqual(classifyHost(str(target)), target)
        if isinstance(target, NameTarget):
            self.assertRaises(ValueError, ipaddress.ip_address, target.name)
        else:
            ipaddress.ip_address(target.address)

    @given(strategies.ip_addresses())
    def test_literals(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        """
        Every address is one, and stays the same address.
        """
        target = classifyHost(str(address))
        self.assertIsInstance(target, IPTarget)
        self.assertEqual(ipaddress.ip_address(str(target)), address)


class HostPatternTests(SynchronousTestCase):
    """
    L{HostPattern} (gateway.md section 11.2), alone and in a list.
    """

    def assertMatches(self, pattern: str, host: str, expected: bool) -> None:
        """
        Ask a pattern and a list that holds only it.
        """
        parsed, target = HostPattern.parse(pattern), classifyHost(host)
        self.assertIs(parsed.matches(target), expected, (pattern, host))
        self.assertIs(HostPatterns([parsed]).matches(target), expected, (pattern, host))

    def test_matches(self) -> None:
        """
        A name means itself, a wildcard every subdomain but not the domain, an address itself.
        """
        for pattern, host, expected in (
            ("example.com", "EXAMPLE.com.", True),
            ("example.com", "www.example.com", False),
            (" Example.COM. ", "example.com", True),
            ("*.example.com", "a.example.com", True),
            ("*.example.com", "a.b.c.example.com", True),
            ("*.example.com", "example.com", False),
            ("*.example.com", "badexample.com", False),
            ("*.example.com", "example.com.evil.example", False),
            ("*.B\xdcCHER.example", "a.xn--bcher-kva.example", True),
            ("*.com", "example.com", True),
            ("127.1", "0x7f000001", True),
            ("[2001:DB8::1]", "2001:db8:0::1", True),
            ("::ffff:1.2.3.4", "1.2.3.4", False),
            ("1.2.3.4", "1.2.3.4.example", False),
            ("*.example", "1.2.3.4", False),
        ):
            self.assertMatches(pattern, host, expected)

    def test_text(self) -> None:
        """
        A pattern is shown the way it is understood.
        """
        for text, expected in {
            "Example.COM.": "example.com",
            "*.Example.COM.": "*.example.com",
            "127.1": "127.0.0.1",
        }.items():
            self.assertEqual(str(HostPattern.parse(text)), expected)

    def test_refused(self) -> None:
        """
        A star stands alone before the first dot of a name, and nowhere else.
        """
        for text in (
            "",
            "*",
            "*.",
            "*.*.example",
            "a.*.example",
            "*a.example",
            "a*",
            "*.1.2.3.4",
            "*.[::1]",
            "10.0.0.0/8",
            "example.com:80",
        ):
            self.assertRaises(ValueError, HostPattern.parse, text)

    def test_list(self) -> None:
        """
        A list matches what any entry matches; an empty one is false and matches nothing.
        """
        patterns = HostPatterns(map(HostPattern.parse, ("a.example", "*.b.example", "::1")))
        self.assertTrue(patterns)
        for host in ("a.example", "x.b.example", "0::1"):
            self.assertTrue(patterns.matches(classifyHost(host)), host)
        for host in ("b.example", "x.a.example", "::2", "example"):
            self.assertFalse(patterns.matches(classifyHost(host)), host)
        self.assertFalse(HostPatterns([]))
        self.assertFalse(HostPatterns([]).matches(classifyHost("a.example")))

    @given(_NAMES, _NAMES)
    def test_wildcards(self, host: str, parent: str) -> None:
        """
        A wildcard matches exactly the names with something before its domain.
        """
        for name in (host, f"{host}.{parent}", host + parent):
            self.assertMatches(f"*.{parent}", name, name.endswith(f".{parent}"))

    @given(strategies.lists(_NAMES, max_size=5), strategies.lists(_NAMES, max_size=5), _NAMES)
    def test_listIsAny(self, exact: list[str], parents: list[str], host: str) -> None:
        """
        Looking up in a list gives what asking one entry after the other gives.
        """
        texts = [*exact, *(f"*.{parent}" for parent in parents)]
        patterns = [HostPattern.parse(text) for text in texts]
        for name in (host, *exact, *(f"a.{parent}" for parent in parents)):
            target = classifyHost(name)
            self.assertIs(
                HostPatterns(patterns).matches(target),
                any(pattern.matches(target) for pattern in patterns),
            )
