"""
Tests for L{aero.policy.hostname}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.hostname import hostOf, normalizeHost, normalizeName, splitAuthority
from aero.testing.properties import given, strategies


class HostNameTests(SynchronousTestCase):
    """
    One spelling for each host.
    """

    def test_spellings(self) -> None:
        """
        Each host has one spelling, whatever its case, its root dot and its encoding.
        """
        for expected, spellings in {
            "localhost": ("localhost", "LOCALHOST", "localhost.", "Localhost."),
            "a.example.com": ("a.example.com", "A.Example.COM.", "a\u3002example.com"),
            "xn--bcher-kva.example": (
                "b\xfccher.example",
                "B\xdcCHER.example.",
                "XN--BCHER-KVA.example",
            ),
            "xn--fa-hia.de": ("fa\xdf.de", "xn--fa-hia.de."),
            "a_b.example": ("a_b.example",),
            "127.0.0.1": ("127.0.0.1", "127.0.0.1.", "127.1", "0x7f.1", "2130706433", "0177.0.0.1"),
            "[::1]": ("[::1]", "[0:0:0:0:0:0:0:1]"),
            "[2001:db8::1]": ("[2001:DB8:0::1]",),
        }.items():
            for spelling in spellings:
                self.assertEqual(normalizeHost(spelling), expected, spelling)

    def test_refused(self) -> None:
        """
        Percent-encoding and what no host has are refused, as are two root dots.
        """
        for text in (
            "",
            ".",
            "local%68ost",
            "localhost%2e",
            "b%C3%BCcher.example",
            "a b",
            "a\x00",
            "a/b",
            "a@b",
            "a:1",
            "[::1",
            "[::1]x",
            "[::1%eth0]",
            "[127.0.0.1]",
            "[]",
            "256.1.1.1.1",
            "1.2.3.256",
            "xn--a",
        ):
            self.assertIsNone(normalizeHost(text), text)

    def test_name(self) -> None:
        """
        A name keeps the spelling of an address.
        """
        self.assertEqual(normalizeName("010.0.0.1"), "010.0.0.1")
        self.assertEqual(normalizeName("A.b."), "a.b")

    def test_authority(self) -> None:
        """
        A port is whatever follows the colon.
        """
        for text, expected in (
            ("a", ("a", None)),
            ("a:", ("a", "")),
            ("a:80", ("a", "80")),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", "80")),
            ("[::1]x", None),
            ("[::1", None),
        ):
            self.assertEqual(splitAuthority(text), expected, text)

    def test_hostHeader(self) -> None:
        """
        The host of a C{Host} header loses its port.
        """
        for value, expected in (
            (b"LocalHost.:8443", "localhost"),
            (b"[::0001]:8443", "[::1]"),
            (b"127.0.0.1:", "127.0.0.1"),
            (b"local%68ost", None),
            (b"[::1", None),
            (b"", None),
        ):
            self.assertEqual(hostOf(value), expected, value)

    @given(strategies.text(max_size=30))
    def test_idempotent(self, text: str) -> None:
        """
        The spelling of a spelling is the same.
        """
        host = normalizeHost(text)
        if host is not None:
            self.assertEqual(normalizeHost(host), host)
