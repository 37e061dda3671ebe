"""
Tests for L{aero.settings._goparsers} and for listeners' addresses in L{aero.settings._ports}.
"""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from aero.settings._goparsers import (
    choiceIgnoringCase,
    cidrs,
    goBoolean,
    portRanges,
    positive,
    positiveDuration,
)
from aero.settings._ports import listenAddress


class GoTests(SynchronousTestCase):
    """
    The syntax of relay.md section 16.1.
    """

    def test_boolean(self) -> None:
        """
        Go's spellings, and no other.
        """
        for text in ("1", "t", "T", "TRUE", "true", "True"):
            self.assertIs(goBoolean(text), True)
        for text in ("0", "f", "F", "FALSE", "false", "False"):
            self.assertIs(goBoolean(text), False)
        for text in ("yes", "on", "tRUE", "2"):
            self.assertIn(
                "expected true or false", str(self.assertRaises(ValueError, goBoolean, text))
            )

    def test_duration(self) -> None:
        """
        Units can be combined; nothing and less than nothing are refused.
        """
        self.assertEqual(positiveDuration("1m30s"), 90.0)
        self.assertEqual(positiveDuration("250ms"), 0.25)
        for text in ("0", "0s", "-1s", "90", "1 s"):
            self.assertRaises(ValueError, positiveDuration, text)

    def test_networks(self) -> None:
        """
        Networks need a prefix length; blank items are nothing.
        """
        self.assertEqual(
            cidrs("10.0.0.0/8,, 2001:db8::/32 "),
            (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")),
        )
        error = self.assertRaises(ValueError, cidrs, "10.0.0.1")
        self.assertIn("prefix length", str(error))
        self.assertRaises(ValueError, cidrs, "10.0.0.0/33")

    def test_ports(self) -> None:
        """
        Single ports and ranges, within 1 to 65535 and the right way round.
        """
        self.assertEqual(portRanges("53, 1000-2000"), ((53, 53), (1000, 2000)))
        for text in ("0", "65536", "2000-1000", "a", "1-", "-1"):
            self.assertRaises(ValueError, portRanges, text)

    def test_choice(self) -> None:
        """
        Words in any case, and aliases for what they mean.
        """
        parse = choiceIgnoringCase({"prod": "prod", "production": "prod"})
        self.assertEqual(parse(" PRODUCTION "), "prod")
        error = self.assertRaises(ValueError, parse, "live")
        self.assertEqual(str(error), "expected one of prod, production")

    def test_positive(self) -> None:
        """
        Zero is refused.
        """
        self.assertEqual(positive("1"), 1)
        self.assertRaises(ValueError, positive, "0")


class ListenAddressTests(SynchronousTestCase):
    """
    L{listenAddress}.
    """

    def test_accepted(self) -> None:
        """
        Both families, any free port, and every address.
        """
        self.assertEqual(listenAddress("127.0.0.1:8090"), ("127.0.0.1", 8090))
        self.assertEqual(listenAddress("[::1]:0"), ("::1", 0))
        self.assertEqual(listenAddress(":8080"), ("", 8080))

    def test_refused(self) -> None:
        """
        Names, missing ports, and IPv6 without brackets are refused.
        """
        for text in (
            "localhost:80",
            "127.0.0.1",
            "::1:80",
            "[127.0.0.1]:80",
            "127.0.0.1:65536",
            "",
        ):
            self.assertRaises(ValueError, listenAddress, text)
