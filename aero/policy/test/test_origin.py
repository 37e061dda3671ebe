"""
Tests for L{aero.policy.origin}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.origin import (
    OriginDecision,
    Origins,
    allowlistEntry,
    comparedOrigin,
    normalizeOrigin,
)
from aero.testing import vectors
from aero.testing.properties import given, strategies

_ORIGIN_CHARACTERS = strategies.text(alphabet="ahtps:/.[]@0123xXfF-n%?#\\ |^_", max_size=40)


class VectorTests(SynchronousTestCase):
    """
    The shared vectors (gateway.md section 17.2).
    """

    def test_normalize(self) -> None:
        """
        Every vector becomes the one spelling it should, or is refused.
        """
        listed = vectors.load("origin.json")["normalize"]
        self.assertEqual(len(listed), 58)
        for vector in listed:
            self.assertEqual(vector.get("expectError", False), "normalizedOrigin" not in vector)
            self.assertEqual(
                normalizeOrigin(vector["rawOriginHeader"]),
                vector.get("normalizedOrigin"),
                vector["name"],
            )

    def test_allow(self) -> None:
        """
        Every vector is allowed or refused as it should be.
        """
        listed = vectors.load("origin.json")["allow"]
        self.assertEqual(len(listed), 30)
        for vector in listed:
            decision = Origins(vector["allowedOrigins"]).allow(
                [vector["rawOriginHeader"].encode("latin-1")],
                [vector["requestHost"].encode("latin-1")],
            )
            self.assertIs(decision.allowed, vector["expectAllowed"], vector["name"])

    def test_normalizedIsAllowed(self) -> None:
        """
        A list that holds the one spelling of an origin allows all its spellings.
        """
        for vector in vectors.load("origin.json")["normalize"]:
            if "normalizedOrigin" in vector:
                decision = Origins([vector["normalizedOrigin"]]).allow(
                    [vector["rawOriginHeader"].encode("latin-1")]
                )
                self.assertEqual(decision, OriginDecision(vector["normalizedOrigin"], True))


class NormalizeOriginTests(SynchronousTestCase):
    """
    L{normalizeOrigin}, where the vectors say nothing.
    """

    def test_refused(self) -> None:
        """
        What programs read differently is no origin.
        """
        for raw in (
            "https:example.com",
            "https:/example.com",
            "https:///example.com",
            "https:////example.com",
            "https://example.com\\",
            "https://example.com/\\",
            "https://a.example,https://b.example",
            "https://a.example, https://b.example",
            "http://::1",
            "http://2001:db8::1",
            "http://[::1",
            "http://[::1]a",
            "http://[::1]:",
            "http://[::1]:0",
            "http://[::1%25eth0]",
            "http://[]",
            "https://example.com/.",
            "https://example.com/..",
            "https://example.com//",
            "https://",
            "https:///",
            "https://:443",
            "https://example.com:65536",
            "https://example.com:+443",
            "https://example.com:4e1",
            "https://example.com:443:443",
            "https://example.com|a",
            "https://exam^ple.com",
            "https://xn--",
            "https://xn--a",
            "https://1.2.3.4.5",
            "https://0x1g.1",
            "Null",
            "NULL",
            "nullnull",
            "https://" + "9" * 4_000,
            "https://a:" + "9" * 4_000,
        ):
            self.assertIsNone(normalizeOrigin(raw), raw[:60])

    def test_rootDot(self) -> None:
        """
        The dot of the root makes no other site, whichever side has it. The origin keeps it, because
        a browser compares C{Access-Control-Allow-Origin} with what it sent.
        """
        for origin in (b"https://localhost.:8443", b"https://localhost:8443"):
            for host in (b"localhost.:8443", b"LOCALHOST:8443"):
                decision = Origins([]).allow([origin], [host])
                self.assertEqual(decision, OriginDecision(origin.decode(), True))
            for allowed in ("https://localhost:8443", "https://localhost.:8443"):
                decision = Origins([allowed]).allow([origin])
                self.assertEqual(decision, OriginDecision(origin.decode(), True))
        for origin in (b"https://localhost..:8443", b"https://local%68ost:8443"):
            self.assertFalse(Origins([]).allow([origin], [b"localhost:8443"]).allowed, origin)
        self.assertEqual(comparedOrigin("https://A1.:443"), "https://a1")
        self.assertEqual(comparedOrigin("null"), "null")

    def test_accepted(self) -> None:
        """
        Names that resolve or that browsers send are origins, however unusual.
        """
        for raw, expected in {
            "https://a_b.example": "https://a_b.example",
            "https://example.com.": "https://example.com.",
            "https://1.2.3.4.": "https://1.2.3.4",
            "https://a:00443": "https://a",
            "https://a:65535": "https://a:65535",
            "http://a:443": "http://a:443",
            "https://a:80": "https://a:80",
            "https://xn--bcher-kva.example": "https://xn--bcher-kva.example",
            "https://r3---sn-x.example": "https://r3---sn-x.example",
            "https://[1:0:0:2:0:0:0:3]": "https://[1:0:0:2::3]",
            "https://[1:0:0:2:3:0:0:4]": "https://[1::2:3:0:0:4]",
            "https://[1:0:2:3:4:5:6:7]": "https://[1:0:2:3:4:5:6:7]",
            "https://[::]": "https://[::]",
            "\ufeffhttps://a\u3000": "https://a",
        }.items():
            self.assertEqual(normalizeOrigin(raw), expected, raw)

    def test_length(self) -> None:
        """
        An origin has at most 4096 characters.
        """
        longest = "https://" + "a" * 4_088
        self.assertEqual(normalizeOrigin(longest), longest)
        self.assertIsNone(normalizeOrigin(longest + "a"))

    @given(strategies.one_of(_ORIGIN_CHARACTERS, strategies.text(max_size=40)))
    def test_anything(self, text: str) -> None:
        """
        Whatever is sent is an origin or not, and the spelling of an origin is final.
        """
        for raw in (text, f"https://{text}", f"http://[{text}]"):
            origin = normalizeOrigin(raw)
            if origin is not None:
                self.assertEqual(normalizeOrigin(origin), origin)
                self.assertTrue(origin.isascii())


class AllowlistEntryTests(SynchronousTestCase):
    """
    L{allowlistEntry}.
    """

    def test_accepted(self) -> None:
        """
        An entry is an origin, C{null} or a star, with blanks around.
        """
        for text, expected in {
            " * ": "*",
            "null": "null",
            "HTTPS://Example.com:443/": "https://example.com",
        }.items():
            self.assertEqual(allowlistEntry(text), expected)

    def test_refused(self) -> None:
        """
        Anything else is a mistake that the operator is told about.
        """
        for text in ("", "example.com", "https://example.com/path", "https://*.example.com"):
            error = self.assertRaises(ValueError, allowlistEntry, text)
            self.assertEqual(
                str(error),
                f'Invalid origin "{text}". Expected a full origin like "https://example.com".',
            )
            self.assertRaises(ValueError, Origins, [text])


class OriginsTests(SynchronousTestCase):
    """
    L{Origins.allow}.
    """

    def test_absent(self) -> None:
        """
        Requests without an origin, or with an empty one, are not about origins.
        """
        for lines in ([], [b""], [b"  \t"]):
            self.assertEqual(Origins(["https://a"]).allow(lines), OriginDecision(None, True))

    def test_repeated(self) -> None:
        """
        Two origins are refused even where every origin is allowed.
        """
        for lines in ([b"https://a", b"https://a"], [b"", b"https://a"], [b"", b""]):
            self.assertEqual(Origins(["*"]).allow(lines), OriginDecision(None, False))

    def test_star(self) -> None:
        """
        A star allows every origin, C{null} too, and nothing that is none.
        """
        origins = Origins(["*"])
        self.assertEqual(origins.allow([b"https://B:443"]), OriginDecision("https://b", True))
        self.assertEqual(origins.allow([b"null"]), OriginDecision("null", True))
        for raw in (b"https://b/path", b"https://b\xe9", b"https://" + b"a" * 4_096):
            self.assertEqual(origins.allow([raw]), OriginDecision(None, False))

    def test_refusedOriginIsKnown(self) -> None:
        """
        An origin that is not on the list is refused by its name.
        """
        self.assertEqual(
            Origins(["https://a"]).allow([b"https://B"]), OriginDecision("https://b", False)
        )

    def test_null(self) -> None:
        """
        The opaque origin is allowed where it is listed and only there.
        """
        self.assertTrue(Origins(["null"]).allow([b"null"]).allowed)
        self.assertFalse(Origins(["https://null"]).allow([b"null"]).allowed)
        self.assertFalse(Origins([]).allow([b"null"], [b"null"]).allowed)

    def test_sameHost(self) -> None:
        """
        Without a list the origin has to be that of the one Host header, however it is spelled.
        """
        origins = Origins([])
        for origin, hosts, expected in (
            (b"https://a", [b"A"], True),
            (b"https://a", [b" a:443 "], True),
            (b"http://[::ffff:1.2.3.4]", [b"[::ffff:102:304]:80"], True),
            (b"https://a", [], False),
            (b"https://a", [b""], False),
            (b"https://a", [b"a", b"a"], False),
            (b"https://a", [b"x@a"], False),
            (b"https://a", [b"a\\"], False),
            (b"https://a", [b"a,a"], False),
            (b"https://a", [b"%61"], False),
            (b"https://a", [b"a:80"], False),
            (b"https://" + b"a" * 4_000, [b"a" * 4_097], False),
        ):
            self.assertIs(origins.allow([origin], hosts).allowed, expected, hosts)

    def test_sameScheme(self) -> None:
        """
        Where the scheme of the request is given, the page has to have come with it too.
        """
        origins = Origins([])
        self.assertTrue(origins.allow([b"https://a"], [b"a"], "https").allowed)
        self.assertFalse(origins.allow([b"http://a"], [b"a"], "https").allowed)

    def test_listedIgnoresHost(self) -> None:
        """
        A list replaces the same-host policy.
        """
        self.assertFalse(Origins(["https://a"]).allow([b"https://b"], [b"b"]).allowed)

    @given(strategies.binary(max_size=40), strategies.binary(max_size=40))
    def test_anything(self, origin: bytes, host: bytes) -> None:
        """
        Any two headers give a decision, and nothing is allowed that cannot be read.
        """
        for raw in (origin, b"https://" + origin):
            decision = Origins([]).allow([raw], [host])
            if decision.allowed and raw.strip(b" \t"):
                self.assertIsNotNone(decision.origin)
