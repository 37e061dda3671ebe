"""
Tests for L{aero.policy.idn}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.policy.idn import toASCII
from aero.testing.properties import given, strategies


class ToASCIITests(SynchronousTestCase):
    """
    L{toASCII}, with the results of the URL standard.
    """

    def test_mapped(self) -> None:
        """
        Names become what browsers make of them.
        """
        for name, expected in {
            "": "",
            "EXAMPLE.com": "example.com",
            "B\xdcCHER.example": "xn--bcher-kva.example",
            "bu\u0308cher.example": "xn--bcher-kva.example",
            "fa\xdf.de": "xn--fa-hia.de",
            "XN--BCHER-KVA.example": "xn--bcher-kva.example",
            "\u2603.net": "xn--n3h.net",
            "\u4f8b\u3002\u30c6\u30b9\u30c8": "xn--fsq.xn--zckzah",
            "\uff45x.com": "ex.com",
            "so\xadft.example": "soft.example",
            "r3---sn-x.googlevideo.com": "r3---sn-x.googlevideo.com",
            "-a-.b": "-a-.b",
            "a_b.c": "a_b.c",
            "\u0645\u062b\u0627\u0644.\u0625\u062e\u062a\u0628\u0627\u0631": (
                "xn--mgbh0fb.xn--kgbechtv"
            ),
            "\u2468.1": "9.1",
        }.items():
            self.assertEqual(toASCII(name), expected, ascii(name))

    def test_refused(self) -> None:
        """
        What is not valid by UTS #46 is an error and never another name.
        """
        for name in (
            "xn--",
            "xn--a",
            "xn--abc-",
            "xn--\u2603",
            "xn--BCHER-KVA\xfc",
            "\u0308a.example",
            "a\u200db.example",
            "a\u05d0.example",
            "\u05d0a.example",
            "\ue000.example",
            "\ud800.example",
            "\ufffd",
            "xn--" + "a" * 300,
            "\xfc" * 300,
        ):
            self.assertRaises(ValueError, toASCII, name)

    def test_length(self) -> None:
        """
        A label is looked at up to 255 characters; whether DNS has room for it is not asked.
        """
        self.assertTrue(toASCII("\xfc" * 255).startswith("xn--"))
        self.assertRaises(ValueError, toASCII, "\xfc" * 256)

    @given(strategies.text(max_size=30))
    def test_final(self, name: str) -> None:
        """
        A name that was mapped is ASCII, in lower case, and mapped to itself.
        """
        try:
            mapped = toASCII(name)
        except ValueError:
            return
        self.assertTrue(mapped.isascii())
        self.assertEqual(mapped, mapped.lower())
        self.assertEqual(toASCII(mapped), mapped)

    @given(strategies.text(alphabet="abcdxyz0189-.", max_size=40))
    def test_punycode(self, rest: str) -> None:
        """
        Any text behind the prefix is the encoding of one name or an error.
        """
        try:
            mapped = toASCII(f"xn--{rest}")
        except ValueError:
            return
        self.assertEqual(mapped, f"xn--{rest}")
