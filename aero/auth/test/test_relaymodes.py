"""
Tests for L{aero.auth.relaymodes}.
"""

from __future__ import annotations

from typing import Any, Sequence

from twisted.trial.unittest import SynchronousTestCase

from aero.auth.jwt import mintRelayToken
from aero.auth.relaymodes import Admitted, HeaderLines, KeyAuth, RelayAuth, TokenAuth
from aero.testing import vectors

NOW = 1_700_000_000


def lines(**headers: str | list[str]) -> HeaderLines:
    """
    The header lines of a request.
    """

    def find(name: bytes) -> Sequence[bytes]:
        found = headers.get(name.decode().replace("-", "_"), [])
        return [value.encode() for value in ([found] if isinstance(found, str) else found)]

    return find


class CarrierTests(SynchronousTestCase):
    """
    Where a credential is looked for (relay.md section 4.2).
    """

    key = KeyAuth("k")
    token = TokenAuth(["s"])

    def test_each(self) -> None:
        """
        Every carrier works in both modes.
        """
        for auth in (self.key, self.token):
            for headers, query in (
                ({"X_API_Key": "v"}, ""),
                ({"Authorization": "ApiKey v"}, ""),
                ({"Authorization": "Bearer v"}, ""),
                ({"Authorization": "bEARER   v "}, ""),
                ({}, "apiKey=v"),
                ({}, "token=v"),
                ({}, "a=b&token=v&c"),
                ({}, "token=%76"),
            ):
                self.assertEqual(auth.carried(lines(**headers), query), "v", (headers, query))

    def test_precedence(self) -> None:
        """
        Of several carriers the first one counts, by an order that the mode has.
        """
        headers: dict[str, Any] = {"X_API_Key": "x", "Authorization": "Bearer b"}
        self.assertEqual(self.key.carried(lines(**headers), "apiKey=a&token=t"), "x")
        self.assertEqual(self.token.carried(lines(**headers), "apiKey=a&token=t"), "b")
        self.assertEqual(self.key.carried(lines(), "token=t&apiKey=a"), "a")
        self.assertEqual(self.token.carried(lines(), "apiKey=a&token=t"), "t")

    def test_emptyIsAbsent(self) -> None:
        """
        An empty carrier is passed over; so is an C{Authorization} of another scheme.
        """
        self.assertEqual(self.key.carried(lines(X_API_Key=" "), "apiKey=&token=t"), "t")
        self.assertEqual(self.token.carried(lines(Authorization="Basic b"), "token=t"), "t")
        self.assertEqual(self.token.carried(lines(Authorization="Bearer"), "token=t"), "t")
        self.assertIsNone(self.token.carried(lines(), "token="))
        self.assertIsNone(self.token.carried(lines(), ""))

    def test_query(self) -> None:
        """
        A value of the query is not trimmed, of a repeated one the first counts, and a plus is
        a space.
        """
        self.assertEqual(self.token.carried(lines(), "token=%20t+&token=u"), " t ")
        self.assertEqual(self.token.carried(lines(), "token=a%zz"), "a%zz")
        many = "&".join(["x=1"] * 100) + "&token=t"
        self.assertIsNone(self.token.carried(lines(), many))

    def test_none(self) -> None:
        """
        The mode C{none} sees no credential.
        """
        auth = RelayAuth()
        self.assertIsNone(auth.carried(lines(X_API_Key="x"), "token=t"))
        self.assertEqual(auth.admit(None, NOW), Admitted(None, None))
        self.assertFalse(auth.needsCredential)


class KeyTests(SynchronousTestCase):
    """
    The mode C{api_key}.
    """

    def test_equal(self) -> None:
        """
        The key itself is admitted, and nothing else; an empty one on either side is not.
        """
        auth = KeyAuth("sécret")
        self.assertEqual(auth.admit("sécret", NOW), Admitted(None, "sécret"))
        for wrong in ("secret", "sécret ", "", None, "\udcff"):
            self.assertIsNone(auth.admit(wrong, NOW))
        self.assertIsNone(KeyAuth("").admit("", NOW))


class TokenTests(SynchronousTestCase):
    """
    The mode C{jwt}.
    """

    def test_vectors(self) -> None:
        """
        Every shared vector is admitted with its C{sid}, or not.
        """
        listed = vectors.load("auth-tokens.json")["jwtTokens"]["vectors"]
        self.assertGreaterEqual(len(listed), 44)
        for vector in listed:
            found = TokenAuth([vector["secret"]]).admit(vector["token"], vector["nowSec"])
            if vector.get("expectError"):
                self.assertIsNone(found, vector["name"])
            else:
                self.assertEqual(found, Admitted(vector["sid"], vector["token"]), vector["name"])

    def mint(self, secret: str = "s", **claims: Any) -> str:
        """
        A token.
        """
        return mintRelayToken(secret, "sid", now=NOW, ttl=60, **claims)[0]

    def test_secrets(self) -> None:
        """
        An older secret is still good, another one is not.
        """
        auth = TokenAuth(["new", "old"])
        self.assertIsNotNone(auth.admit(self.mint("new"), NOW))
        self.assertIsNotNone(auth.admit(self.mint("old"), NOW))
        for wrong in (self.mint("other"), "not-a-jwt", "", None):
            self.assertIsNone(auth.admit(wrong, NOW))
        self.assertIsNone(auth.admit(self.mint("new"), NOW + 60))

    def test_audience(self) -> None:
        """
        A token for somebody else is not good where this relay has a name.
        """
        auth = TokenAuth(["s"], audience="me", issuer="it")
        self.assertIsNotNone(auth.admit(self.mint(audience="me", issuer="it"), NOW))
        self.assertIsNotNone(auth.admit(self.mint(), NOW))
        self.assertIsNone(auth.admit(self.mint(audience="you"), NOW))
        self.assertIsNone(auth.admit(self.mint(issuer="them"), NOW))
        self.assertIsNotNone(TokenAuth(["s"]).admit(self.mint(audience="you"), NOW))
