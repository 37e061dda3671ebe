"""
Tests for L{aero.policy.upstreams}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.upstreams import Upstream
from aero.testing.properties import given, strategies


class UpstreamTests(SynchronousTestCase):
    """
    L{Upstream} (gateway.md section 14.6).
    """

    def test_plain(self) -> None:
        """
        A host with or without a port, bare or with its scheme, is plain DNS.
        """
        for text, host, port, label in (
            ("1.1.1.1", "1.1.1.1", 53, "1.1.1.1:53"),
            (" 1.1.1.1:5353 ", "1.1.1.1", 5353, "1.1.1.1:5353"),
            ("udp://1.1.1.1", "1.1.1.1", 53, "1.1.1.1:53"),
            ("UDP://DNS.example:00053", "dns.example", 53, "dns.example:53"),
            ("[::1]", "::1", 53, "::1:53"),
            ("[2001:DB8:0::1]:65535", "2001:db8::1", 65_535, "2001:db8::1:65535"),
            ("udp://[::1]:5353", "::1", 5353, "::1:5353"),
            ("my_resolver", "my_resolver", 53, "my_resolver:53"),
        ):
            upstream = Upstream.parse(text)
            self.assertEqual(upstream, Upstream("udp", host, port))
            self.assertEqual(upstream.label, label)

    def test_tls(self) -> None:
        """
        DNS over TLS has its own scheme and port.
        """
        for text, expected in {
            "tls://dns.example": Upstream("tls", "dns.example", 853),
            "tls://[::1]:8853": Upstream("tls", "::1", 8853),
            "TLS://1.1.1.1": Upstream("tls", "1.1.1.1", 853),
        }.items():
            self.assertEqual(Upstream.parse(text), expected)

    def test_https(self) -> None:
        """
        A URL is DNS over HTTPS, and its name in metrics leaves out the query.
        """
        for url, host, port, label in (
            ("https://dns.example/dns-query", "dns.example", 443, "https://dns.example/dns-query"),
            ("https://dns.example", "dns.example", 443, "https://dns.example"),
            ("https://[::1]:8443/q", "::1", 8443, "https://[::1]:8443/q"),
            ("http://127.0.0.1:8053/q", "127.0.0.1", 8053, "http://127.0.0.1:8053/q"),
            ("HTTP://127.0.0.1/q", "127.0.0.1", 80, "HTTP://127.0.0.1/q"),
            ("https://dns.example/q?key=secret", "dns.example", 443, "https://dns.example/q"),
        ):
            upstream = Upstream.parse(url)
            self.assertEqual(upstream, Upstream("https", host, port, url))
            self.assertEqual(upstream.label, label)

    def test_refused(self) -> None:
        """
        Anything else is an error.
        """
        for text in (
            "",
            " ",
            "udp://",
            "tls://",
            ":53",
            "a:",
            "a:0",
            "a:65536",
            "a:000053",
            "a:+53",
            "a:\u0665\u0663",
            "a b",
            "a/b",
            "user@a",
            "[::1",
            "[]",
            "[::1]53",
            "[::1]:",
            "[1.1.1.1]",
            "[fe80::1%eth0]",
            "tcp://1.1.1.1",
            "quic://dns.example",
            "udp://udp://a",
            "https://",
            "https:///dns-query",
            "https://user:pass@dns.example/",
            "https://@dns.example/",
            "https://dns.example/#a",
            "https://dns.example:0/",
            "https://dns.example:65536/",
            "https://dns.example:a/",
            "https://[::1/",
            "https://dns.example/a b",
            "https://dns.example/\r\nX: y",
            "https://d\xe4ns.example/",
        ):
            self.assertRaises(ValueError, Upstream.parse, text)

    def test_bareIPv6(self) -> None:
        """
        Who forgets the brackets is told about them.
        """
        for text in ("::1", "2001:db8::1", "udp://::1", "1:2:3:4:5:6:7:8"):
            error = self.assertRaises(ValueError, Upstream.parse, text)
            self.assertIn("brackets", str(error))

    def test_length(self) -> None:
        """
        An entry has at most 4096 characters.
        """
        url = "https://dns.example/"
        longest = url + "a" * (4_096 - len(url))
        self.assertEqual(Upstream.parse(longest).url, longest)
        for text in (longest + "a", "a" * 5_000):
            self.assertRaises(ValueError, Upstream.parse, text)

    @given(
        strategies.one_of(
            strategies.text(max_size=40),
            strategies.text(alphabet="abc.:/[]udptlshttp@#?1 ", max_size=40),
        ),
        strategies.sampled_from(["", "udp://", "tls://", "https://", "http://"]),
    )
    def test_anything(self, text: str, scheme: str) -> None:
        """
        Any text is an upstream or an error, and an upstream is written so that it is read back.
        """
        try:
            upstream = Upstream.parse(scheme + text)
        except ValueError:
            return
        self.assertTrue(upstream.host)
        self.assertTrue(1 <= upstream.port <= 65_535)
        self.assertEqual(Upstream.parse(str(upstream)), upstream)
